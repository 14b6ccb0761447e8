"""How much each channel is worth, by how much is known of a person: learned from what people went on to do.

Fixed weights fail where it matters most, at little history. So part of what people wanted is held out, histories are cut
short, and for every bucket of history one gate per channel, topics and popularity is fitted so that what was held out comes
out on top. Gates are never negative; a channel that does not help is gated off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.optimize import minimize

from plait.events import SOCIAL
from plait.models import HISTORY, bucket_of, loops
from plait.models.table import Table

Array = NDArray[np.float64]

HELD_OUT = 0.2  # of what a person wanted, drawn
HELD_OUT_BY_TIME = 0.1  # of what anybody wanted, the newest
PEOPLE = 1_500  # whose held-out items gates are fitted on at most
CHOSEN = 0.35  # of all people at most, since rows are learned without what is cut
CUTS = (0, 1, 2, 5, 10)  # items that histories are cut to, one for each bucket below the last
UNCUT = 5  # in so many parts of the people beside
EACH = 40  # best items by each feature that stand against the held-out ones
OTHERS = 100  # drawn from all the rest, to stand for it
PULL = 20.0  # groups; a bucket with as many weighs its own evidence and everybody's alike
PULL_BUCKET = 60.0  # the same for one bucket against everybody
SURE = 2.0
PLENTY = 300  # questions from which on the gates of a bucket are moved by NDCG of its own
TOP = 20
COSTS = 0.003  # of NDCG, that combining may cost against the best single source
CONFIDENCE = 1.64  # standard errors; one-sided 95 %
MOVES = (0.5, 2.0, 0.7, 1.4, 0.25, 4.0)  # factors that gates are moved by
STEPS = (0.25, 0.5, 0.75, 1.0)
ENOUGH = 100  # questions from which on we dare to gate a channel off
FLOOR = 1e-3  # of popularity: it orders what nothing else tells apart
# Gates to believe before anything was seen: a channel's rows foretell chances, which are small numbers.
TRUST = {"channel": 10.0, "topics": 2.0, "popularity": 1.0}


class Split(NamedTuple):
    """A table to fit on, and what was held out of it: ``truth`` is (people, items)."""

    rest: Table
    truth: sp.csr_matrix


def split(table: Table, random: np.random.Generator) -> Split:
    """Hold out what people wanted last, and cut the histories of some short: the newest part of all acts where we know when
    they happened, else a part of each person's, drawn.

    Whose history is cut is new to the rows that are learned, too: were they learned from the whole of it, friends' rows
    would know the person all the same.
    """
    wanted = np.flatnonzero(table.wanted)
    if not len(wanted):
        return Split(table, sp.csr_matrix((table.people, table.items)))
    pair, back = np.unique(table.person[wanted] * table.items + table.entity[wanted], return_inverse=True)
    newest = np.zeros(len(pair), np.int64)
    np.maximum.at(newest, back, table.at[wanted])
    began = newest.copy()
    np.minimum.at(began, back, table.began[wanted])
    person = pair // table.items
    sizes = np.bincount(person, minlength=table.people)
    several = random.permutation(np.flatnonzero(sizes > 1))
    chosen = several[: max(1, min(PEOPLE, int(len(several) * CHOSEN)))]
    asked = np.zeros(table.people, np.bool_)
    asked[chosen] = True
    gone = np.zeros(len(table.person), np.bool_)
    held = np.zeros(len(pair), np.bool_)
    moment = np.inf
    if newest.min() < newest.max() and newest.min() > 0:
        # As answers will be asked: nothing is known of what came later, by anybody.
        moment = np.quantile(began, 1 - HELD_OUT_BY_TIME)
        held, gone = began > moment, table.began > moment
    if not held.any() or gone.all():
        order = np.lexsort((random.random(len(pair)), -newest, person))
        starts = np.cumsum(sizes) - sizes
        rank = np.empty(len(pair), np.int64)
        rank[order] = np.arange(len(pair)) - starts[person[order]]
        held = asked[person] & (rank < np.ceil(HELD_OUT * sizes[person]))
        moment = np.inf
        gone = np.zeros(len(table.person), np.bool_)
    else:
        asked[:] = True  # who comes later is a question that costs nothing
    about = np.flatnonzero(table.entity < table.items)
    where = np.searchsorted(pair, table.person[about] * table.items + table.entity[about])
    where = np.minimum(where, len(pair) - 1)
    same = pair[where] == table.person[about] * table.items + table.entity[about]
    about, where = about[same], where[same]
    # What happened on a held-out item goes too, or a like that followed the view would give it away. What a network
    # told before the first of it stays: that is what we want to know the worth of.
    first = np.where(_repeated(table, wanted, back, len(pair)), -1, newest)
    told_before = social_of(table)[about] & (table.at[about] < first[where])
    gone[about] |= held[where] & ~told_before
    for number, length in enumerate(CUTS):
        cut = chosen[number :: len(CUTS) + UNCUT]
        gone |= _beyond(table, cut, length, gone, random)
    left = table.only(~gone)
    if moment < np.inf:
        left.at = np.minimum(left.at, int(moment))
    known = np.unique(
        left.person[left.entity < left.items] * table.items + left.entity[left.entity < left.items]
    )
    truth = np.setdiff1d(pair[asked[person]], known)
    return Split(
        left,
        sp.csr_matrix(
            (np.ones(len(truth)), (truth // table.items, truth % table.items)),
            shape=(table.people, table.items),
        ),
    )


def _beyond(
    table: Table, people: NDArray[np.int64], length: int, gone: NDArray[np.bool_], random: np.random.Generator
) -> NDArray[np.bool_]:
    """The acts that some people's history is cut by, to ``length`` things they did; what is social stays."""
    where = np.flatnonzero(~social_of(table) & ~gone & np.isin(table.person, people))
    pair, back = np.unique(
        table.person[where] * len(table.entities) + table.entity[where], return_inverse=True
    )
    person = pair // len(table.entities)
    order = np.lexsort((random.random(len(pair)), person))
    sizes = np.bincount(person, minlength=table.people)
    starts = np.cumsum(sizes) - sizes
    rank = np.empty(len(pair), np.int64)
    rank[order] = np.arange(len(pair)) - starts[person[order]]
    found = np.zeros(len(table.person), np.bool_)
    found[where] = rank[back] >= length
    return found


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


def joined(several: Sequence[Groups]) -> Groups:
    """The questions of several groups, one after the other."""
    questions = np.cumsum([0, *(len(one.bucket) for one in several)])
    numbered = [
        one._replace(group=one.group + before) for one, before in zip(several, questions, strict=False)
    ]
    return numbered[0] if len(several) == 1 else Groups(*map(np.concatenate, zip(*numbered, strict=True)))


Score = Callable[
    [Table, NDArray[np.int64]], list[Array]
]  # table, people -> a (people, items) array per feature


def groups(cut: Split, score: Score, random: np.random.Generator) -> Groups:
    """Turn people with held-out items into questions; who wanted nothing that anything speaks for is not asked about."""
    people = np.flatnonzero(np.diff(cut.truth.indptr))
    people = np.sort(random.permutation(people)[: 2 * PEOPLE])
    cut = cut._replace(rest=cut.rest.of(people))
    found: list[tuple[Array, Array, Array, int, float]] = []
    wanted = cut.rest.target()
    touched = cut.rest.only(cut.rest.entity < cut.rest.items)
    everything = touched.matrix()[:, : cut.rest.items].tocsr()
    size = max(1, 2_000_000 // max(1, cut.rest.items))
    for at in range(0, len(people), size):
        some = people[at : at + size]
        features = score(cut.rest, some)
        for place, person in enumerate(some):
            truth = cut.truth.indices[cut.truth.indptr[person] : cut.truth.indptr[person + 1]]
            known = everything.indices[everything.indptr[person] : everything.indptr[person + 1]]
            history = int(wanted.indptr[person + 1] - wanted.indptr[person])
            question = _question([one[place] for one in features], truth, known, history, random)
            if question[1].any():
                found.append(question)
    sizes = [len(one[1]) for one in found]
    width = found[0][0].shape[1] if found else len(score(cut.rest, people))
    return Groups(
        np.vstack([one[0] for one in found]) if found else np.zeros((0, width)),
        np.concatenate([one[1] for one in found]) if found else np.zeros(0),
        np.concatenate([one[2] for one in found]) if found else np.zeros(0),
        np.repeat(np.arange(len(found)), sizes),
        np.array([bucket_of(one[3]) for one in found], np.int64),
        np.array([one[4] for one in found]),
    )


def _question(
    scores: Sequence[Array],
    truth: NDArray[Any],
    known: NDArray[Any],
    history: int,
    random: np.random.Generator,
) -> tuple[Array, Array, Array, int, float]:
    ideal = float((1 / np.log2(np.arange(min(len(truth), TOP)) + 2)).sum())
    # What is new to everybody and has no topics, nothing can tell from the rest of its kind. Were it asked about, whatever
    # speaks for anything else would seem to mislead, and the less so the less it is heard.
    truth = truth[np.any([one[truth] != 0 for one in scores], axis=0)]
    candidates: list[NDArray[Any]] = [truth]
    for one in scores:
        if len(known):
            one[known] = 0.0
        n = min(EACH, len(one))
        top = np.argpartition(-one, n - 1)[:n]
        candidates.append(top[one[top] > 0])
    best = np.setdiff1d(np.concatenate(candidates), known)
    others = np.setdiff1d(random.integers(0, len(scores[0]), OTHERS), np.concatenate([best, known]))
    items = np.concatenate([best, others])
    features = np.stack([one[items] for one in scores], axis=1)
    wanted = np.isin(items, truth).astype(float)
    stands_for = np.ones(len(items))
    stands_for[len(best) :] = (len(scores[0]) - len(best) - len(known)) / max(1, len(others))
    return features, wanted, stands_for, history, ideal


def believed(channels: Sequence[int], questions: int) -> Array:
    """The gates to begin with, of parts by their channel: (parts + 2,), topics and popularity last.

    Where a handful of people were seen, what two items have in common is one of them, which says less than what the items
    are about: rows are trusted in full once there are ``ENOUGH`` questions.
    """
    each = np.bincount(np.array(channels, np.int64)) if channels else np.zeros(0)
    trust = TRUST["channel"] * min(1.0, max(0.1, questions / ENOUGH))
    return np.array([trust / each[one] for one in channels] + [TRUST["topics"], TRUST["popularity"]])


class Fitted(NamedTuple):
    """What a fit of gates found.

    Attributes:
        names: (channel, name) of each part.
        mix: (parts,) how much of each part is in its channel's rows.
        gates: (channels + 2, buckets) >= 0, topics and popularity last.
        alone: by the name of a single source, its own gates, shaped alike: what combining has to beat.
        guarded: buckets in which combining was held back, and how far: 0 is the single source alone.
    """

    names: list[tuple[int, str]]
    mix: Array
    gates: Array
    alone: dict[str, Array]
    guarded: dict[int, float]


def fit_gates(
    asked: Groups, names: Sequence[tuple[int, str]], channels: int, sources: Mapping[str, NDArray[np.bool_]]
) -> tuple[Fitted, Groups]:
    """The gates, (channels + 2, buckets), >= 0; the fewer the questions, the closer to what we believe beforehand.

    Args:
        asked: features are the parts, then topics and popularity.
        names: channel and name of each part.
        channels: how many there are.
        sources: name -> (channels,) what is one source, that combining must not fall behind.

    Returns:
        what was found, and the questions by channels instead of parts.
    """
    parts = [channel for channel, _ in names]
    number = len(asked.bucket)
    start = believed(parts, number)
    weights = start
    if number:
        spread = np.maximum(asked.features.std(axis=0), 1e-9)
        scaled = asked._replace(features=asked.features / spread)
        weights = _everybody(scaled, start * spread) / spread
        # What one's own acts are worth is found without the others: beside parts that tell much the same a good one may
        # go first, and nothing would be left that combining is held to.
        own = sources.get("activity", np.zeros(channels, np.bool_))
        theirs = np.append(own[np.array(parts, np.int64)] if parts else np.zeros(0, np.bool_), [True, True])
        if theirs[:-2].any() and not theirs[:-2].all():
            found = _everybody(scaled, np.where(theirs, start * spread, 0.0)) / spread
            weights = np.where(theirs, found, weights)
            if number >= ENOUGH:  # and what the others add to them
                weights = _without_useless(scaled, weights * spread, kept=theirs) / spread
    # A channel's rows are its parts in the proportion that serves everybody; how loud it is depends on the history.
    mix = np.zeros(len(parts))
    fold = np.zeros((len(start), channels + 2))
    for channel in range(channels):
        here = np.array([at for at, one in enumerate(parts) if one == channel], np.int64)
        total = weights[here].sum() if len(here) else 0.0
        if total > 0:
            mix[here] = weights[here] / total
            fold[here, channel] = mix[here]
    fold[-2, -2] = fold[-1, -1] = 1.0
    asked = asked._replace(features=asked.features @ fold)
    level = np.array(
        [weights[[at for at, one in enumerate(parts) if one == channel]].sum() for channel in range(channels)]
        + [weights[-2], weights[-1]]
    )
    gates = _by_bucket(asked, level)
    alone: dict[str, Array] = {}
    guarded: dict[int, float] = {}
    heard = np.flatnonzero(level[:-2] > 0)
    both = {name: mask for name, mask in sources.items() if mask[heard].any() and not mask[heard].all()}
    for name, mask in both.items():
        mine = asked._replace(features=asked.features * np.append(mask, [True, True]))
        alone[name] = _by_bucket(mine, np.where(np.append(mask, [True, True]), level, 0.0))
    if alone:
        gates, guarded = guard(asked, gates, alone)
    return Fitted(list(names), mix, gates, alone, guarded), asked


def _everybody(scaled: Groups, start: Array) -> Array:
    """The gates that serve everybody, those of no use zero."""
    found = softmax(scaled, start, PULL / len(scaled.bucket))
    return _without_useless(scaled, _polished(scaled, found)) if len(scaled.bucket) >= ENOUGH else found


def _by_bucket(asked: Groups, level: Array) -> Array:
    """Gates of each bucket near those that serve everybody, ``level``."""
    gates = np.repeat(level[:, None], len(HISTORY), axis=1)
    number = len(asked.bucket)
    if number:
        spread = np.maximum(asked.features.std(axis=0), 1e-9)
        scaled = asked._replace(features=asked.features / spread)
        everybody = softmax(scaled, level * spread, PULL / number)
        for bucket in range(len(HISTORY)):
            here = asked.bucket == bucket
            some = int(here.sum())
            gates[:, bucket] = softmax(scaled.of(here), everybody, PULL_BUCKET / some) if some else everybody
            if some >= PLENTY:
                gates[:, bucket] = _polished(scaled.of(here), gates[:, bucket])
        gates /= spread[:, None]
    gates[-1] = np.maximum(gates[-1], FLOOR)
    return gates


def guard(
    asked: Groups, gates: Array, alone: Mapping[str, Array], enough: int = ENOUGH
) -> tuple[Array, dict[int, float]]:
    """Never worse than the best single source: where combining may cost more than ``COSTS``, take less of it.

    In each bucket we go from the best single source's gates towards the combined ones, as far as the steps gain something
    and their lower confidence bound against that source is above -``COSTS``.
    """
    gates, guarded = gates.copy(), {}
    overall = {
        name: np.mean(
            [ndcg(asked.of(asked.bucket == bucket), one[:, bucket]).mean() for bucket in set(asked.bucket)]
        )
        for name, one in alone.items()
    }
    for bucket in range(len(HISTORY)):
        # A bucket of few questions hears its neighbours, too: chance would hold combining back, or let it through.
        for reach in range(len(HISTORY)):
            here = np.abs(asked.bucket - bucket) <= reach
            if here.sum() >= enough:
                break
        if not here.any():
            continue
        some = asked.of(here)
        values = {name: ndcg(some, one[:, bucket]) for name, one in alone.items()}
        # With few questions chance would pick the source: what everybody's say weighs as much as ENOUGH of its own.
        name = max(values, key=lambda one: values[one].sum() + ENOUGH * overall[one])
        base, single = values[name], alone[name][:, bucket]
        found = (0.0, single)
        for step in STEPS:
            mixed = (1 - step) * single + step * gates[:, bucket]
            gain = ndcg(some, mixed) - base
            least = gain.mean() - CONFIDENCE * gain.std() / np.sqrt(len(gain))
            if gain.mean() > 0 and least >= -COSTS * base.mean():
                found = (step, mixed)
        if found[0] < 1:
            guarded[bucket] = found[0]
        gates[:, bucket] = found[1]
    return gates, guarded


def softmax(asked: Groups, towards: Array, pull: float) -> Array:
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


def _polished(asked: Groups, gates: Array) -> Array:
    """Gates moved, one at a time, as far as more of what was wanted comes out on top: likelihood is not yet NDCG.

    A move counts when it gains more than half of its standard error, so that few questions move nothing.
    """
    held = ndcg(asked, gates)
    for _ in range(2):
        before = gates
        for feature in np.argsort(-gates):
            for factor in MOVES:
                if gates[feature] <= 0:
                    break
                moved = gates.copy()
                moved[feature] *= factor
                if not moved.any():
                    continue
                values = ndcg(asked, moved)
                gain = values - held
                if gain.mean() > 0.5 * gain.std() / np.sqrt(len(gain)):
                    gates, held = moved, values
        if gates is before:
            break
    return gates


def _without_useless(asked: Groups, gates: Array, *, kept: NDArray[np.bool_] | None = None) -> Array:
    """The gates without those features that do not clearly help: whose leaving costs less than ``SURE`` standard errors.

    The cost is told by questions that placed no gate, half by half: a feature of noise helps those that placed it.
    """
    odd = np.arange(len(asked.bucket)) % 2 == 1
    halves = [(asked.of(odd), asked.of(~odd)), (asked.of(~odd), asked.of(odd))]

    def told(start: Array) -> Array:
        placed = [(softmax(one, start, PULL / len(one.bucket)), other) for one, other in halves]
        return np.concatenate([ndcg(other, found) for found, other in placed])

    held = told(gates)
    for feature in np.argsort(gates[:-1]):
        # Popularity stays: it is what there is for people we know nothing of.
        if gates[feature] <= 0 or (kept is not None and kept[feature]):
            continue
        without = gates.copy()
        without[feature] = 0.0
        values = told(without)
        cost = held - values
        if cost.mean() <= SURE * cost.std() / np.sqrt(len(cost)):
            gates, held = softmax(asked, without, PULL / len(asked.bucket)), values
    return gates


def ndcg(asked: Groups, gates: Array) -> Array:
    """NDCG@20 of each question, (questions,)."""
    starts = np.flatnonzero(np.diff(asked.group, prepend=-1))
    gain = loops.gains(asked.features @ gates, asked.truth, np.append(starts, len(asked.group)), TOP)
    found: Array = gain / asked.ideal
    return found
