"""The client for threads and scripts: questions wait, events go out from a thread of their own."""

from __future__ import annotations

import atexit
import contextlib
import math
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

from plait import __version__
from plait.client.core import (
    ROOM,
    Answer,
    Lost,
    Outbox,
    Pause,
    Put,
    Request,
    Steps,
    log,
    log_lost,
    now_ms,
)
from plait.client.questions import Questions
from plait.errors import PlaitError, Rejected, Unavailable

if TYPE_CHECKING:
    import httpx  # only when a client is made: its import takes longer than all else here

P = ParamSpec("P")
R = TypeVar("R")
OnLost = Callable[[Sequence[Mapping[str, Any]], PlaitError], object]

_SLOWEST = 30.0  # seconds that a request of events may take


def _asks(steps: Callable[Concatenate[Questions, P], Steps[R]]) -> Callable[Concatenate[Client, P], R]:
    """A question as a method that returns its answer."""

    @wraps(steps)
    def ask(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._carried_out(steps(self._questions, *args, **kwargs))

    return ask


class Client:
    """A server of Plait, for threads and scripts; one for a process is enough, and all its threads may use it.

    Events that are put on their way are sent in the background: at least once, and counted once. ``close`` sends what is
    left; so does the end of the process, for some seconds. A client that is forked leaves its events to the parent.

    Args:
        url: where the server is, ``https://plait.shop.example``.
        key: the secret key, on servers of yours only; or the write key, for what that may do.
        source: what events come from, where they do not say; the server's own source where it is left out.
        timeout: seconds that a question may take in all, tries included.
        room: bytes of events that may wait.
        on_lost: is told events that were not taken, and why; else the log of ``plait.client`` is. Called from a thread.
        http: an ``httpx.Client`` of your own, for proxies and certificates; it is not closed.
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
        http: httpx.Client | None = None,
    ) -> None:
        self._url, self._headers = checked(url, key)
        self._questions = Questions(key, source=source, timeout=timeout)
        self._own = http is None
        self._http = http or _http()
        self._room, self._on_lost = room, on_lost
        self._outbox = Outbox(room=room)
        self._turn = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = self._closed = False
        _remember(self)

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

    def flush(self, timeout: float = 10.0) -> None:
        """Wait until the server has spoken about every event that was put before.

        Raises:
            Unavailable: not in time; they stay on their way.
        """
        until = time.monotonic() + timeout
        with self._turn:
            target = self._outbox.hurry()
            self._turn.notify_all()
            while self._outbox.done < target:
                left = until - time.monotonic()
                if left <= 0:
                    raise not_flushed(self._outbox)
                self._turn.wait(left)

    def close(self, timeout: float = 10.0) -> None:
        """Send what is left, for at most ``timeout`` seconds, and let go; ``on_lost`` is told what remains."""
        with self._turn:
            if self._closed:
                return
            self._closing = True
            self._outbox.hurry()
            self._turn.notify_all()
        if self._thread is not None:
            self._thread.join(timeout)
        with self._turn:
            self._closed = True
            left = self._outbox.give_up()
            self._turn.notify_all()
        self._tell(left)
        if self._own:
            self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- carrying out -------------------------------------------------------------------------------------

    def _carried_out(self, steps: Steps[R]) -> R:
        told: Answer | None = None
        try:
            while True:
                action = steps.send(told)
                told = None
                if isinstance(action, Request):
                    told = self._sent(action)
                elif isinstance(action, Pause):
                    time.sleep(action.seconds)
                else:
                    self._put(action)
        except StopIteration as done:
            found: R = done.value
            return found

    def _sent(self, request: Request) -> Answer:
        import httpx

        if self._closed:
            raise closed()
        try:
            answer = self._http.request(
                request.method, self._url + request.path, params=dict(request.params) or None,
                content=request.body, headers=self._headers, timeout=request.seconds,
            )  # fmt: skip
        except httpx.HTTPError as exc:
            return Answer(0, trouble=str(exc) or type(exc).__name__)
        return Answer(answer.status_code, answer.content, answer.headers.get("retry-after"))

    def _put(self, put: Put) -> None:
        lost: list[Lost] = []
        with self._turn:
            if self._closing:
                raise closed()
            self._at_work()
            while not self._outbox.put(put.raw, time.monotonic()):
                if not self._outbox.flowing or self._closing:
                    lost = [self._outbox.lose(put.raw)]
                    break
                self._outbox.hurry()
                self._turn.wait(1.0)
            self._turn.notify_all()
        self._tell(lost)

    def _at_work(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._outbox.interrupted()
            self._thread = threading.Thread(target=self._work, name="plait-client", daemon=True)
            self._thread.start()

    def _work(self, until: float = math.inf) -> None:
        while (body := self._next(until)) is not None:
            try:
                answer = self._sent(Request("POST", "/v1/events", body, {}, _SLOWEST))
            except Exception as exc:  # whatever it is, the events must not be lost with the thread
                answer = Answer(0, trouble=f"{type(exc).__name__}: {exc}")
            with self._turn:
                lost = self._outbox.told(answer, time.monotonic())
                self._turn.notify_all()
            self._tell(lost)

    def _next(self, until: float) -> bytes | None:
        """The next request of events, waited for; ``None`` when the client is closed and nothing is left, or it is late."""
        with self._turn:
            while time.monotonic() < until:
                step = self._outbox.step(time.monotonic(), now_ms())
                if isinstance(step, bytes):
                    return step
                if self._closing and (step is None or self._closed):
                    return None
                self._turn.wait(step)
            return None

    def _tell(self, lost: Sequence[Lost]) -> None:
        tell(self._on_lost, lost)

    def _deliver(self, outbox: Outbox, seconds: float) -> None:
        """Send another client's events and close, all in this thread: at the end of a process there are no new ones."""
        self._outbox, self._closing = outbox, True
        outbox.hurry()
        self._work(time.monotonic() + seconds)
        self.close(0)

    def _forked(self) -> None:
        """In a child process: the thread is not there, connections and waiting events are the parent's."""
        self._turn, self._thread = threading.Condition(), None
        self._outbox = Outbox(room=self._room)
        if self._own:
            self._http = _http()


# -- for both clients -------------------------------------------------------------------------------------


def checked(url: str, key: str) -> tuple[str, dict[str, str]]:
    """The address without a slash at its end, and the headers of every request.

    Raises:
        Rejected: the address is none, or there is no key.
    """
    if not url.startswith(("http://", "https://")):
        raise Rejected(
            f"the address must begin with http:// or https://, not {url!r}", code="invalid_url", field="url"
        )
    if not key or not key.isascii() or not key.isprintable():
        raise Rejected("a key is needed; `plait keys` shows it", code="missing_key", field="key")
    headers = {
        "authorization": f"Bearer {key}",
        "content-type": "application/json",
        "user-agent": f"plait-python/{__version__}",
    }
    return url.rstrip("/"), headers


def closed() -> Rejected:
    """What a closed client says."""
    return Rejected("the client is closed", code="closed")


def not_flushed(outbox: Outbox) -> Unavailable:
    """What ``flush`` says when its time is over."""
    why = f": {outbox.trouble.message}" if outbox.trouble else ""
    return Unavailable(f"{len(outbox)} events are still on their way{why}", code="not_flushed")


def tell(on_lost: OnLost, lost: Sequence[Lost]) -> None:
    """Tell of lost events; what that raises must not cost more of them."""
    for one in lost:
        try:
            on_lost(one.events, one.error)
        except Exception:
            log.exception("on_lost failed")


def _http() -> httpx.Client:
    import httpx

    # The environment's proxies are for the way out; the server is the company's own.
    return httpx.Client(trust_env=False)


def _remember(client: Client) -> None:
    """Have what is left sent at the end of the process, and nothing sent twice after a fork."""
    close, forked = weakref.WeakMethod(client.close), weakref.WeakMethod(client._forked)

    def at_exit() -> None:
        if (known := close()) is not None:
            with contextlib.suppress(Exception):
                known()

    def after_fork() -> None:
        if (known := forked()) is not None:
            known()

    atexit.register(at_exit)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=after_fork)
