"""Group commit: many wait, the disk is asked once, and everybody gets their own answer."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from plait.errors import Corrupt, Unavailable
from plait.log import lmdb
from plait.log.commit import MOST_WAITING, Committer


class Log(lmdb.Log):
    """The real log, which counts appends, can be held back, and can be told to fail."""

    def __init__(self, url: str) -> None:
        super().__init__(url, write=True)
        self.appends = 0
        self.go = threading.Event()
        self.go.set()
        self.began = threading.Event()
        self.fails: Exception | None = None

    def append(self, records: Sequence[bytes], *, pressing: bool = False) -> int:
        self.began.set()
        self.go.wait()
        self.appends += 1
        if self.fails is not None:
            raise self.fails
        return super().append(records)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = Log(f"lmdb://{tmp_path}/log")
    yield log
    log.go.set()
    log.close()


async def held(log: Log, committer: Committer) -> asyncio.Task[int]:
    """One append that is on its way to a disk that does not answer yet; what comes now gathers behind it."""
    log.go.clear()
    log.began.clear()
    first = asyncio.ensure_future(committer.append([b"first"]))
    assert await asyncio.to_thread(log.began.wait, 5)
    return first


def test_an_append_is_in_the_log_when_it_returns(log: Log) -> None:
    async def main() -> None:
        committer = Committer(log)
        assert await committer.append([b"a", b"b"]) == 1
        assert log.read(0) == [(1, b"a"), (2, b"b")]
        assert await committer.append([b"c"]) == 3
        await committer.close()

    asyncio.run(main())


def test_whoever_waits_shares_the_next_sync(log: Log) -> None:
    async def main() -> None:
        committer = Committer(log)
        first = await held(log, committer)
        waiting = [asyncio.ensure_future(committer.append([b"%d" % n])) for n in range(50)]
        await asyncio.sleep(0)
        log.go.set()
        await asyncio.gather(first, *waiting)
        await committer.close()

    asyncio.run(main())

    assert log.appends == 2


def test_records_of_one_request_stand_side_by_side(log: Log) -> None:
    async def one(committer: Committer, n: int) -> None:
        first = await committer.append([b"%d.%d" % (n, part) for part in range(3)])
        assert log.get([first, first + 1, first + 2]) == {
            first + part: b"%d.%d" % (n, part) for part in range(3)
        }

    async def main() -> None:
        committer = Committer(log)
        await asyncio.gather(*[one(committer, n) for n in range(200)])
        await committer.close()

    asyncio.run(main())

    assert log.last == 600


def test_when_the_disk_refuses_all_of_the_group_hear_of_it(log: Log) -> None:
    async def main() -> list[int | BaseException]:
        committer = Committer(log)
        first = await held(log, committer)
        log.fails = Unavailable("the disk is full", code="disk_full", retry_after=10)
        waiting = [asyncio.ensure_future(committer.append([b"x"])) for _ in range(5)]
        await asyncio.sleep(0)
        log.go.set()
        told = await asyncio.gather(first, *waiting, return_exceptions=True)
        log.fails = None
        assert await committer.append([b"later"]) == 1
        await committer.close()
        return told

    told = asyncio.run(main())

    assert [(one.code, one.retry_after) for one in told if isinstance(one, Unavailable)] == [
        ("disk_full", 10)
    ] * 6
    assert len({id(one) for one in told}) == 6  # an exception of its own for each task
    assert log.read(0) == [(1, b"later")]


def test_what_presses_is_written_though_the_disk_is_full_for_all_else(tmp_path: Path) -> None:
    async def main(log: lmdb.Log) -> None:
        committer = Committer(log)
        waiting = [committer.append([b"an event"]), committer.append([b"an erasure"], pressing=True)]
        event, erasure = await asyncio.gather(*waiting, return_exceptions=True)
        await committer.close()

        assert isinstance(event, Unavailable)
        assert event.code == "disk_full"
        assert (erasure, log.read(0)) == (1, [(1, b"an erasure")])

    with contextlib.closing(lmdb.Log(f"lmdb://{tmp_path}/log", write=True, reserve=1 << 60)) as log:
        asyncio.run(main(log))


def test_a_corrupt_log_is_not_answered_around(log: Log) -> None:
    async def main() -> None:
        committer = Committer(log)
        log.fails = Corrupt("not what we wrote")
        with pytest.raises(Corrupt):
            await committer.append([b"x"])
        await committer.close()

    asyncio.run(main())


def test_a_sender_who_hangs_up_loses_nothing(log: Log) -> None:
    async def main() -> None:
        committer = Committer(log)
        first = await held(log, committer)
        gone = asyncio.ensure_future(committer.append([b"gone"]))
        stays = asyncio.ensure_future(committer.append([b"stays"]))
        await asyncio.sleep(0)
        gone.cancel()
        log.go.set()
        assert (await first, await stays) == (1, 3)
        await committer.close()

    asyncio.run(main())

    assert log.get([2]) == {2: b"gone"}


def test_what_nobody_waits_for_arrives_by_itself(log: Log) -> None:
    async def main() -> None:
        committer = Committer(log)
        committer.append_soon(b"a")
        committer.append_soon(b"b")
        for _ in range(500):
            if log.last == 2:
                break
            await asyncio.sleep(0.01)
        await committer.close()

    asyncio.run(main())

    assert (log.read(0), log.appends) == ([(1, b"a"), (2, b"b")], 1)


def test_who_waits_does_not_wait_for_those_who_do_not(log: Log) -> None:
    """An append goes at once, and takes along what may wait."""

    async def main() -> None:
        committer = Committer(log)
        committer.append_soon(b"soon")
        assert await committer.append([b"now"]) == 2
        await committer.close()

    asyncio.run(main())

    assert log.appends == 1


def test_what_nobody_waits_for_is_counted_when_it_is_lost(log: Log) -> None:
    async def main() -> Committer:
        committer = Committer(log)
        log.fails = Unavailable("the disk is full", code="disk_full")
        committer.append_soon(b"a")
        committer.append_soon(b"b")
        await committer.close()
        return committer

    assert asyncio.run(main()).lost == 2


def test_stopping_writes_what_waits(log: Log) -> None:
    async def main() -> None:
        committer = Committer(log)
        first = await held(log, committer)
        waiting = asyncio.ensure_future(committer.append([b"second"]))
        await asyncio.sleep(0)
        committer.append_soon(b"third")
        stop = asyncio.ensure_future(committer.close())
        await asyncio.sleep(0)
        log.go.set()
        await stop
        assert (await first, await waiting) == (1, 2)

    asyncio.run(main())

    assert log.last == 3


def test_after_stopping_nothing_is_taken(log: Log) -> None:
    async def main() -> None:
        committer = Committer(log)
        await committer.close()
        await committer.close()
        with pytest.raises(Unavailable, match="stopping"):
            await committer.append([b"x"])

    asyncio.run(main())

    assert log.last == 0


def test_more_than_memory_should_hold_is_sent_away(log: Log) -> None:
    async def main() -> None:
        committer = Committer(log)
        first = await held(log, committer)
        large = bytes(MOST_WAITING // 4)
        waiting = [asyncio.ensure_future(committer.append([large])) for _ in range(5)]
        await asyncio.sleep(0)
        assert [one.done() for one in waiting] == [False, False, False, True, True]
        with pytest.raises(Unavailable) as refused:
            await waiting[4]
        assert (refused.value.code, refused.value.status) == ("overloaded", 429)
        for one in waiting:
            one.cancel()
        log.fails = Unavailable("not a gigabyte to the disk of whoever runs this")
        log.go.set()
        await asyncio.gather(first, *waiting, return_exceptions=True)
        await committer.close()

    asyncio.run(main())
