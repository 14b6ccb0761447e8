"""uvicorn's protocol, with two ways to be quicker, and what it leaves to whoever stands before it.

- An answer's head and body leave in one write: uvicorn hands them to the transport one after the other, and each becomes
  a system call of its own, which wakes the client twice and cost a twelfth of a page's time.
- A request that is here in one piece, as most are that bring events, is offered to ``app.at_once`` before a task is made for
  it (decision 0103). What is not taken there goes the ordinary way.
- What is no HTTP is refused in our words, as JSON.
- Who does not finish the head of a request is hung up on: uvicorn would wait for ever, and connections are few. So is whose head
  has no end: uvicorn would keep all of it.
- Who offers to go on with HTTP/2 is answered in HTTP/1.1. Java's client offers it with every first request, and its body was lost.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from plait.errors import PlaitError, Rejected

SLOWEST_HEAD = 30.0  # seconds in which the head of a request has to be here
LARGEST_HEAD = 64 << 10  # bytes of a head that is not whole yet
_BEGINS = re.compile(rb"[A-Z]+ [^\r\n]+ HTTP/1\.1\r\n")
_H2C = re.compile(rb"\r\nupgrade: h2c[ \t]*(?=\r\n)", re.I)
_EARLY = 2_048  # bytes of a head in which the offer stands

Headers = Iterable[tuple[bytes, bytes]]
Answer = Callable[[int, bytes, Headers], None]  # status, JSON, more headers


class Protocol(HttpToolsProtocol):
    """For ``uvicorn.Config(http=...)``. An application may have ``at_once(scope, body, answer)``; true if it takes it."""

    _at_once: Callable[[Any, bytes, Answer], bool] | None
    _reading = False
    _held: tuple[RequestResponseCycle, Any] | None = None
    _head = 0  # bytes of one that is not whole
    _awaited: float | None = None  # since when the head of a request is awaited, s; None while there is none
    _watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin with a connection."""
        self._at_once = getattr(self.config.app, "at_once", None)
        super().connection_made(_Joined(transport, self.loop))  # type: ignore[arg-type]
        self._awaited = self.loop.time()
        self._watch = self.loop.call_later(SLOWEST_HEAD, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """End with a connection."""
        if self._watch is not None:
            self._watch.cancel()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._awaited = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head of a request is here."""
        self._awaited = None
        super().on_headers_complete()

    def _look(self) -> None:
        """Hang up on who keeps us waiting for a head. One timer for a connection: one for each request would cost it."""
        if self._awaited is not None and self.loop.time() - self._awaited >= SLOWEST_HEAD:
            self._refuse(
                Rejected("the head of the request did not come in time", code="too_slow", status=408)
            )
        else:
            self._watch = self.loop.call_later(SLOWEST_HEAD, self._look)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's own words
        """Refuse what is no HTTP."""
        self._refuse(Rejected("this is no request of HTTP/1.1", code="invalid_request"))

    def _refuse(self, error: PlaitError) -> None:
        body = msgspec.json.encode(error.as_json())
        self.transport.write(
            b"%bcontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
            % (STATUS_LINE[error.status], len(body), body)
        )
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Read what came; what is whole then may be answered without a task."""
        # So long a word, and so near the beginning: to look through whole batches would take a tenth of their time.
        if data.find(b"pgrade: h2c", 0, _EARLY) >= 0 and _BEGINS.match(data):
            head, gap, rest = data.partition(b"\r\n\r\n")
            data = _H2C.sub(b"", head + gap, 1) + rest
        self._reading, awaited = True, self._awaited
        try:
            super().data_received(data)
        finally:
            self._reading = False
        if self._held is not None:
            (cycle, app), self._held = self._held, None
            if cycle.more_body or cycle.disconnected or not self._taken(cycle):
                super()._start_asgi_task(cycle, app)
        # Counted from the piece on after the one that it begins in: requests may stand before it there.
        self._head = self._head + len(data) if self._awaited is not None and self._awaited == awaited else 0
        if self._head > LARGEST_HEAD and not self.transport.is_closing():
            self._refuse(Rejected("the head of the request is too large", code="head_too_large", status=431))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if self._reading and self._at_once and app is self.app and not cycle.waiting_for_100_continue:
            self._held = cycle, app
        else:
            super()._start_asgi_task(cycle, app)

    def _taken(self, cycle: RequestResponseCycle) -> bool:
        assert self._at_once is not None

        def answer(status: int, body: bytes, headers: Headers) -> None:
            if cycle.disconnected or cycle.response_complete:
                return
            cycle.response_started = cycle.response_complete = True
            told = [STATUS_LINE[status]]
            for name, value in (*cycle.default_headers, *headers):
                told += (name, b": ", value, b"\r\n")
            told.append(b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body))
            told.append(b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")
            told.append(body)
            self.transport.write_whole(b"".join(told))  # type: ignore[attr-defined]
            if not cycle.keep_alive:
                self.transport.close()
            self.on_response_complete()

        return self._at_once(cycle.scope, bytes(cycle.body), answer)


class _Joined:
    """A transport that keeps the head of an answer back for what is written right after it."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write, or keep a head back; if no body follows in this turn of the loop, it leaves alone."""
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(b"HTTP/1.1 "):
            self._head = data
            self._loop.call_soon(self.flush)
            return
        self._transport.write(data)

    def write_whole(self, data: bytes) -> None:
        """Write an answer that is complete."""
        self.flush()
        self._transport.write(data)

    def flush(self) -> None:
        """Write what was kept back."""
        if self._head:
            data, self._head = self._head, b""
            self._transport.write(data)

    def close(self) -> None:
        """Write what was kept back, and close."""
        self.flush()
        self._transport.close()
