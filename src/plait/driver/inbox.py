"""Deliveries of webhooks, from the moment they are taken until they are understood: on disk, sealed, a day at most.

A delivery holds what people wrote, so it must not rest; and it must not be lost either when the process dies between
our thanks and its being read. So it waits here under a key that is replaced every day: what a deleted file leaves on the
disk cannot be read by anybody once its key is gone.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

import msgspec

from plait.errors import Corrupt, Unavailable
from plait.sealed import Seal, sync_folder, write_whole

FOLDER = "inbox"
KEYS = "inbox.key"
DAY = 86_400_000  # ms
MOST = 10_000  # deliveries that may wait
MOST_BYTES = 64 << 20
_encode = msgspec.msgpack.Encoder().encode


class Delivery(msgspec.Struct, array_like=True, frozen=True):
    """What came. ``headers`` have lower-case names; ``:method`` and ``:path`` (with the query) are among them."""

    network: str
    source: str
    at: int
    headers: dict[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"Delivery({self.source}, {self.at})"


class Inbox:
    """The deliveries that wait. For one process.

    Args:
        data: the data folder.
        now: ms since the epoch.
    """

    def __init__(self, data: Path, *, now: int) -> None:
        self._folder = data / FOLDER
        self._seal = Seal(data / KEYS, now=now)
        sizes = [path.stat().st_size for path in self._paths()]
        self._many, self._bytes = len(sizes), sum(sizes)

    def put(self, network: str, source: str, headers: Mapping[str, str], body: bytes, *, now: int) -> str:
        """Keep a delivery; on disk on return.

        Returns:
            Its name, for ``open`` and ``drop``.

        Raises:
            Unavailable: too much waits, or the disk is full; the sender should come again.
        """
        if self._many >= MOST or self._bytes >= MOST_BYTES:
            raise Unavailable("too many deliveries wait", code="inbox_full", retry_after=60)
        sealed = self._seal.seal(_encode(Delivery(network, source, now, dict(headers), body)))
        name = f"{now:015d}-{secrets.token_hex(8)}"
        write_whole(self._folder / name, sealed)
        self._many += 1
        self._bytes += len(sealed)
        return name

    def open(self, name: str) -> Delivery | None:
        """A delivery; ``None`` when it is gone, or its key is."""
        try:
            return msgspec.msgpack.decode(self._seal.open((self._folder / name).read_bytes()), type=Delivery)
        except (FileNotFoundError, Corrupt, msgspec.MsgspecError):
            return None

    def drop(self, name: str) -> None:
        """Delete a delivery."""
        path = self._folder / name
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return
        self._many, self._bytes = self._many - 1, self._bytes - size
        sync_folder(self._folder)

    def waiting(self) -> list[str]:
        """Names of what waits, the oldest first."""
        return [path.name for path in self._paths()]

    def sweep(self, *, now: int) -> int:
        """Delete what is older than a day, and replace the key once a day; how many deliveries were never understood."""
        old = [name for name in self.waiting() if int(name.partition("-")[0]) < now - DAY]
        for name in old:
            self.drop(name)
        if self._seal.made_at < now - DAY:
            # What waits may still be sealed with the key before; what was sealed with older ones is deleted.
            self._seal.rotate(now=now, keep_since=self._seal.made_at)
        return len(old)

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("[0-9]*-*")) if self._folder.exists() else []
