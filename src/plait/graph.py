"""Who is tied to whom on networks, and what each did with the company's posts: lists of numbers, and no names.

A *node* is the keyed hash of an identifier (``node_key``), so the graph knows nobody by name: of those who are only followed by
somebody there is nothing but numbers to be known, and what is told of them comes in sums of at least ``FEWEST``. It is a map from nodes to
two lists each, ties with a strength and things with a weight, both functions of what the state holds of one
identifier. So it can be dropped and built anew at any time, and is kept up by putting one identifier's lists in place of the old.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plait import adjacency
from plait.adjacency import Rows

# Of people whom nobody here follows, nothing is told of fewer. With four and a guess at three the fourth is known;
# five is what statistical offices take as the least.
FEWEST = 5
MOST_FOLLOWED = 2_000  # ties of one person that a question looks at
MOST_NEAR = 50  # of them, the strongest, whose own ties are looked at
MOST_STEPS = 10_000  # ties, and things, that a question about friends of friends looks at
QUARTER = 900_000  # milliseconds; moments are kept in whole ones, rounded up, which fit into 32 bits
_LARGEST = (1 << 64) - 1
SOMEONE = "someone:"  # the type of identifiers that are hashes already

Keys = NDArray[np.uint64]
Nodes = NDArray[np.int32]
Weights = NDArray[np.float32]


class Shared(NamedTuple):
    """Things that people did something with, the heaviest first.

    Attributes:
        things: their names.
        weights: sums over people of tie times act.
        people: how many each.
        at: the newest tie or act that each rests on, ms since the epoch; 0 where moments are not kept.
    """

    things: list[str]
    weights: list[float]
    people: list[int]
    at: list[int]


def node_key(identifier: str, pepper: str) -> int:
    """The number that stands for an identifier: eight bytes that only this installation can make."""
    return _key(identifier, _hash(pepper))


def _key(identifier: str, keyed: Any) -> int:
    if identifier.startswith(SOMEONE):
        with suppress(ValueError):  # somebody's idea of a hash
            return int(identifier[len(SOMEONE) :], 16) & _LARGEST
    hash = keyed.copy()
    hash.update(identifier.encode())
    return int.from_bytes(hash.digest(), "big")


def _hash(pepper: str) -> Any:
    return blake2b(digest_size=8, key=pepper.encode()[:64])


def pseudonym(identifier: str, pepper: str) -> str:
    """The identifier of somebody whom nobody here knows: ``someone:`` and what the graph knows them by."""
    return f"{SOMEONE}{node_key(identifier, pepper):016x}"


def hidden(told: str, pepper: str) -> str:
    """What stands for a name in which an identifier may be read, such as that of a record."""
    return f"hidden:{_key(f'hidden:{told}', _hash(pepper)):016x}"


class _Lists(NamedTuple):
    """Ties and acts of people by node, and of each thing the people by their nodes: the acts the other way round."""

    ties: Rows
    acts: Rows
    by: Rows


class Graph:
    """Ties and acts of people. Not for several threads at once.

    Attributes:
        nodes: people there is a number for.
    """

    def __init__(self, pepper: str = "", *, dated: bool = False) -> None:
        """An empty one.

        Args:
            pepper: ``Keys.pepper``.
            dated: whether moments are kept, so that answers tell how new they are; twice the memory.
        """
        self._hash = _hash(pepper)
        self._table, self._places = np.zeros(1 << 10, np.uint64), np.full(1 << 10, -1, np.int32)
        self._keys = np.zeros(64, np.uint64)  # of each node
        self.nodes = 0
        self._ties, self._acts, self._by = self._lists = _Lists(Rows(), Rows(), Rows())
        self._when = _Lists(Rows(), Rows(), Rows()) if dated else None
        self._thing: dict[str, int] = {}
        self._things: list[str] = []
        self._free: list[int] = []  # numbers of things that nobody does anything with any more
        self._sum, self._count = np.zeros(64, np.float32), np.zeros(64, np.int32)
        self._last = np.zeros(64, np.int32)

    # -- putting in ------------------------------------------------------------------------------------------------

    def put(
        self,
        identifier: str,
        ties: Mapping[str, float] | None,
        acts: Mapping[str, float] | None,
        at: Mapping[str, int] | None = None,
    ) -> None:
        """Set what is known of an identifier, in place of what was; ``None`` leaves it as it is.

        Args:
            identifier: whose.
            ties: identifier -> strength, > 0.
            acts: thing -> weight, > 0.
            at: of each tie and act, ms since the epoch, where moments are kept.
        """
        (node,) = self.known([identifier], add=True).tolist()
        if ties is not None:
            self._tie(node, self.known(ties, add=True), ties, at)
        if acts is not None:
            self._did(node, self._numbers(acts), acts, at)

    def _tie(self, node: int, others: Nodes, told: Mapping[str, float], at: Mapping[str, int] | None) -> None:
        self._ties.put(node, *_sorted(others, told.values()))
        if self._when is not None:
            self._when.ties.put(node, *_sorted(others, quarters(told, at)))

    def _did(self, node: int, things: Nodes, told: Mapping[str, float], at: Mapping[str, int] | None) -> None:
        left = np.setdiff1d(self._acts.row(node)[0], things, assume_unique=True)
        for lists in (self._lists, self._when):
            if lists is not None:
                ids, weights = _sorted(things, told.values() if lists is self._lists else quarters(told, at))
                lists.by.remove(left, node)
                lists.by.add(ids, np.full(len(ids), node, np.int32), weights)
                lists.acts.put(node, ids, weights)
        # Names of things may name people: those that nobody does anything with any more are let go.
        for number in left[self._by.arrays[1][left] == 0].tolist():
            del self._thing[self._things[number]]
            self._things[number] = ""
            self._free.append(number)

    def drop(self, identifier: str) -> None:
        """Forget what an identifier did and whom it is tied to; who is tied to it stays so."""
        (node,) = self.known([identifier]).tolist()
        if node >= 0:
            nobody = np.zeros(0, np.int32)
            self._tie(node, nobody, {}, None)
            self._did(node, nobody, {}, None)

    def tie(self, one: Keys, other: Keys, strength: Weights) -> None:
        """Add many ties by the keys of their ends; of a tie that is there the strength is set.

        Args:
            one: (ties,) see ``node_key``.
            other: (ties,) whom each is tied to.
            strength: (ties,), > 0.
        """
        ends = self._nodes(np.concatenate([one, other]), add=True)
        self._ties.add(ends[: len(one)], ends[len(one) :], strength)

    def keys(self, identifiers: Iterable[str]) -> Keys:
        """The keys of identifiers."""
        return np.array([_key(one, self._hash) for one in identifiers], np.uint64)

    def known(self, identifiers: Iterable[str], *, add: bool = False) -> Nodes:
        """The nodes of identifiers, -1 where there is none; ``add`` makes them."""
        return self._nodes(self.keys(identifiers), add=add)

    def _nodes(self, keys: Keys, *, add: bool) -> Nodes:
        if not add:
            return adjacency.look_up(self._table, self._places, keys, self.nodes, False)[0]
        found = []
        while len(keys):
            if 2 * self.nodes > len(self._table):
                self._grow_table()
            some, keys = np.split(keys, [len(self._table) // 8])  # so that it is never full, if all are new
            nodes, self.nodes = adjacency.look_up(self._table, self._places, some, self.nodes, True)
            if self.nodes > len(self._keys):
                self._keys = np.concatenate([self._keys, np.zeros(self.nodes // 4 + len(some), np.uint64)])
            self._keys[nodes] = some
            found.append(nodes)
        for lists in (self._lists, self._when):
            if lists is not None:
                lists.ties.room(self.nodes)
                lists.acts.room(self.nodes)
        return np.concatenate(found) if found else np.zeros(0, np.int32)

    def _grow_table(self) -> None:
        size = 2 * len(self._table)
        table, places = np.zeros(size, np.uint64), np.full(size, -1, np.int32)
        adjacency.move(self._table, self._places, table, places)
        self._table, self._places = table, places

    def _numbers(self, things: Iterable[str]) -> Nodes:
        found = []
        for one in things:
            number = self._thing.get(one)
            if number is None and self._free:
                number = self._thing[one] = self._free.pop()
                self._things[number] = one
            elif number is None:
                number = self._thing[one] = len(self._things)
                self._things.append(one)
            found.append(number)
        for lists in (self._lists, self._when):
            if lists is not None:
                lists.by.room(len(self._things))
        return np.array(found, np.int32)

    # -- asking ----------------------------------------------------------------------------------------------------

    @property
    def ties(self) -> int:
        """How many ties there are."""
        return self._ties.size

    @property
    def nbytes(self) -> int:
        """Bytes of memory that nodes and ties take; names of things apart."""
        own = (self._table, self._places, self._keys, self._sum, self._count, self._last)
        return sum(one.nbytes for one in (*own, *self._lists, *(self._when or ())))

    def strength(self, one: str, other: str) -> float:
        """How strongly somebody is tied to somebody, 0 when not at all."""
        a, b = self.known([one, other]).tolist()
        return self._ties.value(a, b) if a >= 0 and b >= 0 else 0.0

    def shared(self, followed: Nodes, strength: Weights, n: int, since: Weights | None = None) -> Shared:
        """What people did something with, of those whom somebody is tied to.

        Args:
            followed: nodes, those below 0 are nobody; of more than ``MOST_FOLLOWED`` the strongest count.
            strength: of the tie to each.
            n: things at most.
            since: of each tie, where moments are kept; see ``quarters``.
        """
        some = _strongest(followed, strength, MOST_FOLLOWED)
        return self._done_by(followed[some], strength[some], n, 1, _of(since, some))

    def beyond(
        self, somebody: Nodes, followed: Nodes, strength: Weights, n: int, since: Weights | None = None
    ) -> Shared:
        """The same of friends of friends: those whom the followed are tied to, and who are not followed themselves.

        Only what at least ``FEWEST`` of them did something with. Looks at ``MOST_STEPS`` ties, of each as many.

        Args:
            somebody: the nodes that are who asks.
            followed: see ``shared``.
            strength: of the tie to each.
            n: things at most.
            since: see ``shared``.
        """
        somebody = np.concatenate([somebody, followed])
        some = _strongest(followed, strength, MOST_NEAR)
        self._scratch()
        nodes, weights = adjacency.two_steps(
            *self._ties.arrays, somebody, followed[some], strength[some], MOST_STEPS, self._sum, self._last
        )
        rests_on = self._newest("ties", followed[some], _of(since, some), nodes)
        return self._done_by(nodes, weights, n, FEWEST, rests_on)

    def together(
        self, somebody: Nodes, did: Mapping[str, float], n: int, at: Mapping[str, int] | None = None
    ) -> Shared:
        """What those did something with who did something with the same things: a tie where no network tells who follows whom.

        A tie is stronger the rarer the things are that two have in common (Adamic and Adar 2003), and weaker the more else the
        other did; the ``MOST_NEAR`` strongest count. Only what at least ``FEWEST`` of them did something with, and nothing
        that is among ``did``. Looks at ``MOST_STEPS`` people, the rarest things first: what everybody likes ties nobody.

        Args:
            somebody: the nodes that are who asks.
            did: thing -> weight, what they did something with.
            n: things at most.
            at: of each thing, where moments are kept.
        """
        known = {one: weight for one, weight in did.items() if one in self._thing}
        things = self._numbers(known)
        rare = _rarest(self._by.arrays[1][things])
        many = self._by.arrays[1][things[rare]]
        by = np.fromiter(known.values(), np.float32, len(known))[rare] / np.log1p(many)
        since = None if self._when is None else quarters(known, at)[rare]
        self._scratch()
        nodes, weights, common = adjacency.shared(
            *self._by.arrays, things[rare], by.astype(np.float32), self._sum, self._count
        )
        acts = self._acts.arrays[1][nodes]
        others = np.flatnonzero((acts > common) & ~np.isin(nodes, somebody))  # the rest have nothing to tell
        nodes, weights = nodes[others], (weights[others] / np.sqrt(acts[others])).astype(np.float32)
        some = _nearest(weights, self._keys[nodes], MOST_NEAR)
        rests_on = self._newest("by", things[rare], since, nodes[some])
        return self._done_by(nodes[some], weights[some], n, FEWEST, rests_on, without=things)

    def _done_by(
        self,
        people: Nodes,
        by: Weights,
        n: int,
        fewest: int,
        since: Weights | None,
        without: Nodes | None = None,
    ) -> Shared:
        """What people did something with, the heaviest first, as far as ``fewest`` of them did."""
        self._scratch()
        things, weights, count = adjacency.shared(*self._acts.arrays, people, by, self._sum, self._count)
        kept = np.flatnonzero(
            (count >= fewest) & ~np.isin(things, without if without is not None else things[:0])
        )
        best = kept[np.lexsort((things[kept], -weights[kept]))][:n]
        newest = self._newest("acts", people, since, things[best])
        return Shared(
            [self._things[one] for one in things[best].tolist()],
            weights[best].tolist(),
            count[best].tolist(),
            [0] * len(best) if newest is None else (newest.astype(np.int64) * QUARTER).tolist(),
        )

    def _newest(self, which: str, rows: Nodes, since: Weights | None, numbers: Nodes) -> Weights | None:
        """The newest moment that each number rests on, of rows that hold since some moments; ``None`` where none are kept."""
        if self._when is None or since is None:
            return None
        self._scratch()
        kept: Rows = getattr(self._when, which)
        met, moments = adjacency.latest(*kept.arrays, rows, since, self._sum, self._count)
        order = np.argsort(met)
        found: Weights = moments[order][np.searchsorted(met[order], numbers)]
        return found

    def friends_of_friends(self, identifier: str, n: int) -> tuple[Nodes, Weights]:
        """Nodes that are two ties away, the nearest first; only for sums, for they are nobody's business by themselves."""
        me = self.known([identifier])
        if me[0] < 0:
            return np.zeros(0, np.int32), np.zeros(0, np.float32)
        followed, strength = self._ties.row(int(me[0]))
        some = _strongest(followed, strength, MOST_FOLLOWED)
        self._scratch()
        nodes, weights = adjacency.two_steps(
            *self._ties.arrays, me, followed[some], strength[some], MOST_STEPS, self._sum, self._last
        )
        best = np.argsort(-weights, kind="stable")[:n]
        return nodes[best], weights[best]

    def _scratch(self) -> None:
        """Let there be room to count every node, and every thing."""
        size = max(self.nodes, len(self._things))
        if size > len(self._sum):
            room = size + size // 4
            self._sum, self._count = np.zeros(room, np.float32), np.zeros(room, np.int32)
            self._last = np.zeros(room, np.int32)


def quarters(told: Iterable[str], at: Mapping[str, int] | None) -> Weights:
    """The moments of some things as the graph keeps them, never earlier than they were."""
    at = at or {}
    return np.array([-(-at.get(one, 0) // QUARTER) for one in told], np.float32)


def _of(since: Weights | None, some: NDArray[np.intp]) -> Weights | None:
    return None if since is None else since[some]


def _sorted(ids: Nodes, weights: Iterable[float]) -> tuple[Nodes, Weights]:
    order = np.argsort(ids, kind="stable")
    ids, values = ids[order], np.fromiter(weights, np.float32, len(ids))[order]
    first = np.flatnonzero(np.diff(ids, prepend=-1))  # somebody may be named by name and by number
    return (ids, values) if len(first) == len(ids) else (ids[first], np.maximum.reduceat(values, first))


def _strongest(followed: Nodes, strength: Weights, most: int) -> NDArray[np.intp]:
    """The places of the strongest, those of nobody left out."""
    kept = np.flatnonzero(followed >= 0)
    return kept[np.argpartition(-strength[kept], most)[:most]] if len(kept) > most else kept


def _nearest(strength: Weights, keys: Keys, most: int) -> NDArray[np.intp]:
    """The places of the strongest; of those that are as strong, by their keys, so that it does not show who came first."""
    if len(strength) <= most:
        return np.arange(len(strength))
    least = np.partition(strength, len(strength) - most)[len(strength) - most]
    above = np.flatnonzero(strength > least * (1 + 1e-5))
    equal = np.flatnonzero(np.abs(strength - least) <= least * 1e-5)
    return np.concatenate([above, equal[np.argsort(keys[equal])][: most - len(above)]])


def _rarest(many: NDArray[np.int32]) -> NDArray[np.intp]:
    """The places of things that several did something with, ``MOST_STEPS`` people in all; of equally rare ones all or none."""
    sizes = np.sort(many)
    beyond = sizes[np.cumsum(sizes) > MOST_STEPS]
    return np.flatnonzero((many > 1) & (many < beyond[0] if len(beyond) else True))
