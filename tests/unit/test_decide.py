"""What is shown, and what is not: one sentence a rule."""

from __future__ import annotations

import pytest

from plait.catalog import Catalog, Item, Placement
from plait.decide import Asked, Decider, Page, Question, question_of
from plait.errors import Rejected
from plait.events import DAY
from plait.models.ranker import MOST_REASONS
from plait.profiles.profile import Entry, Profile

NOW = 1_780_000_000_000
GRID = (Asked("home.grid"),)


def entry(item, *, source="web", signal="view", kind="item", section="", count=1):
    return Entry(source, signal, kind, item, section, count, 1.0, NOW, False)


def shop(*more):
    return Catalog(
        [
            Item(id="tent-1", topics=("tents",), price=100.0),
            Item(id="tent-2", topics=("tents",), price=150.0),
            Item(id="boat-1", topics=("boats",), price=900.0),
            Item(id="gone", topics=("tents",), available=False),
            Item(id="77", kind="post", for_=("tent-2",)),
            *more,
        ]
    )


def ask(shelf, *entries, placements=GRID, counts=None, now=NOW, **more):
    profile = Profile(["anonymous:a"], list(entries), counts=counts or {}) if entries else None
    question = Question(placements=tuple(placements), explain=True, **more)
    answer = Decider(shelf).decide(question, profile, now=now, id="d_1")
    return {name: [one.item for one in shown.items] for name, shown in answer.placements.items()}


def test_what_somebody_viewed_comes_before_what_they_did_not():
    assert ask(shop(), entry("boat-1"))["home.grid"][0] == "boat-1"


def test_somebody_unknown_gets_the_popular_page_and_is_told_so():
    answer = Decider(shop()).decide(
        Question(placements=(Asked("home.grid"),), explain=True), None, now=NOW, id="d"
    )

    shown = answer.placements["home.grid"]
    assert shown.arm == "popular"
    assert [(one.source, one.signal, one.share) for one in shown.items[0].because] == [
        ("catalog", "trending", 1.0)
    ]


def test_no_item_stands_twice_on_a_page():
    page = ask(shop(), entry("tent-1"), placements=(Asked("home.hero"), Asked("home.grid")))

    assert page["home.hero"][0] not in page["home.grid"]
    assert len(page["home.hero"] + page["home.grid"]) == 3


def test_what_is_not_available_is_not_shown():
    assert "gone" not in ask(shop(), entry("gone"))["home.grid"]


def test_posts_and_promotions_are_shown_only_where_they_are_asked_for():
    shelf = shop(Item(id="offer", kind="promotion", for_=("tent-1",)))

    page = ask(shelf, entry("tent-1"), placements=(Asked("home.grid"), Asked("home.promotion")))

    assert page == {"home.grid": ["tent-1", "tent-2", "boat-1"], "home.promotion": ["offer"]}


def test_a_condition_of_the_caller_holds():
    page = ask(
        shop(), entry("boat-1"), placements=(Asked("home.grid", where="price < 200 and 'tents' in topics"),)
    )

    assert page["home.grid"] == ["tent-1", "tent-2"]


def test_a_condition_of_the_placement_holds_too():
    shelf = shop()
    shelf.placements["cheap"] = Placement(id="cheap", where="price < 120")

    assert ask(shelf, entry("boat-1"), placements=(Asked("cheap", where="'tents' in topics"),)) == {
        "cheap": ["tent-1"]
    }


def test_what_was_bought_is_not_shown_again():
    assert "tent-1" not in ask(shop(), entry("tent-1", signal="purchase"))["home.grid"]


def test_a_placement_may_show_what_was_bought():
    shelf = shop()
    shelf.placements["again"] = Placement(id="again", bought=True)

    page = ask(
        shelf, entry("tent-1", signal="purchase"), placements=(Asked("home.grid", 1), Asked("again", 1))
    )

    assert page == {"home.grid": ["tent-2"], "again": ["tent-1"]}


def test_what_the_caller_names_is_left_out():
    assert ask(shop(), exclude=("tent-1",))["home.grid"] == ["tent-2", "boat-1"]


def test_what_one_placement_leaves_out_another_may_show():
    page = ask(shop(), placements=(Asked("home.hero", exclude=("tent-1",)), Asked("home.grid", 1)))

    assert page == {"home.hero": ["tent-2"], "home.grid": ["tent-1"]}


def test_related_items_are_like_the_item_of_the_page():
    page = ask(shop(), entry("boat-1"), placements=(Asked("item.related", 1),), page=Page(item="tent-1"))

    assert page["item.related"] == ["tent-2"]


def test_the_item_of_the_page_is_known_by_its_address():
    shelf = shop(Item(id="tent-3", topics=("tents",), url="https://shop.example/t3"))

    page = ask(
        shelf, placements=(Asked("item.related", 2),), page=Page(url="https://shop.example/t3?from=mail")
    )

    assert page["item.related"] == ["tent-1", "tent-2"]


def test_a_promotion_is_chosen_by_interest_in_what_it_is_tied_to():
    shelf = shop(
        Item(id="boats-off", kind="promotion", for_=("topic:boats",)),
        Item(id="tents-off", kind="promotion", for_=("tent-1", "tent-2")),
    )

    def promotion(*entries):
        return ask(shelf, *entries, placements=(Asked("home.promotion"),))["home.promotion"]

    assert promotion(entry("boat-1")) == ["boats-off"]
    assert promotion(entry("tent-1")) == ["tents-off"]
    assert promotion(entry("77", source="bluesky:shop", signal="like", kind="post")) == ["tents-off"]


def test_a_placement_may_mix_promotions_with_products():
    shelf = shop(Item(id="boats-off", kind="promotion", for_=("boat-1",)))
    shelf.placements["mixed"] = Placement(id="mixed", n=2, kinds=("product", "promotion"))

    assert set(ask(shelf, entry("boat-1"), placements=(Asked("mixed"),))["mixed"]) == {"boat-1", "boats-off"}
    assert ask(shelf, entry("tent-1"), placements=(Asked("mixed"),))["mixed"] == ["tent-1", "tent-2"]


def test_a_promotion_runs_from_its_start_to_before_its_end():
    shelf = shop(Item(id="offer", kind="promotion", for_=("tent-1",), starts=NOW, ends=NOW + DAY))
    asked = (Asked("home.promotion"),)

    shown = [
        ask(shelf, placements=asked, now=now)["home.promotion"]
        for now in (NOW - 1, NOW, NOW + DAY - 1, NOW + DAY)
    ]

    assert shown == [[], ["offer"], ["offer"], []]


@pytest.mark.parametrize(
    ("told", "counts", "expected"),
    [
        ([("decided", 1)], {"decided": 1}, ["offer"]),
        ([("decided", 2)], {"decided": 2}, []),
        ([("decided", 9), ("shown", 1)], {"decided": 9, "shown": 1}, ["offer"]),
        ([("decided", 9), ("shown", 2)], {"decided": 9, "shown": 2}, []),
        # Somebody whose page reports what was seen has not seen this one.
        ([("decided", 9)], {"decided": 9, "shown": 3}, ["offer"]),
    ],
)
def test_a_cap_counts_what_was_shown_else_what_was_decided(told, counts, expected):
    shelf = shop(Item(id="offer", kind="promotion", for_=("tent-1",), cap=2))
    seen = [entry("offer", source="plait", signal=signal, count=count) for signal, count in told]

    page = ask(shelf, entry("tent-1"), *seen, placements=(Asked("home.promotion"),), counts=counts)

    assert page["home.promotion"] == expected


def test_being_shown_something_is_no_interest_in_it():
    page = ask(shop(), entry("boat-1", source="plait", signal="shown"))

    assert page["home.grid"] == ["tent-1", "tent-2", "boat-1"]


def test_taking_an_item_out_of_the_basket_does_not_bring_it_up():
    removed = ask(shop(), entry("boat-1", signal="remove"), entry("tent-2"))

    assert removed["home.grid"][0] == "tent-2"


def test_a_new_item_is_shown_at_once():
    shelf = shop()
    decider = Decider(shelf)
    question = Question(placements=(Asked("home.grid"),))
    liked = Profile(["anonymous:a"], [entry("boat-1")])
    decider.decide(question, liked, now=NOW, id="d")

    shelf.upsert([Item(id="boat-2", topics=("boats",))])

    shown = decider.decide(question, liked, now=NOW, id="d").placements["home.grid"].items
    assert [one.item for one in shown][:2] == ["boat-1", "boat-2"]


def test_an_item_that_was_deleted_is_gone_at_once():
    shelf = shop()
    decider = Decider(shelf)
    question = Question(placements=(Asked("home.grid"),))
    decider.decide(question, None, now=NOW, id="d")

    shelf.delete(["tent-1"])

    shown = decider.decide(question, None, now=NOW, id="d").placements["home.grid"].items
    assert [one.item for one in shown] == ["tent-2", "boat-1"]


def test_one_person_leaves_no_trace_in_the_next_ones_page():
    decider = Decider(shop())
    question = Question(
        placements=(Asked("home.grid"), Asked("home.hero")), explain=True, exclude=("tent-1",)
    )
    before = decider.decide(question, None, now=NOW, id="d")

    decider.decide(question, Profile(["a"], [entry("boat-1"), entry("tents", kind="topic")]), now=NOW, id="d")

    assert decider.decide(question, None, now=NOW, id="d") == before


def test_a_refused_question_leaves_no_trace_either():
    decider = Decider(shop())
    good = Question(placements=(Asked("home.grid"),))
    before = decider.decide(good, None, now=NOW, id="d")

    with pytest.raises(Rejected):
        decider.decide(Question(placements=(Asked("home.grid"), Asked("nowhere"))), None, now=NOW, id="d")

    assert decider.decide(good, None, now=NOW, id="d") == before


def test_more_reasons_than_fit_are_summed_up_and_still_add_up():
    viewed = [entry("tent-1", section=f"part-{number}") for number in range(MOST_REASONS + 10)]
    answer = Decider(shop()).decide(
        Question(placements=(Asked("home.grid"),), explain=True), Profile(["a"], viewed), now=NOW, id="d"
    )

    first = answer.placements["home.grid"].items[0]
    assert len(first.because) == MOST_REASONS
    assert ("other", "other") in {(one.source, one.signal) for one in first.because}
    assert sum(one.contribution for one in first.because) == pytest.approx(first.score, abs=1e-6)


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (b"{", "invalid_json", None),
        (b"[]", "invalid_question", None),
        (b'{"placements":[]}', "invalid_question", "placements"),
        (b'{"placements":[{"id":7}]}', "invalid_question", "placements[0].id"),
        (b'{"placements":[{"id":"a"},{"id":"a"}]}', "invalid_question", "placements[1].id"),
        (b'{"placements":[{"id":"a"}],"identifiers":["user:a",7]}', "invalid_question", "identifiers[1]"),
        (b'{"placements":[{"id":"a","m":3}]}', "invalid_question", "placements[0].m"),
        (b'{"placements":[{"n":3}]}', "invalid_question", "placements[0].id"),
        (b'{"placements":[{"id":"a"}],"plese":1}', "invalid_question", "plese"),
        (b"{}", "invalid_question", "placements"),
        (b'{"placements":[{"id":"\xff"}]}', "invalid_text", None),
        (b'{"placements":[{"id":"\\ud800"}]}', "invalid_text", "placements[0].id"),
        (b'{"placements":[{"id":"a"}],"context":' + b'{"a":' * 9_000 + b"1" + b"}" * 9_001, "too_deep", None),
    ],
)
def test_a_question_that_cannot_be_read_is_told_where(body, code, field):
    with pytest.raises(Rejected) as refused:
        question_of(body)

    assert (refused.value.code, refused.value.field) == (code, field)


@pytest.mark.parametrize(
    ("asked", "code", "field"),
    [
        (Asked("nowhere"), "unknown_placement", "placements[0].id"),
        (Asked("home.grid", 0), "invalid_question", "placements[0].n"),
        (Asked("home.grid", 101), "invalid_question", "placements[0].n"),
        (Asked("home.grid", where="price <"), "invalid_expression", "placements[0].where"),
        (Asked("home.grid", where="colour = 'red'"), "invalid_expression", "placements[0].where"),
    ],
)
def test_a_placement_that_cannot_be_filled_is_told_where(asked, code, field):
    with pytest.raises(Rejected) as refused:
        ask(shop(), placements=(asked,))

    assert (refused.value.code, refused.value.field) == (code, field)
