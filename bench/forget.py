"""Taking a person out of a model, beside learning its rows anew without them; seconds are of the processor."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import numpy as np

from bench import Line
from bench.scale import DAY, NOW, catalog, people

SIZE = (10_000, 5_000, 400_000)  # people, items, events
QUICK = (2_000, 500, 40_000)


def measure(quick: bool) -> Iterator[Line]:
    from plait.models import HISTORY
    from plait.models.fit import Frozen, fit_with
    from plait.models.table import table_of

    size = QUICK if quick else SIZE
    table = table_of(people(size), catalog(size), now=NOW, half_life=14 * DAY)
    heard = np.ones(len(table.channels), np.bool_)
    channels = [*table.channels, *((f"lately:{kind}", signal) for kind, signal in table.channels)]
    # What a fit would decide takes minutes and is no part of this: each channel has rows of the pool and of its own.
    decided = Frozen(
        (4.0, 0.2, 10.0 * DAY, 0.1, 64),
        [(*one, name, 0.5) for one in table.channels for name in ("pool", "own")],
        [(*one, [10.0] * len(HISTORY)) for one in (*channels, ("", "topics"), ("", "popularity"))],
        {},
    )
    found = fit_with(table, heard, now=NOW, half_life=14 * DAY, seed=0, frozen=decided)
    assert found.learned is not None
    model, learned = found.model, found.learned
    took = []
    for person in range(5):
        began = time.process_time()
        model, learned = learned.without(model, np.array([person]))
        took.append(time.process_time() - began)
    left = table.only(table.person >= 5)
    began = time.process_time()
    fit_with(left, heard, now=NOW, half_life=14 * DAY, seed=0, frozen=decided)
    refit = time.process_time() - began
    one = statistics.median(took)
    what = f"a person leaves a model of {size[0]:,} people and {size[1]:,} items"
    yield Line(what, one, "s", "learning its rows anew", one / refit, bar=1.0, least=False)
    kept = np.arange(0, size[1], max(1, size[1] // 500))
    yield Line("five people gone, the pool's rows against solving them anew, weights alike",
               off(model, learned, kept), "of the largest weight", bar=1e-5, least=False)  # fmt: skip


def off(model, learned, some: np.ndarray) -> float:
    """How far values of the pool's rows are from those of a regression solved by the definition, as a part of the largest."""
    block = learned.blocks[0]
    source = block.sources[0]
    of = learned.regressions[source.regression]
    x, y = of.x.astype(float), of.y.astype(float)
    wanted = (x.T @ y).toarray()
    wanted[np.arange(y.shape[1]), np.arange(y.shape[1])] -= of.held
    gram = (x.T @ x).toarray()
    gram[np.diag_indices_from(gram)] += of.ridge
    right = np.linalg.solve(gram, wanted)
    if of.u is not None:
        right += of.broadly * (x.T @ of.u.astype(float)) @ ((y.T @ of.u.astype(float)) / of.squares).T
    right *= source.items
    largest = np.abs(source.damped[:, None] * right).max()
    worst = 0.0
    for entity in some.tolist():
        row = model.place[len(model.manifest.channels), entity]
        if row >= 0:
            here = slice(model.indptr[row], model.indptr[row + 1])
            made = source.damped[entity] * right[entity, model.columns[here]]
            worst = max(worst, float(np.abs(model.values[here] - made).max(initial=0.0)))
    return worst / largest
