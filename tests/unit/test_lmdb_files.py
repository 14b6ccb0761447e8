"""What the LMDB engines promise beyond their ports: room to grow, honest syncs, and no crash on a broken file."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.elsewhere import Elsewhere

from plait.errors import Corrupt, PlaitError, Rejected, Unavailable
from plait.events import Record, decode_record, encode_record
from plait.log import lmdb as log_lmdb
from plait.log import open_log
from plait.store import lmdb as store_lmdb
from plait.store import open_store

CACHESTAT = 451  # the system call, since Linux 6.5


class _Range(ctypes.Structure):
    _fields_ = [("offset", ctypes.c_uint64), ("length", ctypes.c_uint64)]


class _Cachestat(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_uint64) for name in ("cached", "dirty", "writeback", "evicted", "recently_evicted")
    ]


def unwritten_pages(path: Path) -> int | None:
    """Pages of a file that the kernel has not given to the disk; ``None`` where it cannot tell."""
    found = _Cachestat()
    with path.open("rb") as file:
        libc = ctypes.CDLL(None, use_errno=True)
        whole = _Range(0, 0)
        if libc.syscall(CACHESTAT, file.fileno(), ctypes.byref(whole), ctypes.byref(found), 0) != 0:
            return None
    return found.dirty + found.writeback


def data_file(folder: Path) -> Path:
    return folder / "current" / "data.mdb"


def test_when_append_returns_nothing_waits_in_the_kernel(tmp_path: Path) -> None:
    control = tmp_path / "control"
    control.write_bytes(bytes(100_000))
    kernel_can_tell = bool(unwritten_pages(control))

    with contextlib.closing(open_log(f"lmdb://{tmp_path}/log", write=True)) as log:
        for n in range(20):
            log.append([b"%d" % n * 5_000])
            if kernel_can_tell:
                assert unwritten_pages(data_file(tmp_path / "log")) == 0
        flags = log._file._now.env.flags()

    assert flags["sync"]
    assert flags["metasync"]


def test_a_log_outgrows_its_first_map(tmp_path: Path) -> None:
    url = f"lmdb://{tmp_path}/log"
    with contextlib.closing(log_lmdb.Log(url, write=True, map_size=1 << 17)) as log:
        for n in range(300):
            assert log.append([bytes(5_000)]) == n + 1

        assert len(list(log.scan())) == 300


def test_readers_elsewhere_follow_a_log_that_outgrew_its_map(tmp_path: Path) -> None:
    url = f"lmdb://{tmp_path}/log"
    with contextlib.closing(log_lmdb.Log(url, write=True, map_size=1 << 17)) as log:
        log.append([b"a"])
        with Elsewhere("log", url, write=False) as reader, Elsewhere("smaller", url, write=False) as small:
            log.append([bytes(5_000)] * 300)

            assert reader.call("last") == 301
            assert small.call("last") == 301


def test_a_state_outgrows_its_first_map(tmp_path: Path) -> None:
    with contextlib.closing(
        store_lmdb.Store(f"lmdb://{tmp_path}/state", write=True, map_size=1 << 18)
    ) as store:
        rows = {b"%d" % n: bytes(900) for n in range(2_000)}

        store.commit({"items": rows}, position=1, expected=0)

        with store.snapshot() as snapshot:
            assert dict(snapshot.scan("items")) == rows


def test_appending_stops_while_there_is_still_room_to_forget_and_fold(tmp_path: Path) -> None:
    url = f"lmdb://{tmp_path}/log"
    with contextlib.closing(open_log(url, write=True)) as log:
        log.append([b"a"])
    with contextlib.closing(log_lmdb.Log(url, write=True, reserve=1 << 60)) as log:
        with pytest.raises(Unavailable) as refused:
            log.append([b"b"])
        assert refused.value.code == "disk_full"

        log.redact({1: b"x"})

        assert log.read(0) == [(1, b"x")]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.getuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk]).returncode:
        pytest.skip("only root may mount a small disk; the contract tests limit the size of files instead")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_disk_that_is_really_full_is_told_as_full(small_disk: Path) -> None:
    with contextlib.closing(log_lmdb.Log(f"lmdb://{small_disk}/log", write=True, reserve=0)) as log:
        kept, refused = 0, None
        while refused is None:
            try:
                log.append([bytes(9_000)] * 3)
                kept += 3
            except Unavailable as exc:
                refused = exc
        assert refused.code == "disk_full"
        assert log.last == kept > 0


def test_a_small_disk_takes_no_event_at_all(small_disk: Path) -> None:
    with contextlib.closing(open_log(f"lmdb://{small_disk}/log", write=True)) as log:
        with pytest.raises(Unavailable) as refused:
            log.append([b"a"])
        assert refused.value.code == "disk_full"
        assert log.last == 0


def _filled(folder: Path) -> Path:
    with contextlib.closing(open_log(f"lmdb://{folder}", write=True)) as log:
        log.append([bytes(5_000)] * 50)
    return data_file(folder)


def test_a_file_that_was_cut_off_is_told_not_crashed_on(tmp_path: Path) -> None:
    data = _filled(tmp_path / "log")
    os.truncate(data, data.stat().st_size // 2)

    with pytest.raises(Corrupt, match="cut off"):
        open_log(f"lmdb://{tmp_path}/log")


def test_a_bit_that_fell_over_in_a_record_is_told(tmp_path: Path) -> None:
    record = encode_record(
        Record(kind="events", source="web", received_at=1, body=random.Random(1).randbytes(9_000))
    )
    with contextlib.closing(open_log(f"lmdb://{tmp_path}/log", write=True)) as log:
        log.append([record])
    data = data_file(tmp_path / "log")
    whole = bytearray(data.read_bytes())
    whole[whole.index(record[4_000:4_100])] ^= 1
    data.write_bytes(whole)

    with (
        contextlib.closing(open_log(f"lmdb://{tmp_path}/log")) as log,
        pytest.raises(Corrupt, match="cannot be read"),
    ):
        decode_record(log.get([1])[1])


def test_a_file_of_something_else_is_told(tmp_path: Path) -> None:
    data = _filled(tmp_path / "log")
    data.write_bytes(random.Random(1).randbytes(100_000))

    with pytest.raises(Corrupt):
        open_log(f"lmdb://{tmp_path}/log")


def test_after_a_refusal_the_folder_can_be_opened_again(tmp_path: Path) -> None:
    data = _filled(tmp_path / "log")
    good = data.read_bytes()
    data.write_bytes(bytes(100_000))
    with pytest.raises(PlaitError):
        open_log(f"lmdb://{tmp_path}/log", write=True)

    data.write_bytes(good)

    with contextlib.closing(open_log(f"lmdb://{tmp_path}/log", write=True)) as log:
        assert log.last == 50


def test_personal_data_is_for_the_owner_s_eyes_only(tmp_path: Path) -> None:
    _filled(tmp_path / "log")
    with contextlib.closing(open_store(f"lmdb://{tmp_path}/state", write=True)) as store:
        store.compact()  # type: ignore[attr-defined]

    assert [
        path for path in tmp_path.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o077
    ] == []


def test_old_generations_are_let_go_of(tmp_path: Path) -> None:
    """A file that is deleted but still open keeps its place on the disk."""
    with contextlib.closing(open_log(f"lmdb://{tmp_path}/log", write=True)) as log:
        for _ in range(5):
            log.append([b"a"])
            log.compact()

        maps = Path("/proc/self/maps")
        if maps.exists():
            held = {line.split(" ", 1)[1] for line in maps.read_text().splitlines() if str(tmp_path) in line}
            assert not [line for line in held if "deleted" in line]
        assert sorted(path.name for path in (tmp_path / "log").iterdir()) == [
            "000006",
            "current",
            "writer.lock",
        ]


def _folded(folder: Path, *, close: bool) -> None:
    """A state at position 7, whose writer stopped properly, or was killed."""
    with Elsewhere("store", f"lmdb://{folder}") as writer:
        assert writer.call("commit", {"items": {b"a": b"1"}}, position=7, expected=0) is None
        if close:
            writer.call("close")


def _position(folder: Path, *, write: bool) -> int:
    with contextlib.closing(open_store(f"lmdb://{folder}", write=write)) as store:
        return store.snapshot().position


def _machine_went_down(folder: Path) -> None:
    (folder / "unsynced").write_text("another boot")


def test_a_killed_fold_finds_its_state_again(tmp_path: Path) -> None:
    _folded(tmp_path / "state", close=False)

    assert _position(tmp_path / "state", write=True) == 7


@pytest.mark.parametrize("write", [True, False])
def test_after_a_power_loss_the_state_begins_empty(tmp_path: Path, write: bool) -> None:
    """Commits of the state are not synced, so nothing in it can be trusted; the log has it all."""
    _folded(tmp_path / "state", close=False)
    _machine_went_down(tmp_path / "state")

    assert _position(tmp_path / "state", write=write) == 0
    assert _position(tmp_path / "state", write=True) == 0


def test_a_state_that_was_closed_survives_the_machine(tmp_path: Path) -> None:
    _folded(tmp_path / "state", close=True)

    assert not (tmp_path / "state" / "unsynced").exists()
    assert unwritten_pages(data_file(tmp_path / "state")) in (0, None)
    assert _position(tmp_path / "state", write=False) == 7


def test_a_log_that_was_killed_is_trusted_after_any_boot(tmp_path: Path) -> None:
    with Elsewhere("log", f"lmdb://{tmp_path}/log") as writer:
        writer.call("append", [b"a"])

    assert not (tmp_path / "log" / "unsynced").exists()
    with contextlib.closing(open_log(f"lmdb://{tmp_path}/log")) as log:
        assert log.last == 1


def test_a_copy_of_a_log_that_is_being_written_is_a_log(tmp_path: Path) -> None:
    with Elsewhere("log", f"lmdb://{tmp_path}/log") as writer:
        writer.call("append", [b"a", b"b"])
        with contextlib.closing(log_lmdb.Log(f"lmdb://{tmp_path}/log")) as reader:
            reader.copy(f"{tmp_path}/backup/log")
            with pytest.raises(Rejected, match="not empty"):
                reader.copy(f"{tmp_path}/backup/log")
        writer.call("append", [b"c"])

    with contextlib.closing(open_log(f"lmdb://{tmp_path}/backup/log", write=True)) as copy:
        assert copy.read(0) == [(1, b"a"), (2, b"b")]
        assert copy.append([b"other"]) == 3


def test_a_reader_killed_while_reading_does_not_make_the_file_grow_for_ever(tmp_path: Path) -> None:
    url = f"lmdb://{tmp_path}/state"
    with contextlib.closing(open_store(url, write=True)) as store:
        with Elsewhere("store", url, write=False) as reader:
            assert reader.call("hold") is None
            store.commit({"items": {b"n": b"0"}}, position=1, expected=0)
        sizes = []
        for n in range(1, 3_001):
            store.commit({"items": {b"n": b"%d" % n}}, position=n + 1, expected=n)
            if n % 1_000 == 0:
                sizes.append(data_file(tmp_path / "state").stat().st_size)

    assert sizes[1] == sizes[2]
