"""What every store promises."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.contract.elsewhere import Elsewhere

from plait.errors import Corrupt, Rejected, Unavailable
from plait.store import TABLES, Snapshot, Store, open_store

SECRET = b"the person who wants to be forgotten"


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with contextlib.closing(open_store(store_url, write=True)) as store:
        yield store


@contextlib.contextmanager
def look(store: Store) -> Iterator[Snapshot]:
    with contextlib.closing(store.snapshot()) as snapshot:
        yield snapshot


def test_a_new_store_is_empty_and_at_zero(store: Store) -> None:
    with look(store) as snapshot:
        assert snapshot.position == 0
        assert [list(snapshot.scan(table)) for table in TABLES] == [[]] * len(TABLES)


def test_a_commit_changes_tables_and_the_position_together(store: Store) -> None:
    store.commit({"items": {b"tent": b"1"}, "links": {b"a": b"2"}}, position=3, expected=0)

    with look(store) as snapshot:
        assert (snapshot.position, snapshot.get("items", b"tent"), snapshot.get("links", b"a")) == (
            3,
            b"1",
            b"2",
        )
        assert snapshot.get("links", b"tent") is None


def test_none_deletes(store: Store) -> None:
    store.commit({"items": {b"a": b"1", b"b": b"2"}}, position=1, expected=0)

    store.commit({"items": {b"a": None, b"never there": None, b"b": b"3"}}, position=2, expected=1)

    with look(store) as snapshot:
        assert list(snapshot.scan("items")) == [(b"b", b"3")]


def test_an_empty_value_is_a_value(store: Store) -> None:
    store.commit({"items": {b"a": b""}}, position=1, expected=0)

    with look(store) as snapshot:
        assert snapshot.get("items", b"a") == b""


def test_a_commit_from_the_wrong_position_changes_nothing(store: Store) -> None:
    store.commit({"items": {b"a": b"1"}}, position=5, expected=0)

    with pytest.raises(Corrupt, match="stands at position 5, not 4"):
        store.commit({"items": {b"a": b"2"}}, position=9, expected=4)

    with look(store) as snapshot:
        assert (snapshot.position, snapshot.get("items", b"a")) == (5, b"1")


def test_a_commit_that_fails_in_the_middle_changes_nothing(store: Store) -> None:
    with pytest.raises(KeyError):
        store.commit({"items": {b"a": b"1"}, "no such table": {b"b": b"2"}}, position=1, expected=0)

    with look(store) as snapshot:
        assert (snapshot.position, snapshot.get("items", b"a")) == (0, None)


def test_a_key_that_is_too_long_will_not_do_later_either(store: Store) -> None:
    with pytest.raises(Rejected):
        store.commit({"meta": {b"k" * 600: b"v"}}, position=1, expected=0)

    with look(store) as snapshot:
        assert snapshot.position == 0


def test_a_snapshot_does_not_see_later_commits(store: Store) -> None:
    store.commit({"items": {b"a": b"1"}}, position=1, expected=0)
    with look(store) as before:
        store.commit({"items": {b"a": b"2", b"b": b"3"}}, position=2, expected=1)

        assert (before.position, dict(before.scan("items"))) == (1, {b"a": b"1"})
    with look(store) as after:
        assert (after.position, dict(after.scan("items"))) == (2, {b"a": b"2", b"b": b"3"})


keys = st.binary(min_size=1, max_size=4) | st.lists(
    st.sampled_from(b"\x00a\xfe\xff"), min_size=1, max_size=5
).map(bytes)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.dictionaries(keys, st.binary(max_size=3), max_size=12),
    prefix=keys | st.just(b""), after=st.none() | keys, reverse=st.booleans(),
)  # fmt: skip
def test_a_scan_gives_the_sorted_keys_of_a_prefix(
    store: Store, rows: dict[bytes, bytes], prefix: bytes, after: bytes | None, reverse: bool
) -> None:
    store.clear()
    store.commit({"links": rows}, position=1, expected=0)

    with look(store) as snapshot:
        found = list(snapshot.scan("links", prefix, after=after, reverse=reverse))

    expected = sorted(((k, v) for k, v in rows.items() if k.startswith(prefix)), reverse=reverse)
    if after is not None:
        expected = [(k, v) for k, v in expected if (k < after if reverse else k > after)]
    assert found == expected


def test_a_scan_may_be_left_early(store: Store) -> None:
    store.commit({"items": {b"%03d" % n: b"" for n in range(500)}}, position=1, expected=0)

    with look(store) as snapshot:
        assert next(snapshot.scan("items"))[0] == b"000"
        assert next(snapshot.scan("items", reverse=True))[0] == b"499"


def test_clearing_empties_every_table(store: Store) -> None:
    store.commit({table: {b"a": b"1"} for table in TABLES}, position=7, expected=0)

    store.clear()

    with look(store) as snapshot:
        assert snapshot.position == 0
        assert [list(snapshot.scan(table)) for table in TABLES] == [[]] * len(TABLES)


def test_the_state_is_there_after_opening_again(store_url: str) -> None:
    with contextlib.closing(open_store(store_url, write=True)) as store:
        store.commit({"items": {b"a": b"1"}}, position=4, expected=0)

    with contextlib.closing(open_store(store_url)) as store, look(store) as snapshot:
        assert (snapshot.position, snapshot.get("items", b"a")) == (4, b"1")


def test_closing_twice_is_allowed(store_url: str) -> None:
    store = open_store(store_url, write=True)

    store.close()
    store.close()


def test_readers_may_come_before_the_first_writer(store_url: str) -> None:
    with Elsewhere("store", store_url, write=False) as reader:
        assert reader.call("look") == (0, {})
        with contextlib.closing(open_store(store_url, write=True)) as store:
            store.commit({"items": {b"a": b"1"}}, position=1, expected=0)

        assert reader.call("look") == (1, {b"a": b"1"})


def test_many_snapshots_may_be_open_at_once(store: Store) -> None:
    open_ones = []
    for n in range(100):
        store.commit({"items": {b"n": b"%d" % n}}, position=n + 1, expected=n)
        open_ones.append(store.snapshot())

    assert [int(one.get("items", b"n") or b"") for one in open_ones] == list(range(100))
    for one in open_ones:
        one.close()


def test_a_second_writer_is_refused(store: Store, store_url: str) -> None:
    with pytest.raises(Unavailable) as refused:
        open_store(store_url, write=True)

    assert refused.value.code == "locked"
    with Elsewhere("store", store_url) as other:
        assert other.opened.code == "locked"


def test_readers_do_not_commit(store: Store, store_url: str) -> None:
    with Elsewhere("store", store_url, write=False) as reader:
        assert reader.call("commit", {}, position=1, expected=0).code == "read_only"
    with look(store) as snapshot:
        assert snapshot.position == 0


def test_compaction_leaves_no_byte_of_what_was_deleted(store: Store, tmp_path: Path) -> None:
    store.commit({"fragments": {b"a": SECRET * 50, b"b": b"stays"}}, position=1, expected=0)
    store.commit({"fragments": {b"a": None}}, position=2, expected=1)
    with look(store) as held:
        store.compact()

        assert held.get("fragments", b"b") == b"stays"  # the old file lives as long as somebody reads it
    with look(store) as snapshot:
        assert (snapshot.position, list(snapshot.scan("fragments"))) == (2, [(b"b", b"stays")])
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and SECRET in path.read_bytes()]


def test_readers_elsewhere_follow_a_compaction(store: Store, store_url: str) -> None:
    with Elsewhere("store", store_url, write=False) as reader:
        store.commit({"items": {b"a": b"1"}}, position=1, expected=0)
        assert reader.call("look") == (1, {b"a": b"1"})

        store.compact()
        store.commit({"items": {b"a": b"2"}}, position=2, expected=1)

        assert reader.call("look") == (2, {b"a": b"2"})


def test_kill_9_leaves_whole_commits(store_url: str) -> None:
    """The position always tells what is in the tables, after twelve murders."""
    chance = random.Random(11)
    position = 0
    for _ in range(12):
        with Elsewhere("store", store_url) as writer:
            until = time.monotonic() + chance.uniform(0, 0.04)
            while time.monotonic() < until:
                told = b"%d" % (position + 1)
                assert writer.call("commit", {"items": dict.fromkeys((b"a", b"b"), told)},
                                   position=position + 1, expected=position) is None  # fmt: skip
                position += 1
            told = b"%d" % (position + 1)
            writer.send("commit", ({"items": dict.fromkeys((b"a", b"b"), told)},),
                        {"position": position + 1, "expected": position})  # fmt: skip
            time.sleep(chance.uniform(0, 0.002))
        with contextlib.closing(open_store(store_url)) as store, look(store) as snapshot:
            found = snapshot.position
            assert found in (position, position + 1)
            assert dict(snapshot.scan("items")) == (
                dict.fromkeys((b"a", b"b"), b"%d" % found) if found else {}
            )
            position = found
    assert position > 12


def test_a_full_disk_changes_nothing(store_url: str) -> None:
    with Elsewhere("store", store_url, largest_file=1 << 20) as store:
        position = 0
        while True:
            rows = {b"%d.%d" % (position, n): b"x" * 900 for n in range(20)}
            told = store.call("commit", {"items": rows}, position=position + 1, expected=position)
            if isinstance(told, Exception):
                break
            position += 1
        assert isinstance(told, Unavailable)
        found, items = store.call("look")
        assert (found, len(items)) == (position, 20 * position)

        store.call("size", 1 << 30, False)

        assert store.call("commit", {"items": rows}, position=position + 1, expected=position) is None


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(Rejected) as refused:
        open_store("shoebox:///attic")

    assert refused.value.code == "unknown_engine"
