"""The state on one machine: tables of one LMDB file, with the position of the log in the same transaction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lmdb

from plait.errors import Corrupt, Unavailable
from plait.lmdbfile import MAP_SIZE, File
from plait.store import TABLES, Changes

_POSITION = "position"  # a table beside the named ones, with one row
_KEY = b"position"


class Snapshot:
    """See ``plait.store.Snapshot``. Also a context manager, which closes it."""

    __slots__ = ("_get", "_tables", "_txn")

    def __init__(self, txn: Any, tables: dict[str, Any]) -> None:
        self._txn = txn
        self._get = txn.get
        self._tables = tables

    @property
    def position(self) -> int:
        """The log position this state is folded up to."""
        return _position(self._txn, self._tables)

    def get(self, table: str, key: bytes) -> bytes | None:
        """The value at ``key``, or ``None``."""
        try:
            found: bytes | None = self._get(key, None, self._tables[table])
        except lmdb.Error as exc:
            raise _told(exc) from exc
        return found

    def scan(
        self, table: str, prefix: bytes = b"", *, after: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Keys that begin with ``prefix`` and their values, in order."""
        try:
            cursor = self._txn.cursor(self._tables[table])
            rows = _backward(cursor, prefix, after) if reverse else _forward(cursor, prefix, after)
            if not prefix:
                yield from rows
                return
            for row in rows:
                if not row[0].startswith(prefix):
                    return
                yield row
        except lmdb.Error as exc:
            raise _told(exc) from exc

    def close(self) -> None:
        """Give the transaction back for the next snapshot; closing twice is allowed."""
        self._txn.abort()

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Store:
    """See ``plait.store.Store``. ``url`` is ``lmdb://`` and the path of a folder."""

    def __init__(self, url: str, *, write: bool = False, map_size: int = MAP_SIZE) -> None:
        # Not durable: syncing every commit takes two thirds of the fold's time, and after a power loss the state is
        # folded again from the log, which is (docs/explanation/decisions/0011-the-state-is-not-synced.md).
        self._file = File.at(
            url.removeprefix("lmdb://"), tables=(*TABLES, _POSITION), durable=False, map_size=map_size
        )
        self._write = write
        self._open = True
        if write:
            try:
                self._file.lock_for_writing()
            except BaseException:
                self._file.release(writer=False)
                raise

    def snapshot(self) -> Snapshot:
        """A consistent view of all tables."""
        txn, tables = self._file.read()
        return Snapshot(txn, tables)

    def commit(self, changes: Changes, *, position: int, expected: int) -> None:
        """Apply all changes and move the position, all or nothing."""

        def work(txn: Any, tables: dict[str, Any]) -> None:
            found = _position(txn, tables)
            if found != expected:
                raise Corrupt(
                    f"the state stands at position {found}, not {expected}: "
                    "somebody else folds into it, or it is another log's; plait replay rebuilds it",
                    code="state_position",
                )
            for name, rows in changes.items():
                _apply(txn, tables[name], rows)
            txn.put(_KEY, position.to_bytes(8, "big"), db=tables[_POSITION])

        self._file.write(work)

    def clear(self) -> None:
        """Empty every table and set the position to 0."""

        def work(txn: Any, tables: dict[str, Any]) -> None:
            for table in tables.values():
                txn.drop(table, delete=False)

        self._file.write(work)

    def compact(self) -> None:
        """Rewrite the file so that nothing deleted is left in it; ``commit`` waits meanwhile."""
        self._file.compact()

    def close(self) -> None:
        """Release the folder; closing twice is allowed."""
        if self._open:
            self._open = False
            self._file.release(writer=self._write)


def _apply(txn: Any, table: Any, rows: Any) -> None:
    # In key order: neighbours share pages, and a page is copied once a transaction.
    kept = [(key, value) for key in sorted(rows) if (value := rows[key]) is not None]
    txn.cursor(table).putmulti(kept)
    if len(kept) < len(rows):
        for key in sorted(rows):
            if rows[key] is None:
                txn.delete(key, db=table)


def _position(txn: Any, tables: dict[str, Any]) -> int:
    return int.from_bytes(txn.get(_KEY, b"", tables[_POSITION]), "big")


def _forward(cursor: Any, prefix: bytes, after: bytes | None) -> Iterator[tuple[bytes, bytes]]:
    start = prefix if after is None or after < prefix else after
    if not (cursor.set_range(start) if start else cursor.first()):
        return iter(())
    if cursor.key() == after and not cursor.next():
        return iter(())
    rows: Iterator[tuple[bytes, bytes]] = cursor.iternext()
    return rows


def _backward(cursor: Any, prefix: bytes, after: bytes | None) -> Iterator[tuple[bytes, bytes]]:
    end = _behind(prefix)
    if after is not None and (end is None or after < end):
        end = after
    # Either the cursor stands on the first key that is too far, and we want the one before, or on nothing.
    found = cursor.prev() if end is not None and cursor.set_range(end) else cursor.last()
    if not found:
        return iter(())
    rows: Iterator[tuple[bytes, bytes]] = cursor.iterprev()
    return rows


def _behind(prefix: bytes) -> bytes | None:
    """The smallest key greater than all that begin with ``prefix``; ``None`` when there is no such key."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else None


def _told(exc: Exception) -> Unavailable:
    return Unavailable(f"the snapshot was closed under the question: {exc}", code="snapshot_closed")
