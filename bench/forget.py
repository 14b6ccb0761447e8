"""Taking a person out of a regression, beside fitting it again without them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp

from bench import Line
from bench.scale import zipf

PEOPLE, ITEMS, ACTS = 10_000, 5_000, 40


def measure(quick: bool) -> Iterator[Line]:
    from plait.models.downdate import solved, without

    people, items = (PEOPLE // 10, ITEMS // 10) if quick else (PEOPLE, ITEMS)
    random = np.random.default_rng(0)
    row = np.repeat(np.arange(people), np.maximum(1, random.poisson(ACTS, people)))
    x = sp.csr_matrix((np.ones(len(row)), (row, zipf(random, items, len(row), 0.8))), shape=(people, items))
    x.sum_duplicates()
    left = solved(x, x, own=items, ridge=20.0)
    took = []
    for _ in range(5):
        began = time.perf_counter()
        left = without(left, np.array([0]))
        took.append(time.perf_counter() - began)
    began = time.perf_counter()
    again = solved(x[5:], x[5:], own=items, ridge=20.0)
    refit = time.perf_counter() - began
    some = np.arange(0, items, max(1, items // 500))
    off = float(np.abs(left.rows(some) - again.rows(some)).max() / np.abs(again.rows(some)).max())
    one = statistics.median(took)
    what = f"a person of {people:,} leaves a regression of {items:,} items"
    yield Line(what, one, "s", "the refit without them", one / refit, bar=1.0, least=False)
    yield Line(
        "five people gone, against the refit without them",
        off,
        "of the largest weight",
        bar=1e-5,
        least=False,
    )
