"""The log on one machine: records in an LMDB file under their position, as eight bytes, big end first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from plait.lmdbfile import MAP_SIZE, File
from plait.settings import RESERVE

MOST_READ = 64 << 20  # bytes that one `read` holds in memory, about


class Log:
    """See ``plait.log.Log``. ``url`` is ``lmdb://`` and the path of a folder."""

    def __init__(
        self, url: str, *, write: bool = False, reserve: int = RESERVE, map_size: int = MAP_SIZE
    ) -> None:
        self._file = File.at(url.removeprefix("lmdb://"), tables=(), durable=True, map_size=map_size)
        self._reserve = reserve
        self._write = write
        self._open = True
        self._redacted: set[int] = set()  # positions, since a compaction began to copy
        if write:
            try:
                self._file.lock_for_writing()
            except BaseException:
                self._file.release(writer=False)
                raise

    def append(self, records: Sequence[bytes], *, pressing: bool = False) -> int:
        """Add records in order, durable on return; the position of the first."""

        def work(txn: Any, _: Any) -> int:
            cursor = txn.cursor()
            first = _position(cursor.key()) + 1 if cursor.last() else 1
            cursor.putmulti(
                zip(map(_key, range(first, first + len(records))), records, strict=True), append=True
            )
            return first

        if not records:
            return self.last + 1
        return self._file.write(work, reserve=0 if pressing else self._reserve)

    def read(self, after: int, *, limit: int = 1_000) -> list[tuple[int, bytes]]:
        """At most ``limit`` records behind ``after``, fewer when they are large; empty only at the end."""
        found: list[tuple[int, bytes]] = []
        txn, _ = self._file.read()
        try:
            cursor = txn.cursor()
            if not cursor.set_range(_key(after + 1)):
                return found
            size = 0
            for key, value in islice(cursor.iternext(), limit):
                found.append((_position(key), value))
                size += len(value)
                if size > MOST_READ:
                    break
            return found
        finally:
            txn.abort()

    def scan(self, after: int = 0) -> Iterator[tuple[int, bytes]]:
        """All records behind ``after`` up to what is the last now."""
        # In steps, each with a transaction of its own: one long one would keep LMDB from using pages again.
        last = self.last
        while after < last:
            for position, record in self.read(after, limit=min(1_000, last - after)):
                yield position, record
                after = position

    def get(self, positions: Sequence[int]) -> dict[int, bytes]:
        """The records at these positions that are there."""
        txn, _ = self._file.read()
        try:
            found = ((position, txn.get(_key(position))) for position in sorted(set(positions)))
            return {position: record for position, record in found if record is not None}
        finally:
            txn.abort()

    def redact(self, changes: dict[int, bytes]) -> None:
        """Write records anew where they stand.

        Raises:
            ValueError: a position is not in the log; nothing was changed.
        """

        def work(txn: Any, _: Any) -> None:
            for position, record in sorted(changes.items()):
                key = _key(position)
                if txn.get(key) is None:
                    raise ValueError(f"position {position} is not in the log")
                txn.put(key, record)
            self._redacted.update(changes)

        if changes:
            self._file.write(work)

    def compact(self) -> None:
        """Rewrite the file; appending goes on meanwhile, but for the last moment."""

        def catch_up(old: Any, new: Any) -> None:
            cursor, copy = old.cursor(), new.cursor()
            copied = _position(copy.key()) if copy.last() else 0
            if cursor.set_range(_key(copied + 1)):
                copy.putmulti(cursor.iternext(), append=True)
            copy.putmulti((key, old.get(key)) for key in map(_key, self._redacted))

        self._redacted.clear()
        self._file.compact(catch_up=catch_up)

    def copy(self, folder: str) -> None:
        """A backup in a new folder, while the log is being written; open it, or put it where the log was."""
        self._file.copy(Path(folder))

    @property
    def last(self) -> int:
        """The newest position, 0 when there is none."""
        txn, _ = self._file.read()
        try:
            cursor = txn.cursor()
            return _position(cursor.key()) if cursor.last() else 0
        finally:
            txn.abort()

    def close(self) -> None:
        """Release the folder; closing twice is allowed."""
        if self._open:
            self._open = False
            self._file.release(writer=self._write)


def _key(position: int) -> bytes:
    return position.to_bytes(8, "big")


def _position(key: bytes) -> int:
    return int.from_bytes(key, "big")
