"""The lake as Parquet files in a folder, written and read by DuckDB.

A file is named by the positions it holds, ``00000000000000000001-00000000000000000500.parquet``. A new file is
written aside, synced and renamed; then the files within it are deleted. After a crash in between, a file that lies
within another one does not count.
"""
# ruff: noqa: S608  -- only our own names and paths are put into SQL; values travel as parameters

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import msgspec

from plait.errors import PlaitError, Rejected, Unavailable
from plait.events import Event, addresses_of
from plait.lake import COLUMNS

MERGE = 32  # so many small files in a row become one: a file a minute would be half a million a year
SMALL = 32 << 20  # bytes
_ROW_GROUP = 100_000
_READ_TRIES = 10  # a file may be merged away between listing and opening


class _Run(NamedTuple):
    first: int
    last: int
    path: str


class _Row(msgspec.Struct, omit_defaults=True):
    """One line of JSON on its way to DuckDB; fields are ``COLUMNS``."""

    position: int
    id: str
    source: str
    signal: str
    op: str
    happened_at: int
    received_at: int
    who: tuple[str, ...]
    proven: bool
    part: int
    item: str | None = None
    section: str | None = None
    post: str | None = None
    topic: str | None = None
    url: str | None = None
    query: str | None = None
    account: str | None = None
    value: float | None = None
    counter_view: str | None = None
    counter_started_at: int | None = None
    counter_epoch: int | None = None
    name: str | None = None
    decision: str | None = None
    consent: dict[str, Any] | None = None
    traits: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    properties: dict[str, Any] | None = None
    record: str | None = None


class Lake:
    """See ``plait.lake.Lake``. ``url`` is ``parquet://`` and the path of a folder."""

    def __init__(self, url: str) -> None:
        self.folder = Path(url.removeprefix("parquet://"))
        self._writing = threading.RLock()
        self._own: duckdb.DuckDBPyConnection | None = None  # for changes, which take turns
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as exc:
            raise self._told(exc) from exc

    def write(self, first: int, last: int, rows: Sequence[tuple[int, Event]]) -> None:
        """Keep what the records ``first..last`` became, in place of everything from ``first`` on."""
        if not 1 <= first <= last:
            raise ValueError(f"positions {first}..{last} are no run")
        with self._turn():
            self._cut_off(first)
            lines = self.folder / "rows.tmp"
            encode = msgspec.json.Encoder().encode
            with lines.open("wb") as out:
                out.writelines(encode(_row(position, event)) + b"\n" for position, event in rows)
            columns = ", ".join(f"{name}: '{kind}'" for name, kind in COLUMNS.items())
            source = (
                f"read_json({_quoted(lines)}, format='newline_delimited', columns={{{columns}}})"
                if rows
                else _NOTHING
            )
            self._put(first, last, f"SELECT * FROM {source}")
            lines.unlink()
            self._merge()

    @property
    def last(self) -> int:
        """The newest position that was written, 0 when none was."""
        return max((run.last for run in self._runs()), default=0)

    def redact(self, identifiers: Collection[str], *, up_to: int) -> int:
        """Take out every event that names one of these, at positions <= ``up_to``."""
        return self._take_out(
            "position <= $up_to AND (list_has_any(who, $identifiers) OR list_contains($identifiers, account)"
            " OR len(list_filter($addresses, lambda one: starts_with(lower(post), one) OR starts_with(lower(record), one))) > 0)",
            {
                "up_to": up_to,
                "identifiers": sorted(identifiers),
                "addresses": sorted({one for each in identifiers for one in addresses_of(each)}),
            },
        )

    def drop_before(self, received_at: int) -> int:
        """Take out events received before this time."""
        return self._take_out("received_at < $received_at", {"received_at": received_at})

    def clear(self) -> None:
        """Take out everything."""
        with self._turn():
            for run in self._all():
                Path(run.path).unlink()
            _sync(self.folder)

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Ask in SQL about the table ``events``."""
        for again in range(_READ_TRIES, 0, -1):
            try:
                with _duckdb() as db:
                    db.execute(f"CREATE VIEW events AS SELECT * FROM {_files(self._runs())}")
                    # SQL may come from a notebook or a page of an operator: it asks, and touches nothing else.
                    db.execute(f"SET allowed_directories = [{_quoted(self.folder)}]")
                    db.execute("SET enable_external_access = false")
                    db.execute("SET lock_configuration = true")
                    return _asked(db, sql, parameters)
            except duckdb.IOException as exc:
                if again == 1:
                    raise self._told(exc) from exc
            except duckdb.Error as exc:
                raise Rejected(str(exc), code="invalid_sql", field="sql") from exc
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Release what is held; closing twice is allowed."""
        with self._writing:
            if self._own is not None:
                self._own.close()
                self._own = None

    # -- files -----------------------------------------------------------------------------------------------

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Change files while no other thread or process does; errors come out translated."""
        with self._writing:
            try:
                handle = os.open(self.folder / "writer.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX)
                    self._sweep()
                    yield
                finally:
                    os.close(handle)
            except (OSError, duckdb.Error) as exc:
                raise self._told(exc) from exc

    def _db(self) -> duckdb.DuckDBPyConnection:
        if self._own is None:
            self._own = _duckdb()
        return self._own

    def _sweep(self) -> None:
        """Delete what a crash left behind, and what does not count."""
        for path in self.folder.glob("*.tmp"):
            path.unlink()
        counts = {run.path for run in self._runs()}
        for run in self._all():
            if run.path not in counts:
                Path(run.path).unlink()

    def _all(self) -> list[_Run]:
        found = []
        for path in self.folder.glob("*-*.parquet"):
            first, _, last = path.stem.partition("-")
            with suppress(ValueError):  # somebody else's file
                found.append(_Run(int(first), int(last), str(path)))
        return sorted(found, key=lambda run: (run.first, -run.last))

    def _runs(self) -> list[_Run]:
        """What counts, in order: a file within another one does not."""
        runs: list[_Run] = []
        for run in self._all():
            if not runs or run.last > runs[-1].last:
                runs.append(run)
        return runs

    def _put(self, first: int, last: int, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Write the answer of ``sql`` as one run, then delete those in its place."""
        path = self.folder / f"{first:020d}-{last:020d}.parquet"
        fresh = path.with_suffix(".tmp")
        self._db().execute(
            f"COPY ({sql}) TO {_quoted(fresh)} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROW_GROUP})",
            dict(parameters or {}),
        )
        fresh.chmod(0o600)
        _sync(fresh)
        fresh.replace(path)
        _sync(self.folder)
        for run in self._all():
            if run.path != str(path) and run.first <= last and run.last >= first:
                Path(run.path).unlink()

    def _cut_off(self, first: int) -> None:
        """Delete what comes after a run that begins at ``first``, newest first: a crash leaves no gap."""
        runs = self._runs()
        for run in runs:
            if run.first < first <= run.last:
                raise ValueError(f"position {first} lies inside the run {run.first}..{run.last}")
        for run in reversed(runs):
            if run.first > first:
                Path(run.path).unlink()

    def _merge(self) -> None:
        runs = self._runs()
        small = 0
        while small < len(runs) and Path(runs[-1 - small].path).stat().st_size < SMALL:
            small += 1
        if small >= MERGE:
            merged = runs[-small:]
            self._put(merged[0].first, merged[-1].last, f"SELECT * FROM {_files(merged)}")

    def _take_out(self, condition: str, parameters: dict[str, Any]) -> int:
        """Rewrite the files that hold such rows without them; a file is kept when it is empty then."""
        taken = 0
        with self._turn():
            runs = self._runs()
            found = _asked(
                self._db(),
                f"SELECT filename, count(*) AS n FROM {_files(runs, filename=True)} WHERE {condition} GROUP BY 1",
                parameters,
            )
            counts = {row["filename"]: row["n"] for row in found}
            for run in runs:
                if run.path in counts:
                    sql = f"SELECT * FROM {_files([run])} WHERE NOT coalesce({condition}, false)"
                    self._put(run.first, run.last, sql, parameters)
                    taken += counts[run.path]
        return taken

    def _told(self, exc: Exception) -> PlaitError:
        number = exc.errno if isinstance(exc, OSError) else None
        full = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
        if number in full or any(os.strerror(one) in str(exc) for one in full):
            return Unavailable(f"{self.folder}: the disk is full: {exc}", code="disk_full", retry_after=10)
        if number in {errno.EROFS, errno.EACCES, errno.EPERM}:
            return Unavailable(f"{self.folder} cannot be written: {exc}", code="read_only", retry_after=10)
        return Unavailable(f"{self.folder}: {exc}", code="disk_error")


_NOTHING = (
    "(SELECT " + ", ".join(f"NULL::{kind} AS {name}" for name, kind in COLUMNS.items()) + " WHERE false)"
)


def _row(position: int, event: Event) -> _Row:
    about, counter = event.about, event.counter
    return _Row(
        position=position,
        id=event.id,
        source=event.source,
        signal=event.signal.value,
        op=event.op,
        happened_at=event.at,
        received_at=event.received_at,
        who=event.who,
        proven=event.proven,
        part=event.part,
        item=about.item,
        section=about.section,
        post=about.post,
        topic=about.topic,
        url=about.url,
        query=about.query,
        account=about.account,
        value=event.value,
        counter_view=counter.view if counter else None,
        counter_started_at=counter.started_at if counter else None,
        counter_epoch=counter.epoch if counter else None,
        name=event.name,
        decision=event.decision,
        consent=event.consent,
        traits=event.traits,
        context=event.context or None,
        properties=event.properties or None,
        record=event.record,
    )


def _duckdb() -> duckdb.DuckDBPyConnection:
    # One thread and little memory: it runs beside the server. Extensions would come over the network.
    return duckdb.connect(
        ":memory:",
        config={
            "threads": 1,
            "memory_limit": "1GB",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        },
    )


def _asked(
    db: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    answer = db.execute(sql, dict(parameters or {}))
    names = [column[0] for column in answer.description or ()]
    return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def _files(runs: Sequence[_Run], *, filename: bool = False) -> str:
    """The rows of these runs with all ``COLUMNS``: files from before a column was there have nulls in it."""
    nothing = f"(SELECT *, '' AS filename FROM {_NOTHING})" if filename else _NOTHING
    if not runs:
        return nothing
    options = "union_by_name = true" + (", filename = true" if filename else "")
    files = f"read_parquet([{', '.join(_quoted(run.path) for run in runs)}], {options})"
    return f"(SELECT * FROM {nothing} UNION ALL BY NAME SELECT * FROM {files})"


def _quoted(path: Path | str) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
