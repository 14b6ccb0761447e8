"""What every log promises."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.elsewhere import Elsewhere

from plait.errors import Rejected, Unavailable
from plait.log import Log, open_log

SECRET = b"the person who wants to be forgotten"


@pytest.fixture
def log(log_url: str) -> Iterator[Log]:
    with contextlib.closing(open_log(log_url, write=True)) as log:
        yield log


def test_positions_count_up_from_one(log: Log) -> None:
    assert [log.append([b"a", b"b"]), log.append([b"c"]), log.append([b"d"])] == [1, 3, 4]


def test_an_empty_log_ends_at_zero(log: Log) -> None:
    assert (log.last, log.read(0), list(log.scan()), log.get([1])) == (0, [], [], {})


def test_appending_nothing_adds_nothing(log: Log) -> None:
    log.append([b"a"])

    assert log.append([]) == 2
    assert log.last == 1


def test_records_come_back_byte_for_byte(log: Log) -> None:
    records = [b"", b"\0", bytes(range(256)), b"x" * 100_000, "tent \N{TENT}".encode()]

    log.append(records)

    assert [record for _, record in log.read(0)] == records


def test_reading_goes_on_behind_a_position(log: Log) -> None:
    log.append([b"a", b"b", b"c"])

    assert log.read(1) == [(2, b"b"), (3, b"c")]
    assert log.read(3) == []


def test_a_reader_may_ask_for_few(log: Log) -> None:
    log.append([b"a", b"b", b"c"])

    assert log.read(0, limit=2) == [(1, b"a"), (2, b"b")]


def test_reading_in_steps_sees_every_record_once(log: Log) -> None:
    log.append([b"%d" % n for n in range(2_500)])

    seen, after = [], 0
    while step := log.read(after, limit=700):
        seen += step
        after = step[-1][0]

    assert seen == [(n + 1, b"%d" % n) for n in range(2_500)]


def test_a_scan_ends_where_the_log_ended_when_it_began(log: Log) -> None:
    log.append([b"a", b"b"])
    scan = log.scan()
    next(scan)

    log.append([b"late"])

    assert list(scan) == [(2, b"b")]


def test_missing_positions_are_left_out(log: Log) -> None:
    log.append([b"a", b"b"])

    assert log.get([2, 7, 0, 2]) == {2: b"b"}


def test_what_was_appended_is_there_after_opening_again(log_url: str) -> None:
    with contextlib.closing(open_log(log_url, write=True)) as log:
        log.append([b"a", b"b"])

    with contextlib.closing(open_log(log_url, write=True)) as log:
        assert log.read(0) == [(1, b"a"), (2, b"b")]
        assert log.append([b"c"]) == 3


def test_closing_twice_is_allowed(log_url: str) -> None:
    log = open_log(log_url, write=True)

    log.close()
    log.close()


def test_a_reader_in_this_process_and_the_writer_do_not_disturb_each_other(log: Log, log_url: str) -> None:
    reader = open_log(log_url)
    log.append([b"a"])
    assert reader.last == 1

    reader.close()

    assert log.append([b"b"]) == 2


def test_a_reader_in_another_process_sees_new_records(log: Log, log_url: str) -> None:
    with Elsewhere("log", log_url, write=False) as reader:
        log.append([b"a"])

        assert reader.call("read", 0) == [(1, b"a")]


def test_readers_do_not_append(log: Log, log_url: str) -> None:
    with Elsewhere("log", log_url, write=False) as reader:
        assert reader.call("append", [b"a"]).code == "read_only"
        assert log.last == 0


# -- one writer ------------------------------------------------------------------------------------------------


def test_a_second_writer_is_refused(log: Log, log_url: str) -> None:
    with pytest.raises(Unavailable) as refused:
        open_log(log_url, write=True)

    assert refused.value.code == "locked"
    assert log.append([b"a"]) == 1


def test_a_second_writer_in_another_process_is_refused(log: Log, log_url: str) -> None:
    with Elsewhere("log", log_url) as other:
        assert other.opened.code == "locked"


def test_a_killed_writer_locks_nobody_out(log_url: str) -> None:
    with Elsewhere("log", log_url) as other:
        other.call("append", [b"a"])

    with contextlib.closing(open_log(log_url, write=True)) as log:
        assert log.append([b"b"]) == 2


# -- forgetting ------------------------------------------------------------------------------------------------


def test_a_redacted_record_keeps_its_position(log: Log) -> None:
    log.append([b"a", SECRET, b"c"])

    log.redact({2: b"b"})

    assert log.read(0) == [(1, b"a"), (2, b"b"), (3, b"c")]


def test_a_redaction_of_what_is_not_there_changes_nothing(log: Log) -> None:
    log.append([b"a"])

    with pytest.raises(ValueError, match="position 9"):
        log.redact({1: b"x", 9: b"y"})

    assert log.read(0) == [(1, b"a")]


def test_compaction_leaves_no_byte_of_a_redacted_record(log: Log, tmp_path: Path) -> None:
    log.append([b"a", SECRET * 100, b"c"])
    log.redact({2: b"b"})

    log.compact()

    assert log.read(0) == [(1, b"a"), (2, b"b"), (3, b"c")]
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and SECRET in path.read_bytes()]


def test_the_log_goes_on_after_a_compaction(log: Log) -> None:
    log.append([b"a"])
    log.compact()

    assert log.append([b"b"]) == 2
    assert log.read(0) == [(1, b"a"), (2, b"b")]


def test_readers_everywhere_follow_a_compaction(log: Log, log_url: str) -> None:
    with Elsewhere("log", log_url, write=False) as reader, contextlib.closing(open_log(log_url)) as here:
        log.append([SECRET])
        assert reader.call("read", 0) == here.read(0) == [(1, SECRET)]
        log.redact({1: b"a"})

        log.compact()
        log.append([b"b"])

        assert reader.call("read", 0) == here.read(0) == [(1, b"a"), (2, b"b")]


def test_nothing_appended_or_redacted_during_a_compaction_is_lost(log: Log) -> None:
    log.append([b"%d" % n for n in range(5_000)])
    stop = threading.Event()
    expected = dict(log.scan())

    def work() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            record = b"new %d" % n
            expected[log.append([record])] = record
            log.redact({n: b"redacted"})
            expected[n] = b"redacted"

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for _ in range(5):
            log.compact()
    finally:
        stop.set()
        worker.join()

    assert dict(log.scan()) == expected
    assert len(expected) > 5_000  # the worker did get its turns


def test_a_compaction_that_was_cut_short_leaves_no_second_copy(log_url: str, tmp_path: Path) -> None:
    with Elsewhere("log", log_url) as writer:
        writer.call("append", [SECRET] * 20_000)
        writer.send("compact", (), {})
        time.sleep(0.01)

    with contextlib.closing(open_log(log_url, write=True)) as log:
        assert log.last == 20_000
        log.redact(dict.fromkeys(range(1, 20_001), b"x"))
        log.compact()

    assert not [path for path in tmp_path.rglob("*") if path.is_file() and SECRET in path.read_bytes()]


# -- what breaks -----------------------------------------------------------------------------------------------


def test_what_was_acknowledged_survives_kill_9(log_url: str) -> None:
    """Batches are whole or absent, and each acknowledged one is there, after twelve murders."""
    chance = random.Random(7)
    batch, acknowledged = 0, 0
    for _ in range(12):
        with Elsewhere("log", log_url) as writer:
            until = time.monotonic() + chance.uniform(0, 0.06)
            while time.monotonic() < until:
                writer.call("append", [b"%d" % batch] * 7)
                batch += 1
            acknowledged = batch
            writer.send("append", ([b"%d" % batch] * 7,), {})
            time.sleep(chance.uniform(0, 0.002))
        with contextlib.closing(open_log(log_url)) as log:
            found = [record for _, record in log.scan()]
            batch = len(found) // 7
            assert found == [b"%d" % (n // 7) for n in range(7 * batch)]
            assert batch in (acknowledged, acknowledged + 1)
    assert batch > 12


def test_a_full_disk_takes_nothing_half(log_url: str) -> None:
    with Elsewhere("log", log_url, largest_file=1 << 20) as log:
        kept = 0
        while not isinstance(told := log.call("append", [b"x" * 5_000] * 3), Exception):
            kept += 3
        assert isinstance(told, Unavailable)
        assert kept > 0
        assert log.call("last") == kept


def test_a_log_whose_disk_was_full_goes_on_when_there_is_room(log_url: str) -> None:
    with Elsewhere("log", log_url, largest_file=1 << 20) as log:
        while not isinstance(log.call("append", [b"x" * 5_000] * 3), Exception):
            pass
        kept = log.call("last")

        log.call("size", 1 << 30, False)

        assert log.call("append", [b"after"]) == kept + 1
        assert log.call("get", [kept + 1]) == {kept + 1: b"after"}


def test_a_folder_that_may_not_be_written_says_so(log_url: str, tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.name.startswith("pytest-of-"):
            break
        folder.chmod(0o555)
    try:
        with Elsewhere("log", log_url, as_nobody=True) as log:
            assert isinstance(log.opened, Unavailable)
            assert log.opened.code == "read_only"
    finally:
        for folder in (tmp_path, *tmp_path.parents):
            if folder.name.startswith("pytest-of-"):
                break
            folder.chmod(0o700)


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(Rejected) as refused:
        open_log("carrier-pigeon:///coop")

    assert refused.value.code == "unknown_engine"
