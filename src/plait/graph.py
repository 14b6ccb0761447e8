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
    """

    things: list[str]
    weights: list[float]
    people: list[int]


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


class Graph:
    """Ties and acts of people. Not for several threads at once.

    Attributes:
        nodes: people there is a number for.
    """

    def __init__(self, pepper: str = "") -> None:
        """An empty one.

        Args:
            pepper: ``Keys.pepper``.
        """
        self._hash = _hash(pepper)
        self._table, self._places = np.zeros(1 << 10, np.uint64), np.full(1 << 10, -1, np.int32)
        self.nodes = 0
        self._ties, self._acts = Rows(), Rows()
        self._thing: dict[str, int] = {}
        self._things: list[str] = []
        self._sum, self._count = np.zeros(64, np.float32), np.zeros(64, np.int32)
        self._last = np.zeros(64, np.int32)

    # -- putting in ------------------------------------------------------------------------------------------------

    def put(
        self, identifier: str, ties: Mapping[str, float] | None, acts: Mapping[str, float] | None
    ) -> None:
        """Set what is known of an identifier, in place of what was; ``None`` leaves it as it is.

        Args:
            identifier: whose.
            ties: identifier -> strength, > 0.
            acts: thing -> weight, > 0.
        """
        (node,) = self.known([identifier], add=True).tolist()
        if ties is not None:
            self._ties.put(node, *_sorted(self.known(ties, add=True), ties.values()))
        if acts is not None:
            self._acts.put(node, *_sorted(self._numbers(acts), acts.values()))

    def drop(self, identifier: str) -> None:
        """Forget what an identifier did and whom it is tied to; who is tied to it stays so."""
        (node,) = self.known([identifier]).tolist()
        if node >= 0:
            nobody, nothing = np.zeros(0, np.int32), np.zeros(0, np.float32)
            self._ties.put(node, nobody, nothing)
            self._acts.put(node, nobody, nothing)

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
            found.append(nodes)
        self._ties.room(self.nodes)
        self._acts.room(self.nodes)
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
            if number is None:
                number = self._thing[one] = len(self._things)
                self._things.append(one)
            found.append(number)
        return np.array(found, np.int32)

    # -- asking ----------------------------------------------------------------------------------------------------

    @property
    def ties(self) -> int:
        """How many ties there are."""
        return self._ties.size

    @property
    def nbytes(self) -> int:
        """Bytes of memory that nodes and ties take; names of things apart."""
        own = (self._table, self._places, self._sum, self._count, self._last)
        return sum(one.nbytes for one in own) + self._ties.nbytes + self._acts.nbytes

    def strength(self, one: str, other: str) -> float:
        """How strongly somebody is tied to somebody, 0 when not at all."""
        a, b = self.known([one, other]).tolist()
        return self._ties.value(a, b) if a >= 0 and b >= 0 else 0.0

    def shared(self, followed: Nodes, strength: Weights, n: int) -> Shared:
        """What people did something with, of those whom somebody is tied to.

        Args:
            followed: nodes, those below 0 are nobody; of more than ``MOST_FOLLOWED`` the strongest count.
            strength: of the tie to each.
            n: things at most.
        """
        followed, strength = _strongest(followed, strength)
        self._scratch(len(self._things))
        found = adjacency.shared(*self._acts.arrays, followed, strength, self._sum, self._count)
        return self._told(found, n, 1)

    def beyond(self, somebody: Nodes, followed: Nodes, strength: Weights, n: int) -> Shared:
        """The same of friends of friends: those whom the followed are tied to, and who are not followed themselves.

        Only what at least ``FEWEST`` of them did something with. Looks at ``MOST_STEPS`` ties, of each as many.

        Args:
            somebody: the nodes that are who asks.
            followed: see ``shared``.
            strength: of the tie to each.
            n: things at most.
        """
        somebody = np.concatenate([somebody, followed])
        followed, strength = _strongest(followed, strength, MOST_NEAR)
        self._scratch(max(self.nodes, len(self._things)))
        near = adjacency.two_steps(
            *self._ties.arrays, somebody, followed, strength, MOST_STEPS, self._sum, self._last
        )
        nodes, weights = near
        found = adjacency.shared(*self._acts.arrays, nodes, weights, self._sum, self._count)
        return self._told(found, n, FEWEST)

    def friends_of_friends(self, identifier: str, n: int) -> tuple[Nodes, Weights]:
        """Nodes that are two ties away, the nearest first; only for sums, for they are nobody's business by themselves."""
        me = self.known([identifier])
        if me[0] < 0:
            return np.zeros(0, np.int32), np.zeros(0, np.float32)
        self._scratch(self.nodes)
        followed, strength = _strongest(*self._ties.row(int(me[0])))
        nodes, weights = adjacency.two_steps(
            *self._ties.arrays, me, followed, strength, MOST_STEPS, self._sum, self._last
        )
        best = np.argsort(-weights, kind="stable")[:n]
        return nodes[best], weights[best]

    def _scratch(self, size: int) -> None:
        if size > len(self._sum):
            room = size + size // 4
            self._sum, self._count = np.zeros(room, np.float32), np.zeros(room, np.int32)
            self._last = np.zeros(room, np.int32)

    def _told(self, found: tuple[Nodes, Weights, Nodes], n: int, fewest: int) -> Shared:
        things, weights, people = found
        kept = np.flatnonzero(people >= fewest)
        best = kept[np.lexsort((things[kept], -weights[kept]))][:n]
        names = [self._things[one] for one in things[best].tolist()]
        return Shared(names, weights[best].tolist(), people[best].tolist())


def _sorted(ids: Nodes, weights: Iterable[float]) -> tuple[Nodes, Weights]:
    order = np.argsort(ids, kind="stable")
    ids, values = ids[order], np.fromiter(weights, np.float32, len(ids))[order]
    first = np.flatnonzero(np.diff(ids, prepend=-1))  # somebody may be named by name and by number
    return (ids, values) if len(first) == len(ids) else (ids[first], np.maximum.reduceat(values, first))


def _strongest(followed: Nodes, strength: Weights, most: int | None = None) -> tuple[Nodes, Weights]:
    most = MOST_FOLLOWED if most is None else most
    kept = followed >= 0
    followed, strength = followed[kept], strength[kept]
    if len(followed) > most:
        best = np.argpartition(-strength, most)[:most]
        followed, strength = followed[best], strength[best]
    return followed, strength
