"""What a person is interested in, in the shop's words: items and topics, each with the evidence for it.

A profile's entries say what somebody did; a post they liked stands for the items and topics it is tied to, an item
for its topics. Everything here is a sum, so the evidence of an interest is its weight, told apart.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from plait.catalog import Catalog
from plait.events import ACTIVITY, SOCIAL, Signal
from plait.profiles.profile import Entry, Profile

# Filling in a form or starting a session says nothing about what it was about.
TELLING = (ACTIVITY | SOCIAL) - {
    Signal.SESSION, Signal.FORM_START, Signal.FORM_SUBMIT, Signal.FORM_ABANDON,
}  # fmt: skip

Cause = tuple[str, str, str]  # source, signal, about


def interests(profile: Profile, catalog: Catalog, *, limit: int) -> list[dict[str, Any]]:
    """The strongest interests, items and topics mixed, strongest first.

    Args:
        profile: of a person, at a time.
        catalog: knows what posts are tied to, and the topics of items.
        limit: at most this many.

    Returns:
        ``{"item": id}`` or ``{"topic": name}`` with ``weight`` (acts, decayed; what was removed counts against it)
        and ``because``: ``{"source", "signal", "about", "weight", "share"}``, the largest first; the absolute
        values of the shares sum to 1.
    """
    found: dict[tuple[str, str], dict[Cause, float]] = defaultdict(lambda: defaultdict(float))
    for entry in profile.entries:
        if entry.signal in TELLING and entry.weight:
            weight = -entry.weight if entry.signal == Signal.REMOVE else entry.weight
            cause = (entry.source, entry.signal, about_of(entry))
            for (kind, name), sure in meant(entry, catalog).items():
                found[kind, name][cause] += weight * sure
    ordered = sorted(found.items(), key=lambda one: (-sum(one[1].values()), one[0]))
    return [
        {kind: name, "weight": sum(causes.values()), "because": _because(causes)}
        for (kind, name), causes in ordered[:limit]
    ]


def follows(profile: Profile) -> list[dict[str, Any]]:
    """The accounts that a person follows, newest first: ``{"account", "source", "at"}``, ``at`` in ms since the epoch."""
    found = [one for one in profile.entries if one.signal == Signal.FOLLOW and one.kind == "account"]
    return [
        {"account": one.id, "source": one.source, "at": one.at}
        for one in sorted(found, key=lambda one: (-one.at, one.id, one.source))
    ]


def about_of(entry: Entry) -> str:
    """What an entry is about, as reasons and conditions name it: ``tent-2#specs``, ``post:77``."""
    if entry.kind == "item":
        return f"{entry.id}#{entry.section}" if entry.section else entry.id
    return f"{entry.kind}:{entry.id}"


def meant(entry: Entry, catalog: Catalog) -> dict[tuple[str, str], float]:
    """The items and topics an entry speaks for and how surely, each once however often it is reached."""
    if entry.kind == "topic":
        return {("topic", entry.id): 1.0}
    if entry.kind not in ("item", "post"):
        return {}
    meant = {("item", entry.id): 1.0} if entry.kind == "item" else {}
    row = catalog.rows.get(entry.id)
    if row is None:
        return meant
    items, topics = catalog.ties(row)
    told = [(("item", catalog.ids[tied]), sure) for tied, sure in items.items()]
    told += [(("topic", topic), sure) for topic, sure in topics.items()]
    told += [
        (("topic", topic), sure)
        for one, sure in ((row, 1.0), *items.items())
        for topic in catalog.topics_of(one)
    ]
    for what, sure in told:
        meant[what] = max(sure, meant.get(what, 0.0))
    return meant


def _because(causes: dict[Cause, float]) -> list[dict[str, Any]]:
    whole = sum(abs(weight) for weight in causes.values()) or 1.0
    return [
        {"source": source, "signal": signal, "about": about, "weight": weight, "share": weight / whole}
        for (source, signal, about), weight in sorted(causes.items(), key=lambda one: (-abs(one[1]), one[0]))
    ]
