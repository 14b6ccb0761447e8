"""CSV and TSV, with the quotes, blanks and line ends of real exports."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from plait.errors import Rejected
from plait.feeds.source import Row, Source, name_of

# A quoted text may run over lines. One quote that nobody closed must not swallow the file.
MAX_RUN = 200  # lines
MAX_CHARS = 200_000
# Several are tried, and the one that the header has most of wins.
DELIMITERS = "\t;,|"


def rows(source: Source) -> Iterator[Row | Rejected]:
    """Rows by the names in the first line. A column that is there twice gives a list.

    Raises:
        Rejected: ``invalid_file``: there is nothing but one name. An export of nothing has more columns.
    """
    csv.field_size_limit(MAX_CHARS)
    records = _records(source, _delimiter(source.head))
    header: list[str] | None = None
    found = False
    for line, fields in records:
        if isinstance(fields, Rejected):
            yield fields
        elif not any(field.strip() for field in fields):
            continue
        elif header is None:
            if len(fields) == 1 and fields[0].lower().startswith("sep="):
                continue  # Excel's hint to itself
            header = [name_of(field) for field in fields]
        else:
            found = True
            yield _row(f"line {line}", header, fields)
    if header is not None and len(header) == 1 and not found:
        raise Rejected(f"{source.path.name} is a line of text and no table", code="invalid_file")


def _row(place: str, header: list[str], fields: list[str]) -> Row | Rejected:
    while len(fields) > len(header) and not fields[-1].strip():
        fields.pop()
    if len(fields) != len(header):
        # Filling up would take a row that was cut off, or one shifted by a stray delimiter, for a right one.
        return Rejected(
            f"{place}: has {len(fields)} columns, the header has {len(header)}",
            code="invalid_row",
            field=place,
        )
    values: dict[str, object] = {}
    for name, text in zip(header, fields, strict=True):
        value = text.strip()
        if not name or not value:
            continue
        had = values.get(name)
        values[name] = value if had is None else [*had, value] if isinstance(had, list) else [had, value]
    return Row(place, values)


def _delimiter(head: str) -> str:
    lines = [line for line in head.splitlines() if line.strip()]
    if lines[0].lower().startswith("sep=") and len(lines[0].strip()) == 5:
        return lines[0].strip()[4]
    bare = "".join(lines[0].split('"')[::2])  # outside quotes
    return max(DELIMITERS, key=bare.count) if any(sign in bare for sign in DELIMITERS) else ","


def _records(source: Source, delimiter: str) -> Iterator[tuple[int, list[str] | Rejected]]:
    waiting: list[tuple[int, str | None]] = []
    lines = source.lines()

    def following() -> tuple[int, str | None] | None:
        return waiting.pop(0) if waiting else next(lines, None)

    while (numbered := following()) is not None:
        number, text = numbered
        if text is None:
            yield number, Rejected(f"line {number}: is too long", code="invalid_row", field=f"line {number}")
            continue
        fields = _parsed(text, delimiter)
        run = [numbered]
        while fields is None and len(run) < MAX_RUN and len(text) < MAX_CHARS:
            more = following()
            if more is None:
                break
            run.append(more)
            if more[1] is None:
                break
            text += more[1]
            if '"' in more[1]:
                fields = _parsed(text, delimiter)
        if fields is None:  # nobody closed the quote: it was one in the text, as in 15" screen
            waiting[:0] = run[1:]
            fields = _literal(str(run[0][1]), delimiter)
        yield number, fields


def _parsed(text: str, delimiter: str) -> list[str] | None:
    """The fields, ``None`` when a quote is still open at the end."""
    if '"' not in text:
        return text.rstrip("\r\n").split(delimiter)
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True), [])
    except csv.Error as exc:
        if "unexpected end" in str(exc):
            return None
        return _literal(text, delimiter)


def _literal(text: str, delimiter: str) -> list[str]:
    """The fields when quotes are not used as such; those around a whole field still go."""
    fields = text.rstrip("\r\n").split(delimiter)
    return [_unquoted(field) for field in fields]


def _unquoted(field: str) -> str:
    bare = field.strip()
    if len(bare) > 1 and bare[0] == bare[-1] == '"':
        return bare[1:-1].replace('""', '"')
    return field
