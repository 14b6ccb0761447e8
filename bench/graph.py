"""Ten million ties between a million people: their memory, how fast they come in, and how fast they answer.

Few people are followed by very many, and most follow few: whom somebody follows is drawn by a power law, how many by a
log-normal one. Who asks is drawn among all, so that the 99th percentile is somebody who follows hundreds. The floors do
the same with numpy on arrays in compressed form, which cannot be changed.
"""

from __future__ import annotations

import gc
import time
from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from bench import Line
from plait.connectors._hops import Hops
from plait.graph import MOST_STEPS, Graph

Ints = NDArray[np.int64]
POSTS = 20_000
BATCH = 10_000


def world(people: int, ties: int) -> tuple[Ints, Ints]:
    """Who is tied to whom, in the order it came about: (ties,), (ties,)."""
    random = np.random.default_rng(7)
    wanted = random.lognormal(0.0, 1.2, people)
    size = np.maximum(1, wanted * 1.08 * ties / wanted.sum()).astype(np.int64)  # some are drawn twice
    one = np.repeat(np.arange(people), size)
    other = (people * random.random(len(one)) ** 3).astype(np.int64)
    other = (other * 2_654_435_761) % people  # who is much followed does not follow more than others
    pairs = np.unique(one * people + other)
    random.shuffle(pairs)
    pairs = pairs[:ties]
    return pairs // people, pairs % people


def measure(quick: bool) -> Iterator[Line]:
    people, ties = (50_000, 500_000) if quick else (1_000_000, 10_000_000)
    one, other = world(people, ties)
    random = np.random.default_rng(8)
    keys = random.integers(1, 1 << 63, people).astype(np.uint64)
    graph = Graph("pepper")
    strength = np.ones(BATCH, np.float32)
    graph.tie(keys[:2], keys[1:3], strength[:2])  # compiled before the clock starts
    began = time.process_time()  # one thread that waits for nothing: a busy machine does not show
    for start in range(0, ties, BATCH):
        here = slice(start, start + BATCH)
        graph.tie(keys[one[here]], keys[other[here]], strength[: len(one[here])])
    took = time.process_time() - began
    plain = _seconds_in_dictionaries(one, other, min(ties, 500_000))
    yield Line(
        f"{ties:,} ties come in, by key", ties / took, "ties/s of a core", "a dict of dicts", ties / took / plain,
        bar=200_000,
    )  # fmt: skip
    yield Line("memory of them, nodes and all", graph.nbytes / (1 << 30), "GiB", bar=0.3, least=False)
    yield from _by_name()
    yield _hops()
    yield from _questions(graph, keys, one, other, people, 300 if quick else 3_000)


def _by_name() -> Iterator[Line]:
    """Ties as they come from networks: with identifiers, which have to be hashed."""
    graph, count = Graph("pepper"), 100_000
    names = [f"bluesky:did:plc:{number:024x}" for number in range(20_000)]
    random = np.random.default_rng(9)
    one, other = random.integers(0, len(names), (2, count)).tolist()
    strength = np.ones(BATCH, np.float32)
    took = []
    for start in range(0, count, BATCH):
        ends = [[names[at] for at in side[start : start + BATCH]] for side in (one, other)]
        began = time.process_time()
        graph.tie(graph.keys(ends[0]), graph.keys(ends[1]), strength)
        took.append(time.process_time() - began)
    yield Line(
        f"ties come in, by name, {BATCH:,} at once, p50",
        BATCH / float(np.median(took)),
        "ties/s of a core",
        bar=200_000,
    )


def _hops() -> Line:
    """What a thousand calls tell of friends of friends, when each goes where it tells most."""
    people, ours, calls = 50_000, 400, 1_000
    one, other = world(people, 60 * people)
    random = np.random.default_rng(11)
    order = np.argsort(one, kind="stable")
    starts, whom = np.searchsorted(one[order], np.arange(people + 1)), other[order]
    follows = {who: whom[starts[who] : starts[who + 1]].tolist() for who in range(people)}
    customers = [int(who) for who in random.choice(people, ours, replace=False)]

    def known(read: dict[int, int]) -> int:
        """(customer, somebody two ties away) that are known, when so many pages of each were read."""
        told = {who: follows[who][: 100 * pages] for who, pages in read.items()}
        return sum(
            len({far for near in told.get(who, ()) for far in told.get(near, ())} - set(told.get(who, ())))
            for who in customers
        )

    planned: dict[int, int] = {}
    hops = Hops({str(who): 1.0 for who in customers}, hops=2, calls=calls)
    while (turn := hops.next()) is not None:
        who, cursor = int(turn[0]), int(turn[1] or 0)
        planned[who] = cursor + 1
        rest = len(follows[who]) > 100 * (cursor + 1)
        named = map(str, follows[who][100 * cursor : 100 * (cursor + 1)])
        hops.told(turn[0], named, str(cursor + 1) if rest else None)
    in_order: dict[int, int] = {}
    queue, left = deque((who, 1) for who in customers), calls
    while queue and left > 0:
        who, depth = queue.popleft()
        if who in in_order or depth > 2:
            continue
        in_order[who] = min(left, 10, max(1, -(-len(follows[who]) // 100)))
        left -= in_order[who]
        queue.extend((near, depth + 1) for near in follows[who])
    found, before = known(planned), known(in_order)
    return Line(
        f"friends of friends of {ours} people that {calls:,} calls tell", found, "pairs", "in the order they were met",
        found / before,
    )  # fmt: skip


def _seconds_in_dictionaries(one: Ints, other: Ints, count: int) -> float:
    """Ties a second that plain dictionaries take."""
    held: dict[int, dict[int, float]] = {}
    pairs = list(zip(one[:count].tolist(), other[:count].tolist(), strict=True))
    gc.disable()
    began = time.process_time()
    for a, b in pairs:
        held.setdefault(a, {})[b] = 1.0
    took = time.process_time() - began
    gc.enable()
    return count / took


def _questions(
    graph: Graph, keys: NDArray[np.uint64], one: Ints, other: Ints, people: int, asked: int
) -> Iterator[Line]:
    random = np.random.default_rng(10)
    acts = 2 * people
    who = (people * random.random(acts) ** 2).astype(np.int64)
    what = (POSTS * random.random(acts) ** 3).astype(np.int64)
    nodes = graph._nodes(keys, add=False)
    order = np.argsort(who, kind="stable")
    what_starts, whats = np.searchsorted(who[order], np.arange(people + 1)), what[order]
    names = [f"post-{number}" for number in range(POSTS)]
    graph._numbers(names)
    lists = {
        person: np.unique(whats[what_starts[person] : what_starts[person + 1]]).astype(np.int32)
        for person in np.unique(who).tolist()
    }
    told = {person: dict.fromkeys(done.tolist(), 1.0) for person, done in lists.items()}
    graph._did(0, lists[0], told[0], None)  # compiled before the clock starts
    began = time.process_time()
    for person in random.permutation(list(lists)).tolist():
        graph._did(int(nodes[person]), lists[person], told[person], None)
    took = time.process_time() - began
    yield Line(
        "likes come in, one person after the other", sum(map(len, lists.values())) / took, "likes/s of a core"
    )
    order = np.argsort(one, kind="stable")
    starts, others = np.searchsorted(one[order], np.arange(people + 1)), other[order]
    askers = random.integers(0, people, asked).tolist()

    def followed(person: int) -> Ints:
        return others[starts[person] : starts[person + 1]]

    def ours(person: int) -> object:
        whom, strength = graph._ties.row(int(nodes[person]))
        return graph.shared(whom, strength, 50)

    def floor(person: int) -> object:
        whom = followed(person)
        found = np.concatenate([whats[:0], *(whats[what_starts[one] : what_starts[one + 1]] for one in whom)])
        count = np.bincount(found, minlength=POSTS)
        return np.argsort(-count, kind="stable")[:50]

    def far(person: int) -> object:
        whom, strength = graph._ties.row(int(nodes[person]))
        return graph.beyond(nodes[person : person + 1], whom, strength, 50)

    def far_floor(person: int) -> object:
        whom = followed(person)
        part = max(16, MOST_STEPS // max(1, len(whom)))
        found = np.concatenate(
            [others[:0], *(others[starts[one] : min(starts[one] + part, starts[one + 1])] for one in whom)]
        )
        unlike, count = np.unique(found, return_counts=True)
        return unlike[np.argsort(-count, kind="stable")[:50]]

    def same(person: int) -> object:
        mine = {names[one]: 1.0 for one in lists.get(person, ())}
        return graph.together(nodes[person : person + 1], mine, 50)

    flat = np.concatenate(list(lists.values()))
    owners = np.repeat(list(lists), [len(one) for one in lists.values()])
    order = np.argsort(flat, kind="stable")
    by_starts, by = np.searchsorted(flat[order], np.arange(POSTS + 1)), owners[order]

    def same_floor(person: int) -> object:
        mine = lists.get(person, whats[:0])
        rare = [one for one in mine if by_starts[one + 1] - by_starts[one] <= MOST_STEPS // max(1, len(mine))]
        found = np.concatenate([by[:0], *(by[by_starts[one] : by_starts[one + 1]] for one in rare)])
        near, count = np.unique(found, return_counts=True)
        best = near[np.argsort(-count, kind="stable")[:50]]
        found = np.concatenate([whats[:0], *(whats[what_starts[one] : what_starts[one + 1]] for one in best)])
        return np.argsort(-np.bincount(found, minlength=POSTS), kind="stable")[:50]

    for what_for, run, beside, bar in (
        ("things that people you follow did something with", ours, floor, 1.0),
        ("things that friends of friends did something with", far, far_floor, 5.0),
        ("things that those did who did the same", same, same_floor, 5.0),
    ):
        for person in askers[:20]:
            run(person)
        took, plain = _milliseconds(run, askers), _milliseconds(beside, askers[: asked // 3])
        half, most = np.percentile(took, [50, 99])
        other_half, other_most = np.percentile(plain, [50, 99])
        yield Line(f"{what_for}, p50", float(half), "ms", "numpy", float(half / other_half))
        yield Line(
            "the same, p99", float(most), "ms", "numpy", float(most / other_most), bar=bar, least=False
        )


def _milliseconds(run: Callable[[int], object], askers: list[int]) -> list[float]:
    took = []
    for person in askers:
        began = time.perf_counter()
        run(person)
        took.append((time.perf_counter() - began) * 1e3)
    return took
