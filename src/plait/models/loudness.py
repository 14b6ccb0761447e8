"""Gates where it is known when things happened: found by what comes out on top, not by likelihood.

What is of the moment is a handful of items among thousands. Likelihood looks at all of them and keeps what is personal so quiet beside
popularity that it hardly orders the top. So how loud each block of rows speaks (of activity or social, in all or lately) is
tried out on a ladder by NDCG itself, for everybody and then for each bucket of history near that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from plait.models import HISTORY
from plait.models.fusion import FLOOR, Fitted, believed, guard, likely
from plait.models.gates import Groups, ndcg

Array = NDArray[np.float64]

LADDER = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)  # of popularity, in standard deviations
ROUNDS = 2
CLEARLY = 0.5  # standard errors that a move must gain
ENOUGH = 600  # questions that tell whether combining is held back: what is of the moment is known of a few
# Questions; few tell badly which single source is best for who has done next to nothing, and to fall back on it throws the
# other away whole. So what combining is worth to everybody counts beside.
EVERYBODY = 300.0
PULL = 60.0  # questions; a bucket with as many weighs its own evidence and everybody's alike


def fit_loud(
    asked: Groups, names: Sequence[tuple[int, str]], channels: int, sources: Mapping[str, NDArray[np.bool_]]
) -> tuple[Fitted, Groups]:
    """As ``fusion.fit_gates``, whose arguments and result it has; the second half of the channels says what is wanted lately."""
    mix = _mixed(asked, names, channels)
    fold = np.zeros((len(names) + 2, channels + 2))
    for place, (channel, _) in enumerate(names):
        fold[place, channel] = mix[place]
    fold[-2, -2] = fold[-1, -1] = 1.0
    asked = asked._replace(features=asked.features @ fold)
    every = np.ones(channels, np.bool_)
    gates = _loud(asked, every, sources)
    heard = np.flatnonzero(gates[:-2].any(axis=1))
    alone = {
        name: _loud(asked, mask, sources)
        for name, mask in sources.items()
        if mask[heard].any() and not mask[heard].all()
    }
    held: dict[int, float] = {}
    if alone:
        gates, held = guard(asked, gates, alone, ENOUGH, EVERYBODY)
    return Fitted(list(names), mix, gates, alone, held), asked


def _mixed(asked: Groups, names: Sequence[tuple[int, str]], channels: int) -> Array:
    """How much of each part is in its channel: the pool where there is one, else what likelihood makes of them."""
    mix = np.zeros(len(names))
    start = believed([channel for channel, _ in names], len(asked.bucket))
    spread = np.maximum(asked.features.std(axis=0), 1e-9)
    scaled = asked._replace(features=asked.features / spread)
    found = likely(scaled, start * spread)[:-2] / spread[:-2]
    for channel in range(channels):
        here = [place for place, one in enumerate(names) if one[0] == channel]
        pool = [place for place in here if names[place][1] == "pool"]
        share = np.isin(np.arange(len(names)), pool or here) * (1.0 if pool else found)
        if share.sum() > 0:
            mix += share / share.sum()
    return mix


def _loud(asked: Groups, mask: NDArray[np.bool_], sources: Mapping[str, NDArray[np.bool_]]) -> Array:
    """(channels + 2, buckets): the gates of those channels that ``mask`` lets speak."""
    blocks, moves, widths = _blocks(asked, mask, sources)
    folded = asked._replace(features=asked.features @ blocks / widths)
    # With little evidence all that may speak does, topics above all: what is new has nothing else.
    everybody = _climbed(folded, np.ones(len(widths)), moves, shy=True)
    found = np.zeros((len(blocks), len(HISTORY)))
    for bucket in range(len(HISTORY)):
        here = folded.bucket == bucket
        mine = _climbed(folded.of(here), everybody, moves, folded) if here.any() else everybody
        found[:, bucket] = blocks @ (mine / widths)
    found[-1] = np.maximum(found[-1], FLOOR)
    return found


def _blocks(
    asked: Groups, mask: NDArray[np.bool_], sources: Mapping[str, NDArray[np.bool_]]
) -> tuple[Array, list[list[int]], Array]:
    """Which features speak together: (features, blocks), popularity last.

    Returns:
        the blocks; those that are moved as one, then each by itself; and how wide each is. The blocks of all sources have one
        width, so that they are as loud where nothing tells them apart.
    """
    speaks = mask & asked.features[:, :-2].any(axis=0)
    late = np.arange(len(mask)) >= len(mask) // 2
    columns: list[NDArray[np.bool_]] = []
    moves: list[list[int]] = []
    widths: list[float] = []

    def put(some: Sequence[NDArray[np.bool_]]) -> None:
        some = [one for one in some if one.any()]
        if some:
            width = float((asked.features @ np.logical_or.reduce(some)).std())
            moves.append(list(range(len(columns), len(columns) + len(some))))
            columns.extend(some)
            widths.extend([max(width, 1e-9)] * len(some))

    for half in (late, ~late):
        put([np.append(one & speaks & half, [False, False]) for one in sources.values()])
    for place in (-2, -1):
        one = np.zeros(len(mask) + 2, np.bool_)
        one[place] = place == -1 or bool(asked.features[:, place].any())
        put([one])
    moves = moves[:-1]  # all is told beside popularity
    moves += [[one] for several in moves if len(several) > 1 for one in several]
    return np.stack(columns, axis=1).astype(float), moves, np.array(widths)


def _climbed(
    asked: Groups,
    start: Array,
    moves: Sequence[Sequence[int]],
    everybody: Groups | None = None,
    *,
    shy: bool = False,
) -> Array:
    """Loudness moved, block by block, to the rung where most of what was wanted comes out on top.

    Args:
        asked: features are blocks, popularity last.
        start: to begin with.
        moves: the blocks that are moved as one.
        everybody: whose NDCG counts beside, as much as that of ``PULL`` questions.
        shy: whether a source of several falls silent where it does not clearly help.
    """
    apart = {one for several in moves if len(several) > 1 for one in several[1:]}

    def told(gates: Array) -> Array:
        mine = ndcg(asked, gates)
        return mine if everybody is None else np.append(mine, ndcg(everybody, gates))

    weight = np.ones(len(asked.bucket))
    if everybody is not None:
        weight = np.append(weight, np.full(len(everybody.bucket), PULL / len(everybody.bucket)))
    best, held = start, told(start)
    for _ in range(ROUNDS):
        before = best
        for several in moves:
            for rung in LADDER:
                moved = best.copy()
                moved[several] = rung
                if np.array_equal(moved, best):
                    continue
                values = told(moved)
                gain = weight * (values - held)
                least = CLEARLY * float(np.sqrt((gain**2).sum()))
                if shy and rung == 0 and len(several) == 1 and several[0] in apart:
                    least = -least
                if gain.sum() > least:
                    best, held = moved, values
        if np.array_equal(best, before):
            break
    return best
