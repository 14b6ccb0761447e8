"""What is tried out before gates are learned: how strong the ridge, how popular what is foretold should be, and how
fast popularity fades.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from plait.events import DAY
from plait.models.gates import TOP, Split
from plait.models.linear import is_exact
from plait.models.parts import Shape, items_only, pool_of, popularity, scale
from plait.models.table import Table

Array = NDArray[np.float64]

RIDGES = (1.5, 4.0, 12.0, 36.0)
BROAD = (0.1, 0.3)  # how much of what people have in common at large
TASTES = (32, 64)  # directions of it
FREQUENCIES = (0.0, 0.1, 0.2, 0.3)
HALF_LIVES = (0.25 * DAY, 1.0 * DAY, 3.0 * DAY, 10.0 * DAY, 40.0 * DAY, 400.0 * DAY)
NEARLY, CLEARLY = 0.97, 1.002  # of the best; what is shorter or less simple must be better than that
LOUD = (0.05, 0.2, 0.6)  # of what is personal beside what is popular, in standard deviations
WINDOW, WINDOWS = 0.1, 4  # parts of all acts that half-lives are tried on
ASKED = 600  # people
MOST = 24_000_000  # scores that are looked at for each trial
LONG = 4  # items; who has a history as long shows best what it is worth
FEWEST = 30  # people with something held out; fewer choose nothing


def tuned(cut: Split, heard: NDArray[np.bool_], random: np.random.Generator) -> Shape:
    """The shape that foretells best what was held out, by NDCG@20 over all items.

    Args:
        cut: what to learn from, and what was held out.
        heard: (channels,).
        random: draws whom to ask.
    """
    table = cut.rest
    people = np.flatnonzero(np.diff(cut.truth.indptr))
    history = np.diff(table.target().indptr)
    long = people[history[people] >= LONG]
    people = long if len(long) >= FEWEST else people
    people = np.sort(random.permutation(people)[: max(1, min(ASKED, MOST // max(1, table.items)))])
    if len(people) < FEWEST:
        return Shape()
    truth = cut.truth[people].toarray() > 0
    theirs = table.of(people)
    known = (
        theirs.only(theirs.own & (theirs.entity < table.items)).matrix()[people][:, : table.items].toarray()
        != 0
    )
    timed = is_timed(table)
    half_life = _half_life(table, random) if timed else 0.0
    popular = popularity(table, half_life).astype(np.float32)
    x = items_only(theirs.hearing(heard))[people]

    def value(scores: NDArray[np.float32], shape: Shape) -> float:
        scaled = scores * scale(table, shape).astype(np.float32)
        if not timed:
            return _ndcg(scaled, truth, known)
        # What is popular now is most of what there is to know, so it is in every trial.
        scaled /= max(float(scaled.std()), 1e-9)
        return max(_ndcg(popular + weight * scaled, truth, known) for weight in LOUD)

    exact = is_exact(items_only(table.hearing(heard)))
    items = heard & ~table.tied[:-1]
    best, found, kept = -1.0, Shape(half_life=half_life), np.zeros((0, 0), np.float32)

    def tried(scores: NDArray[np.float32], shape: Shape) -> bool:
        nonlocal best, found, kept
        before = best
        for frequency in FREQUENCIES:
            shape = shape._replace(frequency=frequency)
            told = value(scores, shape)
            if told > best * CLEARLY:
                best, found, kept = told, shape, scores
        return best > before

    for ridge in RIDGES if exact else RIDGES[:1]:
        shape = Shape(ridge, half_life=half_life)
        pool, _ = pool_of(table, items, shape)
        if pool is None:
            return found
        if not tried(pool.scores(x), shape) and found.ridge < ridge:
            break  # it was better weaker
    narrow, ridge = kept, found.ridge
    for tastes in TASTES if exact else ():
        pool, _ = pool_of(table, items, Shape(ridge, broadly=BROAD[0], tastes=tastes))
        if pool is not None:
            more = pool.scores(x) - narrow
            for broadly in BROAD:
                shape = Shape(ridge, half_life=half_life, broadly=broadly, tastes=tastes)
                tried(narrow + np.float32(broadly / BROAD[0]) * more, shape)
    return found


def _half_life(table: Table, random: np.random.Generator) -> float:
    """The half-life, ms, by which what was popular foretold best what came next, over several stretches of the past.

    One stretch alone tells more of its own days than of the next.
    """
    kept = table.wanted
    person, item, at = table.person[kept], table.entity[kept], table.began[kept]
    edges = np.quantile(at, np.linspace(1 - WINDOWS * WINDOW, 1, WINDOWS + 1))
    trials = np.zeros(len(HALF_LIVES))
    for since, until in pairwise(edges):
        late = (at > since) & (at <= until)
        people = np.unique(person[late])
        people = np.sort(random.permutation(people)[: max(1, min(ASKED, MOST // max(1, table.items)))])
        if not len(people) or not (at <= since).any():
            continue
        place = np.full(table.people, -1, np.int64)
        place[people] = np.arange(len(people))
        truth, known = (np.zeros((len(people), table.items), np.bool_) for _ in range(2))
        for told, when in ((known, at <= since), (truth, late)):
            here = when & (place[person] >= 0)
            told[place[person[here]], item[here]] = True
        truth &= ~known
        some = truth.any(axis=1)
        if not some.any():
            continue
        before = at <= since
        values = []
        for one in HALF_LIVES:
            faded = np.bincount(
                item[before], weights=np.exp2((at[before] - since) / one), minlength=table.items
            )
            values.append(_ndcg(np.tile(faded, (int(some.sum()), 1)), truth[some], known[some]))
        trials += np.array(values) / max(max(values), 1e-9)
    # The longest of those that are about as good: what fades fast rests on few acts.
    return HALF_LIVES[int(np.flatnonzero(trials >= NEARLY * trials.max()).max())]


def is_timed(table: Table) -> bool:
    """Whether it is known when things happened."""
    at = table.at[table.wanted]
    return bool(len(at) and at.min() > 0 and at.min() < at.max())


def _ndcg(scores: NDArray[np.floating], truth: NDArray[np.bool_], known: NDArray[np.bool_]) -> float:
    """The mean of NDCG@20 over rows, without what is known."""
    scores = np.where(known, -np.inf, scores)
    n = min(TOP, scores.shape[1])
    top = np.argpartition(-scores, n - 1, axis=1)[:, :n]
    order = np.argsort(-np.take_along_axis(scores, top, axis=1), axis=1, kind="stable")
    hits = np.take_along_axis(truth, np.take_along_axis(top, order, axis=1), axis=1)
    discount = 1 / np.log2(np.arange(n) + 2)
    ideal = np.cumsum(discount)[np.minimum(truth.sum(axis=1), n) - 1]
    return float((hits @ discount / ideal).mean())
