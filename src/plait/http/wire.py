"""Reading a body and sending an answer over raw ASGI, for the routes that are too hot for a framework."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterable, MutableMapping
from functools import partial
from types import coroutine
from typing import Any

import msgspec

from plait.errors import PlaitError, Rejected, Unavailable

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

SLOWEST = 30.0  # seconds that a sender may take over one body
DRAINED = 16 << 20  # bytes of a body that is too large which we still read


class Gone(Exception):
    """The client hung up before its request was whole; there is nobody to answer."""


async def read_body(receive: Receive, *, limit: int, seconds: float = SLOWEST) -> bytes:
    """The whole body of a request, at most ``limit`` bytes as sent.

    Raises:
        Rejected: 413 ``body_too_large``; 408 ``slow_sender``, which senders take as leave to try again.
        Gone: the client hung up.
    """
    started = receive().__await__()
    try:
        waits_for = next(started)
    except StopIteration as done:
        # It was all there already, as it mostly is: a timer would cost more than all else there is to do.
        message: Message = done.value
        if message["type"] == "http.request" and not message.get("more_body"):
            body: bytes = message.get("body", b"")
            if len(body) <= limit:
                return body
        first: Awaitable[Message] = _ready(message)
    else:
        first = _resumed(started, waits_for)
    try:
        async with asyncio.timeout(seconds):
            return await _chunks(_after(first, receive), limit)
    except TimeoutError:
        raise Rejected(
            f"the body did not arrive within {seconds:g} s", code="slow_sender", status=408
        ) from None


async def _ready(message: Message) -> Message:
    return message


@coroutine
def _resumed(started: Any, waits_for: Any) -> Generator[Any, Any, Message]:
    """The rest of a coroutine that was started by hand and now waits for something."""
    while True:
        try:
            told = yield waits_for
        except BaseException as exc:
            step = partial(started.throw, exc)
        else:
            step = partial(started.send, told)
        try:
            waits_for = step()
        except StopIteration as done:
            found: Message = done.value
            return found


def _after(first: Awaitable[Message], receive: Receive) -> Receive:
    """``receive``, but ``first`` is its first answer."""
    answers = [first]
    return lambda: answers.pop() if answers else receive()


async def _chunks(receive: Receive, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            chunks.clear()
            await _drain(receive, size, more=message.get("more_body", False))
            raise Rejected(f"the body is larger than {limit} bytes", code="body_too_large", status=413)
        if not message.get("more_body"):
            return b"".join(chunks) + chunk if chunks else chunk
        chunks.append(chunk)


async def _drain(receive: Receive, size: int, *, more: bool) -> None:
    """Read on for a while: who is hung up on while they still send never hear why."""
    while more and size < DRAINED:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)


async def send_json(send: Send, status: int, body: bytes, headers: Headers = ()) -> None:
    """Answer with JSON that is already encoded."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                *headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})


async def send_nothing(send: Send, headers: Headers = ()) -> None:
    """Answer 204: all there is to say is in the head."""
    await send({"type": "http.response.start", "status": 204, "headers": [*headers]})
    await send({"type": "http.response.body", "body": b""})


async def send_error(send: Send, error: PlaitError, headers: Headers = ()) -> None:
    """Answer with an error: its status, ``code``, ``message`` and ``field``; ``Retry-After`` where it may work later."""
    more = [*headers, *told_later(error)]
    await send_json(send, error.status, msgspec.json.encode(error.as_json()), more)


def told_later(error: PlaitError) -> Headers:
    """What the head of an error's answer says besides: when another try makes sense, or how to say who asks."""
    if isinstance(error, Unavailable):
        yield b"retry-after", str(error.retry_after).encode()
    if error.status == 401:
        yield b"www-authenticate", b'Bearer realm="plait"'
