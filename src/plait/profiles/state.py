"""How the state lies in its tables, and what a step of the fold is about to change in it.

``docs/reference/state.md`` has every table. Rows of ``timeline``, ``counters`` and ``links`` belong to one
identifier each: their key is the identifier, a NUL, and a rest.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec

from plait.events import DAY, Event
from plait.store import TABLES, Snapshot

WINDOW = 30 * DAY  # how long a message id is remembered, in time of the log
BUCKET = WINDOW // 2
NOBODY = ""  # whose timeline holds what names nobody: counts
ASIDE = b"aside\0"  # in `meta`: position of a record that could not be folded -> why


class Row(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A line of an identifier's timeline: where an event stands in the log.

    Attributes:
        position: of the record.
        number: of the call in the record that it came from.
        part: which of that call's events it is.
        source, id, signal: of the event.
    """

    position: int
    number: int
    part: int
    source: str
    id: str
    signal: str


_counter = struct.Struct("<d")
_encode = msgspec.msgpack.Encoder().encode
_rows = msgspec.msgpack.Decoder(Row)


def encode_row(position: int, number: int, event: Event) -> bytes:
    """The bytes of a ``Row``."""
    return _encode((position, number, event.part, event.source, event.id, event.signal))


def decode_row(raw: bytes) -> Row:
    """The inverse of ``encode_row``."""
    return _rows.decode(raw)


def message_name(source: str, id: str) -> bytes:
    """Sixteen bytes that stand for a message id of a source."""
    return blake2b(f"{source}\0{id}".encode(), digest_size=16).digest()


def mark_of(event: Event, name: bytes | None = None) -> bytes:
    """Eight bytes that tell events of one moment apart; ``name`` is the message's, where it is known already."""
    name = message_name(event.source, event.id) if name is None else name
    return blake2b(name + event.part.to_bytes(4, "big"), digest_size=8).digest() if event.part else name[:8]


def row_key(at: int, mark: bytes) -> bytes:
    """The rest of a timeline key: rows of an identifier lie in order of time."""
    return max(at, 0).to_bytes(8, "big") + mark


@lru_cache(maxsize=1_000)
def views_of(source: str) -> bytes:
    """What the keys of an identifier's views under a source go on with, so that neighbours are found at once."""
    return blake2b(source.encode(), digest_size=8).digest()


def row_time(rest: bytes) -> int:
    """When the event of a timeline row happened, ms since the epoch."""
    return int.from_bytes(rest[:8], "big")


def window_keys(name: bytes, received_at: int, oldest: int = 0) -> list[bytes]:
    """Where a message may be remembered in the table ``window``, the likeliest first.

    Keys begin with a stretch of half the window, so that old ones lie together and leave together.

    Args:
        name: ``message_name``.
        received_at: when it is told now, ms since the epoch.
        oldest: the first stretch that there is anything of.
    """
    bucket = received_at // BUCKET
    if oldest >= bucket:
        return [bucket.to_bytes(2, "big") + name]
    return [one.to_bytes(2, "big") + name for one in range(bucket, max(oldest, bucket - 2) - 1, -1)]


def encode_counter(value: float) -> bytes:
    """The bytes of a counter's largest value."""
    return _counter.pack(value)


def decode_counter(raw: bytes) -> float:
    """The inverse of ``encode_counter``."""
    value: float = _counter.unpack(raw)[0]
    return value


def prefix_of(identifier: str) -> bytes:
    """What the keys of an identifier's rows begin with."""
    return identifier.encode() + b"\0"


class Pending:
    """The state as it will be: a snapshot and what is to be changed in it."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._stored = snapshot.get
        self._changed: dict[str, dict[bytes, bytes | None]] = {table: {} for table in TABLES}
        # Changed keys in order, of the tables somebody asked about: most steps never do.
        self._sorted: dict[str, list[bytes]] = {}

    def get(self, table: str, key: bytes) -> bytes | None:
        """The value at ``key``."""
        changed = self._changed[table]
        return changed[key] if key in changed else self._stored(table, key)

    def put(self, table: str, key: bytes, value: bytes | None) -> None:
        """Set a value; ``None`` deletes."""
        changed = self._changed[table]
        if self._sorted and table in self._sorted and key not in changed:
            insort(self._sorted[table], key)
        changed[key] = value

    def rows(
        self, table: str, prefix: bytes, *, after: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Rows whose keys begin with ``prefix``, as (rest of the key, value) in order of the rest.

        What is put into the table while rows are taken may or may not be among them.

        Args:
            table: its name.
            prefix: mostly ``prefix_of`` an identifier.
            after: a rest; leaves out what comes up to and with it, in the direction of travel.
            reverse: from the last to the first.
        """
        start = None if after is None else prefix + after
        stored: Iterator[tuple[bytes, bytes | None]] = self.snapshot.scan(
            table, prefix, after=start, reverse=reverse
        )
        fresh = self._fresh(table, prefix, start, reverse)
        for key, value in _merged(stored, fresh, reverse):
            if value is not None:
                yield key[len(prefix) :], value

    def _fresh(
        self, table: str, prefix: bytes, after: bytes | None, reverse: bool
    ) -> Iterator[tuple[bytes, bytes | None]]:
        changed = self._changed[table]
        keys = self._sorted.get(table)
        if keys is None:
            keys = self._sorted[table] = sorted(changed)
        first, last = bisect_left(keys, prefix), bisect_left(keys, prefix + b"\xff" * 8)
        if after is not None and reverse:
            last = bisect_left(keys, after)
        elif after is not None:
            first = bisect_right(keys, after)
        places = range(last - 1, first - 1, -1) if reverse else range(first, last)
        return ((keys[place], changed[keys[place]]) for place in places)

    def clear(self, table: str, prefix: bytes) -> None:
        """Delete all rows whose keys begin with ``prefix``."""
        for rest, _ in list(self.rows(table, prefix)):
            self.put(table, prefix + rest, None)

    def changes(self) -> dict[str, dict[bytes, bytes | None]]:
        """All that is to be changed, as a store takes it."""
        return {table: changed for table, changed in self._changed.items() if changed}


def _merged(
    stored: Iterator[Any], fresh: Iterator[Any], reverse: bool
) -> Iterator[tuple[bytes, bytes | None]]:
    """Both in one order; where both have a key, the fresh value counts."""
    one, other = next(stored, None), next(fresh, None)
    while one is not None and other is not None:
        if one[0] == other[0]:
            one = next(stored, None)
        elif (one[0] < other[0]) is not reverse:
            yield one
            one = next(stored, None)
        else:
            yield other
            other = next(fresh, None)
    if one is not None:
        yield one
        yield from stored
    if other is not None:
        yield other
        yield from fresh
