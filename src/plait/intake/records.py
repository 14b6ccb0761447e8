"""From what rests in the log to events, and out of it again what was erased.

A record of kind ``segment`` holds calls of the Segment protocol, one of kind ``events`` holds our own vocabulary, one of
kind ``page`` what a connector told. ``events_of`` reads them all. It is pure: a record and a signal map always give the same
events, however often and wherever it runs. What may be in a record is decided before; nothing is checked again here.
"""

from __future__ import annotations

from typing import Any

import msgspec

from plait.errors import Corrupt
from plait.events import Event, Record
from plait.intake import device, segment, told
from plait.intake.device import Agent
from plait.intake.signals import SignalMap

_batches = msgspec.json.Decoder(segment.Batch)
_tellings = msgspec.json.Decoder(list[told.Told | None])


def events_of(record: Record, signals: SignalMap, *, ua: Agent = device.parse) -> list[Event]:
    """The events of a record, in the order they were sent; none for kinds that hold no events.

    Raises:
        Corrupt: the body is not what we let into a log.
    """
    return [event for _, event in numbered_events_of(record, signals, ua=ua)]


def numbered_events_of(
    record: Record, signals: SignalMap, *, ua: Agent = device.parse
) -> list[tuple[int, Event]]:
    """The events of a record, each with the number of the call it came from, from 0.

    Raises:
        Corrupt: the body is not what we let into a log.
    """
    found = _read(record, signals, ua)
    if signals.places:
        for _, event in found:
            event.about = signals.places.about(event.about)
    return found


def _read(record: Record, signals: SignalMap, ua: Agent) -> list[tuple[int, Event]]:
    try:
        if record.kind == "segment":
            batch = _batches.decode(record.body)
            return [
                (number, event)
                for number, call in enumerate(batch.batch)
                if call is not None
                for event in segment.events_of(call, batch, record, signals, ua)
            ]
        if record.kind in ("events", "page"):
            paged = record.kind == "page"
            tellings = (
                told.page_decoder.decode(record.body).events if paged else _tellings.decode(record.body)
            )
            return [
                (number, told.event_of(one, record, signals, ua))
                for number, one in enumerate(tellings)
                if one is not None
            ]
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as exc:
        raise Corrupt(f"a record's body cannot be read: {exc}", code="log_corrupt") from exc
    return []


def blanked(record: Record, numbers: set[int]) -> Record:
    """The record without the calls of these numbers; the others keep theirs, and their bytes."""
    if record.kind in ("segment", "page"):
        name = "batch" if record.kind == "segment" else "events"
        whole = msgspec.json.decode(record.body, type=dict[str, msgspec.Raw])
        calls = msgspec.json.decode(whole.get(name, msgspec.Raw(b"[]")), type=list[msgspec.Raw])
        whole[name] = msgspec.Raw(msgspec.json.encode(_without(calls, numbers)))
        return msgspec.structs.replace(record, body=msgspec.json.encode(whole))
    if record.kind == "events":
        calls = msgspec.json.decode(record.body, type=list[msgspec.Raw])
        return msgspec.structs.replace(record, body=msgspec.json.encode(_without(calls, numbers)))
    return record


def _without(calls: list[Any], numbers: set[int]) -> list[Any]:
    return [None if number in numbers else call for number, call in enumerate(calls)]
