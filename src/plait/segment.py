"""From what a sender said to events in our own words.

A record of kind ``segment`` holds calls of the Segment protocol, one of kind ``events`` holds our own vocabulary.
``events_of`` reads both. It is pure: a record and a signal map always give the same events, however often and
wherever it runs. What may be in a record is decided before, by ``intake.py``; nothing is checked again here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode

import msgspec

from plait import device
from plait.errors import Corrupt, Rejected
from plait.events import (
    DAY,
    FUTURE,
    MAX_WHO,
    About,
    Counter,
    Event,
    Op,
    Record,
    Signal,
    checked_identifier,
    strongest_first,
)
from plait.signals import Paths, Rule, SignalMap, at_path

Agent = Callable[[str, Mapping[str, str]], device.Device]
Consent = dict[str, bool | dict[str, bool]]
Lane = Literal["stream", "poll", "backfill", "hook"]

LONGEST_ID = 256  # characters of an item, section, post or topic
LONGEST_URL = 1_024
LONGEST_NAME = 256
A_DAY = 86_400.0  # seconds; nobody dwells longer on one page
MOST_MONEY = 1e12


class Call(msgspec.Struct, rename="camel", kw_only=True):
    """One call of the Segment protocol, as far as we understand it.

    ``type`` ``consent`` is our own: what is left of a call that says nothing else, or may say nothing else.
    """

    type: Literal["track", "identify", "page", "screen", "group", "alias", "consent"]
    message_id: str
    event: str | None = None
    name: str | None = None
    category: str | None = None
    user_id: str | None = None
    anonymous_id: str | None = None
    previous_id: str | None = None
    group_id: str | None = None
    timestamp: datetime | None = None
    original_timestamp: datetime | None = None
    sent_at: datetime | None = None
    properties: dict[str, Any] | None = None
    traits: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    consent: Consent | None = None


class Batch(msgspec.Struct, rename="camel"):
    """Calls that came together. ``None`` stands where an erased call stood, so that numbers stay."""

    batch: list[Call | None]
    sent_at: datetime | None = None
    context: dict[str, Any] | None = None


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


_batches = msgspec.json.Decoder(Batch)
_tellings = msgspec.json.Decoder(list[Told | None])
page_decoder = msgspec.json.Decoder(PageBody)


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
                for event in _of_call(call, batch, record, signals, ua)
            ]
        if record.kind in ("events", "page"):
            paged = record.kind == "page"
            tellings = page_decoder.decode(record.body).events if paged else _tellings.decode(record.body)
            return [
                (number, _of_told(told, record, signals, ua))
                for number, told in enumerate(tellings)
                if told is not None
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


# -- calls of the Segment protocol ------------------------------------------------------------------------


def _of_call(call: Call, batch: Batch, record: Record, signals: SignalMap, ua: Agent) -> list[Event]:
    sent = batch.context | (call.context or {}) if batch.context else call.context or {}
    said = consent_of(call.consent, sent, signals)
    who = who_of(call, sent)
    told: dict[str, Any] = {
        "id": call.message_id,
        "source": record.source,
        "at": _at(call, batch, record.received_at),
        "received_at": record.received_at,
        "who": who,
        "context": _context(sent, record, ua),
        "proven": record.trusted,
    }
    events = (
        [_named(call, sent, signals, told)] if call.type != "track" else _tracked(call, sent, signals, told)
    )
    events[0].consent = said  # whose word counts is decided by who reads it (plait.consent)
    if events[0].signal is Signal.VIEW:
        _land(events[0], signals, _page_of(call.properties or {}, sent), sent.get("campaign"))
    if call.type == "group":
        events[0].context["group"] = call.group_id
    return events


def _page_of(properties: Mapping[str, Any], sent: Mapping[str, Any]) -> Any:
    """The address as it was sent; where it has no query, what stood behind it by itself."""
    page = sent.get("page")
    page = page if isinstance(page, dict) else {}
    url = properties.get("url") or page.get("url")
    search = properties.get("search") or page.get("search")
    if isinstance(url, str) and "?" not in url and isinstance(search, str) and search.startswith("?"):
        return url.partition("#")[0] + search
    return url


def _land(event: Event, signals: SignalMap, url: Any, campaign: Any = None) -> None:
    """Note which post brought a view; what its address says besides comes first, for it reads nothing beside a post."""
    if signals.places:
        event.about = signals.places.about(event.about)
    signals.landings.land(event, url, campaign)


def _named(call: Call, sent: Mapping[str, Any], signals: SignalMap, told: dict[str, Any]) -> Event:
    """The event of a call that is no ``track``."""
    properties = call.properties or {}
    if call.type in ("page", "screen"):
        name = call.name or properties.get("name")
        rule = signals.view
        return Event(
            signal=Signal.VIEW,
            name=_text(name, LONGEST_NAME),
            about=_about(rule, properties, sent),
            decision=_decision(rule, properties),
            properties=properties,
            **told,
        )
    if call.type == "identify":
        traits = {**(sent.get("traits") or {}), **(call.traits or {})}
        return Event(signal=Signal.IDENTIFY, traits=traits or None, **told)
    if call.type == "alias":
        return Event(signal=Signal.IDENTIFY, name="alias", **told)
    if call.type == "consent":
        return Event(signal=Signal.CONSENT, **told)
    return Event(signal=Signal.OTHER, name="group", properties=call.traits or {}, **told)


def _tracked(call: Call, sent: Mapping[str, Any], signals: SignalMap, told: dict[str, Any]) -> list[Event]:
    """The events of a ``track``: one, or one for each of its products."""
    properties = call.properties or {}
    name = call.event or ""
    rule = signals.rule(name)
    told = told | {
        "signal": rule.signal,
        "op": rule.op,
        "name": _text(name, LONGEST_NAME),
        "decision": _decision(rule, properties),
    }
    products = _products(rule, properties)
    if not products:
        about, value = _about(rule, properties, sent), _value(rule, properties)
        return [Event(about=about, value=value, properties=properties, **told)]
    events = []
    for part, product in enumerate(products):
        about = About(item=_text(at_path(product, rule.product_item), LONGEST_ID))
        # The call's own properties rest with its first part alone: they are one fact, not one a product.
        more = properties if part == 0 else product
        context = told["context"] if part == 0 else dict(told["context"])
        events.append(
            Event(
                about=about,
                value=_price(rule, product),
                properties=more,
                part=part,
                **(told | {"context": context}),
            )
        )
    return events


def _products(rule: Rule, properties: Mapping[str, Any]) -> list[dict[str, Any]]:
    told = at_path(properties, rule.products) if rule.products else None
    if not isinstance(told, list):
        return []
    return [one for one in told if isinstance(one, dict) and at_path(one, rule.product_item) is not None]


def _price(rule: Rule, product: Mapping[str, Any]) -> float | None:
    if rule.signal not in (Signal.PURCHASE, Signal.CHECKOUT, Signal.ADD):
        return None
    price = _number(at_path(product, rule.price))
    quantity = _number(at_path(product, rule.quantity))
    return None if price is None else _within(price * (1.0 if quantity is None else quantity), MOST_MONEY)


def _value(rule: Rule, properties: Mapping[str, Any]) -> float | None:
    value = _number(at_path(properties, rule.value))
    if value is None:
        return None
    return fitting(rule.signal, value / rule.scale)


_NOTHING = About()


def _about(rule: Rule, properties: Mapping[str, Any], sent: Mapping[str, Any]) -> About:
    page = sent.get("page")
    if not properties:  # a call that says nothing is about its page
        return About(url=address(page.get("url"))) if isinstance(page, dict) else _NOTHING
    item = _text(at_path(properties, rule.item), LONGEST_ID)
    url = at_path(properties, rule.url) or (page.get("url") if isinstance(page, dict) else None)
    query = _text(at_path(properties, rule.query), LONGEST_ID)
    return About(
        item=item,
        section=_text(at_path(properties, rule.section), LONGEST_ID),
        post=_text(at_path(properties, rule.post), LONGEST_ID),
        topic=None if item else _text(at_path(properties, rule.topic), LONGEST_ID),
        url=address(url),
        query=query.casefold() if query and rule.signal is Signal.SEARCH else None,
    )


def _decision(rule: Rule, properties: Mapping[str, Any]) -> str | None:
    return _text(at_path(properties, rule.decision), LONGEST_ID)


def who_of(call: Any, sent: Mapping[str, Any]) -> tuple[str, ...]:
    """The identifiers a call names, strongest first.

    ``previousId`` of an alias is the device's until it says what it is (``user:old``): a claim that welds
    two known people would join nobody, and mostly it is the anonymous id that is meant.
    """
    found = []
    if call.user_id and (user := call.user_id.strip()):
        found.append(f"user:{user}")
    if call.anonymous_id and (anonymous := call.anonymous_id.strip()):
        found.append(f"anonymous:{anonymous}")
    if call.type == "alias" and call.previous_id and (previous := call.previous_id.strip()):
        found.append(_typed(previous) or f"anonymous:{previous}")
    more = sent.get("externalIds")
    if isinstance(more, list):
        found += [one for told in more[:MAX_WHO] if (one := _external(told))]
    return strongest_first(found)[:MAX_WHO]


def _typed(text: str) -> str | None:
    try:
        return checked_identifier(text, field="previousId") if ":" in text else None
    except Rejected:
        return None


def _external(told: Any) -> str | None:
    if not isinstance(told, dict):
        return None
    kind, value = told.get("type"), told.get("id")
    if not isinstance(kind, str) or not isinstance(value, str) or kind in ("user_id", "anonymous_id"):
        return None
    return _typed(f"{kind}:{value.strip()}")


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def milliseconds(told: int | datetime) -> int:
    """A moment in ms since the epoch; without a zone it is UTC."""
    if isinstance(told, int):
        return told
    since = (told if told.tzinfo else told.replace(tzinfo=UTC)) - _EPOCH
    return since.days * 86_400_000 + since.seconds * 1_000 + since.microseconds // 1_000


def corrected(at: int | None, sent_at: int | None, received_at: int) -> int:
    """When it happened by our own clock, ms since the epoch: 0 <= it <= received_at + 5 min."""
    if at is None:
        return received_at
    if sent_at is not None:
        at = received_at - (sent_at - at)
    return max(0, min(at, received_at + FUTURE))


def _at(call: Call, batch: Batch, received_at: int) -> int:
    told = call.original_timestamp or call.timestamp
    sent = call.sent_at or batch.sent_at
    return corrected(milliseconds(told) if told else None, milliseconds(sent) if sent else None, received_at)


def _context(sent: Mapping[str, Any], record: Record, ua: Agent) -> dict[str, Any]:
    """What the sender told about the circumstances, with the device in our words: ``device``, ``os``, ``browser``
    and, for a program that only looks like somebody, ``bot``.
    """
    agent = sent.get("userAgent")
    found = (
        ua(agent, {}) if isinstance(agent, str) and agent != record.agent else ua(record.agent, record.hints)
    )
    kept = {name: value for name, value in sent.items() if name not in _NOT_KEPT}
    if kind := _device_type(sent) or found.device:
        kept["device"] = kind
    if system := found.os or _os_name(sent):
        kept["os"] = system
    if found.browser:
        kept["browser"] = found.browser
    if found.bot:
        kept["bot"] = True
    return kept


_NOT_KEPT = frozenset(
    {"device", "os", "browser", "bot", "userAgent", "userAgentData", "traits", "consent", "ip"}
)
_PHONES = {
    "ios": "mobile",
    "android": "mobile",
    "mobile": "mobile",
    "tablet": "tablet",
    "tv": "tv",
    "desktop": "desktop",
}


def _device_type(sent: Mapping[str, Any]) -> str:
    told = sent.get("device")
    kind = told.get("type") if isinstance(told, dict) else told
    return _PHONES.get(kind.casefold(), "") if isinstance(kind, str) else ""


def _os_name(sent: Mapping[str, Any]) -> str:
    told = sent.get("os")
    name = told.get("name") if isinstance(told, dict) else told
    return (_text(name, 40) or "") if isinstance(name, str) else ""


# -- our own vocabulary -----------------------------------------------------------------------------------


def _of_told(told: Told, record: Record, signals: SignalMap, ua: Agent) -> Event:
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
        context=_context(told.context, record, ua),
        properties=told.properties,
        proven=record.trusted,
        record=told.record,
    )
    if told.signal is Signal.VIEW and told.about.url is not None:
        _land(found, signals, told.about.url)
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


# -- consent ----------------------------------------------------------------------------------------------


def consent_of(said: Consent | None, sent: Mapping[str, Any], signals: SignalMap) -> Consent | None:
    """What a call says about consent: its own ``consent``, else ``context.consent``, which may name the categories of a
    consent manager (``categoryPreferences``) that the signal map translates; of two that say the same, no wins.
    """
    if said is not None:
        return said or None
    told = sent.get("consent")
    if not isinstance(told, dict):
        return None
    found: Consent = {
        name: value for name, value in told.items() if name in _PURPOSES and isinstance(value, bool)
    }
    categories = told.get("categoryPreferences")
    for category, allowed in categories.items() if isinstance(categories, dict) else ():
        for purpose in signals.consent.get(category, ()):
            found[purpose] = allowed is True and found.get(purpose) is not False
    return found or None


_PURPOSES = frozenset({"collect", "personalize", "link", "social"})


def grants(said: Consent) -> bool:
    """Whether anything is given, not only withdrawn."""
    return any(any(one.values()) if isinstance(one, dict) else one for one in said.values())


def denials(said: Consent) -> Consent:
    """Only what is withdrawn."""
    found: Consent = {}
    for purpose, told in said.items():
        if told is False:
            found[purpose] = False
        elif isinstance(told, dict) and (denied := {name: no for name, no in told.items() if not no}):
            found[purpose] = dict(denied)
    return found


# -- small things -----------------------------------------------------------------------------------------

_CONTROL = dict.fromkeys([*range(32), 127])
# Parts of a URL that tell a campaign or a session apart, not a page.
_TRACKING = re.compile(r"utm_|mc_|pk_|mtm_|_ga$|_gl$|gclid|fbclid|msclkid|dclid|gbraid|wbraid|yclid|igshid|ref$|sid$|"
                       r"session|token|email|key$|auth|password|code$", re.I)  # fmt: skip


def _text(told: Any, longest: int) -> str | None:
    """A name or id as text without control characters; ``None`` when nothing is left."""
    if told is None or isinstance(told, bool) or not isinstance(told, str | int | float):
        return None
    text = told if isinstance(told, str) else f"{told:.15g}" if isinstance(told, float) else str(told)
    if not text.isprintable():
        text = text.translate(_CONTROL)
    return text.strip()[:longest] or None


def address(told: Any) -> str | None:
    """A URL without its fragment and what tells a visit apart; only http(s) and paths are kept."""
    text = _text(told, LONGEST_URL)
    if text is None or not text.startswith(("http://", "https://", "/")):
        return None
    text = text.partition("#")[0]
    if "?" in text:
        page, _, query = text.partition("?")
        kept = [(name, value) for name, value in parse_qsl(query) if not _TRACKING.search(name)]
        text = f"{page}?{urlencode(kept)}" if kept else page
    return text


def _number(told: Any) -> float | None:
    if isinstance(told, bool) or not isinstance(told, int | float | str):
        return None
    try:
        number = float(told)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) <= MOST_MONEY else None


def fitting(signal: Signal, value: float) -> float:
    """``value`` within what the signal's values can be."""
    if signal is Signal.RATE:
        return _within(value, 1.0)
    if signal in (Signal.DWELL, Signal.PLAY):
        return _within(value, A_DAY)
    return max(-MOST_MONEY, min(value, MOST_MONEY))


def _within(value: float, most: float) -> float:
    return max(0.0, min(value, most))


__all__ = [
    "Batch",
    "Call",
    "Paths",
    "Told",
    "blanked",
    "consent_of",
    "corrected",
    "denials",
    "events_of",
    "fitting",
    "grants",
    "milliseconds",
    "numbered_events_of",
    "who_of",
]
