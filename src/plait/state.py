"""How the state lies in its tables, and what a step of the fold is about to change in it.

``docs/reference/state.md`` has every table. Rows of ``timeline``, ``counters`` and ``links`` belong to one
identifier each: their key is the identifier, a NUL, and a rest.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import msgspec

from plait.events import DAY, Event
from plait.store import TABLES, Snapshot

WINDOW = 30 * DAY  # how long a message id is remembered, in time of the log
BUCKET = WINDOW // 2


class Row(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A line of an identifier's timeline: where an event stands in the log.

    Attributes:
        position: of the record.
        number: of the call in the record that it came from.
        part: which of that call's events it is.
        source, id, signal: of the event.
        seen: what was looked at, as a key (``profile.abouts``), when this is a view in the identifier's own fragment.
    """

    position: int
    number: int
    part: int
    source: str
    id: str
    signal: str
    seen: str | None = None


_counter = struct.Struct("<d")
_encode = msgspec.msgpack.Encoder().encode
_rows = msgspec.msgpack.Decoder(Row)


def encode_row(position: int, number: int, event: Event, seen: str | None) -> bytes:
    """The bytes of a ``Row``."""
    return _encode(
        (position, number, event.part, event.source, event.id, event.signal)
        if seen is None
        else (position, number, event.part, event.source, event.id, event.signal, seen)
    )


def decode_row(raw: bytes) -> Row:
    """The inverse of ``encode_row``."""
    return _rows.decode(raw)


def mark_of(event: Event) -> bytes:
    """Eight bytes that tell events of one moment apart."""
    return blake2b(f"{event.source}\0{event.id}\0{event.part}".encode(), digest_size=8).digest()


def row_key(at: int, mark: bytes) -> bytes:
    """The rest of a timeline key: rows of an identifier lie in order of time."""
    return max(at, 0).to_bytes(8, "big") + mark


def row_time(rest: bytes) -> int:
    """When the event of a timeline row happened, ms since the epoch."""
    return int.from_bytes(rest[:8], "big")


def window_keys(source: str, id: str, received_at: int) -> list[bytes]:
    """Where a message id may be remembered in the table ``window``, the likeliest first.

    Keys begin with a stretch of half the window, so that old ones lie together and leave together.
    """
    name = blake2b(f"{source}\0{id}".encode(), digest_size=16).digest()
    bucket = received_at // BUCKET
    return [one.to_bytes(2, "big") + name for one in range(bucket, max(-1, bucket - 3), -1)]


def encode_counter(value: float) -> bytes:
    """The bytes of a counter's largest value."""
    return _counter.pack(value)


def decode_counter(raw: bytes) -> float:
    """The inverse of ``encode_counter``."""
    value: float = _counter.unpack(raw)[0]
    return value


class Pending:
    """The state as it will be: a snapshot and what is to be changed in it."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._stored = snapshot.get
        self._changed: dict[str, dict[bytes, bytes | None]] = {table: {} for table in TABLES}
        # table -> identifier -> rest -> value; apart from the above, so that one identifier's rows are found
        self._rows: dict[str, dict[str, dict[bytes, bytes | None]]] = {table: {} for table in TABLES}
        self._sorted: dict[tuple[str, str], list[bytes]] = {}

    def get(self, table: str, key: bytes) -> bytes | None:
        """The value at ``key``."""
        changed = self._changed[table]
        return changed[key] if key in changed else self._stored(table, key)

    def put(self, table: str, key: bytes, value: bytes | None) -> None:
        """Set a value; ``None`` deletes."""
        self._changed[table][key] = value

    def get_row(self, table: str, identifier: str, rest: bytes) -> bytes | None:
        """The value of one row of an identifier."""
        rows = self._rows[table].get(identifier)
        if rows is not None and rest in rows:
            return rows[rest]
        return self._stored(table, b"%b\0%b" % (identifier.encode(), rest))

    def put_row(self, table: str, identifier: str, rest: bytes, value: bytes | None) -> None:
        """Set a row of an identifier; ``None`` deletes."""
        rows = self._rows[table].get(identifier)
        if rows is None:
            rows = self._rows[table][identifier] = {}
        if self._sorted and rest not in rows:
            keys = self._sorted.get((table, identifier))
            if keys is not None:
                insort(keys, rest)
        rows[rest] = value

    def rows(
        self, table: str, identifier: str, *, after: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """An identifier's rows as (rest, value) in order of the rest; ``after`` leaves out what comes up to and with it."""
        prefix = identifier.encode() + b"\0"
        stored: Iterator[tuple[bytes, bytes | None]] = (
            (key[len(prefix) :], value)
            for key, value in self.snapshot.scan(
                table, prefix, after=None if after is None else prefix + after, reverse=reverse
            )
        )
        changed = self._rows[table].get(identifier)
        both = _merged(stored, self._fresh(table, identifier, after, reverse), reverse) if changed else stored
        for rest, value in both:
            if value is not None:
                yield rest, value

    def _fresh(
        self, table: str, identifier: str, after: bytes | None, reverse: bool
    ) -> Iterator[tuple[bytes, bytes | None]]:
        rows = self._rows[table][identifier]
        keys = self._sorted.get((table, identifier))
        if keys is None:
            keys = self._sorted[table, identifier] = sorted(rows)
        if reverse:
            end = len(keys) if after is None else bisect_left(keys, after)
            return ((keys[one], rows[keys[one]]) for one in range(end - 1, -1, -1))
        start = 0 if after is None else bisect_right(keys, after)
        return ((keys[one], rows[keys[one]]) for one in range(start, len(keys)))

    def changes(self) -> dict[str, dict[bytes, bytes | None]]:
        """All that is to be changed, as a store takes it."""
        for table, identifiers in self._rows.items():
            flat = self._changed[table]
            for identifier, rows in identifiers.items():
                prefix = identifier.encode() + b"\0"
                for rest, value in rows.items():
                    flat[prefix + rest] = value
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
