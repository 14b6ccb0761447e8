"""What networks take back: by the name of a record, before or after it was told."""

import msgspec
import pytest
from bench.plain import PlainLog, PlainStore

from plait.events import DAY, Record, encode_record
from plait.graph import pseudonym
from plait.intake.signals import load_signals
from plait.profiles import people
from plait.profiles.fold import Fold
from plait.profiles.totals import totals
from plait.settings import ConsentDefaults, Settings
from plait.workers import compare, erase_record, pending_erasures, redact_erased

NOW = 1_780_000_000_000
SIGNALS = load_signals()
OPEN = Settings(half_life_days=1.0, consent=ConsentDefaults(link=True, social=True))
ADA, BOB = "bluesky:did:plc:ada", "bluesky:did:plc:bob"
POST = {"post": "at://shop/1"}


def fact(id, **more):
    return {"id": id, "source": "bluesky", "who": [ADA], "signal": "like", "about": POST, "at": NOW, **more}


def like(id, record, **more):
    return fact(id, record=record, **more)


def gone(id, record, **more):
    return fact(id, record=record, op="retract", about={}, **more)


def logged(*facts):
    records = (
        Record(kind="events", source="web", received_at=NOW, trusted=True, body=msgspec.json.encode([one]))
        for one in facts
    )
    return PlainLog([encode_record(one) for one in records])


def folded(*facts, log=None):
    log = log or logged(*facts)
    store = PlainStore()
    Fold(store, OPEN, SIGNALS, log=log, pepper="pepper").step(log.read(0))
    return store


def profile(store, who=ADA):
    return people.profile(store, who, now=NOW, settings=OPEN)


def entries(store, who=ADA):
    found = profile(store, who)
    return {(one.signal, one.kind, one.id): one for one in found.entries} if found else {}


LIKES = ("like", "post", POST["post"])


def test_a_record_that_is_gone_takes_its_like_along():
    assert entries(folded(like("1", "r1"), gone("2", "r1"))) == {}


def test_a_deletion_may_come_before_what_it_deletes():
    assert entries(folded(gone("2", "r1"), like("1", "r1"))) == {}


def test_a_second_record_of_a_like_stands_when_the_first_is_deleted():
    # As Bluesky's own index has it: a duplicate takes the place of the record that is deleted.
    store = folded(like("1", "r1", at=NOW - DAY), like("2", "r2"), gone("3", "r1"))

    assert entries(store)[LIKES].at == NOW


def test_the_first_record_of_a_like_stands_when_the_second_is_deleted():
    store = folded(like("1", "r1", at=NOW - DAY), like("2", "r2"), gone("3", "r2"))

    assert entries(store)[LIKES].at == NOW - DAY


def test_two_records_of_a_like_are_one_like():
    assert entries(folded(like("1", "r1"), like("2", "r2")))[LIKES].count == 1


def test_a_look_that_finds_no_like_takes_back_all_its_records():
    store = folded(
        like("1", "r1", at=NOW - 2), like("2", "r2", at=NOW - 1), fact("3", op="retract"), gone("4", "r1")
    )

    assert entries(store) == {}


def test_a_record_takes_back_nothing_that_was_told_without_it():
    assert LIKES in entries(folded(fact("1"), gone("2", "r1")))


def test_a_record_of_somebody_else_takes_nothing_back():
    assert LIKES in entries(folded(like("1", "r1"), gone("2", "r1", who=[BOB])))


def test_a_record_of_another_source_takes_nothing_back():
    assert LIKES in entries(folded(like("1", "r1"), gone("2", "r1", source="mastodon")))


@pytest.mark.parametrize("order", [1, -1])
def test_a_network_may_not_say_whose_a_record_was(order):
    facts = [like("1", "r1"), like("2", "r1", who=[BOB]), gone("3", "r1", who=[])][::order]

    assert entries(folded(*facts)) == entries(folded(*facts), BOB) == {}


def test_a_deleted_post_takes_all_along_that_it_was():
    about = {"account": BOB}
    store = folded(
        fact("1", record="r1", signal="reply"), fact("2", record="r1", signal="mention", about=about),
        fact("3", record="r1", signal="quote"), gone("4", "r1", signal="comment"),
    )  # fmt: skip

    assert entries(store) == {}
    assert profile(store).counts == {}


def test_a_comment_that_is_taken_back_leaves_the_others_as_they_were():
    # The old one weighs 2^-900 of the new one: a sum in one number would have lost it.
    old, new = (
        fact("1", signal="comment", record="r1", at=NOW - 900 * DAY),
        fact("2", signal="comment", record="r2"),
    )

    (left,) = entries(folded(old, new, gone("3", "r2", signal="comment"))).values()

    assert left.weight == pytest.approx(2.0**-900, rel=1e-9, abs=0)


def test_the_times_of_a_deletion_do_not_matter():
    assert entries(folded(like("1", "r1", at=NOW), gone("2", "r1", at=NOW - DAY))) == {}


def test_a_repost_is_so_or_not_so():
    reposts = [fact(str(n), signal="share", record=f"r{n}") for n in range(3)]

    assert entries(folded(*reposts))["share", "post", POST["post"]].count == 1


def test_sharing_a_product_adds_up():
    shares = [fact(str(n), signal="share", about={"item": "tent"}) for n in range(3)]

    assert entries(folded(*shares))["share", "item", "tent"].count == 3


def test_a_count_without_names_is_about_a_post_and_invents_nobody():
    store = folded(
        fact("1", op="snapshot", who=[], value=12.0, at=NOW - 1), fact("2", op="snapshot", who=[], value=15.0)
    )

    assert totals(store, "post", POST["post"]) == [
        {"source": "bluesky", "signal": "like", "value": 15.0, "at": NOW}
    ]
    assert store.tables["fragments"] == {}


def test_an_older_count_that_comes_late_is_not_the_newest():
    store = folded(
        fact("2", op="snapshot", who=[], value=15.0), fact("1", op="snapshot", who=[], value=12.0, at=NOW - 1)
    )

    assert totals(store, "post", POST["post"])[0]["value"] == 15.0


# -- accounts that are gone --------------------------------------------------------------------------------


LINK = {"id": "l", "source": "web", "who": ["user:42", ADA], "signal": "link", "at": NOW}
BOUGHT = {
    "id": "b",
    "source": "web",
    "who": ["user:42"],
    "signal": "purchase",
    "about": {"item": "tent"},
    "at": NOW,
}
FOLLOWED = fact("f", who=[BOB], signal="follow", about={"account": ADA}, record="at://bob/1")


def without_account(*facts):
    log = logged(*facts)
    log.append([encode_record(erase_record(ADA, id="gone", now=NOW, source="bluesky", account=True))])
    return folded(log=log), log


def test_an_account_that_is_gone_takes_its_fragment_and_its_link():
    store, _ = without_account(LINK, BOUGHT, like("1", "r1"))

    assert profile(store) is None
    assert profile(store, "user:42").identifiers == ["user:42"]


def test_an_account_that_is_gone_leaves_the_customers_other_identifiers():
    store, _ = without_account(LINK, BOUGHT, like("1", "r1"))

    assert set(entries(store, "user:42")) == {("purchase", "item", "tent")}


def test_an_account_that_is_gone_is_followed_by_nobody():
    store, log = without_account(FOLLOWED)

    assert entries(store, BOB) == {}
    assert ADA.encode() not in b"".join(key + raw for key, raw in store.tables["fragments"].items())
    assert list(compare(store, folded(log=log))) == []


def test_an_account_that_comes_back_begins_anew():
    """A takedown is lifted: what they do from then on counts, and nothing from before, however often it is told."""
    _, log = without_account(like("1", "r1"))
    again = msgspec.json.encode(
        [like("1", "r1"), like("2", "r2", about={"post": "at://shop/2"}, at=NOW + DAY)]
    )
    back = Record(kind="events", source="web", received_at=NOW + DAY, trusted=True, body=again)

    log.append([encode_record(back)])
    found = people.profile(folded(log=log), ADA, now=NOW + DAY, settings=OPEN)

    assert [(one.signal, one.id) for one in found.entries] == [("like", "at://shop/2")]


def test_who_followed_an_account_that_is_gone_is_not_gone(tmp_path):
    store, log = without_account(FOLLOWED, fact("2", who=[BOB]))

    redact_erased(log, None, store, Settings(data=str(tmp_path)))

    assert set(entries(store, BOB)) == {LIKES}
    assert list(compare(store, folded(log=log))) == []


def test_a_follow_of_an_account_that_is_gone_does_not_come_back_late():
    _, log = without_account(FOLLOWED)

    log.append(logged(FOLLOWED).records)
    store = folded(log=log)

    assert entries(store, BOB) == {}
    assert BOB not in {one for _, erasure in pending_erasures(store) for one in erasure.who}


def test_a_person_who_is_erased_is_named_by_nobody_else():
    log = logged(FOLLOWED, LINK)
    log.append([encode_record(erase_record("user:42", id="forget", now=NOW))])

    assert entries(folded(log=log), BOB) == {}


@pytest.mark.parametrize("op", ["retract", "erase"])
def test_both_words_for_gone_take_a_record_back(op):
    assert entries(folded(like("1", "r1"), gone("2", "r1") | {"op": op})) == {}


def test_an_erasure_takes_what_is_told_of_somebody_as_a_number():
    number = pseudonym(ADA, "pepper")
    log = logged(fact("1", who=[number], signal="follow", about={"account": pseudonym(BOB, "pepper")}))
    log.append([encode_record(erase_record(ADA, id="gone", now=NOW, source="bluesky", account=True))])

    store = folded(log=log)

    assert store.tables["fragments"] == store.tables["named"] == {}
