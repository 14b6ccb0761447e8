"""What a person likes now: a decayed sum of what they did, kept apart by where it came from.

A ``Fragment`` is the state of one identifier, a ``Profile`` the sum of a person's fragments taken at a time. Both
are commutative: the order in which events arrive, and how they are spread over a person's identifiers, does not
show. Sums decay forward: a weight is relative to a landmark of whole half-lives, so adding needs no clock, and
moving the landmark multiplies by an exact power of two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from plait.events import DAY, SOCIAL, STATEFUL, SYSTEM, About, Event, Signal

SEP = "\x1f"  # between the parts of a key; control characters never occur in what is let in
ATTENTION = 30.0  # seconds after which attention is 63 % of what it can be
VISIT_GAP = 30 * 60_000  # milliseconds between two views after which nobody was looking in between
MOST_THINGS = 4_096  # things that one identifier's state holds apart; nobody has as many who is somebody
INFERRED = "~"  # ends the signal part of a key whose dwell was inferred from successive views

Stated = tuple[int, str, bool]  # (at, id, granted)
Allowed = Callable[[str, str, bool], bool]  # (identifier, source, social) -> may it be used

_SHOWN = frozenset({Signal.DECIDED, Signal.SHOWN})
_TIMED = frozenset({Signal.DWELL, Signal.PLAY})
_DWELL = f"{SEP}{Signal.DWELL}"
_INFERRED = f"{Signal.DWELL}{INFERRED}"


class Weight(msgspec.Struct, array_like=True, gc=False):
    """A sum of acts.

    Attributes:
        count: acts in it; of cumulative dwell, counters.
        weight: the sum of their intensities, relative to the fragment's landmark.
        at: the newest of them, ms since the epoch; 0 for inferred dwell, which is as new as its view.
    """

    count: int
    weight: float
    at: int


class Edge(NamedTuple):
    """Whether something holds (a like, a follow): the last word by (at, id)."""

    at: int
    id: str
    asserted: bool
    value: float | None


class Visit(NamedTuple):
    """The newest view under one source: the next one tells how long it lasted."""

    at: int
    mark: bytes
    about: str


class Fragment(msgspec.Struct, array_like=True):
    """The state of one identifier; rests in the table ``fragments``.

    Attributes:
        landmark: whole half-lives since the epoch that ``weights`` are relative to.
        weights: ``source SEP signal SEP kind SEP id SEP section`` -> sum of acts.
        edges: the same keys -> last word, for what is either so or not so.
        traits: name -> (at, id, value), the last word.
        consents: ``purpose`` or ``purpose SEP source`` -> (at, id, granted), the last word; ties deny.
        devices: ``device SEP os SEP browser`` -> [events, newest].
        counts: ``source SEP signal`` -> events that counted, less those that took one back; may be below zero.
        first_at, last_at: oldest and newest event, ms since the epoch; 0 when there is none.
        bots: events of robots; they are in ``counts`` and nowhere else: nothing is learned from them.
        visits: source -> the newest view.
        taken: keys of ``weights`` -> acts taken back (a deleted comment), which take their average share along.
        rests: keys of inferred dwell -> the exact sum as numbers that do not overlap, where one cannot hold it.
        things: keys that are held, inferred dwell apart: of weights, edges, traits, devices and what was taken.
        thinned: how often the things were halved because there were more than ``MOST_THINGS``.
    """

    landmark: int = 0
    weights: dict[str, Weight] = {}
    edges: dict[str, Edge] = {}
    traits: dict[str, tuple[int, str, Any]] = {}
    consents: dict[str, Stated] = {}
    devices: dict[str, list[int]] = {}
    counts: dict[str, int] = {}
    first_at: int = 0
    last_at: int = 0
    bots: int = 0
    visits: dict[str, Visit] = {}
    taken: dict[str, int] = {}
    rests: dict[str, list[float]] = {}
    things: int = 0
    thinned: int = 0

    def add(self, event: Event, *, half_life: int, before: float | None = None) -> None:
        """Count one event that was not counted yet. What it says about links and consents is not for here.

        Args:
            event: one whose strongest identifier this fragment belongs to.
            half_life: in ms, the same for the whole life of the fragment.
            before: the largest value told so far under the event's counter, ``None`` when this is the first.
        """
        at = event.at
        if not self.first_at or at < self.first_at:
            self.first_at = at
        self.last_at = max(self.last_at, at)
        counted = event.op in ("assert", "retract")
        named = f"{event.source}{SEP}{event.signal}"
        if counted:
            self.counts[named] = self.counts.get(named, 0) + (1 if event.op == "assert" else -1)
        context = event.context
        if context:
            if context.get("bot"):
                self.bots += 1
                return
            self._seen_on(context, at)
        if event.traits:
            self._told_about(event)
        if not counted:
            return
        if event.signal in STATEFUL:
            for about in abouts(event.about):
                self._hold(f"{named}{SEP}{about}", about, event)
        elif event.signal not in SYSTEM or (event.signal in _SHOWN and event.about.item is not None):
            self._act(named, event, half_life, before)

    def _seen_on(self, context: dict[str, Any], at: int) -> None:
        device = context.get("device") or ""
        system = context.get("os") or ""
        browser = context.get("browser") or ""
        if device or system or browser:
            key = f"{device}{SEP}{system}{SEP}{browser}"
            seen = self.devices.get(key)
            if seen is None:
                if self._holds(key):
                    self.devices[key] = [1, at]
                    self._held_one_more()
            else:
                seen[0] += 1
                seen[1] = max(seen[1], at)

    def _told_about(self, event: Event) -> None:
        for name, value in (event.traits or {}).items():
            told = (event.at, event.id, _restable(value))
            known = self.traits.get(name)
            if known is None:
                if self._holds(name):
                    self.traits[name] = told
                    self._held_one_more()
            elif _later(told, known):
                self.traits[name] = told

    def _hold(self, key: str, about: str, event: Event) -> None:
        told = Edge(event.at, event.id, event.op == "assert", event.value)
        known = self.edges.get(key)
        if known is None:
            if self._holds(about):
                self.edges[key] = told
                self._held_one_more()
        elif _edge_order(told) > _edge_order(known):
            self.edges[key] = told

    def _act(self, named: str, event: Event, half_life: int, before: float | None) -> None:
        counter = event.counter if is_cumulative(event) else None
        if event.op == "retract":
            for about in abouts(event.about):
                key = f"{named}{SEP}{about}"
                if key in self.taken:
                    self.taken[key] += 1
                elif self._holds(about):
                    self.taken[key] = 1
                    self._held_one_more()
            return
        intensity = 1.0
        if event.signal in _TIMED and event.value is not None:
            intensity = attention(event.value)
            if counter is not None and before is not None:
                intensity = max(0.0, intensity - attention(before))
        fresh = 1 if counter is None or before is None else 0
        since = event.at if counter is None else max(0, counter.started_at)
        grown = intensity * self.scale(since, half_life)
        for about in abouts(event.about):
            if self._grow(f"{named}{SEP}{about}", about, fresh, grown, event.at):
                self._held_one_more()

    def _grow(self, key: str, about: str, count: int, weight: float, at: int) -> bool:
        """Add to a weight; whether it is a new one."""
        known = self.weights.get(key)
        if known is None:
            if not self._holds(about):
                return False
            self.weights[key] = Weight(count, weight, at)
            return True
        known.count += count
        known.weight += weight
        known.at = max(known.at, at)
        return False

    # A fragment is decoded and encoded whole, so it must have an end: one visitor who looks at a million things
    # would keep everybody waiting. Which things stay may not depend on the order in which they came: those whose
    # hash begins with enough zeros do, so whatever stays was held from its first event on.

    def _holds(self, about: str) -> bool:
        return not self.thinned or zeros(about) >= self.thinned

    def _held_one_more(self) -> None:
        self.things += 1
        while self.things > MOST_THINGS:
            self._thin()

    def _thin(self) -> None:
        self.thinned += 1
        for held in (self.weights, self.edges, self.taken, self.rests):
            for key in [key for key in held if not self._holds(key.split(SEP, 2)[2])]:
                del held[key]
        for names in (self.traits, self.devices):
            for name in [name for name in names if not self._holds(name)]:
                del names[name]
        self.things = (
            sum(1 for key in self.weights if key.split(SEP, 2)[1][-1] != INFERRED)
            + len(self.edges) + len(self.taken) + len(self.traits) + len(self.devices)
        )  # fmt: skip

    def scale(self, at: int, half_life: int) -> float:
        """What an act at ``at`` weighs relative to the landmark, which moves up when it must."""
        whole = at // half_life
        if whole > self.landmark:
            self._raise_landmark(whole)
        return math.exp2((at - self.landmark * half_life) / half_life)

    def _raise_landmark(self, landmark: int) -> None:
        steps = self.landmark - landmark  # 2^steps is exact, so a sum does not show when it was moved
        for one in self.weights.values():
            one.weight = math.ldexp(one.weight, steps)
        for rest in self.rests.values():
            rest[:] = [math.ldexp(one, steps) for one in rest]
        self.landmark = landmark

    def visit(self, source: str, visit: Visit, *, half_life: int) -> bool:
        """Note a view; the one before it lasted until now.

        Returns:
            ``False`` when it is not the newest, so that its neighbours must be looked up.
        """
        newest = self.visits.get(source)
        if newest is not None:
            if (newest.at, newest.mark) > (visit.at, visit.mark):
                return False
            self.linger(source, newest.about, at=newest.at, until=visit.at, half_life=half_life)
        self.visits[source] = visit
        return True

    def linger(self, source: str, about: str, *, at: int, until: int, half_life: int) -> None:
        """Infer that a view at ``at`` lasted until the next one, unless that came too late to tell."""
        self._lingered(source, about, at, until, half_life, 1)

    def unlinger(self, source: str, about: str, *, at: int, until: int, half_life: int) -> None:
        """Take an inference back, because a view in between came to light."""
        self._lingered(source, about, at, until, half_life, -1)

    def _lingered(self, source: str, about: str, at: int, until: int, half_life: int, sign: int) -> None:
        if not 0 < until - at <= VISIT_GAP or not self._holds(about):
            return
        whole, part = divmod(at, half_life)
        if whole > self.landmark:
            self._raise_landmark(whole)
        # The same number whenever it is added or taken back: moving a landmark is exact.
        felt = sign * attention((until - at) / 1000) * math.exp2(part / half_life)
        self._add_exactly(inferred_key(source, about), sign, math.ldexp(felt, whole - self.landmark))

    def _add_exactly(self, key: str, count: int, term: float) -> None:
        """Add to a sum without losing a bit, so that what is taken back leaves what was there before it.

        What is left may be small beside what was taken; kept in one number it would be mostly rounding. The parts of
        the sum do not overlap (Shewchuk 1997, "Adaptive precision floating-point arithmetic", grow-expansion).
        """
        known = self.weights.get(key)
        if known is None:
            self.weights[key] = Weight(count, term, 0)
            return
        parts = []
        for part in self.rests.pop(key, None) or [known.weight]:
            larger, smaller = (term, part) if abs(term) >= abs(part) else (part, term)
            term = larger + smaller
            lost = smaller - (term - larger)
            if lost:
                parts.append(lost)
        known.count += count
        if not known.count:
            del self.weights[key]
        elif not parts:
            known.weight = term
        else:
            parts.append(term)
            known.weight = math.fsum(parts)
            self.rests[key] = parts

    def state(self, purpose: str, at: int, id: str, granted: bool) -> None:
        """Note what was said about a purpose (``purpose`` or ``purpose SEP source``)."""
        known = self.consents.get(purpose)
        if known is None or stated_order((at, id, granted)) > stated_order(known):
            self.consents[purpose] = (at, id, granted)


def stated_order(stated: Stated) -> tuple[int, bool, str]:
    """Newest wins and ties deny."""
    return stated[0], not stated[2], stated[1]


def attention(seconds: float) -> float:
    """How much of a look is left to give after so many seconds: 0..1; the first seconds tell most."""
    return 1.0 - math.exp(-seconds / ATTENTION) if seconds > 0 else 0.0


def abouts(about: About) -> list[str]:
    """What an event counts for, as ``kind SEP id SEP section``; a page's address only where nothing better is known."""
    found = []
    section = about.section or ""
    if about.item is not None:
        found.append(f"item{SEP}{about.item}{SEP}{section}")
    if about.post is not None:
        found.append(f"post{SEP}{about.post}{SEP}")
    if about.topic is not None:
        found.append(f"topic{SEP}{about.topic}{SEP}")
    if about.query is not None:
        found.append(f"query{SEP}{about.query}{SEP}")
    if about.account is not None:
        found.append(f"account{SEP}{about.account}{SEP}")
    if about.url is not None and about.item is None and about.post is None:
        found.append(f"url{SEP}{about.url}{SEP}{section}")
    return found or [f"{SEP}{SEP}"]


def zeros(about: str) -> int:
    """With how many zeros the hash of a thing begins: as a coin falls, and always the same for the same thing."""
    return 64 - int.from_bytes(blake2b(about.encode(), digest_size=8).digest(), "big").bit_length()


def is_visit(event: Event) -> bool:
    """Whether somebody looked at something, so that the next look tells for how long."""
    return event.signal is Signal.VIEW and event.op == "assert" and not event.context.get("bot")


def is_cumulative(event: Event) -> bool:
    """Whether an event's value is a counter's. One that says it began long after it was told is taken as it is:
    a clock that is years ahead must not fade all else to nothing.
    """
    return event.counter is not None and event.counter.started_at <= event.received_at + DAY


def counter_key(event: Event) -> bytes:
    """What names an event's counter within its identifier; what it measures belongs to the name."""
    counter = event.counter
    assert counter is not None
    named = (
        event.source, event.signal, counter.view, str(counter.started_at), str(counter.epoch),
        *abouts(event.about),
    )  # fmt: skip
    return blake2b(SEP.join(named).encode(), digest_size=16).digest()


def inferred_key(source: str, about: str) -> str:
    """Where dwell that nobody measured is kept."""
    return f"{source}{SEP}{Signal.DWELL}{INFERRED}{SEP}{about}"


def is_social(signal: str, kind: str) -> bool:
    """Whether an entry came from a network; a share is social when a post was shared."""
    return signal in SOCIAL or (signal == "share" and kind == "post")


_decoder = msgspec.msgpack.Decoder(Fragment)
_encoder = msgspec.msgpack.Encoder()


def decode_fragment(raw: bytes) -> Fragment:
    """The fragment that ``encode_fragment`` wrote; the caller owns it."""
    return _decoder.decode(raw)


def encode_fragment(fragment: Fragment) -> bytes:
    """The bytes of a fragment as they rest in the store."""
    return _encoder.encode(fragment)


def equal(one: Fragment, other: Fragment) -> bool:
    """Whether two fragments say the same: all exact, but weights to 1e-9, for sums may be taken in any order."""
    return (
        one.edges == other.edges
        and one.traits == other.traits
        and one.consents == other.consents
        and one.devices == other.devices
        and {key: n for key, n in one.counts.items() if n} == {key: n for key, n in other.counts.items() if n}
        and (one.first_at, one.last_at, one.bots) == (other.first_at, other.last_at, other.bots)
        and (one.things, one.thinned) == (other.things, other.thinned)
        and one.visits == other.visits
        and one.taken == other.taken
        and one.landmark == other.landmark
        and one.weights.keys() == other.weights.keys()
        and all(_same(weight, other.weights[key]) for key, weight in one.weights.items())
    )


def _same(one: Weight, other: Weight) -> bool:
    # What decayed to nothing is nothing, however it got there.
    return (one.count, one.at) == (other.count, other.at) and math.isclose(
        one.weight, other.weight, rel_tol=1e-9, abs_tol=1e-200
    )


def half_life_ms(days: float) -> int:
    """A half-life in whole milliseconds, at least one."""
    return max(1, round(days * DAY))


def _later(told: tuple[int, str, Any], known: tuple[int, str, Any]) -> bool:
    if told[:2] != known[:2]:
        return told[:2] > known[:2]
    # Two sources may use the same id at the same time: any fixed order will do.
    return msgspec.json.encode(told[2], order="sorted") > msgspec.json.encode(known[2], order="sorted")


def _restable(value: Any) -> Any:
    """A trait's value with numbers that msgpack can hold: beyond 64 bits they become floats."""
    if isinstance(value, dict):
        return {name: _restable(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_restable(one) for one in value]
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        return float(value)
    return value


def _edge_order(edge: Edge) -> tuple[int, str, bool, float]:
    return edge.at, edge.id, not edge.asserted, -math.inf if edge.value is None else edge.value


class Entry(NamedTuple):
    """One thing a person showed an interest in, by one way of showing it.

    Attributes:
        source, signal: where it comes from; inferred dwell has the signal ``dwell``.
        kind: ``item post topic url query``, or "" when the act was about nothing in particular.
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
            if known is None or _edge_order(edge) > _edge_order(known):
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
    all_of_them = list(fragments.values())
    traits: dict[str, tuple[int, str, Any]] = {}
    devices: dict[str, list[int]] = {}
    for fragment in all_of_them:
        for name, told in fragment.traits.items():
            if name not in traits or _later(told, traits[name]):
                traits[name] = told
        for key, (number, at) in fragment.devices.items():
            was = devices.get(key, [0, 0])
            devices[key] = [was[0] + number, max(was[1], at)]
    return Profile(
        identifiers=list(fragments),
        entries=entries_of(fragments, now=now, half_life=half_life, allowed=allowed),
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
