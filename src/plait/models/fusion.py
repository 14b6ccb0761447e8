"""How loud each channel is, by history: gates under which what was held out comes out on top.

They begin where what was wanted is likely (a softmax over candidates), since that has one answer and a slope, and climb from
there by NDCG itself, since that is what counts: likelihood would give popularity three times what it is worth. What is of no
use, or worse than one source alone, is told by questions that placed no gate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from plait.models import HISTORY, loops
from plait.models.gates import TOP, Array, Groups, ndcg

PULL = 20.0  # questions; what we believe beforehand weighs as many
ENOUGH = 100  # questions from which on we dare to gate a channel off
PLENTY = 150  # questions from which on a bucket's gates climb by themselves
BAGS = 4  # in turn without each of so many parts of a bucket's questions
MANY = 600  # questions from which on one climb tells enough
QUIET = 0.1  # standard deviations; what likelihood begins with for what serves everybody by silence
# A move must gain this many of its standard errors, so that few questions move nothing.
NEEDED = 0.5
NEEDED_BUCKET = 1.0  # for one climb of one bucket
# What may leave costs less than so many standard errors on questions that placed no gate.
SURE = 0.5
ROUNDS = 4
MOVES = (0.0, 0.5, 2.0, 0.7, 1.4, 0.25, 4.0)  # factors that gates are moved by
AWAKE = (0.05, 0.2)  # of the loudest, tried for what is silent
COSTS = 0.003  # of NDCG, that combining may cost against the best single source
CONFIDENCE = 1.64  # standard errors; one-sided 95 %
STEPS = (0.25, 0.5, 0.75, 1.0)
SHORT = 2  # items of a history; to hold combining back below is to hear one act, or not even that
FLOOR = 1e-3  # of popularity: it orders what nothing else tells apart
# Gates to believe before anything was seen: a channel's rows foretell chances, which are small numbers.
TRUST = {"channel": 10.0, "topics": 2.0, "popularity": 1.0}


class Fitted(NamedTuple):
    """What a fit of gates found.

    Attributes:
        names: (channel, name) of each part.
        mix: (parts,) how much of each part is in its channel's rows.
        gates: (channels + 2, buckets) >= 0, topics and popularity last.
        alone: by the name of a single source, its own gates, shaped alike: what combining has to beat.
        guarded: buckets in which combining was held back, and how far: 0 is the single source alone.
        visit: (buckets,) the gate of what goes with what in one visit, see ``visits``.
    """

    names: list[tuple[int, str]]
    mix: Array
    gates: Array
    alone: dict[str, Array]
    guarded: dict[int, float]
    visit: Array = np.zeros(len(HISTORY))


class _Placed(NamedTuple):
    """Gates before anybody judged them; ``fold`` (parts + 2, channels + 2) makes channels of parts."""

    mix: Array
    fold: Array
    gates: Array
    alone: dict[str, Array]


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
    parts = np.array([channel for channel, _ in names], np.int64)
    number = len(asked.bucket)
    start = believed(parts, number)
    halves: list[tuple[Groups, Groups]] = []
    if number >= ENOUGH:
        odd = np.arange(number) % 2 == 1
        halves = [(asked.of(odd), asked.of(~odd)), (asked.of(~odd), asked.of(odd))]
        start = _without_useless(halves, start, parts, sources)
    placed = _placed(asked, start, parts, channels, sources)
    gates = placed.gates
    guarded: dict[int, float] = {}
    if placed.alone:
        judged = [(_placed(one, start, parts, channels, sources), other) for one, other in halves]
        gates, guarded = _guarded(placed, judged or [(placed, asked)])
    channelled = asked._replace(features=asked.features @ placed.fold)
    return Fitted(list(names), placed.mix, gates, placed.alone, guarded), channelled


def believed(channels: Sequence[int] | NDArray[np.int64], questions: int) -> Array:
    """The gates to begin with, of parts by their channel: (parts + 2,), topics and popularity last.

    Where a handful of people were seen, what two items have in common is one of them, which says less than what the items
    are about: rows are trusted in full once there are ``ENOUGH`` questions.
    """
    each = np.bincount(np.array(channels, np.int64)) if len(channels) else np.zeros(0)
    trust = TRUST["channel"] * min(1.0, max(0.1, questions / ENOUGH))
    return np.array([trust / each[one] for one in channels] + [TRUST["topics"], TRUST["popularity"]])


def _placed(
    asked: Groups,
    start: Array,
    parts: NDArray[np.int64],
    channels: int,
    sources: Mapping[str, NDArray[np.bool_]],
) -> _Placed:
    """Gates by these questions alone, of features that ``start`` has above zero."""
    weights = _everybody(asked, start, parts, sources)
    # A channel's rows are its parts in the proportion that serves everybody; how loud it is depends on the history.
    mix = np.zeros(len(parts))
    fold = np.zeros((len(start), channels + 2))
    level = np.zeros(channels + 2)
    for channel in range(channels):
        here = np.flatnonzero(parts == channel)
        level[channel] = weights[here].sum()
        if level[channel] > 0:
            mix[here] = weights[here] / level[channel]
            fold[here, channel] = mix[here]
    fold[-2, -2] = fold[-1, -1] = 1.0
    level[-2:] = weights[-2:]
    channelled = asked._replace(features=asked.features @ fold)
    gates = _by_bucket(channelled, level)
    alone: dict[str, Array] = {}
    heard = np.flatnonzero(level[:-2] > 0)
    for name, mask in sources.items():
        if mask[heard].any() and not mask[heard].all():
            theirs = np.append(mask, [True, True])
            mine = channelled._replace(features=channelled.features * theirs)
            alone[name] = _by_bucket(mine, _climbed(mine, np.where(theirs, level, 0.0), NEEDED))
    return _Placed(mix, fold, gates, alone)


def _everybody(
    asked: Groups, start: Array, parts: NDArray[np.int64], sources: Mapping[str, NDArray[np.bool_]]
) -> Array:
    """The gates that serve everybody best."""
    if not len(asked.bucket):
        return start
    spread = np.maximum(asked.features.std(axis=0), 1e-9)
    scaled = asked._replace(features=asked.features / spread)
    weights = likely(scaled, start * spread)
    # What one's own acts are worth is found without the others: beside parts that tell much the same a good one may
    # go first, and nothing would be left that combining is held to.
    own = _of_source(sources, "activity", parts)
    if len(asked.bucket) >= ENOUGH:
        if own[:-2].any() and not own[:-2].all():
            first = likely(scaled, np.where(own, start * spread, 0.0))
            weights = np.where(own, _climbed(scaled, first, NEEDED, open_=own), weights)
        weights = _climbed(scaled, weights, NEEDED, open_=start > 0)
    found: Array = weights / spread
    return found


def _of_source(
    sources: Mapping[str, NDArray[np.bool_]], name: str, parts: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """(parts + 2,) what one source has alone: its parts, topics and popularity."""
    mask = sources.get(name)
    mine = mask[parts] if mask is not None and len(parts) else np.zeros(len(parts), np.bool_)
    return np.append(mine, [True, True])


def _by_bucket(asked: Groups, level: Array) -> Array:
    """Gates of each bucket, from those that serve everybody, ``level``, as far as its own questions move them."""
    gates = np.repeat(level[:, None], len(HISTORY), axis=1)
    if len(asked.bucket):
        spread = np.maximum(asked.features.std(axis=0), 1e-9)
        scaled = asked._replace(features=asked.features / spread)
        # What serves everybody may have silenced topics or popularity, which are most of what there is for who is new.
        always = np.arange(len(level)) >= len(level) - 2
        open_ = asked.features.any(axis=0) & ((level > 0) | always)
        towards = likely(scaled, np.where(open_, np.maximum(level * spread, QUIET), 0.0))
        placed: dict[bytes, Array] = {}
        for bucket in range(len(HISTORY)):
            # A bucket of few questions hears its neighbours, too.
            for reach in range(len(HISTORY)):
                here = np.abs(asked.bucket - bucket) <= reach
                if here.sum() >= PLENTY:
                    key = here.tobytes()
                    if key not in placed:
                        placed[key] = _bagged(scaled.of(here), level * spread, towards, open_)
                    gates[:, bucket] = placed[key] / spread
                    break
    gates[-1] = np.maximum(gates[-1], FLOOR)
    return gates


def _bagged(asked: Groups, level: Array, towards: Array, open_: NDArray[np.bool_]) -> Array:
    """Gates of one bucket; where its questions are few the mean of climbs from two places, each on several bags of them.

    One climb takes or leaves a move by a hair's breadth, and the next move rests on it; so few questions, asked once, may
    end anywhere. The mean of several moves as far as one of them did, divided by their number. It is as loud in all as ``level``.

    Args:
        asked: features are of like size.
        level: gates that serve everybody, where the first climb begins.
        towards: where likelihood ends for everybody; the second begins where it ends for the bag, near that.
        open_: which silent features may be tried.
    """
    number = len(asked.bucket)
    if number >= MANY:
        return _climbed(asked, level, NEEDED_BUCKET, open_=open_)
    found = np.zeros(len(level))
    for bag in range(BAGS):
        some = asked.of(np.arange(number) % BAGS != bag)
        for start in (level, likely(some, towards)):
            climbed = _climbed(some, start, NEEDED, open_=open_)
            found += climbed / max(float(climbed.sum()), 1e-12)
    mean: Array = found * level.sum() / (2 * BAGS)
    return mean


def guard(
    asked: Groups, gates: Array, alone: Mapping[str, Array], enough: int, pull: float = 0.0
) -> tuple[Array, dict[int, float]]:
    """``_guarded`` for gates that the questions themselves placed, block by block.

    Args:
        asked: features are channels.
        gates: as ``Fitted`` has them,
        alone: and those of each source.
        enough: questions that a bucket has to hear.
        pull: questions; what combining gains everybody weighs as many where histories are shorter than ``SHORT``.
    """
    placed = _Placed(np.zeros(0), np.eye(len(gates)), gates, dict(alone))
    return _guarded(placed, [(placed, asked)], enough, pull)


def _guarded(
    placed: _Placed, judged: Sequence[tuple[_Placed, Groups]], enough: int = ENOUGH, pull: float = 0.0
) -> tuple[Array, dict[int, float]]:
    """Never worse than the best single source: where combining may cost more than ``COSTS``, take less of it.

    In each bucket we go from the best single source's gates towards the combined ones, as far as the steps gain something
    and their lower confidence bound against that source is above -``COSTS``.

    Args:
        placed: by all questions: what is held back.
        judged: gates, and questions that had no part in placing them.
        enough: questions that a bucket has to hear.
        pull: questions that everybody's gain, by the gates of their own bucket, weighs beside where histories are shorter than ``SHORT``.
    """
    gates = placed.gates.copy()
    guarded: dict[int, float] = {}
    bucket_of = np.concatenate([asked.bucket for _, asked in judged])
    if not len(bucket_of):
        return gates, guarded

    def told(bucket: int, some: NDArray[np.bool_], name: str, step: float) -> Array:
        found, begin = [], 0
        for one, asked in judged:
            here = some[begin : begin + len(asked.bucket)]
            begin += len(asked.bucket)
            single = one.alone[name][:, bucket] if name in one.alone else one.gates[:, bucket]
            mixed = (1 - step) * single + step * one.gates[:, bucket]
            found.append(ndcg(asked.of(here), one.fold @ mixed))
        return np.concatenate(found)

    def everybody(name: str, step: float) -> Array:
        found = np.zeros(len(bucket_of))
        for bucket in set(bucket_of.tolist()):
            found[bucket_of == bucket] = told(bucket, bucket_of == bucket, name, step)
        return found

    steps = (0.0, *STEPS) if pull else (0.0,)
    own = {(name, step): everybody(name, step) for name in placed.alone for step in steps}

    def heard(bucket: int, here: NDArray[np.bool_], name: str, step: float) -> Array:
        if pull and HISTORY[bucket] < SHORT:
            return own[name, step]  # neighbours, too, are asked about the gates that they will have
        found = np.zeros(len(bucket_of))
        found[here] = told(bucket, here, name, step)
        return found

    overall = {
        name: np.mean([own[name, 0.0][bucket_of == bucket].mean() for bucket in set(bucket_of)])
        for name in placed.alone
    }
    for bucket in range(len(HISTORY)):
        # A bucket of few questions hears its neighbours, too: chance would hold combining back, or let it through.
        for reach in range(len(HISTORY)):
            here = np.abs(bucket_of - bucket) <= reach
            if here.sum() >= enough:
                break
        if not here.any():
            continue
        weight = here + (pull if HISTORY[bucket] < SHORT else 0.0) / len(here)
        number = float(weight.sum())
        values = {name: heard(bucket, here, name, 0.0) for name in placed.alone}
        # With few questions chance would pick the source: what everybody's say weighs as much as ENOUGH of its own.
        name = max(values, key=lambda one: weight @ values[one] + ENOUGH * overall[one])
        base, single, reached = values[name], placed.alone[name][:, bucket], 0.0
        for step in STEPS:
            gain = heard(bucket, here, name, step) - base
            mean = float(weight @ gain) / number
            error = float(np.sqrt(weight**2 @ (gain - mean) ** 2)) / number
            if mean >= 0 and mean - CONFIDENCE * error >= -COSTS * float(weight @ base) / number:
                reached = step
        if reached < 1:
            guarded[bucket] = reached
        gates[:, bucket] = (1 - reached) * single + reached * placed.gates[:, bucket]
    return gates, guarded


def likely(asked: Groups, towards: Array) -> Array:
    """Gates under which what was wanted is likely to be picked, each question weighing the same."""
    starts = np.flatnonzero(np.diff(asked.group, prepend=-1))
    wants = np.add.reduceat(asked.truth, starts)
    target = asked.truth / wants[asked.group]
    number = len(starts)
    pull = PULL / number

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

    bounds = [(0.0, None) if one else (0.0, 0.0) for one in towards > 0]
    found = minimize(loss, towards, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 100})
    result: Array = np.maximum(found.x, 0.0)
    return result


def _climbed(asked: Groups, gates: Array, needed: float, *, open_: NDArray[np.bool_] | None = None) -> Array:
    """Gates moved, one at a time, as far as more of what was wanted comes out on top.

    Args:
        asked: features are of like size.
        gates: to begin with.
        needed: standard errors that a move must gain.
        open_: which silent features may be tried; none by default.
    """
    gates, bounds = gates.copy(), _bounds(asked)
    features = np.asfortranarray(asked.features)  # one at a time is read below
    score = features @ gates
    held = _ndcg_of(asked, score, bounds)
    if not len(held):  # nobody was asked, so nothing can gain
        return gates
    for _ in range(ROUNDS):
        moved = False
        for feature in np.argsort(-gates, kind="stable"):
            for value in _tried(gates, feature, open_):
                trial = score + (value - gates[feature]) * features[:, feature]
                values = _ndcg_of(asked, trial, bounds)
                gain = values - held
                if gain.mean() > needed * gain.std() / np.sqrt(len(gain)):
                    score, held, moved = trial, values, True
                    gates[feature] = value
                    if value == 0.0:
                        break
        if not moved:
            break
    return gates


def _tried(gates: Array, feature: np.intp, open_: NDArray[np.bool_] | None) -> Iterator[float]:
    if gates[feature] <= 0:
        if open_ is not None and open_[feature]:
            yield from (part * gates.max() for part in AWAKE)
        return
    only = gates[feature] >= gates.sum()
    for factor in MOVES:
        if not (only and factor == 0.0):  # something must be told
            yield float(gates[feature] * factor)


def _without_useless(
    halves: Sequence[tuple[Groups, Groups]],
    start: Array,
    parts: NDArray[np.int64],
    sources: Mapping[str, NDArray[np.bool_]],
) -> Array:
    """``start``, with zero for features that do not help: whose leaving costs less than ``SURE`` standard errors.

    The cost is told by questions that placed no gate, half by half: a feature of noise helps those that placed it.
    """
    placed = [(_everybody(one, start, parts, sources), other, _bounds(other)) for one, other in halves]

    def told(gone: NDArray[np.bool_]) -> Array:
        return np.concatenate([
            _ndcg_of(other, other.features @ np.where(gone, 0.0, found), bounds) for found, other, bounds in placed
        ])  # fmt: skip

    gone = np.zeros(len(start), np.bool_)
    loud = sum(found * other.features.std(axis=0) for found, other, _ in placed)
    held = told(gone)
    # Popularity stays: it is what there is for people we know nothing of.
    for feature in np.argsort(loud[:-1], kind="stable"):
        gone[feature] = True
        values = told(gone)
        cost = held - values
        gone[feature] = bool(cost.mean() <= SURE * cost.std() / np.sqrt(len(cost)))
        if gone[feature]:
            held = values
    return np.where(gone, 0.0, start)


def _bounds(asked: Groups) -> NDArray[np.int64]:
    starts = np.flatnonzero(np.diff(asked.group, prepend=-1))
    return np.append(starts, len(asked.group))


def _ndcg_of(asked: Groups, score: Array, bounds: NDArray[np.int64]) -> Array:
    found: Array = loops.gains(score, asked.truth, bounds, TOP) / asked.ideal
    return found
