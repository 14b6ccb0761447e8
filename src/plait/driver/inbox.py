"""What webhooks delivered, from the moment a sender is thanked until it is in the log: on disk, sealed, a day at most.

A delivery holds what people wrote, so it must not rest; and it must not be lost either when a process dies between our
thanks and the log. So it waits here under a key that is replaced every day: what a deleted file leaves on the disk cannot be read
by anybody once its key is gone. The server puts deliveries in, the driver takes them out.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from plait.connectors import Page
from plait.errors import Corrupt, Unavailable
from plait.sealed import Seal, write_whole

FOLDER = "inbox"
DAY = 86_400_000  # ms
MOST = 10_000  # files that may wait
MOST_BYTES = 64 << 20
_COUNTED = 1.0  # seconds that a count of what waits is good for: another process takes it out
_encode = msgspec.msgpack.Encoder().encode


class Delivery(msgspec.Struct, array_like=True, frozen=True):
    """What came. ``headers`` have lower-case names; ``:method`` and ``:path`` (with the query) are among them.

    ``page`` is what the connector read in it; then nothing else of it is kept. ``None``: it has still to be read.
    """

    network: str
    source: str
    at: int
    headers: dict[str, str] = {}
    body: bytes = b""
    page: Page | None = None

    def __repr__(self) -> str:
        return f"Delivery({self.source}, {self.at})"


_deliveries = msgspec.msgpack.Decoder(list[Delivery])


class Inbox:
    """The deliveries that wait.

    Args:
        data: the data folder.
        now: ms since the epoch.
        clock: seconds.
    """

    def __init__(self, data: Path, *, now: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = data / FOLDER
        self._seal = Seal.of(data, "inbox", now=now)
        self._clock, self._counted = clock, -_COUNTED
        self._many, self._bytes = 0, 0

    def put(self, deliveries: Sequence[Delivery]) -> str:
        """Keep deliveries together, in one file; on disk on return.

        Returns:
            The file's name, for ``open`` and ``drop``.

        Raises:
            Unavailable: too much waits, or the disk is full; the senders should come again.
        """
        self._count()
        if self._many >= MOST or self._bytes >= MOST_BYTES:
            raise Unavailable("too many deliveries wait", code="inbox_full", retry_after=60)
        sealed = self._seal.seal(_encode(deliveries))
        name = f"{max(one.at for one in deliveries):015d}-{secrets.token_hex(8)}"
        write_whole(self._folder / name, sealed)
        self._many += 1
        self._bytes += len(sealed)
        return name

    def _count(self) -> None:
        if self._clock() - self._counted >= _COUNTED:
            self._counted = self._clock()
            sizes = [size for path in self._paths() if (size := _size(path)) is not None]
            self._many, self._bytes = len(sizes), sum(sizes)

    def open(self, name: str) -> list[Delivery]:
        """The deliveries of a file; none when it is gone, or its key is."""
        try:
            return _deliveries.decode(self._seal.open((self._folder / name).read_bytes()))
        except (FileNotFoundError, Corrupt, msgspec.MsgspecError):
            return []

    def drop(self, name: str) -> None:
        """Delete a file. Not synced: one that comes back after a power loss is read again, and counts once."""
        (self._folder / name).unlink(missing_ok=True)
        self._counted = -_COUNTED

    def waiting(self) -> list[str]:
        """Names of the files that wait, the oldest first."""
        return [path.name for path in self._paths()]

    def sweep(self, *, now: int) -> int:
        """Delete what is older than a day, and replace the key once a day; how many files were never understood."""
        old = [name for name in self.waiting() if int(name.partition("-")[0]) < now - DAY]
        for name in old:
            self.drop(name)
        if self._seal.made_at < now - DAY:
            # What waits may still be sealed with the key before; what was sealed with older ones is deleted.
            self._seal.rotate(now=now, keep_since=self._seal.made_at)
        return len(old)

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("[0-9]*-*")) if self._folder.exists() else []


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # it was taken out just now
        return None
