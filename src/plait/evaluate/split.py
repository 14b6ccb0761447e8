"""What is held back: by time, by person, and what people with little history would look like."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from plait.errors import Rejected
from plait.evaluate.dataset import Dataset, Ints
from plait.evaluate.lines import intensity
from plait.models.table import AGAINST

BY_TIME = 0.1  # the newest part of all rows
BY_PERSON = 0.2  # of each person's items
COLD_PEOPLE = 400  # at most
STREAM = (5, 1)  # so that nothing the model draws by the same seed is the same draw
COLD_PART = 5  # one in so many of the people who are asked about


def split(dataset: Dataset, *, seed: int, social: Collection[str]) -> Dataset:
    """Hold a test back where there is none: globally by time where every row has one, else by person and seed.

    By time the newest tenth of all rows goes, and the test is what people wanted there of the items they had no row with
    before. By person a fifth of the items goes that each wanted, with all rows about them. Wanted is what a fit learns to
    foretell: items that activity speaks for, not what was put out of the basket, rated below the middle or played for no time.

    Raises:
        Rejected: nothing is left to ask about.
    """
    if dataset.tested:
        return dataset
    wanted = ~is_social(dataset, social) & _speaks_for(dataset)
    if (dataset.at >= 0).all():
        order = np.argsort(dataset.at, kind="stable")
        late = np.zeros(len(order), np.bool_)
        late[order[int(len(order) * (1 - BY_TIME)) :]] = True
        known = np.unique(dataset.pair[~late])
        asked = np.setdiff1d(dataset.pair[late & wanted], known)
    else:
        asked = _some_of_each(
            np.unique(dataset.pair[wanted]), len(dataset.items), np.random.default_rng([seed, *STREAM])
        )
        late = np.isin(dataset.pair, asked)
    kept = dataset.only(~late)
    if not len(asked) or not len(kept.person):
        raise Rejected("too few rows to hold any back; give a test file", code="too_few_rows", field="train")
    return kept.asking(asked // len(dataset.items), asked % len(dataset.items))


def _some_of_each(pair: Ints, items: int, random: np.random.Generator) -> Ints:
    person = pair // items
    order = np.lexsort((random.random(len(pair)), person))
    first = np.searchsorted(person, person)  # ``pair`` is sorted, so each person's stand together
    size = np.searchsorted(person, person, side="right") - first
    rank = np.arange(len(pair)) - first
    goes = rank < np.where(size > 1, np.maximum(1, np.floor(BY_PERSON * size)), 0)
    return np.sort(pair[order[goes]])


def cold(dataset: Dataset, keep: int, *, seed: int, social: Collection[str]) -> Dataset:
    """Cut the history of some of those asked about to ``keep`` rows of activity; only they are asked about then.

    Of the people with a test, min(400, a fifth) are drawn by ``seed``, and of each ``keep`` rows of activity. Their social rows and
    ties stay. The items of the other rows join their test, those apart that they still have a row with.
    """
    random = np.random.default_rng([seed, *STREAM])
    asked = np.unique(dataset.test_person)
    drawn = np.sort(random.permutation(asked)[: max(1, min(COLD_PEOPLE, len(asked) // COLD_PART))])
    theirs = np.flatnonzero(np.isin(dataset.person, drawn) & ~is_social(dataset, social))
    order = theirs[np.lexsort((random.random(len(theirs)), dataset.person[theirs]))]
    sorted_ = dataset.person[order]
    rank = np.arange(len(order)) - np.searchsorted(sorted_, sorted_)
    gone = np.zeros(len(dataset.person), np.bool_)
    gone[order[rank >= keep]] = True
    kept = dataset.only(~gone)
    test = dataset.test_person * len(dataset.items) + dataset.test_item
    test = test[np.isin(dataset.test_person, drawn)]
    more = np.setdiff1d(np.union1d(test, dataset.pair[gone]), kept.pair)
    return kept.asking(more // len(dataset.items), more % len(dataset.items))


def _speaks_for(dataset: Dataset) -> NDArray[np.bool_]:
    """Which train rows say that their item was wanted."""
    against = np.array([one in AGAINST for one in dataset.signals] or [False])
    found: NDArray[np.bool_] = (intensity(dataset) > 0) & ~against[dataset.signal]
    return found


def is_social(dataset: Dataset, social: Collection[str]) -> NDArray[np.bool_]:
    """Which train rows are social."""
    named = np.array([one in social for one in dataset.signals] or [False])
    found: NDArray[np.bool_] = named[dataset.signal]
    return found


def reachable(dataset: Dataset) -> Dataset:
    """Leave out of the test what a person has a train row with: it is never ranked for them."""
    pair = dataset.test_person * len(dataset.items) + dataset.test_item
    kept = ~np.isin(pair, dataset.pair)
    return replace(dataset, test_person=dataset.test_person[kept], test_item=dataset.test_item[kept])
