"""A store and a log that are only dictionaries: the floor for the bench, and quick ground for property tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from plait.errors import Corrupt
from plait.store import TABLES, Changes


class PlainStore:
    """The ``Store`` port on dicts of bytes. Nothing is kept; a snapshot is the store itself."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[bytes, bytes]] = {table: {} for table in TABLES}
        self.position = 0

    def snapshot(self) -> PlainStore:
        return self

    def get(self, table: str, key: bytes) -> bytes | None:
        return self.tables[table].get(key)

    def scan(
        self, table: str, prefix: bytes = b"", *, after: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        rows = self.tables[table]
        keys = sorted((key for key in rows if key.startswith(prefix)), reverse=reverse)
        for key in keys:
            if after is None or (key < after if reverse else key > after):
                yield key, rows[key]

    def commit(self, changes: Changes, *, position: int, expected: int) -> None:
        if self.position != expected:
            raise Corrupt(f"stands at {self.position}, not {expected}")
        for table, rows in changes.items():
            here = self.tables[table]
            for key, value in rows.items():
                if value is None:
                    here.pop(key, None)
                else:
                    here[key] = value
        self.position = position

    def clear(self) -> None:
        self.__init__()  # type: ignore[misc]

    def close(self) -> None:
        pass

    def __enter__(self) -> PlainStore:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class PlainLog:
    """As much of the ``Log`` port as a fold and an erasure ask for, on a list."""

    def __init__(self, records: Sequence[bytes] = ()) -> None:
        self.records = list(records)

    def append(self, records: Sequence[bytes]) -> int:
        self.records += records
        return len(self.records) - len(records) + 1

    def read(self, after: int, *, limit: int = 1_000) -> list[tuple[int, bytes]]:
        return list(enumerate(self.records[after : after + limit], after + 1))

    def get(self, positions: Sequence[int]) -> dict[int, bytes]:
        return {one: self.records[one - 1] for one in positions if 0 < one <= len(self.records)}

    def redact(self, changes: dict[int, bytes]) -> None:
        for position, record in changes.items():
            self.records[position - 1] = record
