"""How much each channel is worth, by how much is known of a person: learned from what people went on to do.

Fixed weights fail where it matters most, at little history. So part of what people wanted is held out, histories are cut
short, and for every bucket of history one gate per channel, topics and popularity is fitted so that what was held out comes
out on top. Gates are never negative; a channel that does not help is gated off.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.optimize import minimize

from plait.events import SOCIAL
from plait.models import HISTORY, bucket_of
from plait.models.table import Table

Array = NDArray[np.float64]

HELD_OUT = 0.2  # of what a person wanted, the newest
PEOPLE = 800  # whose held-out items gates are fitted on; standard errors are small enough then
CUTS = (0, 1, 3)  # items that histories are cut to
EACH = 40  # best items by each feature that stand against the held-out ones
OTHERS = 100  # drawn from all the rest, to stand for it
PULL = 20.0  # groups; a bucket with as many weighs its own evidence and everybody's alike
TOP = 20
ENOUGH = 100  # questions from which on we dare to gate a channel off
FLOOR = 1e-3  # of popularity: it orders what nothing else tells apart
# Gates to believe before anything was seen: a channel's rows foretell chances, which are small numbers.
TRUST = {"channel": 10.0, "topics": 2.0, "popularity": 1.0}


class Split(NamedTuple):
    """A table to fit on, and what was held out of it: ``truth`` is (people, items)."""

    rest: Table
    truth: sp.csr_matrix


def split(table: Table, random: np.random.Generator) -> Split:
    """Hold out the newest part of what people wanted; of equally new items a random part."""
    wanted = np.flatnonzero(table.wanted)
    if not len(wanted):
        return Split(table, sp.csr_matrix((table.people, table.items)))
    pair, back = np.unique(table.person[wanted] * table.items + table.entity[wanted], return_inverse=True)
    newest = np.zeros(len(pair), np.int64)
    np.maximum.at(newest, back, table.at[wanted])
    person, item = pair // table.items, pair % table.items
    order = np.lexsort((random.random(len(pair)), -newest, person))
    sizes = np.bincount(person, minlength=table.people)
    starts = np.cumsum(sizes) - sizes
    rank = np.empty(len(pair), np.int64)
    rank[order] = np.arange(len(pair)) - starts[person[order]]
    chosen = np.zeros(table.people, np.bool_)
    chosen[random.permutation(table.people)[: max(PEOPLE, table.people // 5)]] = True
    held = chosen[person] & (rank < np.ceil(HELD_OUT * sizes[person]))
    truth = sp.csr_matrix(
        (np.ones(int(held.sum())), (person[held], item[held])), shape=(table.people, table.items)
    )
    gone = np.zeros(len(table.person), np.bool_)
    about = np.flatnonzero(table.entity < table.items)
    where = np.searchsorted(pair, table.person[about] * table.items + table.entity[about])
    where = np.minimum(where, len(pair) - 1)
    same = pair[where] == table.person[about] * table.items + table.entity[about]
    about, where = about[same], where[same]
    # What happened on a held-out item goes too, or a like that followed the view would give it away. What a network
    # told before the first of it stays: that is what we want to know the worth of.
    first = np.where(_repeated(table, wanted, back, len(pair)), -1, newest)
    told_before = social_of(table)[about] & (table.at[about] < first[where])
    gone[about] = held[where] & ~told_before
    return Split(table.only(~gone), truth)


def _repeated(
    table: Table, wanted: NDArray[np.intp], back: NDArray[np.intp], pairs: int
) -> NDArray[np.bool_]:
    """Which pairs were acted on more than once, so that we do not know when they began."""
    times = np.bincount(back, weights=1.0 + table.again[wanted], minlength=pairs)
    found: NDArray[np.bool_] = times > 1
    return found


def social_of(table: Table) -> NDArray[np.bool_]:
    """Which acts are social."""
    social = np.array([signal in SOCIAL for _, signal in table.channels] or [False])
    found: NDArray[np.bool_] = social[table.channel]
    return found


class Groups(NamedTuple):
    """Questions with a known answer: for each a few hundred items, some of them wanted.

    Attributes:
        features: (candidates, features).
        truth: (candidates,) 1 for what was wanted.
        stands_for: (candidates,) how many items each stands for: a drawn one for its share of all that was not drawn.
        group: (candidates,) which question, ascending from 0.
        bucket: (questions,) of history.
        ideal: (questions,) best DCG there is.
    """

    features: Array
    truth: Array
    stands_for: Array
    group: NDArray[np.int64]
    bucket: NDArray[np.int64]
    ideal: Array

    def of(self, questions: NDArray[np.bool_]) -> Groups:
        """Only some of the questions."""
        kept = questions[self.group]
        number = np.cumsum(questions) - 1
        return Groups(
            self.features[kept], self.truth[kept], self.stands_for[kept], number[self.group[kept]], self.bucket[questions], self.ideal[questions]
        )  # fmt: skip


Score = Callable[
    [Table, NDArray[np.int64]], list[Array]
]  # table, people -> a (people, items) array per feature


def groups(cut: Split, score: Score, random: np.random.Generator) -> Groups:
    """Turn people with held-out items into questions, each also with its history cut short."""
    people = np.flatnonzero(np.diff(cut.truth.indptr))
    people = np.sort(random.permutation(people)[:PEOPLE])
    found: list[tuple[Array, Array, Array, int, float]] = []
    for length in (None, *CUTS):
        table = cut.rest if length is None else _cut_short(cut.rest, people, length, random)
        wanted = table.target()
        size = max(1, 2_000_000 // max(1, table.items))
        for at in range(0, len(people), size):
            some = people[at : at + size]
            features = score(table, some)
            for place, person in enumerate(some):
                mine = wanted.indices[wanted.indptr[person] : wanted.indptr[person + 1]]
                if length is not None and len(mine) < length:
                    continue  # it is among the uncut ones
                truth = cut.truth.indices[cut.truth.indptr[person] : cut.truth.indptr[person + 1]]
                found.append(_question([one[place] for one in features], truth, mine, random))
    sizes = [len(one[1]) for one in found]
    width = found[0][0].shape[1] if found else 0
    return Groups(
        np.vstack([one[0] for one in found]) if found else np.zeros((0, width)),
        np.concatenate([one[1] for one in found]) if found else np.zeros(0),
        np.concatenate([one[2] for one in found]) if found else np.zeros(0),
        np.repeat(np.arange(len(found)), sizes),
        np.array([bucket_of(one[3]) for one in found], np.int64),
        np.array([one[4] for one in found]),
    )


def _question(
    scores: Sequence[Array], truth: NDArray[Any], mine: NDArray[Any], random: np.random.Generator
) -> tuple[Array, Array, Array, int, float]:
    candidates: list[NDArray[Any]] = [truth]
    for one in scores:
        if len(mine):
            one[mine] = 0.0
        n = min(EACH, len(one))
        top = np.argpartition(-one, n - 1)[:n]
        candidates.append(top[one[top] > 0])
    best = np.setdiff1d(np.concatenate(candidates), mine)
    others = np.setdiff1d(random.integers(0, len(scores[0]), OTHERS), np.concatenate([best, mine]))
    items = np.concatenate([best, others])
    features = np.stack([one[items] for one in scores], axis=1)
    wanted = np.isin(items, truth).astype(float)
    stands_for = np.ones(len(items))
    stands_for[len(best) :] = (len(scores[0]) - len(best) - len(mine)) / max(1, len(others))
    ideal = float((1 / np.log2(np.arange(min(len(truth), TOP)) + 2)).sum())
    return features, wanted, stands_for, len(mine), ideal


def _cut_short(table: Table, people: NDArray[np.int64], length: int, random: np.random.Generator) -> Table:
    """Keep ``length`` of the items that people wanted, and all they did elsewhere."""
    about = ~social_of(table) & np.isin(table.person, people)
    where = np.flatnonzero(about)
    pair, back = np.unique(
        table.person[where] * len(table.entities) + table.entity[where], return_inverse=True
    )
    person = pair // len(table.entities)
    order = np.lexsort((random.random(len(pair)), person))
    sizes = np.bincount(person, minlength=table.people)
    starts = np.cumsum(sizes) - sizes
    rank = np.empty(len(pair), np.int64)
    rank[order] = np.arange(len(pair)) - starts[person[order]]
    kept = np.ones(len(table.person), np.bool_)
    kept[where] = rank[back] < length
    return table.only(kept)


def trusted(channels: int) -> Array:
    """The gates to begin with: (channels + 2,), topics and popularity last."""
    return np.array([TRUST["channel"]] * channels + [TRUST["topics"], TRUST["popularity"]])


def fit_gates(asked: Groups, channels: int) -> Array:
    """The gates, (channels + 2, buckets), >= 0; the fewer the questions, the closer to ``trusted``."""
    believed = trusted(channels)
    gates = np.repeat(believed[:, None], len(HISTORY), axis=1)
    number = len(asked.bucket)
    if not number:
        return gates
    scale = np.maximum(asked.features.std(axis=0), 1e-9)
    scaled = asked._replace(features=asked.features / scale)
    everybody = _softmax(scaled, believed * scale, PULL / number)
    if number >= ENOUGH:
        everybody = _without_useless(scaled, everybody)
    for bucket in range(len(HISTORY)):
        here = asked.bucket == bucket
        some = int(here.sum())
        gates[:, bucket] = _softmax(scaled.of(here), everybody, PULL / some) if some else everybody
    unscaled: Array = gates / scale[:, None]
    unscaled[-1] = np.maximum(unscaled[-1], FLOOR)
    return unscaled


def _softmax(asked: Groups, towards: Array, pull: float) -> Array:
    """Gates under which what was wanted is likely to be picked, each question weighing the same."""
    starts = np.flatnonzero(np.diff(asked.group, prepend=-1))
    wants = np.add.reduceat(asked.truth, starts)
    target = asked.truth / wants[asked.group]
    free = towards > 0
    number = len(starts)

    def loss(gates: Array) -> tuple[float, Array]:
        score = asked.features @ gates
        peak = np.maximum.reduceat(score, starts)
        power = asked.stands_for * np.exp(score - peak[asked.group])
        total = np.add.reduceat(power, starts)
        value = (np.log(total) + peak).sum() - score @ target
        slope = asked.features.T @ (power / total[asked.group] - target)
        away = gates - towards
        return (
            float(value / number + pull * away @ away + 1e-3 * gates @ gates),
            slope / number + 2 * pull * away + 2e-3 * gates,
        )

    bounds = [(0.0, None) if one else (0.0, 0.0) for one in free]
    found = minimize(loss, towards, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 100})
    result: Array = np.maximum(found.x, 0.0)
    return result


def _without_useless(asked: Groups, gates: Array) -> Array:
    """The gates without those features whose leaving costs nothing."""
    held = ndcg(asked, gates).mean()
    for feature in np.argsort(
        gates[:-1]
    ):  # popularity stays: it is what there is for people we know nothing of
        if gates[feature] <= 0:
            continue
        without = gates.copy()
        without[feature] = 0.0
        if not without.any():
            break
        without = _softmax(asked, without, PULL / len(asked.bucket))
        value = ndcg(asked, without).mean()
        if value >= held - 1e-4 * held:
            gates, held = without, max(held, value)
    return gates


def ndcg(asked: Groups, gates: Array) -> Array:
    """NDCG@20 of each question, (questions,)."""
    score = asked.features @ gates
    order = np.lexsort((asked.truth, -score, asked.group))  # of equals what was wanted comes last: no luck
    starts = np.flatnonzero(np.diff(asked.group, prepend=-1))
    rank = np.arange(len(order)) - starts[asked.group[order]]
    gain = np.where(rank < TOP, asked.truth[order] / np.log2(rank + 2), 0.0)
    found: Array = np.add.reduceat(gain, starts) / asked.ideal
    return found
