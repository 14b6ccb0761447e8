"""What the people whom somebody follows did, as reasons to show them something.

A ``Circles`` is the graph of an installation: made from the state, kept up by reading anew who did something, and asked for each
page. It holds what people did in public on networks, as far as their own consent lets it be used; what they did on the
shop's site is in nobody else's answer. Names are told to nobody: an answer says how many, and the fold's state is where
names are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from plait import people
from plait.consent import ConsentDoor
from plait.events import SOCIAL, Signal, is_network, is_weak
from plait.fragment import half_life_ms
from plait.graph import SOMEONE, Graph, pseudonym
from plait.profile import Entry
from plait.settings import Settings
from plait.state import prefix_of
from plait.store import Snapshot
from plait.subjects import BEYOND, FOLLOWED, SEP

MOST = 50  # things that one answer hears of
# Said with a click and meant well; what a comment or a quote says may be the contrary.
_LIKING = frozenset({Signal.LIKE, Signal.REACT, Signal.SHARE})
_TYING = SOCIAL | {Signal.SHARE}


class Circles:
    """The graph of an installation, and what it has to say to a person. Not for several threads at once."""

    def __init__(self, settings: Settings, pepper: str, *, now: int) -> None:
        """One that knows nobody.

        Args:
            settings: for consent and the half-life.
            pepper: ``Keys.pepper``.
            now: ms since the epoch; weights are held as of now, so it is made anew before they are too large for that.
        """
        self._settings = settings
        self._half_life = half_life_ms(settings.half_life_days)
        self._since, self._pepper = now, pepper
        self.graph = Graph(pepper)

    def load(self, snapshot: Snapshot) -> Circles:
        """Take up everybody on a network.

        Returns:
            Itself.
        """
        names = (key.decode() for key, _ in snapshot.scan("fragments"))
        self.take(snapshot, (one for one in names if is_network(one)))
        return self

    def take(
        self, snapshot: Snapshot, identifiers: Iterable[str], *, door: ConsentDoor | None = None
    ) -> None:
        """Take up what these are tied to and did, in place of what was known of them.

        Args:
            snapshot: of the state.
            identifiers: of networks; those that the state does not know any more are dropped.
            door: statements newer than the snapshot.
        """
        for one, entries in people.own_entries(
            snapshot, self._settings, identifiers, now=self._since, door=door
        ):
            ties, acts = ties_of(entries), _liked(entries)
            if one.startswith(SOMEONE):  # the same node as the name's, of which it says nothing else
                self.graph.put(one, ties, None)
            elif not ties and snapshot.get("fragments", pseudonym(one, self._pepper).encode()):
                self.graph.put(one, None, acts)
            elif ties or acts:
                self.graph.put(one, ties, acts)
            else:
                self.graph.drop(one)

    def is_old(self, now: int) -> bool:
        """Whether it should be made anew: weights double with each half-life, and must fit into 32 bits."""
        return now - self._since > 60 * self._half_life

    def told(self, identifiers: Sequence[str], entries: Sequence[Entry], *, now: int) -> list[Entry]:
        """What those whom a person follows liked, and those whom these follow.

        As entries of signals of their own, ``FOLLOWED`` and ``BEYOND``, so that a model weighs them as it weighs all else. ``count``
        and ``section`` say how many people; of friends of friends nothing is said of fewer than ``graph.FEWEST``.

        Args:
            identifiers: who they are.
            entries: of their profile, which consent lets through; weights decayed to ``now``.
            now: ms since the epoch.
        """
        ties = ties_of(entries)
        if not ties:
            return []
        followed = self.graph.known(ties)
        strength = np.fromiter(ties.values(), np.float32, len(ties))
        if not (followed >= 0).any():
            return []
        source = next(one.source for one in entries if one.id in ties and one.kind == "account")
        newest = max(one.at for one in entries)
        # Held as of when this was made; and readers take weights relative to the newest act, which these have no part in.
        faded = math.exp2(max(-1_000.0, (self._since - 2 * now + newest) / self._half_life))
        found = []
        me = self.graph.known(identifiers)
        near = self.graph.shared(followed, strength, MOST)
        far = self.graph.beyond(me, followed, strength, MOST)
        for signal, some in ((FOLLOWED, near), (BEYOND, far)):
            for thing, weight, count in zip(*some, strict=True):
                kind, _, id = thing.partition(SEP)
                found.append(Entry(source, signal, kind, id, str(count), count, weight * faded, 0, True))
        return found


def training_rows(
    snapshot: Snapshot, settings: Settings, pepper: str, *, now: int
) -> Iterator[tuple[str, list[Entry]]]:
    """``people.training_rows``, each with what those whom the person follows liked: what is learned is what is asked."""
    circles = Circles(settings, pepper, now=now).load(snapshot)
    for row, entries in people.training_rows(snapshot, settings, now=now):
        if any(one.kind == "account" for one in entries):
            members = people.members(snapshot, row, settings)
            entries = entries + circles.told(members, entries, now=now)
        yield row, entries


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


def _liked(entries: Sequence[Entry]) -> dict[str, float]:
    """Posts that somebody liked or shared, and how much."""
    found: dict[str, float] = {}
    for one in entries:
        if one.kind == "post" and one.signal in _LIKING and one.weight > 0:
            thing = f"{one.kind}{SEP}{one.id}"
            found[thing] = found.get(thing, 0.0) + one.weight
    return found
