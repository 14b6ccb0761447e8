"""An event as our own words tell it: from a shop's program, or in a page of what a connector read.

What may be told is decided before, by ``plait.intake`` and ``plait.pages``; nothing is checked again here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from plait.events import DAY, FUTURE, About, Counter, Event, Op, Record, Signal, author_of, strongest_first
from plait.intake.device import Agent, context_of
from plait.intake.signals import SignalMap
from plait.intake.values import address, corrected, milliseconds

Consent = dict[str, bool | dict[str, bool]]  # purpose -> granted, or source -> granted
Lane = Literal["stream", "poll", "backfill", "hook"]


class Told(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An event as a sender may give it in our own vocabulary; ``Event`` says what the fields mean.

    ``at`` and ``sent_at`` are ms since the epoch or RFC 3339; with ``sent_at`` a wrong clock is corrected.
    ``source`` is for the secret key only.
    """

    id: str
    signal: Signal
    who: tuple[str, ...]
    source: str | None = None
    op: Op = "assert"
    at: int | datetime | None = None
    sent_at: int | datetime | None = None
    about: About = About()
    value: float | None = None
    counter: Counter | None = None
    name: str | None = None
    decision: str | None = None
    consent: Consent | None = None
    traits: dict[str, Any] | None = None
    context: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    record: str | None = None


class PageBody(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The body of a record of kind ``page``: what a connector told, and from where it goes on once that is kept.

    The record's ``source`` is the account's. ``events`` hold ``None`` where one was erased, so that numbers stay.

    Attributes:
        lane: which of the connector's generators told it; each has a cursor of its own.
        cursor: ``None`` leaves it where it is.
        done: the lane has come to its end (a backfill); it begins anew only after a gap.
        gap: why something may be missing; backfilling begins anew.
    """

    events: list[Told | None] = []
    lane: Lane = "poll"
    cursor: str | None = None
    done: bool = False
    gap: str | None = None


page_decoder = msgspec.json.Decoder(PageBody)


def event_of(told: Told, record: Record, signals: SignalMap, ua: Agent) -> Event:
    """The event that was told in a record."""
    at, sent = told.at, told.sent_at
    found = Event(
        id=told.id,
        source=told.source or record.source,
        signal=told.signal,
        op=told.op,
        at=corrected(
            None if at is None else milliseconds(at),
            None if sent is None else milliseconds(sent),
            record.received_at,
        ),
        received_at=record.received_at,
        who=strongest_first(list(told.who)),
        about=told.about
        if told.about.url is None
        else msgspec.structs.replace(told.about, url=address(told.about.url)),
        value=told.value,
        counter=told.counter and _dated(told.counter, sent, record.received_at),
        name=told.name,
        decision=told.decision,
        consent=told.consent or None,
        traits=told.traits,
        context=context_of(told.context, record, ua),
        properties=told.properties,
        proven=record.trusted,
        record=told.record,
    )
    if told.signal is Signal.VIEW and told.about.url is not None:
        signals.land(found, told.about.url)
    return found


def _dated(counter: Counter, sent: int | datetime | None, received_at: int) -> Counter:
    """A counter by our own clock: its beginning weighs what it counts, and a wrong clock would weigh it for ever.

    All reports of one counter must come to the same name, so a wrong clock is put right by whole tens of minutes, and
    a beginning that is still to come is that of the day.
    """
    started_at = counter.started_at
    skew = 0 if sent is None else received_at - milliseconds(sent)
    if abs(skew) > FUTURE:
        started_at += round(skew / (2 * FUTURE)) * 2 * FUTURE
    if started_at > received_at + FUTURE:
        started_at = received_at // DAY * DAY
    return (
        counter
        if started_at == counter.started_at
        else msgspec.structs.replace(counter, started_at=started_at)
    )


def grants(said: Consent) -> bool:
    """Whether anything is given, not only withdrawn."""
    return any(any(one.values()) if isinstance(one, dict) else one for one in said.values())


def named_by(event: Event | Told) -> set[str]:
    """All whom an event names: who did it, the account that it is about, and whose post or record it tells of."""
    about = event.about
    if about.account is None and about.post is None and event.record is None:
        return {*event.who}
    named = {*event.who, about.account, author_of(about.post), author_of(event.record)}
    return {one for one in named if one is not None}
