"""Following the log, on the engines as they are: fold, lake, erasing, replay."""

import os
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest

from plait import workers
from plait.errors import Unavailable
from plait.events import Record, decode_record, encode_record
from plait.intake.signals import load_signals
from plait.lake import open_lake
from plait.log import open_log
from plait.profiles import people
from plait.settings import load
from plait.store import open_store

NOW = 1_780_000_000_000
DAY = 86_400_000


@pytest.fixture
def settings(tmp_path):
    return load(str(tmp_path), env={}, overrides={"lake_every_seconds": 0.05})


@pytest.fixture
def log(settings):
    with closing(open_log(settings.url("log"), write=True)) as log:
        yield log


def record(*ids, who=("user:u",), at=NOW):
    told = [{"id": id, "signal": "view", "who": who, "about": {"item": "tent"}, "at": at} for id in ids]
    body = msgspec.json.encode(told)
    return encode_record(Record(kind="events", source="web", received_at=at, trusted=True, body=body))


@contextmanager
def following(settings):
    stop = threading.Event()
    thread = threading.Thread(target=workers.follow, args=(settings,), kwargs={"stop": stop})
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def eventually(found, *, seconds=20):
    until = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.005)
    return answer


def views(settings, identifier="user:u"):
    with closing(open_store(settings.url("store"))) as store, closing(store.snapshot()) as snapshot:
        found = people.profile(snapshot, identifier, now=NOW, settings=settings)
        return found.counts.get("view") if found else None


def lake_ids(settings):
    with closing(open_lake(settings.url("lake"))) as lake:
        return (
            [row["id"] for row in lake.query("select id from events order by position, id")]
            if lake.last
            else []
        )


def test_what_is_appended_shows_in_the_state(settings, log):
    with following(settings):
        log.append([record("1")])
        eventually(lambda: views(settings) == 1)
        log.append([record("2"), record("3")])
        eventually(lambda: views(settings) == 3)


def test_the_fold_goes_on_where_it_stood(settings, log):
    log.append([record("1")])
    with following(settings):
        eventually(lambda: views(settings) == 1)
    log.append([record("1"), record("2")])

    with following(settings):
        eventually(lambda: views(settings) == 2)


def test_a_log_that_is_older_than_the_state_is_folded_anew(settings, log, tmp_path):
    log.append([record("1"), record("2")])
    with following(settings):
        eventually(lambda: views(settings) == 2)
    older = load(str(tmp_path), env={}, overrides={"log": f"lmdb://{tmp_path / 'backup'}"})
    with closing(open_log(older.url("log"), write=True)) as backup:
        backup.append([record("1")])

        with following(older):
            eventually(lambda: views(older) == 1)


def test_another_half_life_folds_anew(settings, log, tmp_path):
    log.append([record("1")])
    with following(settings):
        eventually(lambda: views(settings) == 1)
    other = load(str(tmp_path), env={}, overrides={"half_life_days": 3.0})

    assert workers.replay(other)["events"] == 1
    assert workers.replay(other, check=True)["equal"]


def test_the_lake_holds_each_event_once(settings, log):
    with following(settings):
        log.append([record("1", "2"), record("2", "3")])
        eventually(lambda: lake_ids(settings) == ["1", "2", "3"])
        log.append([record("4")])
        eventually(lambda: lake_ids(settings) == ["1", "2", "3", "4"])


def test_what_is_older_than_the_retention_leaves_the_lake_and_nothing_else(tmp_path, log):
    now = time.time_ns() // 1_000_000
    short = load(str(tmp_path), env={}, overrides={"lake_every_seconds": 0.05, "lake_retention_days": 3.0})
    log.append([record("old", at=now - 4 * DAY), record("new", at=now - 2 * DAY)])

    with following(short):
        eventually(lambda: lake_ids(short) == ["new"])

    assert views(short) == 2


def test_a_killed_fold_counts_nothing_twice_and_loses_nothing(settings, log, tmp_path):
    for attempt in range(4):
        fold = subprocess.Popen(
            [sys.executable, "-c", f"from plait.settings import load; from plait.workers import follow; follow(load({str(tmp_path)!r}))"],
            env={**os.environ}, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            for n in range(300):
                log.append([record(f"{attempt}-{n}", f"{attempt}-{n}-b")])
            eventually(lambda now=attempt: (views(settings) or 0) > 600 * now, seconds=60)
        finally:
            fold.kill()
            fold.wait()

    with following(settings):
        eventually(lambda: views(settings) == 4 * 600)
    assert workers.replay(settings, check=True)["equal"]


def erase(settings, log, identifier):
    log.append([encode_record(workers.erase_record(identifier, id=f"forget-{identifier}", now=NOW + 1))])
    eventually(lambda: views(settings, identifier) is None)
    with (
        closing(open_store(settings.url("store"))) as store,
        closing(store.snapshot()) as snapshot,
        closing(open_lake(settings.url("lake"))) as lake,
    ):
        return workers.redact_erased(log, lake, snapshot, settings)


def test_a_forgotten_person_leaves_state_log_and_lake(settings, log, tmp_path):
    with following(settings):
        log.append(
            [record("1", who=("user:gone",)), record("2"), record("3", who=("user:gone", "anonymous:gone"))]
        )
        eventually(lambda: len(lake_ids(settings)) == 3)
        erase(settings, log, "user:gone")
        eventually(lambda: not pending(settings))
        eventually(lambda: lake_ids(settings) == ["2"])

    assert b"gone" not in b"".join(
        decode_record(raw).body.replace(b"forget-user:gone", b"") for _, raw in log.scan()
    )
    assert workers.replay(settings, check=True)["equal"]


def test_who_was_erased_while_a_run_of_the_lake_was_killed_leaves_it_at_the_next_start(
    settings, log, tmp_path
):
    careful = load(str(tmp_path), env={}, overrides={"lake_every_seconds": 0})
    with following(careful):
        log.append([record("1", who=("user:gone",)), record("2")])
        eventually(lambda: views(settings) == 1)
    with (
        closing(open_store(settings.url("store"))) as store,
        closing(open_lake(settings.url("lake"))) as lake,
    ):
        workers.write_lake(lake, log, store, load_signals())
    with following(careful):
        log.append([encode_record(workers.erase_record("user:gone", id="forget", now=NOW + 1))])
        eventually(lambda: views(settings, "user:gone") is None)
    with closing(open_store(settings.url("store"))) as store, closing(store.snapshot()) as snapshot:
        workers.redact_erased(
            log, None, snapshot, settings
        )  # it looked into the lake before the run wrote to it

    with following(settings):
        eventually(lambda: not pending(settings))

    assert lake_ids(settings) == ["2"]


def pending(settings):
    with closing(open_store(settings.url("store"))) as store, closing(store.snapshot()) as snapshot:
        return workers.pending_erasures(snapshot)


def test_old_copies_leave_the_disk_with_the_compaction(settings, log, tmp_path):
    secret = os.urandom(30).hex()
    with following(settings):
        log.append([record("1", who=(f"user:{secret}",)), record("2")])
        eventually(lambda: views(settings) == 1)
        erase(settings, log, f"user:{secret}")
    assert not workers.compact_erased(log, settings, now=time.time())

    assert workers.compact_erased(log, settings, now=time.time() + 7 * 3_600)

    assert not workers.compact_erased(log, settings, now=time.time() + 9 * 3_600)
    assert [position for position, _ in log.scan()] == [1, 2, 3]


def test_a_state_that_says_something_else_is_found_out(settings, log):
    log.append([record("1"), record("2", who=("user:v",))])
    workers.replay(settings)
    with closing(open_store(settings.url("store"), write=True)) as store:
        store.commit({"fragments": {b"user:v": None}}, position=2, expected=2)

    told = workers.replay(settings, check=True)

    assert not told["equal"]
    assert told["differences"] == [{"table": "fragments", "key": "user:v", "only": "replay"}]


def test_a_replay_beside_a_running_fold_is_refused(settings, log):
    with following(settings):
        log.append([record("1")])
        eventually(lambda: views(settings) == 1)
        with pytest.raises(Unavailable) as caught:
            workers.replay(settings)

    assert caught.value.code == "locked"


def test_a_check_beside_a_running_fold_is_allowed(settings, log):
    with following(settings):
        log.append([record("1")])
        eventually(lambda: views(settings) == 1)

        assert workers.replay(settings, check=True)["equal"]


def test_replay_tells_how_far_it_is(settings, log):
    log.append([record(str(n)) for n in range(3)])
    told = []

    workers.replay(settings, progress=lambda done, of: told.append((done, of)))

    assert told[-1] == (3, 3)


def test_nothing_of_a_check_is_left_behind(settings, log, tmp_path):
    log.append([record("1")])
    workers.replay(settings)

    workers.replay(settings, check=True)

    assert not list(Path(tmp_path).glob("replay-*"))
