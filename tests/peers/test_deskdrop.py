"""A year of a real reading community, replayed as Segment calls, against an independent count in DuckDB."""

from __future__ import annotations

import gzip
import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest
from tests.conftest import Server

pytestmark = [pytest.mark.peers, pytest.mark.timeout(300)]

SHARED = Path(__file__).parent.parent.parent.parent / "shared"
EVENTS = SHARED / "datasets" / "deskdrop" / "events.csv.gz"

# What happened there, as a Segment client would name it, and the signal that it must become.
NAMES = {
    "VIEW": ("Product Viewed", "view"),
    "LIKE": ("Post Liked", "like"),
    "BOOKMARK": ("Product Added to Wishlist", "save"),
    "FOLLOW": ("Account Followed", "follow"),
    "COMMENT CREATED": ("Post Commented", "comment"),
}
BATCH = 500


@pytest.fixture(scope="module")
def rows() -> duckdb.DuckDBPyConnection:
    """The events in DuckDB, numbered in order of time: table ``events(n, ms, signal, item, person, agent, bot)``."""
    if not EVENTS.exists():
        assert not (os.environ.get("CI") and SHARED.exists()), f"{EVENTS} is missing"
        pytest.skip(f"NOT TESTED: {EVENTS} is not here")
    db = duckdb.connect()
    db.execute("create table names(theirs varchar, signal varchar)")
    db.executemany("insert into names values (?, ?)", [(old, new) for old, (_, new) in NAMES.items()])
    db.execute(
        """create table events as
        select row_number() over (order by ms, line) as n, ms, eventType as theirs, signal,
               contentId as item, personId as person, userAgent as agent,
               coalesce(agent, '') like '%PTST/%' as bot  -- one visit is WebPageTest's, and says so
        from (select *, timestamp::bigint * 1000 as ms, row_number() over () as line
              from read_csv(?, header=true, all_varchar=true))
        join names on theirs = eventType""",
        [str(EVENTS)],
    )
    return db


@pytest.fixture(scope="module")
def replayed(rows: duckdb.DuckDBPyConnection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that was sent all of it, as fast as it takes it."""
    # Who likes and comments here is a member of the community; elsewhere social data waits for consent.
    server = Server(tmp_path_factory.mktemp("deskdrop") / "data", env={"PLAIT_CONSENT__SOCIAL": "true"})
    try:
        server.start()
        _send(server, rows)
        yield server
    finally:
        if server.process is not None:
            server.kill()


def _send(server: Server, rows: duckdb.DuckDBPyConnection) -> None:
    told = iter(rows.execute("select n, ms, theirs, item, person, agent from events order by n").fetchall())
    with httpx.Client(
        headers={"authorization": f"Bearer {server.secret}"}, trust_env=False, timeout=60
    ) as client:
        while batch := [_call(*row) for row in islice(told, BATCH)]:
            while True:
                answer = client.post(f"{server.url}/v1/batch", json={"batch": batch})
                if answer.status_code != 429:
                    break
                time.sleep(int(answer.headers["retry-after"]))
            assert answer.status_code == 200, answer.text
            assert not answer.json().get("refused"), answer.text
    last = rows.execute("select person from events order by n desc limit 1").fetchall()[0][0]
    count = rows.execute("select count(*) from events where person = ?", [last]).fetchall()[0][0]
    server.eventually(
        lambda: sum((server.profile(f"user:{last}") or {"counts": {}})["counts"].values()) == count,
        seconds=60,
    )


def _call(n: int, at: int, theirs: str, item: str, person: str, agent: str | None) -> dict[str, Any]:
    when = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(at / 1000))
    return {
        "type": "track", "messageId": f"deskdrop-{n}", "userId": person, "event": NAMES[theirs][0],
        "timestamp": when, "properties": {"product_id": item}, "context": {"userAgent": agent} if agent else {},
    }  # fmt: skip


def test_every_profile_counts_what_duckdb_counts(rows: duckdb.DuckDBPyConnection, replayed: Server) -> None:
    counted: dict[str, dict[str, int]] = defaultdict(dict)
    for person, signal, count in rows.execute(
        "select person, signal, count(*) from events group by 1, 2"
    ).fetchall():
        counted[person][signal] = count

    # One connection for all of them: a client's set-up takes longer than the answer.
    with httpx.Client(headers={"authorization": f"Bearer {replayed.secret}"}, trust_env=False) as client:
        told = {person: client.get(f"{replayed.url}/v1/profiles/user:{person}").json() for person in counted}

    assert len(counted) == 1809
    assert {person: profile["counts"] for person, profile in told.items()} == counted
    bots = dict(rows.execute("select person, count(*) from events where bot group by 1").fetchall())
    assert {person: profile["bots"] for person, profile in told.items() if profile["bots"]} == bots


def test_every_event_of_a_person_is_kept_as_it_was(rows: duckdb.DuckDBPyConnection, replayed: Server) -> None:
    for person in _some(rows)[:20]:
        sent = Counter(
            rows.execute("select signal, item, ms from events where person = ?", [person]).fetchall()
        )

        export = replayed.ask("GET", f"/v1/profiles/user:{person}/export").json()

        assert Counter((e["signal"], e["about"]["item"], e["at"]) for e in export["events"]) == sent


def test_interests_fade_as_duckdb_works_them_out(rows: duckdb.DuckDBPyConnection, replayed: Server) -> None:
    for person in _some(rows):
        # Relative to the person's newest view: when exactly the profile is read then does not matter.
        expected = dict(
            rows.execute(
                """select item, sum(pow(2.0, (ms - newest) / (14 * 86400000.0))) as weight
                from events, (select max(ms) as newest from events where person = $1 and signal = 'view') n
                where person = $1 and signal = 'view' and not bot group by 1""",
                [person],
            ).fetchall()
        )

        told = replayed.profile(f"user:{person}", limit="1000")
        assert told is not None
        views = {
            cause["about"]: cause["weight"]
            for one in told["interests"]
            if "item" in one
            for cause in one["because"]
            if cause["signal"] == "view"
        }

        best = max(expected, key=lambda item: (expected[item], item))
        scale = views[best] / expected[best]
        assert {item: views[item] / scale for item in views} == pytest.approx(
            {item: expected[item] for item in views}, rel=1e-9
        )
        # An answer holds at most 1,000 interests; of fewer, none may be missing.
        assert len(views) == len(expected) or len(told["interests"]) == 1000


def _some(rows: duckdb.DuckDBPyConnection) -> list[str]:
    """The busiest people, and some others, always the same."""
    people = [
        one
        for (one,) in rows.execute(
            "select person from events group by 1 order by count(*) desc, 1"
        ).fetchall()
    ]
    return people[:10] + random.Random(1).sample(people[10:], 40)


def test_the_file_is_the_one_we_know(rows: duckdb.DuckDBPyConnection) -> None:
    with gzip.open(EVENTS, "rt") as lines:
        assert sum(1 for _ in lines) - 1 == rows.execute("select count(*) from events").fetchall()[0][0]
