"""Streams of a network, WebSocket or server-sent events, as frames one after the other."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

import httpx
import websockets
from websockets.asyncio.client import connect as _connect

from plait.connectors import Frame, Open, Session
from plait.driver.line import Line, same_origin
from plait.errors import Rejected, Unavailable
from plait.fetch import AGENT, trusted

_LARGEST = 8 << 20  # bytes of one frame
_AHEAD, _MOST_AHEAD = 4 << 20, 1_024  # bytes, frames that are read ahead
_SILENCE = 90.0  # seconds without a byte of server-sent events before the line counts as dead
_OPENS_WITHIN = 15.0


class Ended(Unavailable):
    """The stream ended: it was closed, or cut off."""


class NotOpened(Unavailable):
    """The network did not open the stream; ``answered`` is its HTTP status, 0 without an answer."""

    def __init__(self, message: str, answered: int = 0) -> None:
        super().__init__(message, code="stream_not_opened")
        self.answered = answered


class Stream(Protocol):
    """An open stream."""

    async def next(self, seconds: float) -> Frame | None:
        """The next frame, ``None`` when none came in time.

        Raises:
            Ended: there will be none any more.
        """
        ...

    async def close(self) -> None:
        """Hang up."""
        ...


async def opened(wanted: Open, line: Line) -> Stream:
    """Open a stream, signed where that is wanted and allowed.

    Raises:
        NotOpened: not now, even with a fresh session.
        Rejected: the credentials are not taken any more.
    """
    url = _url(wanted, line)
    signs = wanted.signed and is_the_servers(_as_http(url), line.account.host)
    session = await line.session() if signs else None
    try:
        return await _open(wanted, url, session)
    except NotOpened as error:
        if session is None or error.answered not in (401, 403):
            raise
    return await _open(wanted, url, await line.session(not_this=session))


async def _open(wanted: Open, url: str, session: Session | None) -> Stream:
    headers = dict(session.headers) if session else {}
    return await (_Events.open(url, headers) if wanted.kind == "sse" else _Socket.open(url, headers))


def _url(wanted: Open, line: Line) -> str:
    url = line.url(wanted.url)
    params = {name: value for name, value in wanted.params.items() if value is not None}
    if params:
        url += ("&" if "?" in url else "?") + urlencode(params, doseq=True)
    if urlsplit(url).scheme not in ("http", "https", "ws", "wss"):
        raise Rejected("a stream is of http, https, ws or wss", code="invalid_stream")
    if wanted.kind == "ws" and url.startswith("http"):
        url = "ws" + url.removeprefix("http")
    return url


def is_the_servers(url: str, host: str) -> bool:
    """Whether a stream is the account's own server's: there, or under a name below its own.

    Large servers stream from a machine of its own (``streaming.social.example``), and want the same token there.
    """
    one, own = urlsplit(url), urlsplit(host)
    below = (one.hostname or "").endswith(f".{own.hostname}") and one.scheme == own.scheme == "https"
    return same_origin(url, host) or (below and one.port in (None, 443))


def _as_http(url: str) -> str:
    return "http" + url.removeprefix("ws") if url.startswith("ws") else url


class _Socket:
    """A WebSocket that is read ahead: a timer and a wake-up for each frame cost more than most frames."""

    def __init__(self, line: Any) -> None:
        self._line = line
        self._frames: deque[bytes | str] = deque()
        self._size = 0  # bytes that were read ahead
        self._more, self._room = asyncio.Event(), asyncio.Event()
        self._end: Ended | None = None
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, url: str, headers: Mapping[str, str]) -> _Socket:
        try:
            return cls(
                await _connect(
                    url, additional_headers=dict(headers), user_agent_header=AGENT, max_size=_LARGEST,
                    open_timeout=_OPENS_WITHIN, close_timeout=2, max_queue=256, proxy=None,
                )
            )  # fmt: skip
        except websockets.InvalidStatus as exc:
            status = exc.response.status_code
            raise NotOpened(f"the stream was answered {status}", status) from exc
        except (websockets.WebSocketException, OSError, TimeoutError, ValueError) as exc:
            raise NotOpened(f"the stream cannot be opened: {type(exc).__name__}") from exc

    async def _read(self) -> None:
        try:
            while True:
                data = await self._line.recv()
                self._frames.append(data)
                self._size += len(data)
                self._more.set()
                if self._size > _AHEAD or len(self._frames) > _MOST_AHEAD:  # the network waits with us
                    self._room.clear()
                    await self._room.wait()
        except websockets.ConnectionClosed as exc:
            why = exc.sent or exc.rcvd  # ours, when a frame was too large for us
            self._end = Ended(f"the stream was closed ({why.code if why else 1006})", code="stream_ended")
        except Exception as exc:
            self._end = Ended(f"the stream was cut: {type(exc).__name__}", code="stream_ended")
        finally:
            self._more.set()

    async def next(self, seconds: float) -> Frame | None:
        if not self._frames:
            if self._end is not None:
                raise self._end
            self._more.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._more.wait()
            except TimeoutError:
                return None
            if not self._frames:
                raise self._end or Ended("the stream ended", code="stream_ended")
        data = self._frames.popleft()
        self._size -= len(data)
        if not self._frames:
            self._room.set()
        return Frame(data)

    async def close(self) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        with contextlib.suppress(Exception):
            await self._line.close()


class _Events:
    """Server-sent events: ``event:`` and ``data:`` lines up to an empty one."""

    def __init__(self, client: httpx.AsyncClient, response: httpx.Response) -> None:
        self._client, self._response = client, response
        self._frames = self._read(_lines(response.aiter_text()))
        self._waiting: asyncio.Task[Frame] | None = None

    @classmethod
    async def open(cls, url: str, headers: Mapping[str, str]) -> _Events:
        client = httpx.AsyncClient(
            timeout=httpx.Timeout(_OPENS_WITHIN, read=_SILENCE),
            trust_env=False,
            verify=trusted(),
            headers={"user-agent": AGENT},
        )
        try:
            request = client.build_request("GET", url, headers={**headers, "accept": "text/event-stream"})
            response = await client.send(request, stream=True)
        except (httpx.TransportError, httpx.InvalidURL) as exc:
            await client.aclose()
            raise NotOpened(f"the stream cannot be opened: {type(exc).__name__}") from exc
        if response.status_code != 200:
            await client.aclose()
            raise NotOpened(f"the stream was answered {response.status_code}", response.status_code)
        return cls(client, response)

    async def next(self, seconds: float) -> Frame | None:
        # The task outlives a wait that was too short: cancelling it would lose what it has read of a frame.
        if self._waiting is None:
            self._waiting = asyncio.ensure_future(anext(self._frames))
        done, _ = await asyncio.wait({self._waiting}, timeout=seconds)
        if not done:
            return None
        waited, self._waiting = self._waiting, None
        try:
            return waited.result()
        except StopAsyncIteration:
            raise Ended("the stream ended", code="stream_ended") from None
        except httpx.TransportError as exc:
            raise Ended(f"the stream was cut: {type(exc).__name__}", code="stream_ended") from exc

    async def close(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            await asyncio.gather(self._waiting, return_exceptions=True)
        with contextlib.suppress(Exception):
            await self._response.aclose()
        await self._client.aclose()

    async def _read(self, lines: AsyncIterator[str]) -> AsyncIterator[Frame]:
        data: list[str] = []
        event, size = "", 0
        async for line in lines:
            size += len(line)
            if size > _LARGEST:
                raise Ended("a frame of the stream is too large", code="stream_ended")
            if not line:
                if data:
                    yield Frame("\n".join(data), event)
                event, data, size = "", [], 0
                continue
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "data":
                data.append(value)
            elif name == "event":
                event = value


async def _lines(text: AsyncIterator[str]) -> AsyncIterator[str]:
    """Lines, each without its end.

    Not httpx's own: it holds a line that never ends for as long as it comes.

    Raises:
        Ended: one is longer than a frame may be.
    """
    waiting: list[str] = []  # of the line that has not ended
    size = 0
    async for some in text:
        first, *rest = some.replace("\r\n", "\n").split("\n")
        waiting.append(first)
        size += len(first)
        for each in rest:
            yield "".join(waiting).rstrip("\r")
            waiting, size = [each], len(each)
        if size > _LARGEST:
            raise Ended("a frame of the stream is too large", code="stream_ended")
    if size:
        yield "".join(waiting)
