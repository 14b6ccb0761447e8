"""Questions with a known answer: what people went on to do, held out, for gates to be learned on.

Fixed weights fail where it matters most, at little history. So part of what people wanted is held out and histories are cut
short. How loud each channel is, by history, is placed by these questions (``fusion``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from plait.events import SOCIAL
from plait.models import bucket_of, loops
from plait.models.table import Table
from plait.profiles.subjects import verb

Array = NDArray[np.float64]

HELD_OUT = 0.2  # of what a person wanted, drawn
HELD_OUT_BY_TIME = 0.1  # of what anybody wanted, the newest
PEOPLE = 1_500  # whose held-out items gates are fitted on at most
CHOSEN = 0.35  # of all people at most, since rows are learned without what is cut
CUTS = (0, 1, 2, 5, 10)  # items that histories are cut to, one for each bucket below the last
UNCUT = 5  # in so many parts of the people beside
EACH = 40  # best items by each feature that stand against the held-out ones
OTHERS = 100  # drawn from all the rest, to stand for it
TOP = 20


class Split(NamedTuple):
    """A table to fit on, and what was held out of it: ``truth`` is (people, items)."""

    rest: Table
    truth: sp.csr_matrix


def splits(table: Table, random: np.random.Generator) -> list[Split]:
    """What is held out to learn gates on, once or twice.

    Where people are few, and it is not known when they did what, one draw has few questions, many of them about histories cut
    short. So a second one asks everybody, with nothing cut: rows learned without a fifth are as those of the fit itself.
    """
    first = split(table, random)
    few = len(table.person) > 0 and np.count_nonzero(np.diff(table.target().indptr) > 1) * CHOSEN < PEOPLE
    at = table.at[table.wanted]
    timed = bool(len(at) and at.min() > 0)
    return [first, split(table, random, cut=False)] if few and not timed else [first]


def split(table: Table, random: np.random.Generator, *, cut: bool = True) -> Split:
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
    chosen = several[: max(1, min(PEOPLE, int(len(several) * CHOSEN)))] if cut else several[: 2 * PEOPLE]
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
        short = chosen[number :: len(CUTS) + UNCUT] if cut else chosen[:0]
        gone |= _beyond(table, short, length, gone, random)
    # Nor may what others did later tell of what a history was cut by.
    lost = np.ones(len(pair), np.bool_)
    lost[back[~gone[wanted]]] = False
    gone[about] |= ~table.own[about] & lost[where] & (table.at[about] >= first[where])
    left = table.only(~gone)
    if moment < np.inf:
        left.at = np.minimum(left.at, int(moment))
    # What others did with an item does not make it known: what that is worth is asked, too.
    mine = left.own & (left.entity < left.items)
    known = np.unique(left.person[mine] * left.items + left.entity[mine])
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
    social = np.array([verb(signal) in SOCIAL for _, signal in table.channels] or [False])
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
    touched = cut.rest.only(cut.rest.own & (cut.rest.entity < cut.rest.items))
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


def ndcg(asked: Groups, gates: Array) -> Array:
    """NDCG@20 of each question, (questions,)."""
    starts = np.flatnonzero(np.diff(asked.group, prepend=-1))
    gain = loops.gains(asked.features @ gates, asked.truth, np.append(starts, len(asked.group)), TOP)
    found: Array = gain / asked.ideal
    return found
