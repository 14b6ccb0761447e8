"""What a person did, event by event: the newest of it, and all that is held of them. The events themselves are in the log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Protocol

import msgspec

from plait.events import Event, decode_record
from plait.intake.records import numbered_events_of
from plait.intake.signals import SignalMap
from plait.profiles.people import profile
from plait.profiles.reader import Reader
from plait.profiles.state import Row, decode_row, prefix_of, row_key
from plait.settings import Settings
from plait.store import Snapshot

_AT_ONCE = 1_000  # events whose records are in memory at a time


class Records(Protocol):
    """What is asked of a log: records by position."""

    def get(self, positions: Sequence[int]) -> dict[int, bytes]:
        """The records at these positions."""
        ...


def recent(
    snapshot: Snapshot,
    log: Records,
    identifier: str,
    limit: int = 100,
    *,
    settings: Settings,
    signals: SignalMap,
    before: int | None = None,
) -> list[dict[str, Any]]:
    """The newest events of a person, newest first, as plain values.

    Args:
        snapshot: of the state.
        log: where the events themselves are.
        identifier: any of theirs.
        limit: how many.
        settings: for who is linked.
        signals: how names became signals.
        before: only events older than this, ms since the epoch.
    """
    members = Reader(snapshot, settings).person(identifier)
    after = None if before is None else row_key(before, b"")
    rows: dict[bytes, Row] = {}
    for one in members:
        prefix = prefix_of(one)
        end = None if after is None else prefix + after
        for key, raw in islice(snapshot.scan("timeline", prefix, after=end, reverse=True), limit):
            rows[key[len(prefix) :]] = decode_row(raw)
    newest = sorted(rows, reverse=True)[:limit]
    return [msgspec.to_builtins(event) for event in _events(log, signals, [rows[one] for one in newest])]


def _events(log: Records, signals: SignalMap, rows: Sequence[Row]) -> Iterator[Event]:
    """The events that rows point to, in their order; what was taken out meanwhile is left out."""
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        found: dict[tuple[int, int, int, str], Event] = {}
        for position, raw in log.get(sorted({row.position for row in some})).items():
            for number, event in numbered_events_of(decode_record(raw, position), signals):
                found[position, number, event.part, event.id] = event
        for row in some:
            event_ = found.get((row.position, row.number, row.part, row.id))
            if event_ is not None:
                yield event_


def export(
    snapshot: Snapshot, log: Records, identifier: str, *, settings: Settings, signals: SignalMap, now: int
) -> dict[str, Any] | None:
    """Everything that is held about a person, as plain values: the profile, each fragment, all events.

    Returns:
        ``None`` when nothing is known of this identifier.
    """
    found = profile(snapshot, identifier, now=now, settings=settings, purpose=None)
    if found is None:
        return None
    told: dict[str, Any] = msgspec.to_builtins(found)
    told["interests"] = [entry._asdict() for entry in found.entries]
    del told["entries"]
    rows: dict[bytes, Row] = {}
    for one in found.identifiers:
        prefix = prefix_of(one)
        rows |= {key[len(prefix) :]: decode_row(raw) for key, raw in snapshot.scan("timeline", prefix)}
    told["events"] = [
        msgspec.to_builtins(event) for event in _events(log, signals, [rows[one] for one in sorted(rows)])
    ]
    reader = Reader(snapshot, settings)
    told["statements"] = {
        one: {
            named.replace("\x1f", "@"): {"at": at, "id": id, "granted": granted}
            for named, (at, id, granted) in fragment.consents.items()
        }
        for one in found.identifiers
        if (fragment := reader.fragment(one)) is not None and fragment.consents
    }
    return told
