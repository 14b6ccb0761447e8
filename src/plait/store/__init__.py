"""The store: the folded state, a cache of the log that may be dropped and comes back the same by replay.

A store is a handful of named tables of bytes. The position of the log up to which it is folded is stored in
the same transaction as what changed, so an event counts exactly once whatever crashes when.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Protocol
from urllib.parse import urlsplit

from plait.errors import Rejected

# Every table there is, and what rests in it (docs/reference/state.md has the layouts).
TABLES = (
    "fragments",  # identifier -> Fragment
    "window",     # hash of (source, message id) -> received_at: what counted already
    "timeline",   # identifier NUL at id part -> where it stands in the log
    "acts",       # identifier NUL what it did and to what, at id -> an act that can be taken back
    "records",    # identifier NUL record -> what was told under a network's name, and whether it was taken back
    "named",      # account NUL at id -> where an event about it stands in the log
    "totals",     # post, source and signal -> a count that a network gives without names
    "visits",     # identifier NUL source at id -> what was viewed, where it counts
    "counters",   # identifier NUL counter -> the largest value told
    "links",      # identifier NUL identifier -> what was said about the edge, both ways round
    "items",      # id -> Item
    "placements", # id -> Placement
    "audiences",  # id -> Audience
    "cursors",    # source NUL lane -> from where a connector goes on
    "erased",     # keyed hash of an identifier -> cut-off
    "meta",       # small facts about the state itself
)  # fmt: skip

Changes = Mapping[str, Mapping[bytes, bytes | None]]  # table -> key -> value, None deletes


class Snapshot(Protocol):
    """The state as of one position; later commits do not show in it."""

    @property
    def position(self) -> int:
        """The log position this state is folded up to."""
        ...

    def get(self, table: str, key: bytes) -> bytes | None:
        """The value at ``key``, or ``None``."""
        ...

    def scan(
        self, table: str, prefix: bytes = b"", *, after: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Keys that begin with ``prefix`` and their values, in key order; ``after`` leaves out keys up to and with it
        (in the direction of travel).
        """
        ...

    def close(self) -> None:
        """Let go of the snapshot."""
        ...


class Store(Protocol):
    """Tables of bytes and one position. One writer process; any number of readers in other processes."""

    def snapshot(self) -> Snapshot:
        """A consistent view of all tables. Cheap; hold it for one question, then close it."""
        ...

    def commit(self, changes: Changes, *, position: int, expected: int) -> None:
        """Apply all changes and move the position, all or nothing.

        Raises:
            Corrupt: the stored position is not ``expected``: somebody else folds into this store.
            Unavailable: nothing was changed (a full disk).
        """
        ...

    def clear(self) -> None:
        """Empty every table and set the position to 0."""
        ...

    def close(self) -> None:
        """Release files; closing twice is allowed."""
        ...


def open_store(url: str, *, write: bool = False) -> Store:
    """The store that a URL names; engines are modules of this package.

    Raises:
        Rejected: the scheme names no engine.
        Unavailable: another process writes to it, or the folder cannot be used.
    """
    scheme = urlsplit(url).scheme
    try:
        module = import_module(f"plait.store.{scheme}")
    except ModuleNotFoundError as exc:
        if exc.name != f"plait.store.{scheme}":
            raise Rejected(
                f'store engine "{scheme}" needs its driver: pip install "plait[{scheme}]"',
                code="driver_missing",
            ) from exc
        raise Rejected(
            f'no store engine "{scheme}" (in {url!r})', code="unknown_engine", field="store"
        ) from exc
    store: Store = module.Store(url, write=write)
    return store
