"""Files as shops have them, read into items and events: CSV, TSV, JSON, Parquet, Google Merchant XML, RSS and Atom.

What a file is, its bytes say; names and endings are not believed. A module of this package reads one format into
rows; ``items.py`` and ``events.py`` make our words of a row. A row that cannot be read is told with its place and
field, and the rest goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from plait.errors import Rejected
from plait.feeds import delimited, events, items, jsons, parquet, xml
from plait.feeds.source import Row, Source, open_source

Read = Iterator[dict[str, Any] | Rejected]

_READERS: dict[str, Callable[[Source], Iterator[Row | Rejected]]] = {
    "parquet": parquet.rows,
    "xml": xml.rows,
    "json": jsons.rows,
    "delimited": delimited.rows,
}


def sniff(head: str, raw: bytes) -> str:
    """The reader for a file that begins so: ``parquet``, ``xml``, ``json`` or ``delimited``."""
    if raw.startswith(b"PAR1"):
        return "parquet"
    return {"<": "xml", "{": "json", "[": "json"}.get(head.lstrip()[:1], "delimited")


def read_items(path: Path, names: Iterable[str] = (), *, now: int | None = None) -> Read:
    """The items of a file, each as ``POST /v1/items`` takes it, checked; or what is wrong with a row.

    Args:
        path: CSV, TSV, JSON (lines or a list), Parquet, Google Merchant (XML or TSV), RSS or Atom; gzip too.
        names: ``ours=theirs``: take one of our fields from a column of that name.
        now: ms since the epoch; sale prices with dates count within them only. ``None``: they count.

    Raises:
        Rejected: ``invalid_file`` when it cannot be read at all: empty, no column for an id, not what it seems.
    """
    return _read(path, items.Reader(parsed_names(names), now=now))


def read_events(path: Path, names: Iterable[str] = ()) -> Read:
    """The events of a file, each as ``POST /v1/events`` takes it; or what is wrong with a row.

    An event without an id gets one made from its content, so that the same file read twice counts once.

    Args:
        path: CSV, TSV, JSON or Parquet; gzip too.
        names: ``ours=theirs``: ``at=timestamp``, ``who:user=personId``, ``signal=eventType``, and for values of the
            signal column ``signal:BOOKMARK=save``.

    Raises:
        Rejected: as for ``read_items``.
    """
    return _read(path, events.Reader(parsed_names(names)))


def parsed_names(names: Iterable[str]) -> dict[str, str]:
    """``{"at": "timestamp"}`` of ``["at=timestamp"]``.

    Raises:
        Rejected: ``invalid_map``.
    """
    found: dict[str, str] = {}
    for one in names:
        ours, sign, theirs = one.partition("=")
        if not sign or not ours.strip() or not theirs.strip():
            raise Rejected(f"a map looks like ours=theirs, not {one[:80]!r}", code="invalid_map", field="map")
        found[ours.strip()] = theirs.strip()
    return found


def _read(path: Path, reader: items.Reader | events.Reader) -> Read:
    with open_source(path) as source:
        for row in _READERS[sniff(source.head, source.raw)](source):
            if isinstance(row, Rejected):
                yield row
                continue
            try:
                found = reader.read(row)
            except Rejected as exc:
                if exc.code == "invalid_file":
                    raise
                yield told(row.place, exc)
                continue
            if found is not None:
                yield found


def told(place: str, exc: Rejected) -> Rejected:
    """The same error with its place in the file before it."""
    return Rejected(f"{place}: {exc.message}", code=exc.code, field=exc.field)
