"""Child processes: started with the parent's settings, started again when they die, gone when the parent is.

A child is ``python -m plait.supervise WORK``. Its first line of input is the settings as JSON (so that no key
stands in a command line); the end of its input is the end of its parent, even after ``kill -9``. Its first line
of output says that it is at work.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from plait.errors import Corrupt, PlaitError, Rejected, Unavailable
from plait.settings import Settings

if TYPE_CHECKING:  # a child imports only what it is for
    from plait.models.installation import How

_log = structlog.get_logger()

# What sysexits.h calls them, so that a script can tell "wrong" from "later" from "stop and look".
EXITS: tuple[tuple[type[PlaitError], int], ...] = ((Rejected, 2), (Unavailable, 75), (Corrupt, 70))
_AT_WORK = b"at work\n"  # what a child says once it does what it is for
_PATIENCE = 10.0  # seconds a child has to end by itself before it is killed
_BLOCK = 1 << 16  # bytes that are passed on at a time
_LONGEST_PAUSE = 10.0  # seconds between two starts of a child that keeps dying


class Child:
    """A process that has to run for as long as the parent does.

    Args:
        work: a name in ``WORK``.
        restarted: called whenever it died and is started again.
    """

    def __init__(self, work: str, settings: Settings, *, restarted: Callable[[], None]) -> None:
        self._work = work
        self._settings = settings
        self._restarted = restarted
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False

    @property
    def pid(self) -> int | None:
        """Of the process that runs now, ``None`` between two."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """Start it, without waiting until it is at work; ``run`` takes it over."""
        self._process = await _start(self._work, self._settings, stdout=subprocess.PIPE)

    async def run(self, working: Callable[[], None] = lambda: None) -> None:
        """Keep the child running until ``stop``; a child that keeps dying is started less and less often.

        Args:
            working: called whenever it says that it is at work.
        """
        pause = 0.1
        while not self._stopping:
            begun = asyncio.get_running_loop().time()
            code = await self._once(working)
            if self._stopping:
                return
            if asyncio.get_running_loop().time() - begun > _LONGEST_PAUSE:
                pause = 0.1
            _log.error("child_died", child=self._work, code=code, again_in_seconds=pause)
            self._restarted()
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 2)

    async def _once(self, working: Callable[[], None]) -> int | str:
        """Run it to its end, which ``stop`` may bring about; how it ended."""
        try:
            if self.pid is None:
                await self.start()
        except OSError as exc:  # no memory or no process to be had just now
            return type(exc).__name__
        assert self._process is not None
        assert self._process.stdout is not None
        if self._stopping:
            await _end(self._process)
        while line := await self._process.stdout.readline():
            if line == _AT_WORK:
                working()
        return await self._process.wait()

    async def stop(self) -> None:
        """End the child and wait for it."""
        self._stopping = True
        if self._process is not None:
            await _end(self._process)


async def once(work: str, settings: Settings, asked: Any = None) -> dict[str, Any]:
    """Run a child to its end and return what it answered.

    Args:
        work: a name in ``WORK``.
        settings: of the installation.
        asked: what else it is to know, as JSON; it stands in a command line that all on the machine can read.

    Raises:
        Unavailable: it failed; its own log says how.
    """
    process = await _start(work, settings, asked, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        told = await process.stdout.read()
        code = await process.wait()
    except asyncio.CancelledError:
        await _end(process)
        raise
    if code != 0:
        raise failed(work, code, told)
    return _answer(told)


async def blocks(work: str, settings: Settings, asked: Any = None) -> AsyncIterator[bytes]:
    """Run a child and pass on what it writes, as it does; it ends with whoever reads.

    Args and what is raised: see ``once``. Of a child that fails what it wrote before is passed on.
    """
    process = await _start(work, settings, asked, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        held = b""  # the last that it writes may be an error, which is for nobody else
        while block := await process.stdout.read(_BLOCK):
            if held:
                yield held
            held = block
        code = await process.wait()
        if code != 0:
            raise failed(work, code, held)
        if held:
            yield held
    finally:
        await _end(process)


def _answer(told: bytes) -> dict[str, Any]:
    try:
        answer: Any = msgspec.json.decode(told.splitlines()[-1]) if told else {}
    except msgspec.DecodeError:
        answer = {}
    return answer if isinstance(answer, dict) else {}


def failed(work: str, code: int, told: bytes) -> Unavailable:
    """What is to be said of a child that ended with ``code``, and with what it told at the end of its output."""
    answer = _answer(told)
    return Unavailable(
        answer.get("message") or f"{work} ended with {code}", code=answer.get("code") or f"{work}_failed"
    )


async def _start(
    work: str, settings: Settings, asked: Any = None, **pipes: Any
) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "plait.supervise", work,
        *([] if asked is None else [msgspec.json.encode(asked).decode()]), stdin=subprocess.PIPE,
        # A group of its own: Ctrl-C in a terminal stops the server, which then stops its children in order.
        start_new_session=True, **pipes,
    )  # fmt: skip
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it is dead already; `wait` tells
        process.stdin.write(msgspec.json.encode(settings) + b"\n")
        await process.stdin.drain()
    return process


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_PATIENCE):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


# What follows runs in the child.


def _fold(settings: Settings) -> None:
    from plait.workers import follow

    follow(settings, following=lambda: sys.stdout.buffer.write(_AT_WORK) and sys.stdout.buffer.flush())


def _fit(settings: Settings, *, how: How = "fit") -> dict[str, Any]:
    from plait.explore.learn import learn
    from plait.models.installation import fit_installation

    manifest: dict[str, Any] = fit_installation(settings, how=how)
    try:
        learn(settings)
    except PlaitError as error:  # a model without it is better than none
        _log.error("explorer_not_learned", code=error.code, message=error.message)
    return manifest


def _forget(settings: Settings) -> dict[str, Any]:
    return _fit(settings, how="forget")


def _refit(settings: Settings) -> dict[str, Any]:
    return _fit(settings, how="refit")


def _drive(settings: Settings) -> None:
    from plait.driver import drive

    drive(settings, working=lambda: sys.stdout.buffer.write(_AT_WORK) and sys.stdout.buffer.flush())


def _count(settings: Settings, asked: str) -> dict[str, Any]:
    from plait.members import Asked, count

    os.nice(10)  # pages go first
    return count(settings, msgspec.json.decode(asked, type=Asked))


def _members(settings: Settings, asked: str) -> None:
    from plait.members import Asked, tell

    os.nice(10)
    tell(settings, msgspec.json.decode(asked, type=Asked))


def _serve(settings: Settings) -> None:
    from plait.serve import run, serve

    run(serve(settings))


WORK: dict[str, Callable[..., Any]] = {
    "fold": _fold, "fit": _fit, "refit": _refit, "forget": _forget, "drive": _drive, "count": _count,
    "members": _members, "serve": _serve,
}  # fmt: skip


def _leave_with_the_parent() -> None:
    def wait() -> None:
        while os.read(0, 4096):
            pass
        os._exit(0)  # every engine survives kill -9, so nothing is lost by leaving at once

    threading.Thread(target=wait, daemon=True).start()


def main(work: str, *asked: str) -> int:
    """The child's side: read settings, do the work, answer on the last line of output."""
    from plait.logs import configure

    line = b""
    while not line.endswith(
        b"\n"
    ):  # not sys.stdin: its buffer would swallow the news that the parent is gone
        byte = os.read(0, 1)
        if not byte:
            return 0
        line += byte
    settings = msgspec.json.decode(line, type=Settings)
    configure(settings.log_level)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _leave_with_the_parent()
    try:
        answer = WORK[work](settings, *asked)
    except PlaitError as error:
        _log.error("child_failed", child=work, code=error.code, message=error.message)
        sys.stdout.buffer.write(msgspec.json.encode(error.as_json()) + b"\n")
        return next((number for kind, number in EXITS if isinstance(error, kind)), 1)
    if answer is not None:
        sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
