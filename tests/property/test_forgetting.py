"""Forgetting leaves no trace (law 10): the state is as if it had never seen the person, and so is what is replayed."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.property.facts import (
    ANYBODY,
    NOW,
    OPEN,
    PEPPER,
    SIGNALS,
    Fact,
    PlainLog,
    PlainStore,
    folded,
    histories,
    record_of,
    refolded,
    same,
    told,
)

from plait.events import Record, decode_record, encode_record
from plait.profiles.consent import ConsentDoor
from plait.profiles.fold import Fold
from plait.profiles.state import message_name, window_keys
from plait.settings import Settings
from plait.workers import compare, erase_record, pending_erasures, redact_erased

anybody = st.sampled_from(ANYBODY)


def named(fact: Fact) -> list[str]:
    """Whom a fact names: who did it, the account that it is about, and whose post or record it tells of."""
    about = fact.get("about", {})
    theirs = "at://x/" in f"{about.get('post')} {fact.get('record')}"
    account = about.get("account")
    return [*fact["who"], *([account] if account else []), *(["bluesky:x"] if theirs else [])]


def erased(log: PlainLog, identifier: str, *, settings: Settings = OPEN) -> tuple[PlainStore, set[str]]:
    """The state after forgetting somebody, and who that turned out to be."""
    log.append([encode_record(erase_record(identifier, id="forget", now=NOW))])
    store = refolded(log, settings=settings)
    gone = {one for _, erasure in pending_erasures(store) for one in erasure.who}
    return store, gone


def without_erasure(store: PlainStore) -> PlainStore:
    """The state but for what an erasure itself leaves: hashes, its own message id, what is still to be done."""
    left = PlainStore()
    left.tables = {name: dict(rows) for name, rows in store.tables.items()}
    left.tables["erased"].clear()
    left.tables["window"].pop(next(iter(_window_of("forget"))), None)
    return left


def _window_of(id: str) -> list[bytes]:
    return window_keys(message_name("plait", id), NOW)[:1]


@given(histories, anybody)
def test_the_state_is_as_if_it_had_never_seen_them(facts: list[Fact], identifier: str) -> None:
    store, gone = erased(PlainLog([record_of(fact) for fact in facts]), identifier)

    same(without_erasure(store), folded([fact for fact in facts if gone.isdisjoint(named(fact))]))
    for one in gone:
        assert told(store, one) is None


@given(histories, anybody, st.integers(1, 4), st.integers(1, 4))
def test_the_log_replays_to_the_same_state_before_and_after_it_was_redacted(
    facts: list[Fact], identifier: str, request: int, step: int
) -> None:
    trusted = [fact for fact in facts if fact.get("trusted", True)]
    log = PlainLog([record_of(trusted[start : start + request]) for start in range(0, len(trusted), request)])
    live, gone = erased(log, identifier)
    assert list(compare(live, refolded(log, step=step))) == []

    with TemporaryDirectory() as folder:
        redact_erased(log, None, live, Settings(data=folder))

    assert list(compare(live, refolded(log, step=step))) == []
    bodies = b"".join(decode_record(raw).body for raw in log.records)
    for one in gone:
        assert one.encode() not in bodies
    if "bluesky:x" in gone:
        assert b"at://x/" not in bodies


@pytest.mark.parametrize(
    "named", [{"about": {"post": "at://x/app.bsky.feed.post/1"}}, {"record": "at://x/app.bsky.feed.like/1"}]
)
def test_what_others_did_with_what_they_wrote_leaves_with_them(named: Fact) -> None:
    fact = {"id": "1", "signal": "like", "who": ["bluesky:bea"], "about": {"post": "77"}, "at": NOW} | named
    store, gone = erased(PlainLog([record_of(fact)]), "bluesky:x")

    assert "bluesky:x" in gone
    same(without_erasure(store), folded([]))


def test_who_wrote_the_companys_posts_is_no_row_for_each_like_of_them() -> None:
    post = "at://x/app.bsky.feed.post/1"
    item = Record(
        kind="items",
        source="web",
        received_at=NOW,
        body=msgspec.json.encode({"put": [{"id": post, "title": "", "kind": "post"}]}),
    )
    like = {"id": "1", "signal": "like", "who": ["bluesky:bea"], "about": {"post": post}, "at": NOW}
    store = refolded(PlainLog([encode_record(item), record_of(like)]))

    assert store.tables["named"] == {}


@given(histories, anybody, st.data())
def test_what_was_told_twice_leaves_twice(facts: list[Fact], identifier: str, data: Any) -> None:
    again = data.draw(st.lists(st.sampled_from(facts), max_size=4)) if facts else []
    log = PlainLog([record_of(fact) for fact in [*facts, *again]])
    live, gone = erased(log, identifier)

    with TemporaryDirectory() as folder:
        redact_erased(log, None, live, Settings(data=folder))

    assert list(compare(live, refolded(log))) == []
    bodies = b"".join(decode_record(raw).body for raw in log.records)
    for one in gone:
        assert one.encode() not in bodies


@given(histories, anybody)
def test_a_late_retry_does_not_bring_them_back(facts: list[Fact], identifier: str) -> None:
    log = PlainLog([record_of(fact) for fact in facts])
    store, gone = erased(log, identifier)
    before = {name: dict(rows) for name, rows in store.tables.items()}
    late = [fact for fact in facts if not gone.isdisjoint(named(fact))]

    log.append([record_of(fact, NOW + 60_000) for fact in late])
    fold = Fold(store, OPEN, SIGNALS, log=log, pepper=PEPPER)
    counted = fold.step(log.read(fold.position))

    assert counted == 0
    del before["meta"]
    assert {name: rows for name, rows in store.tables.items() if name != "meta"} == before
    with TemporaryDirectory() as folder:
        redact_erased(log, None, store, Settings(data=folder))
    bodies = b"".join(decode_record(raw).body for raw in log.records)
    for one in gone:
        assert one.encode() not in bodies
    assert list(compare(store, refolded(log))) == []


def view(id: str, who: list[str], at: int = NOW - 1_000, **more: Any) -> Fact:
    return {"id": id, "who": who, "signal": "view", "about": {"item": "tent"}, "at": at, **more}


def test_a_device_of_theirs_alone_leaves_with_them() -> None:
    log = PlainLog([record_of(view("1", ["anonymous:a"])), record_of(view("2", ["anonymous:a", "user:u"]))])

    _, gone = erased(log, "user:u")

    assert gone == {"user:u", "anonymous:a"}


def test_a_shared_device_stays_and_loses_the_edge() -> None:
    log = PlainLog(
        [
            record_of(view("1", ["anonymous:a"])),
            record_of(view("2", ["anonymous:a", "user:u"])),
            record_of(view("3", ["anonymous:a", "user:v"])),
        ]
    )

    store, gone = erased(log, "user:u")

    assert gone == {"user:u"}
    links = told(store, "anonymous:a")["links"]  # type: ignore[index]
    assert [link["identifiers"] for link in links] == [["anonymous:a", "user:v"]]
    assert told(store, "anonymous:a")["counts"] == {"view": 1}  # type: ignore[index]


def test_who_comes_back_after_it_is_somebody_new() -> None:
    log = PlainLog([record_of(view("1", ["user:u"]))])
    erased(log, "user:u")

    log.append([record_of(view("2", ["user:u"], at=NOW + 5_000), NOW + 5_000)])

    assert told(refolded(log), "user:u")["counts"] == {"view": 1}  # type: ignore[index]


def test_the_note_of_an_erasure_is_deleted_once_the_log_has_changed(tmp_path: Path) -> None:
    log = PlainLog([record_of(view("1", ["user:u"]))])
    store, _ = erased(log, "user:u")
    fold = Fold(store, OPEN, SIGNALS, log=log, pepper=PEPPER)
    assert fold.settle() == 1

    redact_erased(log, None, store, Settings(data=str(tmp_path)))

    assert fold.settle() == 0
    assert b"user:u" not in b"".join(key + raw for rows in store.tables.values() for key, raw in rows.items())


def test_the_door_refuses_what_is_from_before_an_erasure() -> None:
    log = PlainLog([record_of(view("1", ["user:u"]))])
    store, _ = erased(log, "user:u")

    door = ConsentDoor(OPEN, PEPPER).load(store, OPEN)

    assert door.erased(["user:u"], NOW)
    assert not door.erased(["user:u"], NOW + 1)
    assert not door.erased(["user:v"], NOW)
