"""Group commit: whoever waits for the disk shares the next sync; there is no timer.

One thread appends. While it waits for the disk, requests gather; when it is back, all that gathered go in one
append. Few requests mean short waits, many mean large groups.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from typing import NamedTuple

import structlog

from plait.errors import PlaitError, Unavailable
from plait.log import Log

LARGEST_GROUP = 32 << 20  # bytes in one append; the rest waits for the next
MOST_WAITING = 256 << 20  # bytes that may wait in memory; more are sent away
SOON = 0.02  # seconds that records nobody waits for may wait for company

_log = structlog.get_logger()


Told = Callable[[int | Exception], None]  # the position of the first, or why none was added


class _Waiting(NamedTuple):
    records: list[bytes]
    size: int
    loop: asyncio.AbstractEventLoop | None = None
    told: Told | None = None  # called in ``loop``; None: nobody waits
    worth: int = 0  # what is lost with it, where nobody waits
    pressing: bool = False


class Committer:
    """The only one that appends to a log, on behalf of many coroutines.

    Attributes:
        lost: what ``append_soon`` could not write, by its worth.
    """

    def __init__(self, log: Log) -> None:
        self.lost = 0
        self._log = log
        self._queue: SimpleQueue[list[_Waiting] | None] = SimpleQueue()
        self._waiting = 0  # bytes
        self._count = threading.Lock()
        self._turns: dict[asyncio.AbstractEventLoop | None, list[_Waiting]] = {}
        self._closed = False
        self._before_close: list[Callable[[], None]] = []
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    async def append(self, records: list[bytes], *, pressing: bool = False) -> int:
        """Make records durable and return the position of the first; they stand side by side.

        A caller that is cancelled meanwhile loses its answer, not its records. What is ``pressing`` goes also on a full disk, into
        what is kept free there.

        Raises:
            Unavailable: none of them was added: the disk is full, the folder read-only, too much waits, or we stop.
        """
        told: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def tell(answer: int | Exception) -> None:
            if told.done():  # the sender hung up
                return
            if isinstance(answer, Exception):
                told.set_exception(answer)
            else:
                told.set_result(answer)

        self.append_then(records, tell, pressing=pressing)
        return await told

    def append_then(self, records: list[bytes], told: Told, *, pressing: bool = False) -> None:
        """The same without a coroutine: ``told`` is called in the running loop, in the turn that hears of the sync.

        Raises:
            Unavailable: too much waits, or we stop; then ``told`` is not called.
        """
        loop = asyncio.get_running_loop()
        one = _Waiting(records, sum(map(len, records)), loop, told, pressing=pressing)
        self._take(one)
        # All that arrive in one turn of the loop are handed over together: waking the thread for each would
        # make it sync for a few while the rest are still being read.
        turn = self._turns.get(loop)
        if turn is None:
            turn = self._turns[loop] = []
            loop.call_soon(self._hand_over, loop)
        turn.append(one)

    def append_soon(self, record: bytes, *, worth: int = 1) -> None:
        """Add a record that nobody waits for; it goes with the next group, or after 20 ms on its own.

        An error is logged and adds ``worth`` to ``lost``; it is not raised.
        """
        try:
            one = _Waiting([record], len(record), worth=worth)
            self._take(one)
            turn = self._turns.get(asyncio._get_running_loop())  # behind what waits for its turn already
            if turn is None:
                self._queue.put([one])
            else:
                turn.append(one)
        except Unavailable:
            self.lost += worth

    def before_close(self, hand_in: Callable[[], None]) -> None:
        """Let somebody who gathers records hand them in before the end."""
        self._before_close.append(hand_in)

    async def close(self) -> None:
        """Write what waits, then stop. The log stays open. Closing twice is allowed."""
        if not self._closed:
            for hand_in in self._before_close:
                hand_in()
            self._closed = True
            for loop in [*self._turns]:
                self._hand_over(loop)
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _take(self, one: _Waiting) -> None:
        if self._closed:
            raise Unavailable("the server is stopping", code="stopping")
        with self._count:
            if self._waiting + one.size > MOST_WAITING:
                raise Unavailable("too much waits for the disk", code="overloaded", status=429)
            self._waiting += one.size

    def _hand_over(self, loop: asyncio.AbstractEventLoop | None) -> None:
        turn = self._turns.pop(loop, None)
        if turn:
            self._queue.put(turn)

    def _run(self) -> None:
        going = True
        while going:
            group: list[_Waiting] = []
            going = self._gather(group)
            if group:
                self._commit(group)

    def _gather(self, group: list[_Waiting]) -> bool:
        """Fill ``group`` with what waits now, at least one; ``False`` once ``close`` was called."""
        size, somebody_waits, wait = 0, False, None
        while size < LARGEST_GROUP:
            try:
                ones = self._queue.get(block=not somebody_waits, timeout=wait)
            except Empty:
                return True
            if ones is None:
                return False
            group += ones
            size += sum(one.size for one in ones)
            somebody_waits = somebody_waits or any(one.told is not None for one in ones)
            wait = SOON
        return True

    def _commit(self, group: list[_Waiting], *, pressing: bool = False) -> None:
        records = [record for one in group for record in one.records]
        try:
            answer: int | Exception = self._log.append(records, pressing=pressing)
        except Exception as exc:  # whatever it is, somebody waits for an answer
            answer = exc
            some = [one for one in group if one.pressing]
            if some and not pressing:
                self._commit(some, pressing=True)
                group = [one for one in group if not one.pressing]
            if group:
                code = exc.code if isinstance(exc, PlaitError) else type(exc).__name__
                _log.error("append_failed", code=code, error=str(exc), requests=len(group))
        with self._count:
            self._waiting -= sum(one.size for one in group)
        answers: dict[asyncio.AbstractEventLoop, list[tuple[Told, int | Exception]]] = {}
        for one in group:
            if one.told is not None and one.loop is not None:
                answers.setdefault(one.loop, []).append((one.told, answer))
            elif isinstance(answer, Exception):
                self.lost += one.worth
            if isinstance(answer, int):
                answer += len(one.records)
        for loop, told in answers.items():
            try:
                loop.call_soon_threadsafe(_tell, told)
            except RuntimeError:  # the loop is closed: nobody is left to be told
                continue


def _tell(answers: Iterable[tuple[Told, int | Exception]]) -> None:
    for told, answer in answers:
        try:
            told(_own(answer) if isinstance(answer, Exception) else answer)
        except Exception:  # one who cannot be told keeps nobody else waiting
            _log.exception("answer_failed")


def _own(exc: Exception) -> Exception:
    """An exception for one waiter alone: raised in many tasks, one object would gather all their tracebacks."""
    if not isinstance(exc, Unavailable):
        return exc
    own = Unavailable(
        exc.message, code=exc.code, field=exc.field, status=exc.status, retry_after=exc.retry_after
    )
    own.__cause__ = exc
    return own
