"""The client for asyncio: the same questions and the same promise, and nothing blocks the loop."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import time
import weakref
from collections.abc import Awaitable, Callable
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Self, TypeVar

from plait.client.core import (
    ROOM,
    Answer,
    Lost,
    Outbox,
    Pause,
    Put,
    Request,
    Steps,
    log_lost,
    now_ms,
)
from plait.client.questions import Questions
from plait.client.sync import _SLOWEST, Client, OnLost, checked, closed, not_flushed, tell

if TYPE_CHECKING:
    import httpx

P = ParamSpec("P")
R = TypeVar("R")


def _asks(
    steps: Callable[Concatenate[Questions, P], Steps[R]],
) -> Callable[Concatenate[AsyncClient, P], Awaitable[R]]:
    """A question as a method that is awaited."""

    @wraps(steps)
    async def ask(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self._carried_out(steps(self._questions, *args, **kwargs))

    return ask


class AsyncClient:
    """A server of Plait, for asyncio. Takes what ``Client`` takes, and every question is awaited, ``track`` too.

    Leave it with ``async with`` or ``await close()``; what is still on its way when the process ends is sent then, but the
    end of the process waits for that.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        source: str | None = None,
        timeout: float = 10.0,
        room: int = ROOM,
        on_lost: OnLost = log_lost,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._url, self._headers = checked(url, key)
        self._key = key
        self._questions = Questions(key, source=source, timeout=timeout)
        self._own, self._http = http is None, http
        self._on_lost = on_lost
        self._outbox = Outbox(room=room)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()
        self._closing = False
        leave = weakref.WeakMethod(self._at_exit)
        atexit.register(lambda: (known := leave()) and known())

    track = _asks(Questions.track)
    view = _asks(Questions.view)
    identify = _asks(Questions.identify)
    consent = _asks(Questions.consent)
    send = _asks(Questions.send)
    personalize = _asks(Questions.personalize)
    items_for = _asks(Questions.items_for)
    put_items = _asks(Questions.put_items)
    delete_items = _asks(Questions.delete_items)
    item = _asks(Questions.item)
    put_placements = _asks(Questions.put_placements)
    placements = _asks(Questions.placements)
    put_audience = _asks(Questions.put_audience)
    audiences = _asks(Questions.audiences)
    audience_size = _asks(Questions.audience_size)
    delete_audience = _asks(Questions.delete_audience)
    profile = _asks(Questions.profile)
    export = _asks(Questions.export)
    forget = _asks(Questions.forget)
    link = _asks(Questions.link)
    unlink = _asks(Questions.unlink)

    def token(self, identifier: str, seconds: float = 3_600, *, scope: str = "personalize") -> str:
        """A text with which a browser may ask as ``identifier`` for a while; needs the secret key, and asks nobody."""
        return self._questions.token(identifier, seconds, scope=scope)

    @property
    def waiting(self) -> int:
        """How many events are on their way."""
        return len(self._outbox)

    @property
    def lost(self) -> int:
        """How many events were not taken since the start."""
        return self._outbox.lost

    async def flush(self, timeout: float = 10.0) -> None:  # noqa: ASYNC109 - as Client has it
        """Wait until the server has spoken about every event that was put before.

        Raises:
            Unavailable: not in time; they stay on their way.
        """
        self._at_work()
        target, until = self._outbox.hurry(), time.monotonic() + timeout
        self._tell_all()
        while self._outbox.done < target:
            if time.monotonic() >= until:
                raise not_flushed(self._outbox)
            await self._wait(until - time.monotonic())

    async def close(self, timeout: float = 10.0) -> None:  # noqa: ASYNC109
        """Send what is left, for at most ``timeout`` seconds, and let go; ``on_lost`` is told what remains."""
        if self._closing:
            return
        self._here()  # what belongs to a loop that is over cannot be closed any more
        if self.waiting:
            self._at_work()
        self._closing = True
        self._outbox.hurry()
        self._tell_all()
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task], timeout=timeout)
            self._task.cancel()
        tell(self._on_lost, self._outbox.give_up())
        if self._own and self._http is not None:
            await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # -- carrying out -------------------------------------------------------------------------------------

    async def _carried_out(self, steps: Steps[R]) -> R:
        told: Answer | None = None
        if self._closing:
            raise closed()
        self._here()
        try:
            while True:
                action = steps.send(told)
                told = None
                if isinstance(action, Request):
                    told = await self._sent(action)
                elif isinstance(action, Pause):
                    await asyncio.sleep(action.seconds)
                else:
                    await self._put(action)
        except StopIteration as done:
            found: R = done.value
            return found

    async def _sent(self, request: Request) -> Answer:
        import httpx

        assert self._http is not None
        try:
            answer = await self._http.request(
                request.method, self._url + request.path, params=dict(request.params) or None,
                content=request.body, headers=self._headers, timeout=request.seconds,
            )  # fmt: skip
        except httpx.HTTPError as exc:
            return Answer(0, trouble=str(exc) or type(exc).__name__)
        return Answer(answer.status_code, answer.content, answer.headers.get("retry-after"))

    async def _put(self, put: Put) -> None:
        self._at_work()
        while not self._outbox.put(put.raw, time.monotonic()):
            if not self._outbox.flowing or self._closing:
                tell(self._on_lost, [self._outbox.lose(put.raw)])
                return
            self._outbox.hurry()
            self._tell_all()
            await self._wait(1.0)
        self._tell_all()

    def _here(self) -> None:
        """Belong to the loop that runs: connections and tasks of one that is over are of no use."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._task, self._moved = loop, None, asyncio.Event()
            self._outbox.interrupted()
            if self._own:
                import httpx

                self._http = httpx.AsyncClient(trust_env=False)

    def _at_work(self) -> None:
        self._here()
        if self._task is None or self._task.done():
            self._outbox.interrupted()
            self._task = asyncio.create_task(self._work(), name="plait-client")

    async def _work(self) -> None:
        while True:
            step = self._outbox.step(time.monotonic(), now_ms())
            if isinstance(step, bytes):
                lost = await self._delivered(step)
                self._tell_all()
                tell(self._on_lost, lost)
            elif step is None and self._closing:
                return
            else:
                await self._wait(step)

    async def _delivered(self, body: bytes) -> list[Lost]:
        try:
            answer = await self._sent(Request("POST", "/v1/events", body, {}, _SLOWEST))
        except asyncio.CancelledError:
            self._outbox.interrupted()
            raise
        except Exception as exc:  # whatever it is, the events must not be lost with the task
            answer = Answer(0, trouble=f"{type(exc).__name__}: {exc}")
        return self._outbox.told(answer, time.monotonic())

    async def _wait(self, seconds: float | None) -> None:
        """Until something moves, or that long."""
        moved = self._moved
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await moved.wait()

    def _tell_all(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    def _at_exit(self) -> None:
        """The loop is over: what is left goes out the other way."""
        if not self.waiting or self._closing:
            return
        self._outbox.interrupted()
        with contextlib.suppress(Exception):
            Client(self._url, self._key, on_lost=self._on_lost)._deliver(self._outbox, 5.0)
