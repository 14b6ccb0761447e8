"""The state of one identifier: a decayed sum of what was done, and the last word on what is so or not so.

It is commutative: the order in which events arrive does not show. Sums decay forward: a weight is relative to a
landmark of whole half-lives, so adding needs no clock, and moving the landmark multiplies by an exact power of two.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import msgspec

from plait.events import DAY, RETRACTABLE, SYSTEM, Event, Signal
from plait.profiles.subjects import INFERRED, SEP, abouts, felt, inferred_key, is_cumulative, is_state, zeros

ATTENTION = 30.0  # seconds after which attention is 63 % of what it can be
VISIT_GAP = 30 * 60_000  # milliseconds between two views after which nobody was looking in between
MOST_THINGS = 4_096  # things that one identifier's state holds apart; nobody has as many who is somebody

Stated = tuple[int, str, bool]  # (at, id, granted)

_SHOWN = frozenset({Signal.DECIDED, Signal.SHOWN})
_TIMED = frozenset({Signal.DWELL, Signal.PLAY})


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


NOTHING = Edge(0, "", False, None)  # what is left when all that was told was taken back


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

    def add(self, event: Event, *, half_life: int, before: float | None = None, taken: bool = False) -> None:
        """Count one event that was not counted yet. What it says about links and consents is not for here.

        Args:
            event: one whose strongest identifier this fragment belongs to.
            half_life: in ms, the same for the whole life of the fragment.
            before: the largest value told so far under the event's counter, ``None`` when this is the first.
            taken: its record was taken back before it came: what it is about is held, and nothing is left of it.
        """
        at = event.at
        if not self.first_at or at < self.first_at:
            self.first_at = at
        self.last_at = max(self.last_at, at)
        counted = event.op in ("assert", "retract") and not event.takes_back
        named = f"{event.source}{SEP}{event.signal}"
        if counted and not taken:
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
        if event.signal in RETRACTABLE:
            for about, intensity in felt(event):
                key = f"{named}{SEP}{about}"
                if is_state(event.signal, about.partition(SEP)[0]):
                    self._hold(key, about, NOTHING if taken else word_of(event))
                elif event.op == "retract":
                    self._take(key, about)
                else:
                    self._act_exactly(key, about, 0 if taken else 1, event.at, half_life, intensity)
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
            elif later(told, known):
                self.traits[name] = told

    def _hold(self, key: str, about: str, told: Edge) -> None:
        known = self.edges.get(key)
        if known is None:
            if self._holds(about):
                self.edges[key] = told
                self._held_one_more()
        elif edge_order(told) > edge_order(known):
            self.edges[key] = told

    def _take(self, key: str, about: str) -> None:
        """Note that an act was taken back, nobody knows which."""
        if key in self.taken:
            self.taken[key] += 1
        elif self._holds(about):
            self.taken[key] = 1
            self._held_one_more()

    def _act_exactly(
        self, key: str, about: str, count: int, at: int, half_life: int, intensity: float
    ) -> None:
        """Add an act that may be taken back; a count of 0 only holds its place."""
        weight = intensity * self._exactly(at, half_life)
        known = self.weights.get(key)
        if known is None:
            if not self._holds(about):
                return
            known = self.weights[key] = Weight(0, 0.0, 0)
            self._held_one_more()
            if key not in self.weights:
                return  # there were too many things, and this is not one that stays
        if count:
            self._add_exactly(key, count, weight)
            known.at = max(known.at, at)

    def take_out(
        self, key: str, about: str, at: int, *, newest: int, half_life: int, intensity: float = 1.0
    ) -> None:
        """Take out one act of a sum, as if it had never been told.

        Args:
            key: of the sum.
            about: what it is about.
            at: when the act happened, ms since the epoch.
            newest: of the acts that are left, 0 when there is none.
            half_life: ms.
            intensity: of the act, as it was added.
        """
        known = self.weights.get(key)
        if known is None or not self._holds(about):
            return
        self._add_exactly(key, -1, -intensity * self._exactly(at, half_life))
        known.at = newest

    def word(self, key: str, about: str, last: Edge) -> None:
        """Set the last word that is left on what is so or not so."""
        if key in self.edges and self._holds(about):
            self.edges[key] = last

    def uncount(self, named: str) -> None:
        """Count one event less; ``named`` is its source and signal."""
        self.counts[named] = self.counts.get(named, 0) - 1

    def _act(self, named: str, event: Event, half_life: int, before: float | None) -> None:
        if event.op == "retract":
            for about in abouts(event.about):
                self._take(f"{named}{SEP}{about}", about)
            return
        counter = event.counter if is_cumulative(event) else None
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
        key = inferred_key(source, about)
        felt = sign * attention((until - at) / 1000)
        if key not in self.weights:
            self.weights[key] = Weight(0, 0.0, 0)
        self._add_exactly(key, sign, felt * self._exactly(at, half_life))
        if not self.weights[key].count:
            del self.weights[key]

    def _exactly(self, at: int, half_life: int) -> float:
        """``scale``, and the same number whenever it is added or taken back: moving a landmark is exact."""
        whole, part = divmod(at, half_life)
        if whole > self.landmark:
            self._raise_landmark(whole)
        return math.ldexp(math.exp2(part / half_life), whole - self.landmark)

    def _add_exactly(self, key: str, count: int, term: float) -> None:
        """Add to a sum without losing a bit, so that what is taken back leaves what was there before it.

        What is left may be small beside what was taken; kept in one number it would be mostly rounding. The parts of
        the sum do not overlap (Shewchuk 1997, "Adaptive precision floating-point arithmetic", grow-expansion).
        """
        known = self.weights[key]
        parts = []
        for part in self.rests.pop(key, None) or [known.weight]:
            larger, smaller = (term, part) if abs(term) >= abs(part) else (part, term)
            term = larger + smaller
            lost = smaller - (term - larger)
            if lost:
                parts.append(lost)
        known.count += count
        if not known.count:
            known.weight = 0.0
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


def later(told: tuple[int, str, Any], known: tuple[int, str, Any]) -> bool:
    """Whether one (at, id, value) is a later word than another."""
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


def edge_order(edge: Edge) -> tuple[int, str, bool, float]:
    """What words on one thing are ordered by: the largest is the last."""
    return edge.at, edge.id, not edge.asserted, -math.inf if edge.value is None else edge.value


def word_of(event: Event) -> Edge:
    """What an event says on what is so or not so."""
    return Edge(event.at, event.id, event.op == "assert", event.value)
