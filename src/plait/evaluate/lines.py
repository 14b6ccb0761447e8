"""What each kind of data is worth alone, and what all of it is worth together: the lines of an evaluation."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from plait.evaluate.dataset import Dataset
from plait.events import DAY, SOCIAL, Signal
from plait.models import Model
from plait.models.batch import scores as scores
from plait.models.fit import fit_lines
from plait.models.table import TIES, Table, summed
from plait.profiles.fragment import ATTENTION
from plait.profiles.subjects import SEP, verb

HALF_LIFE = 14 * DAY
TIED = (TIES, "follow")  # the channel of who follows whom
SOCIAL_SIGNALS = frozenset(map(str, SOCIAL)) | {str(Signal.SHARE)}
NAMES = ("popularity", "activity", "social", "combined")
AT_ONCE = 16_000_000  # scores that are in memory at a time


def table_of(dataset: Dataset, social: Collection[str], *, half_life: int = HALF_LIFE) -> tuple[Table, int]:
    """The table that a live installation would read from these rows, and the time it reads it at.

    Acts on an item add up, each faded to the newest act of its person, and saturate: log2(1 + |w|). A play with a count
    weighs as many; dwell what attention of so many seconds does; a rating what it is above or below the middle of all.
    """
    names = [("network" if one in social else "web", one) for one in dataset.signals]
    channels = [*names, TIED] if len(dataset.tie_from) else names
    timed = dataset.at >= 0
    at = np.where(timed, dataset.at, 0)
    now = int(at.max(initial=0)) + 1
    newest = np.zeros(len(dataset.people), np.int64)
    np.maximum.at(newest, dataset.person, at)
    weight = intensity(dataset) * np.exp2((at - newest[dataset.person]) / half_life)
    key = (dataset.person * len(dataset.signals) + dataset.signal) * len(dataset.items) + dataset.item
    pair, back, count = np.unique(key, return_inverse=True, return_counts=True)
    total = np.bincount(back, weights=weight, minlength=len(pair))
    last = np.zeros(len(pair), np.int64)
    np.maximum.at(last, back, at)
    first = np.full(len(pair), now, np.int64)
    np.minimum.at(first, back, at)
    person, rest = np.divmod(pair, len(dataset.signals) * len(dataset.items))
    signal, item = np.divmod(rest, len(dataset.items))
    friends = np.unique(dataset.tie_to)
    entities = [f"item{SEP}{one}" for one in dataset.items]
    entities += [f"person{SEP}{dataset.people[one]}" for one in friends]
    tied = len(dataset.tie_from)
    many = np.bincount(dataset.tie_from, minlength=len(dataset.people))[dataset.tie_from]
    selves = np.full(len(dataset.people), -1, np.int64)
    selves[friends] = len(dataset.items) + np.arange(len(friends))
    who = np.concatenate([person, dataset.tie_from])
    channel = np.concatenate([signal, np.full(tied, len(names), np.int64)])
    entity = np.concatenate([item, len(dataset.items) + np.searchsorted(friends, dataset.tie_to)])
    columns = summed(
        who, channel, entity,
        np.concatenate([np.sign(total) * np.log2(1 + np.abs(total)), 1 / np.sqrt(many)]),
        np.concatenate([count > 1, np.zeros(tied, np.bool_)]),
        np.concatenate([last, np.zeros(tied, np.int64)]),
    )  # fmt: skip
    oldest = np.concatenate([first, np.zeros(tied, np.int64)])[np.lexsort((entity, channel, who))]
    table = Table(channels, entities, len(dataset.items), len(dataset.people), *columns,
                  _topics(dataset, len(entities)), selves, oldest)  # fmt: skip
    return table, now


def intensity(dataset: Dataset) -> NDArray[np.float64]:
    """How much each train row says for its item; below zero, against it."""
    weight = np.ones(len(dataset.person))
    for place, name in enumerate(dataset.signals):
        here = (dataset.signal == place) & ~np.isnan(dataset.value)
        if name == Signal.PLAY:
            weight[here] = dataset.value[here]
        elif name == Signal.DWELL:
            weight[here] = -np.expm1(-dataset.value[here] / ATTENTION)
        elif name == Signal.RATE and here.any():
            low, high = dataset.value[here].min(), dataset.value[here].max()
            weight[here] = (dataset.value[here] - low) / (high - low) - 0.5 if high > low else 0.5
    return weight


def _topics(dataset: Dataset, entities: int) -> sp.csr_matrix:
    names = sorted({one for topics in dataset.topics for one in topics})
    code = {name: place for place, name in enumerate(names)}
    sizes = np.array([len(one) for one in dataset.topics] + [0] * (entities - len(dataset.items)))
    flat = np.array([code[one] for topics in dataset.topics for one in topics], np.int64)
    return sp.csr_matrix(
        (1 / np.sqrt(np.repeat(sizes, sizes)), flat, np.cumsum([0, *sizes])),
        shape=(entities, max(1, len(names))),
    )


def heard_by(table: Table, name: str, social: Collection[str]) -> Table:
    """The table that a line hears."""
    return table.hearing(_heard(table, social)[name])


def _heard(table: Table, social: Collection[str]) -> dict[str, NDArray[np.bool_]]:
    hears = np.array([one[0] == TIES or verb(one[1]) in social for one in table.channels])
    return {
        "popularity": np.zeros(len(hears), np.bool_),
        "activity": ~hears,
        "social": hears,
        "combined": np.ones(len(hears), np.bool_),
    }


def fitted(
    table: Table,
    now: int,
    social: Collection[str],
    *,
    seed: int,
    only: Collection[str] = NAMES,
    half_life: int = HALF_LIFE,
) -> dict[str, Model]:
    """The models of the lines that are asked for: ``popularity``, ``activity``, ``social``, ``combined``."""
    heard = {name: one for name, one in _heard(table, social).items() if name in only}
    return fit_lines(table, heard, now=now, half_life=half_life, seed=seed)
