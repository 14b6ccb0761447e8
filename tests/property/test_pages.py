"""Pages: events and cursor are one; what is folded again is the same; order and repetition do not matter to people."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.errors import Rejected
from plait.events import Record, encode_record
from plait.graph import pseudonym
from plait.intake.records import blanked, numbered_events_of
from plait.intake.signals import load_signals
from plait.pages import PageIntake, Place, places
from plait.profiles.consent import ConsentDoor
from plait.profiles.fold import Fold
from plait.settings import Settings
from plait.store import open_store
from plait.workers import compare

NOW = 1_790_000_000_000
SOURCE = "fakenet:shop"
SETTINGS = Settings()
SIGNALS = load_signals()


def intake(door: ConsentDoor | None = None) -> PageIntake:
    return PageIntake(SETTINGS, door or ConsentDoor(SETTINGS))


def like(number: int, **more: object) -> dict[str, object]:
    return {"id": f"a{number}", "signal": "like", "at": NOW - 1_000 + number, "who": [f"fakenet:p{number % 3}"],
            "about": {"post": f"post-{number % 5}"}, "record": f"a{number}"} | more  # fmt: skip


def record(at: int = NOW, **page: object) -> Record:
    taken = intake().page(msgspec.json.encode(page), SOURCE, now=at)
    assert not taken.refused
    return Record(kind="page", source=SOURCE, received_at=at, trusted=True, body=taken.body)


pages = st.lists(
    st.fixed_dictionaries(
        {"lane": st.sampled_from(["stream", "poll", "backfill"]), "events": st.lists(st.integers(0, 40).map(like), max_size=6)},
        optional={"cursor": st.integers(0, 99).map(str), "done": st.booleans(), "gap": st.just("lost something")},
    ),
    max_size=12,
)  # fmt: skip


@contextmanager
def folded(records: list[Record], at_once: int = 9) -> Iterator[Any]:
    """The state that records fold to, ``at_once`` a step."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"lmdb://{folder}", write=True)
        try:
            fold = Fold(store, SETTINGS, SIGNALS)
            raw = [(position, encode_record(one)) for position, one in enumerate(records, 1)]
            for start in range(0, len(raw), at_once):
                fold.step(raw[start : start + at_once])
            with closing(store.snapshot()) as snapshot:
                yield snapshot
        finally:
            store.close()


@settings(max_examples=40, deadline=None)
@given(pages, st.integers(1, 5))
def test_the_cursors_are_the_same_however_often_it_is_folded(told, at_once):
    records = [record(NOW + at, **page) for at, page in enumerate(told)]
    with folded(records, at_once) as one, folded(records, 100) as other:
        assert list(compare(one, other)) == []


@settings(max_examples=40, deadline=None)
@given(pages, st.integers(0, 12))
def test_a_cursor_is_never_ahead_of_the_events_before_it(told, killed_after):
    """Whatever is kept when the lights go out: all that a lane told up to its cursor is there, and counts."""
    records = [record(NOW + at, **page) for at, page in enumerate(told)][:killed_after]
    with folded(records, 3) as snapshot:
        known = places(snapshot, SOURCE)
        rows = {key.partition(b"\0")[0].decode() for key, _ in snapshot.scan("timeline")}
    for place in known.values():
        told_before = [one for page in told[: place.position] for one in page["events"]]
        assert {str(one["who"][0]) for one in told_before} <= rows


def test_a_lane_goes_on_from_its_newest_cursor_and_no_others():
    records = [
        record(lane="stream", cursor="7"), record(lane="poll", cursor="a"), record(lane="stream", events=[like(1)]),
        record(lane="backfill", cursor="page 3"), record(lane="backfill", done=True),
    ]  # fmt: skip

    with folded(records) as snapshot:
        assert places(snapshot, SOURCE) == {
            "stream": Place("7", NOW, False, 1),
            "poll": Place("a", NOW, False, 2),
            "backfill": Place("page 3", NOW, True, 5),
        }
        assert places(snapshot, "fakenet:sho") == {}


def test_a_gap_has_the_past_read_again():
    records = [record(lane="backfill", cursor="9", done=True), record(lane="stream", gap="lost")]

    with folded(records) as snapshot:
        assert places(snapshot, SOURCE)["backfill"] == Place(None, NOW, False, 2)


def test_an_erased_fact_leaves_its_place_empty_and_the_cursor_where_it_is():
    before = record(events=[like(1), like(2)], cursor="7")

    after = blanked(before, {0})

    assert [number for number, _ in numbered_events_of(after, SIGNALS)] == [1]
    assert msgspec.json.decode(after.body)["cursor"] == "7"


# -- coming in -------------------------------------------------------------------------------------------------


def codes(*events: object, door: ConsentDoor | None = None) -> list[str]:
    taken = intake(door).page(msgspec.json.encode({"events": events}), SOURCE, now=NOW)
    return [one.code for one in taken.refused]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"who": ["user:42"]}, "invalid_identifier"), ({"who": ["email:a@b.c"]}, "invalid_identifier"),
        ({"who": ["anonymous:a"]}, "invalid_identifier"), ({"who": []}, "missing_identifier"),
        ({"who": ["fakenet:a", "fakenet:b"]}, "invalid_field"), ({"signal": "link"}, "forbidden"),
        ({"signal": "consent"}, "forbidden"), ({"signal": "erase"}, "forbidden"), ({"signal": "decided"}, "forbidden"),
        ({"signal": "identify"}, "forbidden"), ({"consent": {"social": True}}, "forbidden"),
        ({"op": "erase", "record": None}, "invalid_field"), ({"source": "bluesky:other"}, "invalid_field"),
        ({"id": ""}, "invalid_field"), ({"signal": "nod"}, "invalid_field"), ({"nonsense": 1}, "invalid_field"),
        ({"about": {"account": "nobody"}}, "invalid_identifier"), ({"properties": {"x": "y" * 40_000}}, "event_too_large"),
    ],
)  # fmt: skip
def test_one_wrong_fact_is_refused_and_costs_no_other(wrong, code):
    taken = intake().page(
        msgspec.json.encode({"events": [like(1), like(2, **wrong), like(3)], "cursor": "9"}), SOURCE, now=NOW
    )

    assert [(one.index, one.code) for one in taken.refused] == [(1, code)]
    assert taken.accepted == 2
    assert msgspec.json.decode(taken.body)["cursor"] == "9"


def test_a_count_names_nobody():
    assert codes(like(1, op="snapshot", who=[], value=7)) == []


def test_what_somebody_wrote_does_not_rest():
    taken = intake().page(
        msgspec.json.encode({"events": [like(1, signal="comment", properties={"text": "hunter2", "lang": "en"})]}),
        SOURCE, now=NOW,
    )  # fmt: skip

    assert b"hunter2" not in taken.body
    assert b'"lang":"en"' in taken.body


def test_who_was_erased_does_not_come_back_with_an_old_fact():
    door = ConsentDoor(SETTINGS, "pepper")
    door.forget(["fakenet:p1"], NOW)

    assert codes(like(1), like(1, op="retract"), like(2), door=door) == ["erased", "erased"]


def test_who_says_no_may_still_take_back():
    door = ConsentDoor(SETTINGS)
    door.tell(["fakenet:p1"], {"social": False}, NOW, "no")

    assert codes(like(1), like(1, op="retract"), door=door) == ["no_consent"]


@pytest.mark.parametrize(
    "page",
    [[], 5, {"events": 5}, {"cursor": 5}, {"cursor": "x" * 5_000}, {"lane": "fast"}, {"done": "yes"}, {"gap": []}, {"gone": "x"},
     {"gone": ["user:42"]}, {"gone": ["nobody"]}, {"what": 1}, {"cursor": "\ud800"}],
)  # fmt: skip
def test_what_is_no_page_is_refused_whole(page):
    import json

    with pytest.raises(Rejected):
        intake().page(json.dumps(page).encode(), SOURCE, now=NOW)


FAR = {"id": "at://did:plc:far/f/1", "signal": "follow", "who": ["bluesky:did:plc:far"], "record": "at://did:plc:far/f/1",
       "about": {"account": "bluesky:did:plc:farther"}, "at": NOW}  # fmt: skip


def test_who_is_two_ties_away_is_kept_as_a_number():
    intake = PageIntake(SETTINGS, ConsentDoor(SETTINGS), far=lambda _one, _other: True, pepper="pepper")

    taken = intake.page(msgspec.json.encode({"events": [FAR, FAR]}), "bluesky:shop", now=NOW)

    assert taken.accepted == 2
    assert b"did:plc" not in taken.body
    one, again = msgspec.json.decode(taken.body)["events"]
    assert one == again
    assert one["who"] == [pseudonym("bluesky:did:plc:far", "pepper")]


def test_who_is_gone_leaves_nothing_that_the_same_page_tells() -> None:
    follow = like(4, signal="follow", about={"account": "fakenet:p1"})
    told = {"events": [like(0), like(1), follow, like(2)], "gone": ["fakenet:p1"]}

    taken = intake().page(msgspec.json.encode(told), SOURCE, now=NOW)

    assert [(one.index, one.code) for one in taken.refused] == [(1, "erased"), (2, "erased")]
    assert taken.gone == ("fakenet:p1",)


def test_what_others_do_with_posts_of_who_is_gone_is_not_told_either() -> None:
    post = {"post": "at://did:plc:ann/app.bsky.feed.post/1"}
    door = ConsentDoor(SETTINGS, "pepper")
    told = {"events": [like(1, about=post), like(2)], "gone": ["bluesky:did:plc:ann"]}
    taken = intake().page(msgspec.json.encode(told), SOURCE, now=NOW)
    door.forget(["bluesky:did:plc:ann"], NOW)

    assert [(one.index, one.code) for one in taken.refused] == [(0, "erased")]
    assert codes(like(1, about=post), like(2), door=door) == ["erased"]


def test_what_nobody_can_date_does_not_bring_back_who_was_erased() -> None:
    """A list of who likes a post still holds them: that they are in it now says nothing about when they liked it."""
    door = ConsentDoor(SETTINGS, "pepper")
    door.forget(["fakenet:p1"], NOW - 60_000)
    undated = {"properties": {"undated": True}}

    assert codes(like(1, at=NOW, **undated), like(2, at=NOW, **undated), door=door) == ["erased"]
    assert codes(like(1, at=NOW), door=door) == []
    assert (
        b"undated"
        not in intake().page(msgspec.json.encode({"events": [like(1, **undated)]}), SOURCE, now=NOW).body
    )
