"""The lake: every event as a row, for analysis, export and scale-out. A copy of the log that may be dropped.

One module is one engine; a URL's scheme names it (``parquet:///path``). Rows come in runs of log positions: a
run takes the place of everything from its first position on, so a writer that crashed begins again behind ``last``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from typing import Any, Protocol
from urllib.parse import urlsplit

from plait.errors import Rejected
from plait.events import Event

# Columns of the table ``events`` and their types in SQL. Times are ms since the epoch; ``consent``, ``traits``,
# ``context`` and ``properties`` are JSON text (``properties->>'colour'``).
COLUMNS = {
    "position": "BIGINT",  # of the record in the log
    "id": "VARCHAR",
    "source": "VARCHAR",
    "signal": "VARCHAR",
    "op": "VARCHAR",
    "happened_at": "BIGINT",  # Event.at; "at" is a word of SQL's own
    "received_at": "BIGINT",
    "who": "VARCHAR[]",
    "item": "VARCHAR",
    "section": "VARCHAR",
    "post": "VARCHAR",
    "topic": "VARCHAR",
    "url": "VARCHAR",
    "query": "VARCHAR",
    "account": "VARCHAR",
    "value": "DOUBLE",
    "counter_view": "VARCHAR",
    "counter_started_at": "BIGINT",
    "counter_epoch": "BIGINT",
    "name": "VARCHAR",
    "decision": "VARCHAR",
    "consent": "JSON",
    "traits": "JSON",
    "context": "JSON",
    "properties": "JSON",
    "proven": "BOOLEAN",
    "part": "INTEGER",
    "record": "VARCHAR",
}


class Lake(Protocol):
    """Rows of events in runs of log positions. Any process may write; they take turns."""

    def write(self, first: int, last: int, rows: Sequence[tuple[int, Event]]) -> None:
        """Keep what the records ``first..last`` (both included) became, in place of everything from ``first`` on.

        Args:
            first: 1 <= first <= last; ``last`` of the lake + 1, or where a run began.
            last: becomes ``last`` of the lake.
            rows: (position, event), in the order of the log; may be empty. Durable on return.

        Raises:
            Unavailable: no row of it was kept (a full disk).
            ValueError: no run, or it would begin inside another.
        """
        ...

    @property
    def last(self) -> int:
        """The newest position that was written, 0 when none was; retention does not take it back."""
        ...

    def redact(self, identifiers: Collection[str], *, up_to: int) -> int:
        """Take out every event that names one of these, at positions <= ``up_to``; how many they were.

        Rows that are still to be written are the writer's to leave out.
        """
        ...

    def drop_before(self, received_at: int) -> int:
        """Take out events received before this time (ms since the epoch); how many they were."""
        ...

    def clear(self) -> None:
        """Take out everything."""
        ...

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Ask in SQL about the table ``events`` (``COLUMNS``); ``$name`` in it stands for a parameter.

        Raises:
            Rejected: code ``invalid_sql``; reading or writing other files is refused too.
        """
        ...

    def close(self) -> None:
        """Release files; closing twice is allowed."""
        ...


def open_lake(url: str) -> Lake:
    """The lake that a URL names; engines are modules of this package.

    Raises:
        Rejected: the scheme names no engine.
        Unavailable: the folder cannot be used.
    """
    scheme = urlsplit(url).scheme
    try:
        module = import_module(f"plait.lake.{scheme}")
    except ModuleNotFoundError as exc:
        if exc.name != f"plait.lake.{scheme}":
            raise Rejected(
                f'lake engine "{scheme}" needs its driver: pip install "plait[{scheme}]"',
                code="driver_missing",
            ) from exc
        raise Rejected(
            f'no lake engine "{scheme}" (in {url!r})', code="unknown_engine", field="lake"
        ) from exc
    lake: Lake = module.Lake(url)
    return lake
