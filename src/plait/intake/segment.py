"""Calls of the Segment protocol, and the events that they are.

What may be in a call is decided before, by ``plait.intake``; nothing is checked again here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec

from plait.errors import Rejected
from plait.events import MAX_WHO, About, Event, Record, Signal, checked_identifier, strongest_first
from plait.intake.device import Agent, context_of
from plait.intake.signals import Rule, SignalMap, at_path
from plait.intake.told import Consent
from plait.intake.values import (
    MOST_MONEY,
    address,
    corrected,
    fitting,
    milliseconds,
    number_of,
    text_of,
    within,
)

LONGEST_ID = 256  # characters of an item, section, post or topic
LONGEST_NAME = 256


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


def events_of(call: Call, batch: Batch, record: Record, signals: SignalMap, ua: Agent) -> list[Event]:
    """The events of one call: one, or one for each product that it names."""
    sent = batch.context | (call.context or {}) if batch.context else call.context or {}
    said = consent_of(call.consent, sent, signals)
    who = who_of(call, sent)
    told: dict[str, Any] = {
        "id": call.message_id,
        "source": record.source,
        "at": _at(call, batch, record.received_at),
        "received_at": record.received_at,
        "who": who,
        "context": context_of(sent, record, ua),
        "proven": record.trusted,
    }
    events = (
        [_named(call, sent, signals, told)] if call.type != "track" else _tracked(call, sent, signals, told)
    )
    events[0].consent = said  # whose word counts is decided by who reads it (plait.consent)
    if events[0].signal is Signal.VIEW:
        signals.land(events[0], _page_of(call.properties or {}, sent), sent.get("campaign"))
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


def _named(call: Call, sent: Mapping[str, Any], signals: SignalMap, told: dict[str, Any]) -> Event:
    """The event of a call that is no ``track``."""
    properties = call.properties or {}
    if call.type in ("page", "screen"):
        name = call.name or properties.get("name")
        rule = signals.view
        return Event(
            signal=Signal.VIEW,
            name=text_of(name, LONGEST_NAME),
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
        "name": text_of(name, LONGEST_NAME),
        "decision": _decision(rule, properties),
    }
    products = _products(rule, properties)
    if not products:
        about, value = _about(rule, properties, sent), _value(rule, properties)
        return [Event(about=about, value=value, properties=properties, **told)]
    events = []
    for part, product in enumerate(products):
        about = About(item=text_of(at_path(product, rule.product_item), LONGEST_ID))
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
    price = number_of(at_path(product, rule.price))
    quantity = number_of(at_path(product, rule.quantity))
    return None if price is None else within(price * (1.0 if quantity is None else quantity), MOST_MONEY)


def _value(rule: Rule, properties: Mapping[str, Any]) -> float | None:
    value = number_of(at_path(properties, rule.value))
    if value is None:
        return None
    return fitting(rule.signal, value / rule.scale)


_NOTHING = About()


def _about(rule: Rule, properties: Mapping[str, Any], sent: Mapping[str, Any]) -> About:
    page = sent.get("page")
    if not properties:  # a call that says nothing is about its page
        return About(url=address(page.get("url"))) if isinstance(page, dict) else _NOTHING
    item = text_of(at_path(properties, rule.item), LONGEST_ID)
    url = at_path(properties, rule.url) or (page.get("url") if isinstance(page, dict) else None)
    query = text_of(at_path(properties, rule.query), LONGEST_ID)
    return About(
        item=item,
        section=text_of(at_path(properties, rule.section), LONGEST_ID),
        post=text_of(at_path(properties, rule.post), LONGEST_ID),
        topic=None if item else text_of(at_path(properties, rule.topic), LONGEST_ID),
        url=address(url),
        query=query.casefold() if query and rule.signal is Signal.SEARCH else None,
    )


def _decision(rule: Rule, properties: Mapping[str, Any]) -> str | None:
    return text_of(at_path(properties, rule.decision), LONGEST_ID)


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


def _at(call: Call, batch: Batch, received_at: int) -> int:
    told = call.original_timestamp or call.timestamp
    sent = call.sent_at or batch.sent_at
    return corrected(milliseconds(told) if told else None, milliseconds(sent) if sent else None, received_at)


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
