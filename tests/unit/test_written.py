"""What somebody wrote counts for as much as it shows interest, and a complaint for none."""

from __future__ import annotations

import pytest
from tests.unit.test_acts import ADA, NOW, OPEN, fact, folded, gone, profile

from plait.catalog import Catalog
from plait.catalog.items import Item
from plait.decide import Asked, Decider, Question
from plait.events import DAY
from plait.models.meaning import Meanings
from plait.models.table import read
from plait.profiles import people
from plait.profiles.interests import interests
from plait.profiles.profile import Entry, Profile
from plait.settings import ConsentDefaults, Settings

TENT = {"item": "tent"}


def reply(id, record, **more):
    return fact(id, record=record, signal="reply", about=TENT, **more)


def complaint(id, record, **more):
    return reply(id, record, value=0.0, properties={"intent": "complaint"}, **more)


def weights(store):
    return {(one.kind, one.id): one.weight for one in profile(store).entries}


@pytest.mark.parametrize(("value", "weight"), [(None, 1.0), (0.5, 0.5), (1.0, 1.0), (7.0, 1.0)])
def test_an_act_weighs_as_much_as_it_shows(value, weight):
    assert weights(folded(reply("1", "r1", value=value))) == {("item", "tent"): pytest.approx(weight)}


@pytest.mark.parametrize("value", [0.0, -3.0])
def test_words_that_show_none_are_no_interest(value):
    known = profile(folded(reply("1", "r1", value=value)))

    assert known.entries == []
    assert known.counts == {"reply": 1}


def test_what_is_taken_back_leaves_exactly_what_was_there_before():
    one, other = reply("1", "r1", value=0.3), reply("2", "r2", value=0.7, at=NOW - DAY // 3)

    assert weights(folded(one, other, gone("3", "r2", signal="reply"))) == weights(folded(one))


def test_the_value_of_a_product_on_a_site_is_money_and_no_intensity():
    assert weights(folded(fact("1", signal="add", about=TENT, value=250.0))) == {
        ("item", "tent"): pytest.approx(1.0)
    }


def test_a_complaint_is_remembered_with_its_time():
    known = profile(folded(complaint("1", "r1", at=NOW - 5), complaint("2", "r2", at=NOW - 9)))

    assert known.complained_at == NOW - 5


@pytest.mark.parametrize("turned", [False, True])
def test_a_complaint_that_is_deleted_is_none_whenever_that_is_learned(turned):
    told = [complaint("1", "r1"), gone("2", "r1", signal="reply")]

    assert profile(folded(*reversed(told) if turned else told)).complained_at == 0


def test_a_complaint_may_not_be_used_without_consent_to_social():
    shut = Settings(half_life_days=1.0, consent=ConsentDefaults(social=False))

    assert people.profile(folded(complaint("1", "r1")), ADA, now=NOW, settings=shut).complained_at == 0


def test_only_words_complain():
    liked = fact("1", signal="like", properties={"intent": "complaint"}, record="r")

    assert profile(folded(liked)).complained_at == 0
    assert OPEN.complaint_mutes_days == 7


# -- what a complaint does -----------------------------------------------------------------------------------------

COMPLAINED = Entry("bluesky:shop", "reply", "complaint", "", "", 1, 1.0, NOW - DAY, False)
LIKED = Entry("web", "view", "item", "tent", "", 1, 1.0, NOW, False)
SHELF = Catalog([Item(id="tent", topics=("tents",)), Item(id="offer", kind="promotion", for_=("tent",))])


def shown(*entries, muted=7 * DAY, placement="home.promotion"):
    question = Question(placements=(Asked(placement),))
    answer = Decider(SHELF, muted=muted).decide(question, Profile(["a"], list(entries)), now=NOW, id="d")
    return [one.item for one in answer.placements[placement].items]


def test_an_offer_is_no_answer_to_a_complaint():
    assert shown(LIKED) == ["offer"]
    assert shown(LIKED, COMPLAINED) == []


@pytest.mark.parametrize(("muted", "offers"), [(DAY + 1, []), (DAY, ["offer"]), (0, ["offer"])])
def test_after_a_while_offers_come_again(muted, offers):
    assert shown(LIKED, COMPLAINED, muted=muted) == offers


def test_items_are_shown_to_those_who_complained():
    assert shown(LIKED, COMPLAINED, placement="home.grid") == ["tent"]


def test_a_complaint_teaches_nothing_about_what_people_like():
    assert read([COMPLAINED], now=NOW, half_life=DAY) == []
    assert interests(Profile(["a"], [COMPLAINED]), SHELF, limit=9) == []
    assert Meanings(SHELF).of("complaint", "").own == ""
