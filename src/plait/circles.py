"""What the people whom somebody follows did, as reasons to show them something.

A ``Circles`` is the graph of an installation: made from the state, kept up by reading anew who did something, and asked for each
page. It holds what people did in public on networks, as far as their own consent lets it be used; what they did on the
shop's site is in nobody else's answer. Names are told to nobody: an answer says how many, and the fold's state is where
names are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from plait.events import SOCIAL, Signal, is_network, is_weak
from plait.graph import SOMEONE, Graph, Shared, pseudonym, quarters
from plait.profiles import everybody, people
from plait.profiles.consent import ConsentDoor
from plait.profiles.fragment import half_life_ms
from plait.profiles.profile import Entry
from plait.profiles.state import prefix_of
from plait.profiles.subjects import BEYOND, FOLLOWED, SEP, TOGETHER
from plait.settings import Settings
from plait.store import Snapshot

MOST = 50  # things that one answer hears of
# Said with a click and meant well; what a comment or a quote says may be the contrary.
_LIKING = frozenset({Signal.LIKE, Signal.REACT, Signal.SHARE})
_TYING = SOCIAL | {Signal.SHARE}


class Circles:
    """The graph of an installation, and what it has to say to a person. Not for several threads at once."""

    def __init__(self, settings: Settings, pepper: str, *, now: int, dated: bool = False) -> None:
        """One that knows nobody.

        Args:
            settings: for consent and the half-life.
            pepper: ``Keys.pepper``.
            now: ms since the epoch; weights are held as of now, so it is made anew before they are too large for that.
            dated: whether what is told has the time of the newest tie and like it rests on, as a fit needs it: else it would
                foretell what came before it.
        """
        self._settings = settings
        self._half_life = half_life_ms(settings.half_life_days)
        self._since, self._pepper = now, pepper
        self._dated = dated
        self.graph = Graph(pepper, dated=dated)

    def load(self, snapshot: Snapshot, *, until: int | None = None) -> Circles:
        """Take up everybody on a network.

        Args:
            snapshot: of the state.
            until: leaves out what happened after, ms since the epoch.

        Returns:
            Itself.
        """
        names = (key.decode() for key, _ in snapshot.scan("fragments"))
        self.take(snapshot, (one for one in names if is_network(one)), until=until)
        return self

    def take(
        self,
        snapshot: Snapshot,
        identifiers: Iterable[str],
        *,
        door: ConsentDoor | None = None,
        until: int | None = None,
    ) -> None:
        """Take up what these are tied to and did, in place of what was known of them.

        Args:
            snapshot: of the state.
            identifiers: of networks; those that the state does not know any more are dropped.
            door: statements newer than the snapshot.
            until: see ``load``.
        """
        for one, entries in everybody.own_entries(
            snapshot, self._settings, identifiers, now=self._since, door=door
        ):
            entries = so_far(entries, until)
            ties, acts = ties_of(entries), _liked(entries)
            at = _moments(entries) if self._dated else None
            if one.startswith(SOMEONE):  # the same node as the name's, of which it says nothing else
                self.graph.put(one, ties, None, at)
            elif not ties and snapshot.get("fragments", pseudonym(one, self._pepper).encode()):
                self.graph.put(one, None, acts, at)
            elif ties or acts:
                self.graph.put(one, ties, acts, at)
            else:
                self.graph.drop(one)

    def is_old(self, now: int) -> bool:
        """Whether it should be made anew: weights double with each half-life, and must fit into 32 bits."""
        return now - self._since > 60 * self._half_life

    def told(self, identifiers: Sequence[str], entries: Sequence[Entry], *, now: int) -> list[Entry]:
        """What those whom a person follows liked, and those whom these follow; of who follows nobody here, those who liked the same.

        As entries of signals of their own, ``FOLLOWED``, ``BEYOND`` and ``TOGETHER``, so that a model weighs them as it weighs all else. ``count``
        and ``section`` say how many people; of all but those whom they follow nothing is said of fewer than ``graph.FEWEST``.

        Args:
            identifiers: who they are.
            entries: of their profile, which consent lets through; weights decayed to ``now``.
            now: ms since the epoch.
        """
        ties, liked = ties_of(entries), _liked(entries)
        if not ties and not liked:
            return []
        near = [
            one.source
            for one in entries
            if (one.id in ties if one.kind == "account" else not ties and one.kind == "post")
        ]
        source = min(near)
        newest = max(one.at for one in entries)
        # Held as of when this was made; and readers take weights relative to the newest act, which these have no part in.
        faded = math.exp2(max(-1_000.0, (self._since - 2 * now + newest) / self._half_life))
        found = []
        for signal, some in self._around(identifiers, entries, ties, liked):
            for thing, weight, count, at in zip(*some, strict=True):
                kind, _, id = thing.partition(SEP)
                at = min(at, now)  # it was rounded up
                found.append(Entry(source, signal, kind, id, str(count), count, weight * faded, at, True))
        return found

    def _around(
        self,
        identifiers: Sequence[str],
        entries: Sequence[Entry],
        ties: Mapping[str, float],
        liked: Mapping[str, float],
    ) -> Iterator[tuple[str, Shared]]:
        """What those around somebody liked, by how they are near: whom they follow; else who liked the same."""
        at = _moments(entries) if self._dated else None
        me = self.graph.known(identifiers)
        followed = self.graph.known(ties)
        if (followed >= 0).any():
            strength = np.fromiter(ties.values(), np.float32, len(ties))
            since = quarters(ties, at) if self._dated else None
            yield FOLLOWED, self.graph.shared(followed, strength, MOST, since)
            yield BEYOND, self.graph.beyond(me, followed, strength, MOST, since)
        elif liked:
            yield TOGETHER, self.graph.together(me, liked, MOST, at)


def training_rows(
    snapshot: Snapshot, settings: Settings, pepper: str, *, now: int, until: int | None = None
) -> Iterator[tuple[str, list[Entry]]]:
    """``everybody.training_rows``, each with what those around the person liked: what is learned is what is asked.

    Args:
        snapshot: of the state.
        settings: for consent and the half-life.
        pepper: ``Keys.pepper``.
        now: ms since the epoch; weights are decayed to it.
        until: leaves out what happened after, and what others liked is told as it would have been then.
    """
    circles = Circles(settings, pepper, now=now, dated=True).load(snapshot, until=until)
    for row, entries in everybody.training_rows(snapshot, settings, now=now):
        entries = so_far(entries, until)
        if any(one.kind in ("account", "post") for one in entries):
            members = people.members(snapshot, row, settings)
            entries = entries + circles.told(members, entries, now=now)
        yield row, entries


def so_far(entries: list[Entry], until: int | None) -> list[Entry]:
    """What happened until then; of acts that add up, where the newest did."""
    return entries if until is None else [one for one in entries if one.at <= until]


def accounts_of(snapshot: Snapshot, identifiers: Iterable[str], settings: Settings) -> set[str]:
    """The accounts on networks of all who may be one person with any of these: a device's word about consent is theirs, too."""
    found: set[str] = set()
    for one in identifiers:
        prefix = prefix_of(one)
        ends = [key[len(prefix) :].decode() for key, _ in snapshot.scan("links", prefix)]
        for end in (one, *ends) if is_weak(one) else (one,):
            found.update(member for member in people.members(snapshot, end, settings) if is_network(member))
    return found


def ties_of(entries: Sequence[Entry]) -> dict[str, float]:
    """Whom somebody is tied to and how strongly: 1 while they follow, and ``log2(1 + acts)`` for each other kind of act, which fades."""
    found: dict[str, float] = {}
    for one in entries:
        if one.kind == "account" and one.signal in _TYING:
            strength = 1.0 if one.signal == Signal.FOLLOW else math.log2(1.0 + max(0.0, one.weight))
            found[one.id] = found.get(one.id, 0.0) + strength
    return {account: strength for account, strength in found.items() if strength > 1e-6}


def _moments(entries: Sequence[Entry]) -> dict[str, int]:
    """When somebody was last tied to each account, and last liked each post."""
    found: dict[str, int] = {}
    for one in entries:
        name = one.id if one.kind == "account" else f"{one.kind}{SEP}{one.id}"
        found[name] = max(found.get(name, 0), one.at)
    return found


def _liked(entries: Sequence[Entry]) -> dict[str, float]:
    """Posts that somebody liked or shared, and how much."""
    found: dict[str, float] = {}
    for one in entries:
        if one.kind == "post" and one.signal in _LIKING and one.weight > 0:
            thing = f"{one.kind}{SEP}{one.id}"
            found[thing] = found.get(thing, 0.0) + one.weight
    return found
