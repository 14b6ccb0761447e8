"""What a person likes now: a decayed sum of what they did, kept apart by where it came from.

A ``Profile`` is the sum of a person's fragments taken at a time. How what they did is spread over their identifiers
does not show.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import msgspec

from plait.events import Signal, is_network
from plait.profiles.fragment import Fragment, Weight, edge_order, later
from plait.profiles.subjects import COMPLAINT, INFERRED, SEP, WRITTEN, is_social

Allowed = Callable[[str, str, bool], bool]  # (identifier, source, social) -> may it be used

_DWELL = f"{SEP}{Signal.DWELL}"
_INFERRED = f"{Signal.DWELL}{INFERRED}"


class Entry(NamedTuple):
    """One thing a person showed an interest in, by one way of showing it.

    Attributes:
        source, signal: where it comes from; inferred dwell has the signal ``dwell``.
        kind: ``item post topic url query account``, ``complaint`` for a text that complained, or "" when the act was about nothing in particular.
        id, section: of what it is about; ``section`` may be "".
        count: acts in it.
        weight: decayed to the time of the profile; of a rating, value - 0.5, so it may be below zero.
        at: the newest of the acts, ms since the epoch.
        inferred: nobody measured it.
    """

    source: str
    signal: str
    kind: str
    id: str
    section: str
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody calls
    weight: float
    at: int
    inferred: bool


class Profile(msgspec.Struct):
    """What is known of a person at one time: the sum of their fragments.

    Attributes:
        identifiers: who they are, the one asked about first.
        entries: what they showed an interest in and may be used; no order.
        counts: signal -> events that counted, over all sources.
        traits: name -> value.
        devices: ``{"device", "os", "browser", "count", "last_at"}``, most used first.
        links: ``{"identifiers": [a, b], "proof", "counts": bool, "quarantined": bool}``.
        consents: purpose -> whether it holds, defaults included; ``purpose@source`` where it differs by source.
        first_at, last_at: ms since the epoch, 0 when nothing happened yet.
        bots: events of robots among ``counts``; nothing is learned from them.
    """

    identifiers: list[str]
    entries: list[Entry]
    counts: dict[str, int] = {}
    traits: dict[str, Any] = {}
    devices: list[dict[str, Any]] = []
    links: list[dict[str, Any]] = []
    consents: dict[str, bool] = {}
    first_at: int = 0
    last_at: int = 0
    bots: int = 0

    @property
    def complained_at(self) -> int:
        """When they last complained, as far as it may be used; ms since the epoch, 0 for never."""
        return max((one.at for one in self.entries if one.kind == COMPLAINT), default=0)


def everything(identifier: str, source: str, social: bool) -> bool:  # noqa: ARG001
    """Allow all entries, for who asks what is held."""
    return True


def entries_of(
    fragments: Mapping[str, Fragment], *, now: int, half_life: int, allowed: Allowed = everything
) -> list[Entry]:
    """The sum of fragments as entries, in any order.

    Args:
        fragments: by identifier; not changed.
        now: ms since the epoch that weights are decayed to.
        half_life: ms.
        allowed: which entries consent lets through.
    """
    held: _Held | None = None
    if len(fragments) == 1:  # as most people are: there is nothing to sum
        ((identifier, total),) = fragments.items()
        held = _Held(allowed, identifier) if allowed is not everything else None
    else:
        total = _summed(fragments, allowed)
    faded = math.exp2(min((total.landmark * half_life - now) / half_life, 1_000.0))
    found = []
    inferred = []
    taken = total.taken
    for key, one in total.weights.items():
        source, signal, kind, id, section, side = _things[key]
        if held is not None and not held[side]:
            continue
        if signal == _INFERRED:
            inferred.append(key)
            continue
        count, weight = one.count, one.weight * faded
        if not count or (not weight and signal in WRITTEN):
            continue  # all of them were taken back by their records; or none of them showed any interest
        if taken and (back := taken.get(key)):
            # We do not know which act was taken back, so each takes an average one: that commutes.
            if back >= count:
                continue
            weight *= (count - back) / count
            count -= back
        found.append(_entry((source, signal, kind, id, section, count, weight, one.at, False)))
    for key, edge in total.edges.items():
        source, signal, kind, id, section, side = _things[key]
        if edge.asserted and (held is None or held[side]):
            weight = 1.0
            if signal == "rate" and edge.value is not None:
                weight = min(max(edge.value, 0.0), 1.0) - 0.5
            weight *= math.exp2(min((edge.at - now) / half_life, 1_000.0))
            found.append(_entry((source, signal, kind, id, section, 1, weight, edge.at, False)))
    return found + _dwell_nobody_measured(total, inferred, faded) if inferred else found


def _dwell_nobody_measured(total: Fragment, keys: list[str], faded: float) -> list[Entry]:
    """Inferred dwell as entries, but for sources whose clients measure dwell themselves; as new as its view."""
    measured = {
        named.partition(SEP)[0] for named, n in total.counts.items() if n > 0 and named.endswith(_DWELL)
    }
    found = []
    for key in keys:
        source, _, kind, id, section, _ = _things[key]
        if source not in measured:
            one, viewed = (
                total.weights[key],
                total.weights.get(SEP.join((source, Signal.VIEW, kind, id, section))),
            )
            at = viewed.at if viewed else 0
            found.append(Entry(source, "dwell", kind, id, section, one.count, one.weight * faded, at, True))
    return found


_entry: Callable[[tuple[str, str, str, str, str, int, float, int, bool]], Entry] = partial(
    tuple.__new__, Entry
)  # a third of the time: one page reads dozens


class _Things(dict[str, tuple[str, str, str, str, str, tuple[str, bool]]]):
    """Keys taken apart: source, signal, kind, id, section, and the side they are on, (source, whether it is social).

    People do the same few things with the same items, and parsing took half of a reading, so they are remembered.
    """

    def __missing__(self, key: str) -> tuple[str, str, str, str, str, tuple[str, bool]]:
        if len(self) >= 100_000:
            self.clear()
        source, signal, kind, id, section = key.split(SEP, 4)
        found = self[key] = source, signal, kind, id, section, (source, is_social(signal, kind))
        return found


_things = _Things()


class _Held(dict[tuple[str, bool], bool]):
    """What ``allowed`` says of one identifier, by side; each asked once."""

    def __init__(self, allowed: Allowed, identifier: str) -> None:
        self._allowed, self._identifier = allowed, identifier

    def __missing__(self, side: tuple[str, bool]) -> bool:
        found = self[side] = self._allowed(self._identifier, *side)
        return found


def _summed(fragments: Mapping[str, Fragment], allowed: Allowed) -> Fragment:
    """One fragment with the weights, edges, counts and what was taken back of all, as far as allowed."""
    total = Fragment(landmark=max((one.landmark for one in fragments.values()), default=0))
    for identifier, fragment in fragments.items():
        weights, edges, taken = fragment.weights, fragment.edges, fragment.taken
        if allowed is not everything:
            held = _Held(allowed, identifier)
            weights = {key: one for key, one in weights.items() if held[_things[key][-1]]}
            edges = {key: edge for key, edge in edges.items() if held[_things[key][-1]]}
            taken = {key: number for key, number in taken.items() if held[_things[key][-1]]}
        steps = fragment.landmark - total.landmark
        if steps or total.weights:
            for key, one in weights.items():
                weight, was = math.ldexp(one.weight, steps), total.weights.get(key)
                total.weights[key] = (
                    Weight(one.count, weight, one.at)
                    if was is None
                    else Weight(was.count + one.count, was.weight + weight, max(was.at, one.at))
                )
        else:
            total.weights = dict(weights)
        for key, edge in edges.items():
            known = total.edges.get(key)
            if known is None or edge_order(edge) > edge_order(known):
                total.edges[key] = edge
        for key, number in taken.items():
            total.taken[key] = total.taken.get(key, 0) + number
        for named, number in fragment.counts.items():
            total.counts[named] = total.counts.get(named, 0) + number
    return total


def profile_of(
    fragments: Mapping[str, Fragment], *, now: int, half_life: int, allowed: Allowed = everything
) -> Profile:
    """The sum of a person's fragments; links and consents are for the caller to fill in.

    Args:
        fragments: by identifier, the one asked about first; not changed.
        now: ms since the epoch that weights are decayed to.
        half_life: ms.
        allowed: which entries consent lets through; the rest of the profile is what is held.
    """
    entries = entries_of(fragments, now=now, half_life=half_life, allowed=allowed)
    return _summed_up(list(fragments), list(fragments.values()), entries)


def usable_of(fragments: Mapping[str, Fragment], *, now: int, half_life: int, allowed: Allowed) -> Profile:
    """As ``profile_of``, but nothing is in it that consent holds back; its identifiers are those of fragments.

    Args:
        fragments: by identifier; not changed.
        now: ms since the epoch that weights are decayed to.
        half_life: ms.
        allowed: what consent lets through. Traits and devices are of no source, so it is asked for the source ``""``;
            those of an account on a network are of the social side.
    """
    entries = entries_of(fragments, now=now, half_life=half_life, allowed=allowed)
    some = [fragment for one, fragment in fragments.items() if allowed(one, "", is_network(one))]
    known = _summed_up(list(fragments), some, entries)
    counts: dict[str, int] = {}
    for identifier, fragment in fragments.items():
        held = _Held(allowed, identifier)
        for named, number in fragment.counts.items():
            source, _, signal = named.partition(SEP)
            if held[source, is_social(signal, "")]:
                counts[signal] = counts.get(signal, 0) + number
    known.counts = {signal: number for signal, number in counts.items() if number > 0}
    return known


def _summed_up(identifiers: list[str], all_of_them: list[Fragment], entries: list[Entry]) -> Profile:
    traits: dict[str, tuple[int, str, Any]] = {}
    devices: dict[str, list[int]] = {}
    for fragment in all_of_them:
        for name, told in fragment.traits.items():
            if name not in traits or later(told, traits[name]):
                traits[name] = told
        for key, (number, at) in fragment.devices.items():
            was = devices.get(key, [0, 0])
            devices[key] = [was[0] + number, max(was[1], at)]
    return Profile(
        identifiers=identifiers,
        entries=entries,
        counts=counts_of(all_of_them),
        traits={name: told[2] for name, told in traits.items() if told[2] is not None},
        devices=_devices(devices),
        first_at=min((one.first_at for one in all_of_them if one.first_at), default=0),
        last_at=max((one.last_at for one in all_of_them), default=0),
        bots=sum(one.bots for one in all_of_them),
    )


def counts_of(fragments: Iterable[Fragment]) -> dict[str, int]:
    """Signal -> events that counted, over all fragments and sources."""
    counts: dict[str, int] = {}
    for fragment in fragments:
        for named, number in fragment.counts.items():
            signal = named.partition(SEP)[2]
            counts[signal] = counts.get(signal, 0) + number
    return {signal: number for signal, number in counts.items() if number > 0}


def _devices(devices: dict[str, list[int]]) -> list[dict[str, Any]]:
    ordered: Iterable[tuple[str, list[int]]] = sorted(devices.items(), key=lambda one: (-one[1][0], one[0]))
    return [
        dict(zip(("device", "os", "browser"), key.split(SEP, 2), strict=True), count=count, last_at=at)
        for key, (count, at) in ordered
    ]
