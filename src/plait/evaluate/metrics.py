"""How good rankings are, person by person, and how sure we are of a difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

TOP = 20
NAMES = ("ndcg@10", "ndcg@20", "recall@10", "recall@20", "hr@20", "mrr@20")
DRAWS = 2_000  # of the bootstrap; the ends of an interval are good to a few hundredths of its width
COVERAGE_DRAWS = 100


def best(scores: Array, excluded: NDArray[np.bool_], n: int = TOP) -> Ints:
    """The best ``n`` items of each row, best first; of equals the lower column first.

    Args:
        scores: (people, items).
        excluded: (people, items), what must not be ranked.
        n: at least 1.

    Returns:
        (people, n) columns; -1 where a row has no more.
    """
    scores = np.where(excluded | np.isnan(scores), -np.inf, scores)
    width = min(n, scores.shape[1])
    found = np.full((len(scores), n), -1, np.int64)
    if not width:
        return found
    # The n-th best decides who is looked at: of equals at the edge all are, or luck would choose among them.
    edge = -np.partition(-scores, width - 1, axis=1)[:, width - 1]
    for row, least in enumerate(edge):
        some = (
            np.flatnonzero(scores[row] >= least) if least > -np.inf else np.flatnonzero(scores[row] > least)
        )
        top = some[np.argsort(-scores[row, some], kind="stable")][:n]
        found[row, : len(top)] = top
    return found


def by_person(ranked: Ints, truth: Ints, starts: Ints) -> dict[str, Array]:
    """Each metric of each person.

    Args:
        ranked: (people, 20) items, best first, -1 for none.
        truth: items that were wanted, people by people.
        starts: (people + 1,) where each person's begin; nobody's are empty.

    Returns:
        ``NAMES`` -> (people,).
    """
    sizes = np.diff(starts)
    hits = np.zeros(ranked.shape)
    for row in range(len(ranked)):
        hits[row] = np.isin(ranked[row], truth[starts[row] : starts[row + 1]])
    discount = 1.0 / np.log2(np.arange(TOP) + 2)
    ideal = np.cumsum(discount)
    found = {}
    for k in (10, 20):
        found[f"ndcg@{k}"] = hits[:, :k] @ discount[:k] / ideal[np.minimum(sizes, k) - 1]
        found[f"recall@{k}"] = hits[:, :k].sum(axis=1) / sizes
    found["hr@20"] = hits.any(axis=1).astype(float)
    first = hits.argmax(axis=1)
    found["mrr@20"] = np.where(hits.any(axis=1), 1.0 / (first + 1), 0.0)
    return {name: found[name] for name in NAMES}


def summary(
    values: Mapping[str, Array], ranked: Ints, items: int, *, seed: int
) -> dict[str, dict[str, float]]:
    """Mean and standard error of each metric, and how much of the shelf was shown at all."""
    found = {name: mean(one) for name, one in values.items()}
    found["coverage@20"] = _coverage(ranked, items, np.random.default_rng(seed))
    return found


def mean(values: Array) -> dict[str, float]:
    """The mean over people and its standard error."""
    number = len(values)
    error = float(values.std(ddof=1) / np.sqrt(number)) if number > 1 else 0.0
    return {"mean": float(values.mean()) if number else 0.0, "se": error}


def _coverage(ranked: Ints, items: int, random: np.random.Generator) -> dict[str, float]:
    # Of a catalog that is larger than what is ranked, some have higher numbers than there are ranked ones.
    last = int(ranked.max(initial=-1))

    def shown(rows: Ints) -> float:
        seen = np.zeros(last + 2, np.bool_)
        seen[rows.ravel()] = True  # -1 is the one too many at the end
        return float(seen[:-1].sum() / max(1, items))

    drawn = [shown(ranked[random.integers(0, len(ranked), len(ranked))]) for _ in range(COVERAGE_DRAWS)]
    return {"mean": shown(ranked), "se": float(np.std(drawn))}


def lift(ours: Array, theirs: Array, *, seed: int, draws: int = DRAWS) -> dict[str, object]:
    """By how much the mean of ``ours`` is above the mean of ``theirs``, people drawn again and again in pairs.

    Returns:
        ``relative``: 0.25 for a quarter more; ``ci95``: between these it lies in 95 of 100 draws. ``None`` where theirs is zero.
    """
    return lifts(np.stack([ours, theirs]), [(0, 1)], seed=seed, draws=draws)[0]


def lifts(
    values: Array, pairs: Sequence[tuple[int, int]], *, seed: int, draws: int = DRAWS
) -> list[dict[str, object]]:
    """``lift`` of many pairs at once, all by the same draws of people: to draw is most of the time.

    Args:
        values: (measures, people).
        pairs: ours and theirs of each, as places in ``values``.
        seed: of the draws.
        draws: how many.
    """
    number = values.shape[1]
    means = values.mean(axis=1) if number else np.zeros(len(values))
    drawn = np.zeros((draws, len(values)))
    by_person = np.ascontiguousarray(values.T)
    random = np.random.default_rng(seed)
    for at in range(draws if number else 0):
        drawn[at] = np.bincount(random.integers(0, number, number), minlength=number) @ by_person
    return [_lift(means[ours], means[theirs], drawn[:, ours], drawn[:, theirs]) for ours, theirs in pairs]


def _lift(ours: float, theirs: float, above: Array, below: Array) -> dict[str, object]:
    if theirs <= 0:
        return {"relative": None, "ci95": None}
    found = above[below > 0] / below[below > 0] - 1
    low, high = np.quantile(found, [0.025, 0.975]) if len(found) else (np.nan, np.nan)
    return {"relative": float(ours / theirs - 1), "ci95": [float(low), float(high)]}
