"""The scores of many people at once: the same sums that ``Ranker`` makes for one, as matrices."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from plait.models import HISTORY, Model, bucket_of, rarity
from plait.models.table import AGAINST, Table

Array = NDArray[np.float64]


def scores(model: Model, table: Table, people: NDArray[np.int64]) -> Array:
    """What a model says about every item to each of some people.

    Args:
        model: fitted on a table of the same entities.
        table: their acts.
        people: rows of the table.

    Returns:
        (people, items). What a person may come back to is not added: only what is new to them can be compared.
    """
    history = np.diff(table.target()[people].indptr)
    bucket = np.array([bucket_of(one) for one in history], np.int64)
    gates = model.gates[:, bucket]
    b = sp.csr_matrix((model.values, model.columns, model.indptr), shape=(len(model.indptr) - 1, table.items))
    found: Array = gates[-1][:, None] * np.asarray(model.popularity, np.float64)[None, :]
    channels = len(table.channels)
    for channel in range(channels):
        for block, gate in ((channel, channel), (channels + 1, channels + 1 + channel)):  # in all, and lately
            if not model.gates[gate].any():
                continue
            x = table.matrix(channel)[people].tocoo()
            x.data = x.data if block == channel else np.sign(x.data)
            row = model.place[block, x.col]
            known = row >= 0
            heard = sp.csr_matrix(
                (x.data[known] * gates[gate, x.row[known]], (x.row[known], row[known])),
                shape=(len(people), b.shape[0]),
            )
            found += (heard @ b).toarray()
    if table.topics.nnz and model.gates[-2].any():
        found += gates[-2][:, None] * topic_scores(table, people)
    return found


def topic_scores(table: Table, people: NDArray[np.int64]) -> Array:
    """How far each item's topics are those of what each person touched, (people, items)."""
    shown = table.topics[: table.items]
    rare = rarity(np.bincount(shown.indices, minlength=shown.shape[1]), table.items)
    kept = np.array([signal not in AGAINST for _, signal in table.channels] or [False])[table.channel]
    kept &= np.diff(table.topics.indptr)[table.entity] > 0
    acts = sp.csr_matrix(
        (table.value[kept], (table.person[kept], table.entity[kept])),
        shape=(table.people, len(table.entities)),
    )[people]
    total = np.sqrt(np.maximum(np.asarray(abs(acts).sum(axis=1)).ravel(), 1.0))
    liking = sp.diags(1 / total) @ acts @ table.topics @ sp.diags(rare)
    found: Array = (liking @ shown.T).toarray()
    return found


def history_of(table: Table) -> NDArray[np.int64]:
    """The bucket of history of each person, (people,)."""
    edges = np.array(HISTORY[1:])
    found: NDArray[np.int64] = np.searchsorted(edges, np.diff(table.target().indptr), side="right")
    return found
