"""A folder of files, read into numbers: who did what to which item, who is tied to whom, and what was held back.

==============  ==============================  ==========================================================
file            columns                         what it holds
==============  ==============================  ==========================================================
``train``       person, item, signal, value, at  one row an act; the last three may be empty or missing
``ties``        person, friend                   directed; the file may be missing
``items``       item, title, topics              topics with ``;`` between; the file may be missing
``test``        person, item                     what people went on to want; the file may be missing
==============  ==============================  ==========================================================

Each is ``.csv``, ``.csv.gz`` or ``.parquet``; columns are found by name, in any order, and others are left alone, such as
the one without a name that pandas writes.
"""

from __future__ import annotations

import csv
import glob
import gzip
import os
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from plait.errors import Rejected
from plait.events import DAY, Signal

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

ENDINGS = (".csv", ".csv.gz", ".parquet")
ALSO_CALLED = {"bookmark": "save", "rating": "rate"}  # what public sets call our signals
LATEST = 1e11  # seconds; a larger ``at`` is told in milliseconds
LARGEST = 1e15  # a value; sums of larger ones are no numbers any more
NAMED = 10  # signals that are none of ours, of which a note tells the names
_WHAT = (
    "Expected Number of Columns",
    "Value with unterminated quote",
    "Invalid unicode",
    "Maximum line size",
)
_CHECKED = 1 << 20  # bytes that are read at a time to see whether a compressed file is whole


@dataclass(frozen=True)
class Dataset:
    """Rows in coordinate form; the arrays of one file are aligned.

    Attributes:
        people: everybody in any file, sorted.
        items: every item of train, test and the catalog, sorted.
        signals: names; those outside of our list are taken for activity.
        person, item, signal: of each train row, places in the lists above.
        value: of each train row; NaN where empty.
        at: of each train row, ms since the epoch; -1 where empty.
        tie_from, tie_to: each tie, places in ``people``; no tie twice, nobody tied to themselves.
        titles: of each item, "" where there is none.
        topics: of each item.
        test_person, test_item: pairs, none twice; empty without a test file.
        tested: whether there was one.
        notes: what was left out or taken for something else, one sentence each.
    """

    people: list[str]
    items: list[str]
    signals: list[str]
    person: Ints
    item: Ints
    signal: Ints
    value: Floats
    at: Ints
    tie_from: Ints
    tie_to: Ints
    titles: list[str]
    topics: list[tuple[str, ...]]
    test_person: Ints
    test_item: Ints
    tested: bool
    notes: list[str] = field(default_factory=list)

    def only(self, kept: NDArray[np.bool_]) -> Dataset:
        """The same with some of the train rows."""
        return replace(
            self, person=self.person[kept], item=self.item[kept], signal=self.signal[kept],
            value=self.value[kept], at=self.at[kept],
        )  # fmt: skip

    def asking(self, person: Ints, item: Ints) -> Dataset:
        """The same with another test."""
        return replace(self, test_person=person, test_item=item, tested=True)

    @property
    def pair(self) -> Ints:
        """Of each train row, one number for its person and item."""
        return self.person * len(self.items) + self.item


def read(folder: Path, *, test: Path | None = None, now: float | None = None) -> Dataset:
    """Read a folder.

    Args:
        folder: holds ``train`` and maybe ``ties``, ``items`` and ``test``.
        test: another test file.
        now: unix seconds; what is more than a day after it is told.

    Raises:
        Rejected: there is no train file or no row in it, or a file is cut, lacks a column or holds what makes no
            sense; the message names file, row and value.
    """
    if not folder.is_dir():
        raise Rejected(f"{folder} is not a folder", code="folder_missing", field="folder")
    train = _file(folder, "train")
    if train is None:
        raise Rejected(
            f"{folder} has no train.csv, train.csv.gz or train.parquet", code="train_missing", field="train"
        )
    if test is not None and not test.is_file():
        raise Rejected(f"{test} is not a file", code="test_missing", field="test")
    db = duckdb.connect(config={"autoinstall_known_extensions": False})
    now = time.time() if now is None else now
    files = (train, _file(folder, "ties"), _file(folder, "items"), test or _file(folder, "test"))
    try:
        return _read(db, *files, now=now)
    finally:
        db.close()


def _file(folder: Path, name: str) -> Path | None:
    return next((path for end in ENDINGS if (path := folder / f"{name}{end}").is_file()), None)


def _read(
    db: duckdb.DuckDBPyConnection,
    train: Path,
    ties: Path | None,
    items: Path | None,
    test: Path | None,
    *,
    now: float,
) -> Dataset:
    notes = [note for path in (train, ties, items, test) if path is not None for note in _doubts(path)]
    _load(db, "train", train, must=("person", "item"), may=("signal", "value", "at"))
    if not _one(db, "select count(*) from train"):
        raise Rejected(f"{train.name} has no rows", code="train_empty", field="train")
    for name, path, columns in (("ties", ties, ("person", "friend")), ("test", test, ("person", "item"))):
        _load(db, name, path, must=columns)
    if test is not None and not _one(db, "select count(*) from test"):
        raise Rejected(f"{test.name} has no rows", code="test_empty", field="test")
    _load(db, "items", items, must=("item",), may=("title", "topics"))
    _check_numbers(db, train)
    coming = _one(db, f"select count(*) from train where seconds > {now + DAY / 1000}")  # noqa: S608
    if coming:
        notes.append(
            f"{coming} rows are dated after today; beside them all others are old, and nothing is recent"
        )
    people = _numbered(db, "people", "select person from train union select person from ties union "
                       "select friend from ties union select person from test")  # fmt: skip
    every = _numbered(db, "things", "select item from train union select item from items union "
                      "select item from test")  # fmt: skip
    also = " ".join(f"when '{theirs}' then '{ours}'" for theirs, ours in ALSO_CALLED.items())
    db.execute(f"create table named as select *, case coalesce(signal, 'view') {also} else coalesce(signal, 'view') end as word "  # noqa: S608
               "from train")  # fmt: skip
    signals = _numbered(db, "words", "select word from named")
    notes += _strange([one for one in signals if one not in set(map(str, Signal))])
    rows = db.execute(
        "select p.place as person, i.place as item, w.place as signal, value::double as value, seconds as at from named "
        "join people p on p.name = named.person join things i on i.name = named.item join words w on w.name = word "
        "order by line"
    ).fetchnumpy()
    told = db.execute(
        "select distinct p.place as one, f.place as other from ties join people p on p.name = person "
        "join people f on f.name = friend where person <> friend order by 1, 2"
    ).fetchnumpy()
    selves = _one(db, "select count(*) from ties where person = friend")
    if selves:
        notes.append(f"{selves} ties of people to themselves are left out")
    asked = db.execute(
        "select distinct p.place as one, i.place as other from test join people p on p.name = person "
        "join things i on i.name = item order by 1, 2"
    ).fetchnumpy()
    titles, topics = [""] * len(every), [()] * len(every)  # type: list[str], list[tuple[str, ...]]
    for place, title, names in db.execute(  # of an item that is named twice the first row with each counts
        "select place, arg_min(title, line), arg_min(topics, line) from items join things on name = item group by place"
    ).fetchall():
        titles[place] = title or ""
        topics[place] = tuple(dict.fromkeys(one.strip() for one in (names or "").split(";") if one.strip()))
    value = np.ma.filled(rows["value"].astype(np.float64), np.nan)
    at = np.ma.filled(np.ma.asarray(rows["at"]).astype(np.float64), -0.001)
    return Dataset(
        people, every, signals, _ints(rows["person"]), _ints(rows["item"]), _ints(rows["signal"]), value,
        np.rint(at * 1_000).astype(np.int64), _ints(told["one"]), _ints(told["other"]), titles, topics,
        _ints(asked["one"]), _ints(asked["other"]), test is not None, notes,
    )  # fmt: skip


def _doubts(path: Path) -> Iterator[str]:
    """What is odd about a file that can be read all the same."""
    name = path.name.partition(".")[0]
    beside = [
        one.name for end in ENDINGS if (one := path.with_name(f"{name}{end}")) != path and one.is_file()
    ]
    if beside:
        yield f"{path.name} is read, {' and '.join(beside)} beside it not"
    if path.suffix == ".csv" and path.stat().st_size:
        with path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            if file.read(1) not in b"\r\n":
                yield f"{path.name} ends within a line, whose last field may have been cut"


def _strange(signals: Sequence[str]) -> Iterator[str]:
    """That signals are none of ours; a few by name, lest a column of something else fills the page."""
    if len(signals) <= NAMED:
        yield from (f'signal "{one}" is none of ours and counts as activity' for one in signals)
    else:
        yield f"{len(signals)} signals are none of ours and count as activity, such as {', '.join(signals[:NAMED])}"


def _ints(column: Any) -> Ints:
    return np.asarray(column, np.int64)


def _one(db: duckdb.DuckDBPyConnection, query: str) -> Any:
    found = db.execute(query).fetchone()
    return found[0] if found else None


def _numbered(db: duckdb.DuckDBPyConnection, table: str, names: str) -> list[str]:
    """Give every name its place in the sorted list of them, as the table ``table`` (name, place)."""
    db.execute(f"create table {table} as select name, (row_number() over (order by name)) - 1 as place "  # noqa: S608
               f"from (select distinct * from ({names}) t(name))")  # fmt: skip
    return [one for (one,) in db.execute(f"select name from {table} order by place").fetchall()]  # noqa: S608


def _load(
    db: duckdb.DuckDBPyConnection,
    name: str,
    path: Path | None,
    *,
    must: Sequence[str],
    may: Sequence[str] = (),
) -> None:
    """Read a file into the table ``name``: every column as text, empty as null, ``line`` counted from 1."""
    wanted = [*must, *may]
    if path is None:
        db.execute(
            f"create table {name} as select {', '.join(f'null::varchar as {_quoted(one, chr(34))}' for one in wanted)}, 0 as line limit 0"
        )
        return
    typed = _columns(db, path)
    there = [one for one, _ in typed]
    twice = [one for one in wanted if there.count(one) > 1]
    if twice:
        raise Rejected(
            f'{path.name} must name each column once, and has "{twice[0]}" {there.count(twice[0])} times',
            code="invalid_columns", field=twice[0],
        )  # fmt: skip
    missing = [one for one in must if one not in there]
    if missing:
        raise Rejected(
            f'{path.name} has no column "{missing[0]}", only {", ".join(there) or "nothing"}',
            code="column_missing", field=missing[0],
        )  # fmt: skip
    source, held = "read_parquet(?)", [_quoted(one, '"') for one in there]
    if path.suffix != ".parquet":
        # By number: a column that we leave alone may have any name.
        held = [f"c{number}" for number in range(len(there))]
        named = ", ".join(f"{one}: 'VARCHAR'" for one in held)
        source = (
            f"read_csv(?, columns = {{{named}}}, auto_detect = false, header = true, delim = ',', quote = '\"', "
            "escape = '\"', strict_mode = true, max_line_size = 16000000)"
        )
    texts = {one: _text(place, kind) for place, (one, kind) in zip(held, typed, strict=True)}
    columns = ", ".join(
        f"nullif(trim({texts.get(one, 'null::varchar')}), '') as {_quoted(one, chr(34))}" for one in wanted
    )
    try:
        db.execute(f"create table {name} as select {columns}, row_number() over () as line from {source}",  # noqa: S608
                   [glob.escape(str(path))])  # fmt: skip
    except duckdb.Error as exc:
        raise Rejected(
            f"{path.name} cannot be read: {_reason(exc)}", code="invalid_file", field=name
        ) from exc
    for one in must:
        line = _one(db, f"select min(line) from {name} where {one} is null")  # noqa: S608
        if line is not None:
            raise Rejected(f'{path.name}, row {line}: "{one}" is empty', code="value_missing", field=one)


def _columns(db: duckdb.DuckDBPyConnection, path: Path) -> list[tuple[str, str]]:
    """The columns of a file in its order, each with its type."""
    if path.stat().st_size == 0:
        raise Rejected(f"{path.name} is empty; its first line must name the columns", code="file_empty")
    try:
        if path.suffix == ".parquet":
            found = db.execute("describe select * from read_parquet(?)", [glob.escape(str(path))]).fetchall()
            return [(str(one[0]), str(one[1])) for one in found]
        if path.suffix == ".gz":
            with gzip.open(
                path
            ) as whole:  # DuckDB takes a compressed file that was cut for one that ends there
                while whole.read(_CHECKED):
                    pass
        opened: Any = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            return [(one.strip(), "VARCHAR") for one in next(csv.reader(file), [])]
    except (EOFError, OSError, UnicodeDecodeError, csv.Error, zlib.error, duckdb.Error) as exc:
        raise Rejected(f"{path.name} cannot be read: {_reason(exc)}", code="invalid_file") from exc


def _text(column: str, kind: str) -> str:
    """A column as text; a list, which Parquet can hold, with ``;`` between as topics have."""
    if kind.endswith("[]"):
        return f"array_to_string({column}::varchar[], ';')"
    return f"cast({column} as varchar)"


def _reason(exc: BaseException) -> str:
    """Why a file cannot be read, in one sentence; DuckDB says where in its first line, and what in another."""
    lines = [line for line in map(str.strip, str(exc).splitlines()) if line]
    what = [line for line in lines[1:] if line.startswith(_WHAT)]
    told = ": ".join([*lines[:1], *what[:1]]).removeprefix("Invalid Input Error: ")
    return told or type(exc).__name__


def _quoted(name: str, mark: str = "'") -> str:
    return mark + name.replace(mark, mark * 2) + mark


def _check_numbers(db: duckdb.DuckDBPyConnection, path: Path) -> None:
    db.execute(
        "alter table train add column seconds double; "
        'update train set seconds = coalesce(try_cast("at" as double), epoch(try_cast("at" as timestamptz)))'
    )
    for field_, wrong, why in (
        ("value", "value is not null and coalesce(not isfinite(try_cast(value as double)), true)", "is no number"),
        ("value", f"abs(try_cast(value as double)) > {LARGEST}", "is too large"),
        ("value", "try_cast(value as double) < 0 and coalesce(signal, '') not in ('rate', 'rating')",
         "is negative, which only a rating may be"),
        ("at", '"at" is not null and coalesce(not isfinite(seconds), true)', "is no time; unix seconds or ISO 8601"),
        ("at", "seconds < 0", "is before 1970"),
        ("at", f"seconds > {LATEST}", "is no time in seconds; milliseconds?"),
    ):  # fmt: skip
        found = db.execute(
            f'select line, "{field_}" from train where {wrong} order by line limit 1'  # noqa: S608
        ).fetchone()
        if found is not None:
            raise Rejected(
                f'{path.name}, row {found[0]}: {field_} "{found[1]}" {why}',
                code="invalid_value",
                field=field_,
            )


def names_of(dataset: Dataset) -> Iterator[str]:
    """The signals that its train rows have, sorted."""
    return (dataset.signals[one] for one in np.unique(dataset.signal))
