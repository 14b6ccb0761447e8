"""The fold as a process of its own: follow the log, write the lake, and rebuild or prove the state on demand.

Erasing takes two: the fold takes a person out of the state and notes what is left to do; whoever writes the log
takes the noted events out of it (``redact_erased``); when the fold sees that, it deletes its note.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import msgspec
import structlog

from plait.errors import PlaitError, Unavailable
from plait.events import Event, Record, Signal, decode_record, encode_record
from plait.intake.records import blanked, numbered_events_of
from plait.intake.signals import SignalMap, load_signals
from plait.keys import load_keys
from plait.lake import Lake, open_lake
from plait.log import Log, open_log
from plait.profiles.fold import Fold, spare_the_collector
from plait.profiles.forgetting import ERASURES, Erasure, calls_of, decode_erasure
from plait.profiles.fragment import decode_fragment, equal
from plait.profiles.state import ASIDE, NOBODY, decode_row, mark_of, prefix_of, row_key
from plait.settings import RESERVE, Settings
from plait.store import TABLES, Snapshot, Store, open_store

_log = structlog.get_logger()

_POLL = 0.01  # seconds between two looks at the log
_SHORT = 0.05  # seconds that a step may take while nobody waits for more
_LONG = 0.5  # seconds that a step may take when the fold lags: longer ones save work
_MOST = 5_000  # records in one step
_LAKE_EVENTS = 20_000  # events in one run of the lake
_COMPACT_AFTER = 6 * 3_600  # seconds after an erasure when old copies are rewritten; a day is the law
COMPACT = "compact"  # in the data folder: says since when the log waits to be compacted
UNLEARN = "unlearn"  # in the data folder: somebody was erased whom a model may have learned from


# -- following -------------------------------------------------------------------------------------------------


def follow(
    settings: Settings, *, stop: threading.Event | None = None, following: Callable[[], object] = lambda: None
) -> None:
    """Fold the log as it grows, until ``stop`` is set or the process ends.

    Args:
        settings: of the installation.
        stop: set from another thread.
        following: called once when all that was in the log at the start is in the state.

    Raises:
        Unavailable: another process folds into this state, or the folder cannot be used.
        Corrupt: the log or the state is not what we wrote.
    """
    stop = stop or threading.Event()
    spare_the_collector()
    with ExitStack() as stack:
        log = open_log(settings.url("log"))
        stack.callback(log.close)
        store = _store_to_write(settings, stop)
        stack.callback(store.close)
        fold = _fold(store, settings, log)
        lake = _LakeWriter(settings, log, store) if settings.lake_every_seconds > 0 else None
        if lake is not None:
            stack.callback(lake.close)
        _log.info("folding", position=fold.position, last=log.last)
        _follow(fold, log, lake, _Housekeeping(fold, store), stop, following)


def _store_to_write(settings: Settings, stop: threading.Event) -> Store:
    """The store; a fold that is just ending gets a moment to let go of it."""
    for _ in range(100):
        try:
            return open_store(settings.url("store"), write=True)
        except Unavailable as exc:
            if exc.code != "locked" or stop.wait(0.05):
                raise
    return open_store(settings.url("store"), write=True)


def _fold(store: Store, settings: Settings, log: Log) -> Fold:
    keys = load_keys(settings)
    fold = Fold(store, settings, load_signals(settings.data), log=log, pepper=keys.pepper)
    if fold.position > log.last:
        # A log from a backup, older than the state: what the state knows more never happened.
        _log.warning("state_ahead_of_log", position=fold.position, last=log.last)
        store.clear()
        fold = Fold(store, settings, load_signals(settings.data), log=log, pepper=keys.pepper)
    return fold


def _follow(
    fold: Fold,
    log: Log,
    lake: _LakeWriter | None,
    housekeeping: _Housekeeping,
    stop: threading.Event,
    following: Callable[[], object],
) -> None:
    limit = 200
    first: int | None = log.last
    while not stop.is_set():
        records = log.read(fold.position, limit=limit)
        if records:
            begun = time.monotonic()
            try:
                fold.step(records)
            except Unavailable as exc:  # a full disk: what is in the log waits there
                _log.error("fold_waits", code=exc.code, message=exc.message)
                stop.wait(exc.retry_after)
                continue
            # Shorter steps would only encode large fragments more often.
            took = time.monotonic() - begun - fold.packing
            lags = len(records) == limit
            if took > (_LONG if lags else _SHORT):
                limit = max(10, limit // 2)
            elif lags:
                limit = min(_MOST, limit * 2)
        if first is not None and fold.position >= first:
            first = None
            following()
        if lake is not None:
            lake.tick(idle=not records)
        housekeeping.tick(busy=lake is not None and lake.busy)
        if not records:
            stop.wait(_POLL)


class _Housekeeping:
    """What the fold does beside folding: settle erasures, and have what was deleted leave the disk."""

    def __init__(self, fold: Fold, store: Store) -> None:
        self._fold, self._store = fold, store
        self._next = 0.0
        self._open = 0
        self._compact_at: float | None = None

    def tick(self, *, busy: bool) -> None:
        now = time.monotonic()
        if now < self._next or busy:  # the lake's writer has to see what is being erased
            return
        self._next = now + 0.5
        left = self._fold.settle()
        if left < self._open and self._compact_at is None:
            self._compact_at = now + _COMPACT_AFTER
        self._open = left
        if self._compact_at is not None and now > self._compact_at:
            self._compact_at = None
            compact = getattr(self._store, "compact", None)
            if compact is not None:
                compact()


# -- the lake --------------------------------------------------------------------------------------------------


class _LakeWriter:
    """Writes what was folded to the lake, now and then, in a thread, so that folding goes on."""

    def __init__(self, settings: Settings, log: Log, store: Store) -> None:
        self._settings, self._log, self._store = settings, log, store
        self._signals = load_signals(settings.data)
        self._lake = open_lake(settings.url("lake"))
        _leave(
            self._lake, store
        )  # a run may have been killed between writing and looking who was erased meanwhile
        self._next = time.monotonic() + min(settings.lake_every_seconds, 5.0)
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    @property
    def busy(self) -> bool:
        """Whether a run is being written."""
        return self._thread is not None and self._thread.is_alive()

    def tick(self, *, idle: bool) -> None:
        """Begin a run when it is time; while the fold lags, only when it is long overdue."""
        late = time.monotonic() - self._next
        if self.busy or late < (0 if idle else 5 * self._settings.lake_every_seconds):
            return
        self._next = time.monotonic() + self._settings.lake_every_seconds
        self._thread = threading.Thread(target=self._run, name="lake", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._check_room()
            while not self._stop.is_set() and write_lake(self._lake, self._log, self._store, self._signals):
                pass
            if self._settings.lake_retention_days > 0:
                kept = int(self._settings.lake_retention_days * 86_400_000)
                self._lake.drop_before(time.time_ns() // 1_000_000 - kept)
        except PlaitError as exc:
            _log.error("lake_not_written", code=exc.code, message=exc.message)

    def _check_room(self) -> None:
        """Leave the last of the disk to folding and erasing: what waits in the log is written once there is room."""
        data = Path(self._settings.data)
        if shutil.disk_usage(data).free < RESERVE:
            raise Unavailable(
                f"less than {RESERVE >> 20} MiB are free on the disk of {data}", code="disk_full"
            )

    def close(self) -> None:
        """Let the run that is under way come to its end."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._lake.close()


def write_lake(lake: Lake, log: Log, store: Store, signals: SignalMap) -> bool:
    """Write one run of what was folded and is not in the lake yet; whether there was anything.

    Only what counted is written: what was told twice, or names somebody who was erased, is in no timeline.
    """
    first = lake.last + 1
    with closing(store.snapshot()) as snapshot:
        until = snapshot.position
        rows: list[tuple[int, Event]] = []
        last = first - 1
        while last < until and len(rows) < _LAKE_EVENTS:
            records = log.read(last, limit=min(200, until - last))
            if not records:
                break
            for position, raw in records:
                rows += [(position, event) for event in _counted(snapshot, position, raw, signals)]
            last = records[-1][0]
    if last < first:
        return False
    lake.write(first, last, rows)
    _leave(lake, store, after=until)  # who was erased while we wrote
    return True


def _leave(lake: Lake, store: Store, *, after: int = 0) -> None:
    """Take out of the lake whose erasure was folded behind ``after`` and is not settled yet."""
    with closing(store.snapshot()) as snapshot:
        for position, erasure in pending_erasures(snapshot):
            if position > after:
                lake.redact(erasure.who, up_to=position)


def _counted(snapshot: Snapshot, position: int, raw: bytes, signals: SignalMap) -> Iterator[Event]:
    if snapshot.get("meta", ASIDE + position.to_bytes(8, "big")) is not None:
        return
    for _, event in numbered_events_of(decode_record(raw, position), signals):
        rest = row_key(event.at, mark_of(event))
        for one in event.who or [NOBODY]:  # the first of them may be blocked
            row = snapshot.get("timeline", prefix_of(one) + rest)
            if row is not None:
                if decode_row(row).position == position:
                    yield event
                break


# -- erasing ---------------------------------------------------------------------------------------------------


def erase_record(
    identifier: str, *, id: str, now: int, source: str = "plait", account: bool = False
) -> Record:
    """The record that asks to forget a person, or only an account that is gone from its network.

    Args:
        identifier: any of theirs; the account's.
        id: of the erase event.
        now: ms since the epoch.
        source: of the erase event.
        account: take this identifier alone, and not the person it is linked to.
    """
    event: dict[str, Any] = {"id": id, "signal": Signal.ERASE, "op": "erase", "who": [identifier], "at": now}
    if account:
        event["about"] = {"account": identifier}
    return Record(
        kind="events", source=source, received_at=now, trusted=True, body=msgspec.json.encode([event])
    )


def pending_erasures(snapshot: Snapshot) -> list[tuple[int, Erasure]]:
    """Erasures that the fold has done and the log has not, with the position of their record."""
    return [
        (int.from_bytes(key[len(ERASURES) :], "big"), decode_erasure(raw))
        for key, raw in snapshot.scan("meta", ERASURES)
    ]


def redact_erased(log: Log, lake: Lake | None, snapshot: Snapshot, settings: Settings) -> int:
    """Take the events of erased people out of the log and the lake; doing it twice does no harm.

    Args:
        log: opened for writing.
        lake: ``None`` when there is none.
        snapshot: of the state, which says what has to leave.
        settings: for the data folder, where it is noted that the log waits to be compacted, and models to unlearn.

    Returns:
        How many records were written anew.
    """
    changes: dict[int, Record] = {}
    pending = pending_erasures(snapshot)
    if any(erasure.who for _, erasure in pending):
        with suppress(FileExistsError):
            (Path(settings.data) / UNLEARN).touch(exist_ok=False)
    for position, erasure in pending:
        if lake is not None and erasure.who:
            lake.redact(erasure.who, up_to=position)
        for one, raw in log.get([one for one in erasure.records if one not in changes]).items():
            changes[one] = decode_record(raw, one)
        for one, numbers in erasure.records.items():
            if one in changes:
                changes[one] = _redacted(changes[one], set(numbers), erasure if one == position else None)
    if changes:
        with suppress(FileExistsError):
            (Path(settings.data) / COMPACT).touch(exist_ok=False)
        # All at once: a replay finds the person's events and the erasure in clear, or neither.
        log.redact({one: encode_record(record) for one, record in changes.items()})
    return len(changes)


def _redacted(record: Record, numbers: set[int], erasure: Erasure | None) -> Record:
    if erasure is None or not erasure.id:
        return blanked(record, numbers)
    calls = calls_of(record)
    for number in numbers:
        call = calls[number]
        calls[number] = _closed(call, erasure) if call and call.get("id") == erasure.id else None
    return msgspec.structs.replace(record, body=msgspec.json.encode(calls))


def _closed(call: Mapping[str, object], erasure: Erasure) -> dict[str, object]:
    """What stays of an erase event: hashes, and up to when."""
    kept = {name: call[name] for name in ("id", "source", "signal", "op", "at") if name in call}
    return kept | {"who": [f"erased:{one.hex()}" for one in erasure.hashes], "value": erasure.cutoff}


def compact_erased(log: Log, settings: Settings, *, now: float, after: float = _COMPACT_AFTER) -> bool:
    """Rewrite the log's file when something was taken out of it some hours ago; whether it was done.

    Args:
        log: opened for writing; appending waits for a moment.
        settings: for the data folder.
        now: seconds since the epoch.
        after: seconds that may go by, so that many erasures share one compaction.
    """
    path = Path(settings.data) / COMPACT
    try:
        since = path.stat().st_mtime
    except FileNotFoundError:
        return False
    if now - since < after:
        return False
    path.unlink()
    log.compact()
    return True


# -- replay ----------------------------------------------------------------------------------------------------


def replay(
    settings: Settings, *, check: bool = False, progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Rebuild the state from the log, or with ``check`` prove that it is what the log says, changing nothing.

    Args:
        settings: of the installation; without ``check`` no server may run on it.
        check: compare instead.
        progress: is called with (done, all) records now and then.

    Returns:
        ``{"position", "events", "doubled", "seconds"}``, with ``check`` also ``"equal"`` and the first
        ``"differences"``.

    Raises:
        Unavailable: a server folds into this state.
    """
    begun = time.monotonic()
    spare_the_collector()
    with ExitStack() as stack:
        log = open_log(settings.url("log"))
        stack.callback(log.close)
        store = open_store(settings.url("store"), write=not check)
        stack.callback(store.close)
        if check:
            folder = Path(tempfile.mkdtemp(prefix="replay-", dir=settings.data))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            snapshot = store.snapshot()
            stack.callback(snapshot.close)
            fresh = open_store(f"lmdb://{folder}", write=True)
            stack.callback(fresh.close)
            fold = _refolded(fresh, settings, log, snapshot.position, progress)
            with closing(fresh.snapshot()) as made:
                differences = list(compare(snapshot, made))
        else:
            store.clear()
            fold = _refolded(store, settings, log, log.last, progress)
    told: dict[str, Any] = {
        "position": fold.position,
        "events": fold.events,
        "doubled": fold.doubled,
        "seconds": round(time.monotonic() - begun, 2),
    }
    if check:
        told |= {"equal": not differences, "differences": differences[:20]}
    return told


def _refolded(
    store: Store, settings: Settings, log: Log, last: int, progress: Callable[[int, int], None] | None
) -> Fold:
    fold = Fold(store, settings, load_signals(settings.data), log=log, pepper=load_keys(settings).pepper)
    while fold.position < last:
        records = log.read(fold.position, limit=min(1_000, last - fold.position))
        if not records:
            break
        fold.step(records)
        if progress is not None:
            progress(fold.position, last)
    return fold


def compare(one: Snapshot, other: Snapshot) -> Iterator[dict[str, Any]]:
    """Where two states differ, as ``{"table", "key", "only"?}``; weights may differ by 1e-9."""
    for table in TABLES:
        left, right = _rows(one, table), _rows(other, table)
        a, b = next(left, None), next(right, None)
        while a is not None or b is not None:
            if b is None or (a is not None and a[0] < b[0]):
                assert a is not None
                yield {"table": table, "key": _readable(a[0]), "only": "state"}
                a = next(left, None)
            elif a is None or b[0] < a[0]:
                yield {"table": table, "key": _readable(b[0]), "only": "replay"}
                b = next(right, None)
            else:
                same = a[1] == b[1] or (
                    table == "fragments" and equal(decode_fragment(a[1]), decode_fragment(b[1]))
                )
                if not same:
                    yield {"table": table, "key": _readable(a[0])}
                a, b = next(left, None), next(right, None)


def _rows(snapshot: Snapshot, table: str) -> Iterator[tuple[bytes, bytes]]:
    rows = snapshot.scan(table)
    if table == "meta":  # what is still to be erased is no fold of the log
        return (row for row in rows if not row[0].startswith(ERASURES))
    if table == "window":  # when old ids are forgotten depends on the size of steps
        last = next(snapshot.scan(table, reverse=True), (b"\0\0", b""))
        newest = int.from_bytes(last[0][:2], "big")
        return (row for row in rows if int.from_bytes(row[0][:2], "big") >= newest - 2)
    return rows


def _readable(key: bytes) -> str:
    text = key.partition(b"\0")[0]
    try:
        return text.decode()
    except UnicodeDecodeError:
        return key.hex()
