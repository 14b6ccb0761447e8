"""What every lake promises."""

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

from plait.errors import Rejected, Unavailable
from plait.events import About, Counter, Event, Signal
from plait.lake import COLUMNS, Lake, open_lake


@pytest.fixture
def lake(lake_url: str) -> Iterator[Lake]:
    with contextlib.closing(open_lake(lake_url)) as lake:
        yield lake


def view(position: int, *who: str, received_at: int = 0) -> tuple[int, Event]:
    """A view of the tent, with its position for an id."""
    return position, Event(
        id=f"m{position}", source="web", signal=Signal.VIEW, at=received_at, received_at=received_at,
        who=who or ("user:ada",), about=About(item="tent"),
    )  # fmt: skip


def positions(lake: Lake) -> list[int]:
    return [row["position"] for row in lake.query("SELECT position FROM events ORDER BY position")]


def test_an_empty_lake_can_be_asked(lake: Lake) -> None:
    assert lake.query("SELECT * FROM events") == []
    assert lake.last == 0


def test_an_event_becomes_a_row(lake: Lake) -> None:
    event = Event(
        id="m1", source="web", signal=Signal.DWELL, op="assert", at=5, received_at=7,
        who=("user:ada", "anonymous:a1"), value=48.25, part=2, proven=True, name="Section Read", decision="d_1",
        about=About(item="tent", section="specs", post="77", topic="tents", url="https://shop.example/", query="warm", account="bluesky:did:plc:1"),
            record="at://1",
        counter=Counter(view="v1", started_at=3, epoch=1), consent={"social": {"bluesky": False}},
        traits={"name": "Ada 'the first' \N{TENT}"}, context={"os": "iOS"}, properties={"sizes": [1, {"a": None}]},
    )  # fmt: skip

    lake.write(3, 9, [(4, event)])

    (row,) = lake.query("SELECT *, context->>'os' AS os, properties->'sizes'->>0 AS size FROM events")
    assert list(row) == [*COLUMNS, "os", "size"]
    assert row == {
        "position": 4, "id": "m1", "source": "web", "signal": "dwell", "op": "assert", "happened_at": 5, "received_at": 7,
        "who": ["user:ada", "anonymous:a1"], "item": "tent", "section": "specs", "post": "77", "topic": "tents",
        "url": "https://shop.example/", "query": "warm", "account": "bluesky:did:plc:1", "record": "at://1", "value": 48.25, "counter_view": "v1",
        "counter_started_at": 3, "counter_epoch": 1, "name": "Section Read", "decision": "d_1",
        "consent": '{"social":{"bluesky":false}}', "traits": '{"name":"Ada \'the first\' \N{TENT}"}',
        "context": '{"os":"iOS"}', "properties": '{"sizes":[1,{"a":null}]}', "proven": True, "part": 2,
        "os": "iOS", "size": "1",
    }  # fmt: skip


def test_what_an_event_does_not_say_is_null(lake: Lake) -> None:
    lake.write(1, 1, [view(1)])

    assert lake.query("SELECT section, value, counter_view, consent, properties FROM events") == [
        {"section": None, "value": None, "counter_view": None, "consent": None, "properties": None}
    ]


def test_a_run_written_twice_counts_once(lake: Lake) -> None:
    lake.write(1, 3, [view(1), view(2)])
    lake.write(1, 3, [view(1), view(2), view(3)])

    assert positions(lake) == [1, 2, 3]


def test_a_longer_retry_replaces_the_shorter_run(lake: Lake) -> None:
    lake.write(1, 2, [view(1), view(2)])
    lake.write(3, 4, [view(3), view(4)])
    lake.write(3, 6, [view(3), view(4), view(6)])

    assert positions(lake) == [1, 2, 3, 4, 6]


def test_writing_from_the_start_replaces_everything(lake: Lake) -> None:
    lake.write(1, 2, [view(1), view(2)])
    lake.write(3, 8, [view(3), view(8)])
    lake.write(9, 9, [view(9)])
    lake.write(1, 5, [view(1), view(2), view(3), view(5)])

    assert (positions(lake), lake.last) == ([1, 2, 3, 5], 5)


def test_last_counts_records_that_became_no_row(lake: Lake) -> None:
    lake.write(1, 40, [])

    assert (lake.last, positions(lake)) == (40, [])


def test_positions_must_be_a_run(lake: Lake) -> None:
    with pytest.raises(ValueError, match="no run"):
        lake.write(5, 4, [])


def test_a_run_does_not_begin_inside_another(lake: Lake) -> None:
    lake.write(1, 5, [view(1), view(5)])

    with pytest.raises(ValueError, match="inside"):
        lake.write(3, 9, [view(3)])

    assert positions(lake) == [1, 5]


def test_many_small_runs_stay_few_files(lake: Lake, tmp_path: Path) -> None:
    for n in range(1, 71):
        lake.write(n, n, [view(n)])

    assert positions(lake) == list(range(1, 71))
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) < 40


def test_everything_a_person_did_can_be_taken_out(lake: Lake) -> None:
    lake.write(1, 3, [view(1, "user:ada"), view(2, "user:bob"), view(3, "user:bob", "anonymous:a1")])
    lake.write(4, 5, [view(4, "user:ada", "anonymous:a1"), view(5, "user:bob")])

    assert lake.redact(["user:ada", "anonymous:a1"], up_to=5) == 3
    assert positions(lake) == [2, 5]
    assert lake.last == 5


def test_no_byte_of_who_was_taken_out_stays(lake: Lake, tmp_path: Path) -> None:
    lake.write(1, 2, [view(1, "user:ada"), view(2, "user:bob")])

    lake.redact(["user:ada"], up_to=2)

    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"ada" in path.read_bytes()]


def test_what_others_did_with_a_post_leaves_with_its_author(lake: Lake) -> None:
    posts = ["at://did:plc:ada/app.bsky.feed.post/1", "at://did:plc:ada2/app.bsky.feed.post/1", "77",
             "https://social.example/users/Ada/statuses/1"]  # fmt: skip
    likes = [
        Event(id=post, source="web", signal=Signal.LIKE, at=0, received_at=0, who=("user:bob",), about=About(post=post))
        for post in posts
    ]  # fmt: skip
    lake.write(1, 4, list(enumerate(likes, 1)))

    assert lake.redact(["bluesky:did:plc:ada", "mastodon:ada@social.example"], up_to=4) == 2
    assert positions(lake) == [2, 3]


def test_what_a_person_did_after_being_forgotten_stays(lake: Lake) -> None:
    lake.write(1, 4, [view(1), view(4)])

    assert lake.redact(["user:ada"], up_to=3) == 1
    assert positions(lake) == [4]


def test_taking_out_somebody_unknown_changes_nothing(lake: Lake) -> None:
    lake.write(1, 1, [view(1)])

    assert lake.redact(["user:o'brien"], up_to=9) == 0
    assert lake.redact([], up_to=9) == 0
    assert positions(lake) == [1]


def test_old_rows_can_be_dropped(lake: Lake) -> None:
    lake.write(1, 2, [view(1, received_at=10), view(2, received_at=20)])
    lake.write(3, 3, [view(3, received_at=30)])

    assert lake.drop_before(20) == 1
    assert lake.drop_before(31) == 2
    assert (positions(lake), lake.last) == ([], 3)


def test_clearing_takes_out_everything(lake: Lake) -> None:
    lake.write(1, 1, [view(1)])

    lake.clear()

    assert (positions(lake), lake.last) == ([], 0)


def test_another_process_sees_what_was_written(lake: Lake, lake_url: str) -> None:
    lake.write(1, 1, [view(1)])
    with Elsewhere("lake", lake_url) as other:
        assert other.call("query", "SELECT count(*) AS n FROM events") == [{"n": 1}]


def test_two_processes_that_change_it_take_turns(lake: Lake, lake_url: str) -> None:
    """The fold writes while the server takes a person out."""
    with Elsewhere("lake", lake_url) as other:
        for n in range(1, 21, 2):
            other.send("redact", (["user:bob"],), {"up_to": n})
            lake.write(n, n + 1, [view(n), view(n + 1, "user:bob")])
            assert isinstance(other.answer(), int)
        other.call("redact", ["user:bob"], up_to=20)

    assert positions(lake) == list(range(1, 21, 2))


def test_kill_9_loses_and_doubles_nothing(lake_url: str) -> None:
    """A writer that begins again behind ``last`` leaves each row once, after eight murders."""
    chance = random.Random(3)
    rows = [view(n) for n in range(1, 2_000)]
    for _ in range(8):
        with Elsewhere("lake", lake_url) as writer:
            at, until = writer.call("last"), time.monotonic() + chance.uniform(0.05, 0.3)
            while time.monotonic() < until:
                assert writer.call("write", at + 1, at + 5, rows[at : at + 5]) is None
                at += 5
            writer.send("write", (at + 1, at + 5, rows[at : at + 5]), {})
            time.sleep(chance.uniform(0, 0.02))
        with contextlib.closing(open_lake(lake_url)) as lake:
            assert lake.last in (at, at + 5)
            assert positions(lake) == list(range(1, lake.last + 1))
    assert at > 8


def test_a_full_disk_changes_nothing(lake_url: str) -> None:
    chance = random.Random(5)
    rows = [(1, Event(id=chance.randbytes(500).hex(), source="web", signal=Signal.VIEW, at=0, received_at=0,
                      who=("user:ada",))) for _ in range(500)]  # fmt: skip
    with Elsewhere("lake", lake_url, largest_file=100_000) as lake:
        assert lake.call("write", 1, 1, [view(1)]) is None

        told = lake.call("write", 2, 2, rows)

        assert isinstance(told, Unavailable)
        assert lake.call("last") == 1
        assert lake.call("write", 2, 2, [view(2)]) is None
        assert lake.call("query", "SELECT count(*) AS n FROM events") == [{"n": 2}]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "COPY (SELECT 1) TO '/tmp/plait-escaped.csv'",
        "SELECT * FROM glob('/etc/*')",
        "ATTACH '/tmp/plait-escaped.db'",
        "SET enable_external_access = true",
        "INSTALL httpfs",
        "SELEKT 1",
        "SELECT nothing FROM events",
    ],
)
def test_questions_see_the_events_and_nothing_else(lake: Lake, sql: str) -> None:
    with pytest.raises(Rejected) as refused:
        lake.query(sql)

    assert refused.value.code == "invalid_sql"
    assert not list(Path("/tmp").glob("plait-escaped*"))


def test_a_parameter_is_a_value_never_sql(lake: Lake) -> None:
    lake.write(1, 1, [view(1)])

    assert lake.query("SELECT id FROM events WHERE id = $id", {"id": "' OR true --"}) == []


runs = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 5)), max_size=8)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(runs)
def test_no_position_ever_stands_twice(lake: Lake, runs: list[tuple[int, int]]) -> None:
    lake.clear()
    kept: dict[tuple[int, int], None] = {}
    for first, more in runs:
        last = first + more
        rows = [view(n) for n in range(first, last + 1)]
        if any(run[0] < first <= run[1] for run in kept):
            with pytest.raises(ValueError, match="inside"):
                lake.write(first, last, rows)
            continue
        kept = {run: None for run in kept if run[1] < first} | {(first, last): None}
        lake.write(first, last, rows)

    assert positions(lake) == sorted(n for first, last in kept for n in range(first, last + 1))


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(Rejected) as refused:
        open_lake("puddle:///garden")

    assert refused.value.code == "unknown_engine"
