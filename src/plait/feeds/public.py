"""Public data sets as they are published, rewritten into the folder that ``plait evaluate`` reads.

A set is a map of its columns in ``public.toml``, not code. DuckDB reads, maps and writes in one pass, so a file of any
size takes the same memory; what has to be gathered by item spills to disk.
"""

# ruff: noqa: S608  -- what is put into SQL are our own names, paths, and the maps, which are SQL
from __future__ import annotations

import csv
import glob
import gzip
import shutil
import tempfile
import threading
import tomllib
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from plait.errors import Rejected, Unavailable

MEMORY = "2GB"
LATEST = 1e11  # seconds since 1970
TOLD = 20  # refused rows that are told one by one
_REJECTS = 1_000_000  # rows of broken form that are counted; beyond it is "at least"
_FORMATS = {
    "csv": "format csv, header true",
    "csv.gz": "format csv, header true, compression gzip",
    "parquet": "format parquet, compression zstd",
}
_COLUMNS = {
    "train": ("person", "item", "signal", "value", "at"),
    "ties": ("person", "friend"),
    "items": ("item", "title", "topics"),
    "test": ("person", "item"),
    "shares": ("person", "friend", "item"),
}
_MACROS = (
    # A bare column would be cast by the reader of the file, which refuses lines in words of its own.
    "create macro number(x) as try_cast(nullif(x, '') as double)",
    "create macro moment(x) as epoch(try_cast(nullif(x, '') as timestamp))",
)


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One kind of file of a set; ``columns`` when it has no header. Several names are of which one is there."""

    name: str | list[str]
    columns: list[str] = []
    delimiter: str = ","
    quote: str = '"'
    encoding: str = "utf-8"
    optional: bool = False


class When(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rows that are a signal, and its value."""

    when: str
    value: str = "null"


class Rows(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """What a row of a file, or of a query on files, means; every text is an SQL expression."""

    from_: str
    person: str | None = None
    item: str | None = None
    friend: str | None = None
    signal: str | None = None
    signals: dict[str, When] = {}
    value: str | None = None
    at: str | None = None
    title: str | None = None
    topics: str | None = None


class Map(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One published form of a set."""

    files: dict[str, File]
    train: list[Rows]
    variant: str = ""
    ties: list[Rows] = []
    items: list[Rows] = []
    test: list[Rows] = []
    shares: list[Rows] = []


class Told(msgspec.Struct):
    """What an import did.

    Attributes:
        variant: which published form was found.
        written: rows by file.
        refused: rows that could not be used.
        samples: what was wrong with the first of them.
    """

    variant: str
    written: dict[str, int]
    refused: int = 0
    samples: list[str] = []


def known() -> dict[str, list[Map]]:
    """The sets that come with Plait, each with its published forms."""
    return _maps(Path(__file__).with_suffix(".toml"))


def _maps(path: Path) -> dict[str, list[Map]]:
    try:
        return msgspec.convert(tomllib.loads(path.read_text("utf-8")), dict[str, list[Map]])
    except OSError as exc:
        raise Rejected(f"{path} cannot be read: {exc.strerror}", code="invalid_map", field="map") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as exc:
        raise Rejected(
            f"{path.name} is no map of a data set: {exc}", code="invalid_map", field="map"
        ) from exc


def import_set(
    name: str,
    folder: Path,
    out: Path,
    *,
    form: str = "csv",
    more: Path | None = None,
    progress: Callable[[str, float], None] = lambda _what, _part: None,
) -> Told:
    """Rewrite a data set.

    Args:
        name: of the set, in ``public.toml`` or in ``more``.
        folder: where its files lie, at any depth, as published or each as ``.gz``.
        out: the folder to write, made where it is missing; files of ours in it are replaced, and whole or not at all.
        form: ``csv``, ``csv.gz`` or ``parquet``.
        more: a file of maps of your own.
        progress: called now and then with what is being written and how much of it is done, 0..1.

    Raises:
        Rejected: ``unknown_set``, ``invalid_map``, ``several_sets``, ``folder_read``; ``invalid_file`` when files are missing, cut off, or nothing in
            them could be used.
        Unavailable: the folder cannot be written.
    """
    maps = _maps(more) if more is not None else known()
    if name not in maps:
        raise Rejected(
            f"{name[:80]!r} is not known; there are {', '.join(sorted(maps))}",
            code="unknown_set",
            field="name",
        )
    chosen, found = _chosen(name, maps[name], folder)
    replaced = [out / f"{output}.{ending}" for output in _COLUMNS for ending in _FORMATS]
    theirs = {path.resolve() for paths in found.values() for path in paths}
    if at_risk := [path for path in replaced if path.resolve() in theirs]:
        raise Rejected(
            f"{at_risk[0]} is read and would be replaced; write to another folder",
            code="folder_read", field="out",
        )  # fmt: skip
    try:
        out.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".import-", dir=out))
    except OSError as exc:
        raise Unavailable(f"{out} cannot be written: {exc.strerror}", code="folder_not_written") from exc
    try:
        told = _Import(chosen, found, work, form, progress).run()
        if not told.written["train"]:
            why = f": {told.samples[0]}" if told.samples else ""
            raise Rejected(f"nothing in {folder} could be used{why}", code="invalid_file")
        for path in replaced:  # a folder never holds the train of one set and the ties of another
            path.unlink(missing_ok=True)
        for output in told.written:
            (work / f"{output}.{form}").rename(out / f"{output}.{form}")
        return told
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _chosen(name: str, maps: list[Map], folder: Path) -> tuple[Map, dict[str, list[Path]]]:
    """The published form whose files are there."""
    if not folder.is_dir():
        raise Rejected(
            f"{folder} is no folder; unpack the archive first", code="invalid_file", field="folder"
        )
    missing = []
    for one in maps:
        found = {key: _found(folder, file) for key, file in one.files.items()}
        lacking = [
            one.files[key] for key, paths in found.items() if not paths and not one.files[key].optional
        ]
        if not lacking:
            for key, paths in found.items():
                _check_one_set(folder, one.files[key], paths)
            return one, found
        names = [
            name
            for file in lacking
            for name in ([file.name] if isinstance(file.name, str) else file.name[:1])
        ]
        missing.append(" and ".join(names))
    raise Rejected(
        f"{folder} does not hold {name}: there is no {', and no '.join(missing)}",
        code="invalid_file",
        field="folder",
    )


def _found(folder: Path, file: File) -> list[Path]:
    names = [file.name] if isinstance(file.name, str) else file.name
    paths = {
        path
        for name in names
        for end in ("", ".gz")
        for path in folder.rglob(name + end)
        if path.is_file() and not path.name.startswith("._")  # what macOS packs beside each file
    }
    # What was unpacked beside its archive is there once.
    return sorted(path for path in paths if path.suffix != ".gz" or path.with_suffix("") not in paths)


def _check_one_set(folder: Path, file: File, paths: list[Path]) -> None:
    """Refuse to mix: numbers of people and items mean something else in each set, and in each part of Tenrec."""
    apart = {path.parent if isinstance(file.name, str) else path: path for path in paths}
    if len(apart) > 1:
        one, other, *_ = (path.relative_to(folder) for path in apart.values())
        raise Rejected(
            f"{folder} holds {one} and {other}, which are not of one set; give a folder that holds one of them",
            code="several_sets", field="folder",
        )  # fmt: skip


class _Import:
    """One set while it is rewritten."""

    def __init__(
        self,
        chosen: Map,
        found: Mapping[str, list[Path]],
        work: Path,
        form: str,
        progress: Callable[[str, float], None],
    ) -> None:
        self._map, self._found, self._work, self._form, self._progress = chosen, found, work, form, progress
        self._told = Told(chosen.variant, {})
        self._db = duckdb.connect(
            config={
                "autoinstall_known_extensions": False,
                "memory_limit": MEMORY,
                "temp_directory": str(work / "spill"),
            }
        )

    def run(self) -> Told:
        try:
            for macro in _MACROS:
                self._db.execute(macro)
            self._db.execute("create sequence refused")
            for key, file in self._map.files.items():
                if self._found[key]:
                    self._open(key, file, self._found[key])
            for output in _COLUMNS:
                self._write(output, getattr(self._map, output))
            self._count_broken()
            return self._told
        except duckdb.OutOfMemoryException as exc:  # its disk is full, too
            raise Unavailable(
                f"there is no room left for {self._work}: {_short(exc)}", code="disk_full"
            ) from exc
        except duckdb.BinderException as exc:
            raise Rejected(
                f"the files lack what their map names: {_short(exc)}", code="invalid_file"
            ) from exc
        except duckdb.Error as exc:
            raise Rejected(f"the files cannot be read: {_short(exc)}", code="invalid_file") from exc
        finally:
            self._db.close()

    def _open(self, key: str, file: File, paths: list[Path]) -> None:
        """Make a view of all files of one kind, every column text."""
        parts = [_reader(path, file) for path in paths]
        self._db.execute(f"create view {_name(key)} as {' union all by name '.join(parts)}")

    def _write(self, output: str, rows: list[Rows]) -> None:
        parts = []
        for one in rows:
            missing = {key for key in self._map.files if not self._found[key] and _mentions(one.from_, key)}
            if not missing:
                parts.append(_select(output, one))
        if not parts:
            return
        columns = _COLUMNS[output]
        good = " and ".join(
            f"{name} is not null and {name} <> ''" for name in columns if name in _NEEDED[output]
        )
        if output == "train":
            good += " and timely and (value is null or isfinite(value)) and valued"
        told = '"at"::bigint as "at"'
        listed = ", ".join(told if name == "at" else name for name in columns)
        every = " union all ".join(parts)
        path = self._work / f"{output}.{self._form}"
        # Counted on the way: only rows that are refused ask the sequence.
        before = self._counter()
        self._execute(
            output,
            f"copy (select {listed} from ({every}) where case when {good} then true else nextval('refused') < 0 end) "
            f"to {_text(str(path))} ({_FORMATS[self._form]})",
        )
        refused = self._counter() - before
        self._told.refused += refused
        if refused and len(self._told.samples) < TOLD:
            wrong = f"select * from ({every}) where not coalesce({good}, false) limit {TOLD - len(self._told.samples)}"
            found = self._db.execute(wrong)
            names = [column[0] for column in found.description or ()]
            for row in found.fetchall():
                self._told.samples.append(f"{output}: {_why(output, dict(zip(names, row, strict=True)))}")

    def _counter(self) -> int:
        row = self._db.execute(
            "select last_value from duckdb_sequences() where sequence_name = 'refused'"
        ).fetchone()
        return int(row[0] or 0) if row else 0

    def _execute(self, output: str, sql: str) -> None:
        """Run a query in a thread, and tell how far it is."""
        failed: list[BaseException] = []

        def work() -> None:
            try:
                row = self._db.execute(sql).fetchone()
                self._told.written[output] = int(row[0]) if row else 0
            except BaseException as exc:  # it is raised again in the thread that asked
                failed.append(exc)

        thread = threading.Thread(target=work, name="import", daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                self._progress(output, max(0.0, self._db.query_progress()) / 100)
                thread.join(0.2)
        except BaseException:  # Ctrl-C
            self._db.interrupt()
            thread.join()
            raise
        if failed:
            raise failed[0]
        self._progress(output, 1.0)

    def _count_broken(self) -> None:
        """Rows that are no rows: too short or too long, a quote that nobody closed."""
        # A file that is read for two outputs breaks at the same lines twice.
        lines = "select file_path, line, any_value(csv_line) as csv_line, any_value(error_message) as error_message from reject_errors join reject_scans using (scan_id, file_id) group by all"
        try:
            found = self._db.execute(f"select count(*) from ({lines})").fetchone()
        except duckdb.CatalogException:  # nothing of this kind was read
            return
        self._told.refused += int(found[0]) if found else 0
        left = TOLD - len(self._told.samples)
        for path, line, text, why in self._db.execute(
            f"{lines} order by all limit {max(0, left)}"
        ).fetchall():
            self._told.samples.append(f"{Path(path).name}, line {line}: {_short(why)}: {str(text)[:80]!r}")


_NEEDED = {
    "train": ("person", "item", "signal"),
    "ties": ("person", "friend"),
    "items": ("item",),
    "test": ("person", "item"),
    "shares": ("person", "friend", "item"),
}


def _select(output: str, rows: Rows) -> str:
    """The rows of one map, by our names; what they lack is NULL."""
    source = _name(rows.from_) if rows.from_.isidentifier() else rows.from_
    if output != "train":
        columns = [f"trim(({getattr(rows, name) or 'null'})::varchar) as {name}" for name in _COLUMNS[output]]
        return f"select {', '.join(columns)} from {source}"
    at = rows.at or "null::double"
    # What `plait evaluate` would refuse the whole folder for: infinite, before 1970, or in milliseconds.
    timely = "true" if rows.at is None else f"coalesce(({at}) between 0 and {LATEST}, false)"
    if rows.signals:
        acts = ", ".join(
            f"if({one.when}, {{'signal': {_text(name)}, 'value': ({one.value})::double}}, null)"
            for name, one in rows.signals.items()
        )
        inner = f"select *, unnest(list_filter([{acts}], lambda act: act is not null)) as act from {source}"
        # What no signal says something of was shown and passed over: that is no error.
        signal, value, valued = "act.signal", "act.value", "true"
        source = f"({inner})"
    else:
        signal, value = rows.signal or "null", f"({rows.value or 'null'})::double"
        valued = f"({rows.value}) is not null" if rows.value else "true"
    return (
        f"select trim(({rows.person})::varchar) as person, trim(({rows.item})::varchar) as item, {signal} as signal, "
        f'{value} as value, if({timely}, floor({at}), null) as "at", {timely} as timely, '
        f"{valued} as valued from {source}"
    )


def _why(output: str, row: Mapping[str, Any]) -> str:
    """What is wrong with a row that was refused, in words."""
    about = f"person {row['person']!r}, item {row['item']!r}" if output == "train" else str(dict(row))[:120]
    for name in _NEEDED[output]:
        if row[name] in (None, ""):
            return f"no {name} that is known ({about})"
    if not row.get("timely", True):
        return f"no time that can be read ({about})"
    return f"no number for a value ({about})"


def _reader(path: Path, file: File) -> str:
    where = _text(glob.escape(str(path)))
    if ".json" in path.suffixes[-2:]:
        columns = ", ".join(f"{_text(name)}: 'VARCHAR'" for name in file.columns)
        return (
            f"select * from read_json({where}, columns = {{{columns}}}, format = 'newline_delimited', "
            "ignore_errors = true, maximum_object_size = 67108864)"
        )
    head, encoding, ending = _head(path, file.encoding)
    names = file.columns or next(
        csv.reader(
            [head],
            delimiter=file.delimiter[:1],
            quotechar=file.quote or None,
            quoting=csv.QUOTE_MINIMAL if file.quote else csv.QUOTE_NONE,
        ),
        [],
    )
    names = [name.strip().lstrip("\ufeff") for name in names]
    if not file.columns and len(set(names)) != len(names):
        raise Rejected(f"{path.name} names a column twice in its header", code="invalid_file")
    columns = ", ".join(f"{_text(name)}: 'VARCHAR'" for name in names)
    return (
        f"select * from read_csv({where}, columns = {{{columns}}}, header = {str(not file.columns).lower()}, auto_detect = false, "
        f"delim = {_text(file.delimiter)}, quote = {_text(file.quote)}, escape = {_text(file.quote)}, encoding = {_text(encoding)}, "
        f"new_line = '{ending}', store_rejects = true, rejects_limit = {_REJECTS})"
    )


def _head(path: Path, encoding: str) -> tuple[str, str, str]:
    """The first line, what the file is written in, and how its lines end, as DuckDB names that."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            line = file.readline(65_536)
            if not line.strip():
                raise Rejected(f"{path.name} is empty", code="invalid_file")
            if encoding == "guess":  # the files with titles are small
                encoding = "utf-8" if _is_utf8(chain([line], file)) else "latin-1"
    except (OSError, EOFError) as exc:
        raise Rejected(f"{path.name} cannot be read: {exc}", code="invalid_file") from exc
    # Some sets were written on Windows; DuckDB would take the \r for a part of the last column.
    ending = "\\r\\n" if line.endswith(b"\r\n") else "\\n"
    return line.decode("utf-8", "replace").rstrip("\r\n"), encoding, ending


def _is_utf8(lines: Iterable[bytes]) -> bool:
    try:
        for line in lines:
            line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _mentions(sql: str, name: str) -> bool:
    return name in sql.replace("(", " ").replace(")", " ").split()


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _short(exc: object) -> str:
    return str(exc).strip().split("\n", 1)[0][:300]
