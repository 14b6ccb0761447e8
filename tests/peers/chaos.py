"""A proxy that makes trouble: real TCP between a real client and a real server, and a seed.

Every message (by ``messageId``, or what ``ids`` finds) suffers at most ``most`` faults, since the clients give up after three tries. The kinds
come from a shuffled deck and not from a die, so that a run of a dozen requests sees each of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import random
import re
import socket
import struct
import threading
import time
from collections import Counter
from typing import Self

# What a request may suffer. `lost` is the hard one: the server has it, the sender does not know.
REFUSED = ("429", "503", "cut")  # the server has nothing, or half of it
TAKEN = ("lost", "slow")  # the server has all of it
EVERY = REFUSED + TAKEN

_ID = re.compile(rb'"(?:messageId|id)"\s*:\s*"([^"]+)"')


class ChaosProxy:
    """Listens on a port of its own while it is entered; ``with ChaosProxy("http://127.0.0.1:8080", seed=1) as proxy``.

    Attributes:
        url: what to point a client at.
        done: how often each fault was done; ``"passed"`` counts requests that went through untouched.
        last: when the newest request came, by ``time.monotonic()``.
    """

    def __init__(
        self,
        target: str,
        *,
        seed: int,
        kinds: tuple[str, ...] = EVERY,
        most: int = 2,
        ids: re.Pattern[bytes] = _ID,
    ) -> None:
        host, _, port = target.removeprefix("http://").rstrip("/").partition(":")
        self._target = (host, int(port))
        self._chance = random.Random(seed)
        self._kinds, self._most, self._ids = kinds, most, ids
        # The first fault is the one that only dedupe survives; a client that sends three batches meets it too.
        self._deck: list[str] = ["lost"]
        self._suffered: Counter[bytes] = Counter()
        self.done: Counter[str] = Counter()
        self.last = time.monotonic()
        self.url = ""

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        starting = asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(10)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *exc: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _stop(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # One request a connection: what the client reuses or not is its own affair, trouble comes by request.
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head, body = await _request(reader)
            self.last = time.monotonic()
            kind = self._drawn(body)
            self.done[kind] += 1
            if kind in ("429", "503"):
                writer.write(_refusal(kind))
                await writer.drain()
            elif kind == "cut":
                await self._forward(head, body[: len(body) // 2])
                _reset(writer)
            elif kind == "lost":
                await self._answer(head, body)
                _reset(writer)
            else:
                if kind == "slow":
                    await asyncio.sleep(self._chance.uniform(0.1, 0.5))
                writer.write(await self._answer(head, body))
                await writer.drain()
        writer.close()

    def _drawn(self, body: bytes) -> str:
        """What happens to a request now; ``passed`` if nothing does."""
        messages = set(self._ids.findall(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body))
        suffered = max((self._suffered[one] for one in messages), default=self._most)
        # Three in four: some must come through at the first try, or nothing follows a healthy request.
        if suffered >= self._most or self._chance.random() > 0.75:
            return "passed"
        self._deck = self._deck or self._chance.sample(self._kinds, len(self._kinds))
        self._suffered.update(messages)
        return self._deck.pop()

    async def _forward(self, head: bytes, body: bytes) -> None:
        """Send part of a request, then hang up on the server as if the sender had."""
        _, writer = await asyncio.open_connection(*self._target)
        writer.write(head + body)
        await writer.drain()
        await asyncio.sleep(0.02)
        _reset(writer)

    async def _answer(self, head: bytes, body: bytes) -> bytes:
        """The server's whole answer."""
        reader, writer = await asyncio.open_connection(*self._target)
        writer.write(head + body)
        await writer.drain()
        answer = await reader.read(-1)
        writer.close()
        return answer


async def _request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """One request: its head, which asks for the connection to be closed, and its body."""
    lines = (await reader.readuntil(b"\r\n\r\n")).removesuffix(b"\r\n\r\n").split(b"\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
    assert b"chunked" not in fields.get(b"transfer-encoding", b""), (
        "no client of ours sends chunks; teach the proxy"
    )
    body = await reader.readexactly(int(fields.get(b"content-length", b"0")))
    kept = [line for line in lines if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([*kept, b"Connection: close", b"", b""]), body


def _refusal(status: str) -> bytes:
    """What a balancer in front of us would say. A browser may read the 429; without CORS a 503 is a network error to it."""
    body = b'{"code":"chaos","message":"the proxy refuses; come again"}'
    head = {
        "429": b"429 Too Many Requests\r\nRetry-After: 1\r\nAccess-Control-Allow-Origin: *\r\n"
        b"Access-Control-Expose-Headers: Retry-After",
        "503": b"503 Service Unavailable",
    }[status]
    return (
        b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"
        % (
            head,
            len(body),
            body,
        )
    )


def _reset(writer: asyncio.StreamWriter) -> None:
    """Cut a connection so that the other side sees a reset, not an end."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
