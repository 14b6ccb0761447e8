"""Recommenders of others, run in an environment of their own by ``bench.recommend``: ALS and BPR of implicit, EASE of RecTools.

``python rivals.py IN OUT SECONDS``: ``IN`` holds train rows and whom to ask; each model is tuned on a part of train by random
search for as many seconds as ours was, fitted on all of it, and its 20 best for each person are written to ``OUT``.
"""

from __future__ import annotations

import os
import sys
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # implicit has threads of its own and warns otherwise

import numpy as np
import scipy.sparse as sp

TOP = 20
CORES = len(os.sched_getaffinity(0))
HELD_OUT = 0.2
# EASE of RecTools inverts a matrix of the items in double precision: minutes a trial beyond. Then it is asked only when all is,
# and tuned on so many items, the most frequent ones.
MOST_ITEMS = 5_000
FULL = "PLAIT_BENCH_FULL"


def main(source: str, target: str, seconds: float) -> None:
    told = np.load(source)
    shape = tuple(told["shape"])
    weight = np.log1p(np.nan_to_num(told["value"], nan=1.0))
    train = sp.csr_matrix((weight, (told["person"], told["item"])), shape=shape)
    people, shelf = told["people"], told["shelf"]
    found: dict[str, object] = {}
    for name, (draw, fit) in MODELS.items():
        tried = train
        if name == "ease" and shape[1] > MOST_ITEMS:
            if not os.environ.get(FULL):
                continue
            tried = train[:, np.argsort(-np.bincount(train.indices, minlength=shape[1]))[:MOST_ITEMS]].tocsr()
        random = np.random.default_rng(11)
        fit(
            train[: min(200, shape[0])], draw(np.random.default_rng(0))
        )  # what is imported and compiled is no part of it
        chosen = tuned(tried, draw, fit, seconds, random)
        began = time.process_time()
        scores = fit(train, chosen)
        took = time.process_time() - began
        found[f"{name}_ranked"] = ranked(scores, train, people, shelf)
        found[f"{name}_seconds"] = took
        found[f"{name}_chosen"] = str(chosen)
    np.savez(target, **found)


def tuned(train, draw, fit, seconds, random):
    coo = train.tocoo()
    held = random.random(coo.nnz) < HELD_OUT
    rest = sp.csr_matrix((coo.data[~held], (coo.row[~held], coo.col[~held])), shape=train.shape)
    truth = sp.csr_matrix((np.ones(held.sum()), (coo.row[held], coo.col[held])), shape=train.shape)
    people = np.flatnonzero(np.diff(truth.indptr))
    people = np.sort(random.permutation(people)[:600])
    began, best, chosen = time.process_time(), -1.0, None
    while chosen is None or time.process_time() - began < seconds:
        trial = draw(random)
        value = ndcg(ranked(fit(rest, trial), rest, people, np.arange(train.shape[1])), truth[people])
        if value > best:
            best, chosen = value, trial
    return chosen


def ndcg(found, truth):
    discount = 1 / np.log2(np.arange(TOP) + 2)
    ideal = np.cumsum(discount)
    values = []
    for row, items in enumerate(found):
        wanted = truth.indices[truth.indptr[row] : truth.indptr[row + 1]]
        values.append(np.isin(items, wanted) @ discount / ideal[min(len(wanted), TOP) - 1])
    return float(np.mean(values))


def ranked(scores, train, people, shelf):
    found = np.full((len(people), TOP), -1, np.int64)
    for row, person in enumerate(people):
        mine = np.asarray(scores(person), np.float64).copy()
        mine[train.indices[train.indptr[person] : train.indptr[person + 1]]] = -np.inf
        here = mine[shelf]
        order = np.argsort(-here, kind="stable")[:TOP]
        found[row, : len(order)] = np.where(here[order] > -np.inf, shelf[order], -1)
    return found


def als(train, chosen):
    from implicit.als import AlternatingLeastSquares

    factors, regularization, alpha, iterations = chosen
    model = AlternatingLeastSquares(
        factors=factors, regularization=regularization, alpha=alpha, iterations=iterations, random_state=11,
        num_threads=CORES,
    )  # fmt: skip
    model.fit(train.astype(np.float32), show_progress=False)
    return lambda person: model.item_factors @ model.user_factors[person]


def draw_als(random):
    return (
        int(random.choice([32, 64, 128])), float(10 ** random.uniform(-3, 1.5)),
        float(10 ** random.uniform(-0.5, 1.7)), int(random.choice([10, 15])),
    )  # fmt: skip


def bpr(train, chosen):
    from implicit.bpr import BayesianPersonalizedRanking

    factors, regularization, rate, iterations = chosen
    model = BayesianPersonalizedRanking(
        factors=factors,
        regularization=regularization,
        learning_rate=rate,
        iterations=iterations,
        random_state=11,
        num_threads=CORES,
    )
    model.fit(train.astype(np.float32), show_progress=False)
    return lambda person: model.item_factors @ model.user_factors[person]


def draw_bpr(random):
    return (
        int(random.choice([32, 64, 128])), float(10 ** random.uniform(-4, -1)),
        float(10 ** random.uniform(-2.5, -0.7)), int(random.choice([50, 100, 200])),
    )  # fmt: skip


def ease(train, chosen):
    import pandas as pd
    from rectools import Columns
    from rectools.dataset import Dataset
    from rectools.models import EASEModel

    coo = train.tocoo()
    frame = pd.DataFrame(
        {
            Columns.User: coo.row,
            Columns.Item: coo.col,
            Columns.Weight: coo.data,
            Columns.Datetime: "2026-01-01",
        }
    )
    dataset = Dataset.construct(frame)
    model = EASEModel(regularization=chosen, recommend_n_threads=CORES)
    model.fit(dataset)
    items = dataset.item_id_map.external_ids
    seen = train[:, items]

    def scores(person):
        found = np.full(train.shape[1], -1e9)
        found[items] = (seen[person] @ model.weight).ravel()
        return found

    return scores


def draw_ease(random):
    return float(10 ** random.uniform(0.5, 3.3))


MODELS = {"als": (draw_als, als), "bpr": (draw_bpr, bpr), "ease": (draw_ease, ease)}

if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
