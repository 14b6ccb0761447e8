"""Parquet, read by DuckDB."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import duckdb

from plait.errors import Rejected
from plait.feeds.source import Row, Source, name_of


def rows(source: Source) -> Iterator[Row | Rejected]:
    """Rows by their number."""
    db = duckdb.connect(config={"autoinstall_known_extensions": False, "threads": 1})
    try:
        # A name with * would otherwise be a pattern for many files.
        found = db.execute("select * from read_parquet(?)", [glob.escape(str(source.path))])
        names = [name_of(column[0]) for column in found.description or ()]
        number = 0
        while some := found.fetchmany(2_000):
            for values in some:
                number += 1
                told = {name: _plain(value) for name, value in zip(names, values, strict=True)}
                yield Row(f"row {number}", {k: v for k, v in told.items() if v not in (None, "")}, typed=True)
    except duckdb.Error as exc:
        raise Rejected(f"{source.path.name} is not Parquet as it seems: {exc}", code="invalid_file") from exc
    finally:
        db.close()


def _plain(value: Any) -> Any:
    """The value in JSON's types."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, (bytes, bytearray)):
        return None
    if isinstance(value, float) and value != value:
        return None
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    return value
