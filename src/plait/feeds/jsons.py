"""JSON: an object a line, a list of objects, or an object that holds such a list."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from plait.errors import Rejected
from plait.feeds.source import Row, Source, name_of

MAX_DOCUMENT = 128 * 1024 * 1024  # characters of a file that is one JSON document and has to be held whole


def rows(source: Source) -> Iterator[Row | Rejected]:
    """Objects by place."""
    first = source.head.lstrip()
    line = first.splitlines()[0]
    if first.startswith("[") or (_decoded(line) is None and line.rstrip()[-1] in "{[,"):
        yield from _of_document(source)
        return
    for number, text in source.lines():
        place = f"line {number}"
        if text is not None and not text.strip("\ufeff \t\r\n"):
            continue
        told = None if text is None else _decoded(text)
        if isinstance(told, dict) and (inside := _list_in(told)) is not None and number == 1:
            yield from _all(inside)  # a whole document on one line
        elif isinstance(told, dict):
            yield Row(place, _named(told), typed=True)
        else:
            why = "is too long" if text is None else "is not a JSON object"
            yield Rejected(f"{place}: {why}", code="invalid_row", field=place)


def _of_document(source: Source) -> Iterator[Row | Rejected]:
    text = source.text.read(MAX_DOCUMENT)
    if len(text) == MAX_DOCUMENT:
        raise Rejected(
            f"{source.path.name} is too large for one JSON document; use a line per object",
            code="invalid_file",
        )
    told = _decoded(text)
    found = _list_in(told) if isinstance(told, dict) else told
    if not isinstance(found, list):
        raise Rejected(f"{source.path.name} is not JSON, or holds no list of objects", code="invalid_file")
    yield from _all(found)


def _all(found: list[Any]) -> Iterator[Row | Rejected]:
    for number, one in enumerate(found, 1):
        place = f"row {number}"
        if isinstance(one, dict):
            yield Row(place, _named(one), typed=True)
        else:
            yield Rejected(f"{place}: is not a JSON object", code="invalid_row", field=place)


def _list_in(told: dict[str, Any]) -> list[Any] | None:
    """The list that a document is about: ``{"items": [...]}``, ``{"products": [...]}``."""
    for name in ("items", "products", "events", "entries", "data", "results", "articles"):
        inside = told.get(name)
        if isinstance(inside, list) and all(isinstance(one, dict) for one in inside[:3]):
            return inside
    return None


def _named(told: dict[str, Any]) -> dict[str, Any]:
    return {name_of(name): value for name, value in told.items() if value is not None and value != ""}


def _decoded(text: str) -> Any:
    text = text.lstrip("\ufeff")
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        pass
    try:  # pandas writes NaN, which is not JSON
        return json.loads(text, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None
