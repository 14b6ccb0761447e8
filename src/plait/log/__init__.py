"""The log: every fact, once, in order. Everything else is a fold of it.

One module is one engine; a URL's scheme names it (``lmdb:///path``). ``open_log`` finds it, and the contract
tests find every engine by themselves and hold it to what stands here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Protocol
from urllib.parse import urlsplit

from plait.errors import Rejected


class Log(Protocol):
    """An ordered, durable sequence of records. One writer process; any number of reading processes."""

    def append(self, records: Sequence[bytes], *, pressing: bool = False) -> int:
        """Add records in order, all or none, and return the position of the first.

        Positions count up by one from 1. On return the records survive ``kill -9`` and power loss.

        Args:
            records: their bytes.
            pressing: they may use the last of the disk, which is kept free for them: an erasure frees some.

        Raises:
            Unavailable: nothing was added (a full disk, a read-only folder); the same call may work later.
        """
        ...

    def read(self, after: int, *, limit: int = 1_000) -> list[tuple[int, bytes]]:
        """At most ``limit`` records with position > ``after``, in order; empty when there is none yet."""
        ...

    def scan(self, after: int = 0) -> Iterator[tuple[int, bytes]]:
        """All records with position > ``after``, in order, up to what stood when the scan began."""
        ...

    def get(self, positions: Sequence[int]) -> dict[int, bytes]:
        """The records at these positions; missing positions are left out."""
        ...

    def redact(self, changes: dict[int, bytes]) -> None:
        """Write records anew in place; positions stay. Durable on return. The old bytes may survive in free pages
        until ``compact``.
        """
        ...

    def compact(self) -> None:
        """Rewrite the storage so that no byte of a redacted record is left in it."""
        ...

    @property
    def last(self) -> int:
        """The newest position, 0 when the log is empty."""
        ...

    def close(self) -> None:
        """Release files; closing twice is allowed."""
        ...


def open_log(url: str, *, write: bool = False) -> Log:
    """The log that a URL names.

    Raises:
        Rejected: the scheme names no engine.
        Unavailable: another process writes to it, or the folder cannot be used.
    """
    scheme = urlsplit(url).scheme
    try:
        module = import_module(f"plait.log.{scheme}")
    except ModuleNotFoundError as exc:
        if exc.name != f"plait.log.{scheme}":
            raise Rejected(
                f'log engine "{scheme}" needs its driver: pip install "plait[{scheme}]"',
                code="driver_missing",
            ) from exc
        raise Rejected(f'no log engine "{scheme}" (in {url!r})', code="unknown_engine", field="log") from exc
    log: Log = module.Log(url, write=write)
    return log
