"""Learning a model: read what people did, learn what goes with what, and how far to trust each channel."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from plait.catalog import Catalog
from plait.events import SOCIAL
from plait.models import HISTORY, Manifest, Model, prior
from plait.models.batch import topic_scores
from plait.models.fusion import ENOUGH, Fitted, fit_gates
from plait.models.gates import HELD_OUT_BY_TIME, Groups, Score, Split, groups, joined, ndcg, split, splits
from plait.models.lately import KEEP as KEEP_LATELY
from plait.models.lately import NAME as LATELY
from plait.models.lately import lately_rows, present, stretches
from plait.models.linear import Rows, cut
from plait.models.loudness import fit_loud
from plait.models.parts import Part, Shape, parts_of, popularity, scale
from plait.models.shape import tuned
from plait.models.table import TIES, Table, returns, table_of
from plait.models.unlearn import Learned, Ledger, VisitRows
from plait.models.visits import NAME as VISIT
from plait.models.visits import placed, questions, visits
from plait.profiles.profile import Entry
from plait.profiles.subjects import verb

KEEP = 400  # values of each row of B that are kept; at 200 NDCG falls by a hundredth
BUDGET = 60_000_000  # values of all rows together: half a gigabyte, mapped from disk


class Frozen(msgspec.Struct, frozen=True):
    """What a fit decided before it learned rows; a fit with it differs only by whom it learns from.

    Attributes:
        shape: the fields of ``Shape``.
        mix: (kind of source, signal, part) and its share.
        gates: of each channel by its names, of what it says lately (its kind of source after ``lately:``), and of ``topics``,
            ``popularity`` and ``visit``, by history.
        quality: what the manifest said of it.
    """

    shape: tuple[float, ...]
    mix: list[tuple[str, str, str, float]]
    gates: list[tuple[str, str, list[float]]]
    quality: dict[str, Any]


class Fit(NamedTuple):
    """A model, what was decided before it learned rows, and what it takes to forget; ``unlearned`` people were taken out of it."""

    model: Model
    decided: Frozen | None
    learned: Learned | None = None
    unlearned: int = 0


def fit(
    rows: Iterable[tuple[str, Sequence[Entry]]],
    catalog: Catalog,
    *,
    now: int,
    half_life: int,
    seed: int = 0,
) -> Model:
    """Learn a model.

    Args:
        rows: (id, entries) of people and shared devices, weights decayed to ``now``; read once.
        catalog: its items, posts and promotions apart, are what can be recommended.
        now: ms since the epoch.
        half_life: ms.
        seed: of the part that is held out.
    """
    table = table_of(rows, catalog, now=now, half_life=half_life)
    return fit_table(table, now=now, half_life=half_life, seed=seed)


def fit_table(table: Table, *, now: int, half_life: int, seed: int = 0) -> Model:
    """Learn a model from acts that are numbers already; the arguments are those of ``fit``."""
    return fit_lines(
        table, {"combined": np.ones(len(table.channels), np.bool_)}, now=now, half_life=half_life, seed=seed
    )["combined"]


def fit_lines(
    table: Table, lines: Mapping[str, NDArray[np.bool_]], *, now: int, half_life: int, seed: int = 0
) -> dict[str, Model]:
    """Learn models that differ only in which channels they hear: what combining is worth is their difference.

    Args:
        table: the acts.
        lines: of each model by its name, (channels,) the ones that it hears. All foretell the same.
        now: ms since the epoch.
        half_life: ms.
        seed: of the part that is held out.
    """
    return {
        name: fit_with(table, heard, now=now, half_life=half_life, seed=seed).model
        for name, heard in lines.items()
    }


def fit_with(
    table: Table,
    heard: NDArray[np.bool_],
    *,
    now: int,
    half_life: int,
    seed: int,
    frozen: Frozen | None = None,
) -> Fit:
    """Learn a model that hears some channels; with ``frozen`` by what an earlier fit decided, and without its tuning."""
    began = time.perf_counter()
    random = np.random.default_rng(seed)
    if not len(table.person) or not table.items:
        manifest = Manifest(id=id_of(now), fitted_at=now, half_life=half_life, people=table.people)
        return Fit(dataclasses.replace(prior(half_life), manifest=manifest), frozen)
    shape, fitted, quality = _learned(table, heard, random) if frozen is None else _thawed(frozen, table)
    tuned = time.perf_counter()
    place, b, ledger = _stacked(table, heard, shape, fitted)
    manifest = Manifest(
        id=id_of(now),
        fitted_at=now,
        half_life=half_life,
        items=table.items,
        people=table.people,
        acts=len(table.person),
        channels=table.channels,
        wanted=table.targets,
        quality=quality,
        gated_off=[
            "/".join(one)
            for one, hears, gate, lately in zip(
                table.channels, heard, fitted.gates, fitted.gates[len(heard) :], strict=False
            )
            if hears and not gate.any() and not lately.any()
        ],
        seconds=round(time.perf_counter() - tuned, 3),
        tuning_seconds=round(tuned - began, 3),
    )
    target = np.array(table.targets) & heard
    gates = np.vstack([*_with_other(fitted.gates[:-2], target), fitted.gates[-2:]])
    model = Model(
        manifest, table.entities, place, b.indptr.astype(np.int64), b.indices.astype(np.int32),
        b.data.astype(np.float32), popularity(table, shape.half_life).astype(np.float32), gates, fitted.visit, returns(table),
    )  # fmt: skip
    nobody = np.zeros(table.people, np.uint64)
    learned = Learned(nobody, table, shape.half_life, ledger.regressions, ledger.blocks, ledger.visits)
    kept = ledger.complete and learned.small
    return Fit(model, _decided(table, shape, fitted, quality), learned if kept else None)


def _with_other(gates: NDArray[np.float64], target: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """The gates of each channel, then those of any other: what all rows say, and what is said lately."""
    found = []
    for some in np.split(gates, 2):
        found += [
            some,
            some[target].mean(axis=0, keepdims=True) if target.any() else np.zeros((1, len(HISTORY))),
        ]
    return found


def _speaking(table: Table) -> list[tuple[str, str]]:
    """Who has gates, in their order: each channel, each channel lately, topics and popularity."""
    lately = [(f"{LATELY}:{kind}", signal) for kind, signal in table.channels]
    return [*table.channels, *lately, ("", "topics"), ("", "popularity"), ("", VISIT)]


def _decided(table: Table, shape: Shape, fitted: Fitted, quality: dict[str, Any]) -> Frozen:
    rows = _speaking(table)
    return Frozen(
        tuple(shape),
        [
            (*rows[channel], name, float(share))
            for (channel, name), share in zip(fitted.names, fitted.mix, strict=True)
        ],
        [
            (*row, gate)
            for row, gate in zip(rows, [*fitted.gates.tolist(), fitted.visit.tolist()], strict=True)
        ],
        quality,
    )


def _thawed(frozen: Frozen, table: Table) -> tuple[Shape, Fitted, dict[str, Any]]:
    """The decisions for a table whose channels may stand in another order; one that is new waits for the next fit."""
    rows = _speaking(table)
    number = {tuple(one): place for place, one in enumerate(rows)}
    known = [one for one in frozen.mix if one[:2] in number]
    gates = {(kind, signal): gate for kind, signal, gate in frozen.gates}
    silent = [0.0] * len(HISTORY)
    *told, visit = [gates.get((row[0], row[1]), silent) for row in rows]
    fitted = Fitted(
        [(number[kind, signal], name) for kind, signal, name, _ in known],
        np.array([share for *_, share in known]),
        np.array(told),
        {},
        {},
        np.array(visit),
    )
    return Shape(*frozen.shape), fitted, frozen.quality


def id_of(now: int) -> str:
    """A fresh name for a model; those of later times sort later."""
    return f"{now:015d}-{os.urandom(3).hex()}"


def _stacked(
    table: Table, heard: NDArray[np.bool_], shape: Shape, fitted: Fitted
) -> tuple[NDArray[np.int32], sp.csr_matrix, Ledger]:
    """All rows that hold something under one another, where each entity's stands (see ``Model.place``), and whence they come."""
    channels = len(table.channels)
    used, says_lately = np.split(np.asarray(fitted.gates[:-2].any(axis=1)), 2)
    weight = {
        name: share
        for name, share in zip(fitted.names, fitted.mix, strict=True)
        if share > 0 and name[0] < channels and used[name[0]]
    }
    parts, pool = parts_of(table, heard, shape, weight)
    by = np.maximum(scale(table, shape), 1e-9)
    blocks = channels + 3
    keep = max(10, min(KEEP, BUDGET // max(1, len(table.entities) * (channels + 1))))
    place = np.full((blocks, len(table.entities)), -1, np.int32)
    stacked: list[sp.csr_matrix] = []
    height = 0
    ledger = Ledger(by)

    def put(numbers: list[int], mine: list[tuple[float, str, Rows]], most: int = keep) -> None:
        nonlocal height
        held, rows = cut(
            [(share, _served(one, place[channels], stacked, by)) for share, _, one in mine], by, most
        )
        for number in numbers:
            place[number, held] = height + np.arange(len(held))
        ledger.put(height, height + len(held), mine)
        height += len(held)
        stacked.append(rows)

    alone = [one for one in range(channels) if [name for at, name in weight if at == one] == ["pool"]]
    if pool is not None:
        put([channels, *alone], [(1.0, "pool", pool)])
    for channel in np.flatnonzero(used).tolist():
        mine = [(weight[channel, one.name], one.name, one.rows) for one in parts if one.channel == channel]
        if mine and channel not in alone:
            # What friends touched goes through the pool's rows as they are served: as good, and a hundredth of the work.
            put([channel], mine)
    for number in range(channels):
        # What a channel never saw, the pool may know.
        place[number] = np.where(place[number] < 0, place[channels], place[number])
    lately = lately_rows(table, heard, shape) if says_lately.any() else None
    if lately is not None:
        put([channels + 1], [(1.0, LATELY, lately)], min(keep, KEEP_LATELY))
    beside = visits(table.hearing(heard)) if fitted.visit.any() else None
    if beside is not None:
        place[channels + 2, beside.held] = height + np.arange(len(beside.held))
        ledger.visits = VisitRows(height, height + len(beside.held), beside.since, beside.often)
        stacked.append(beside.rows)
    found = sp.vstack(stacked).tocsr() if stacked else sp.csr_matrix((0, table.items), dtype=np.float32)
    return place, found, ledger


def _served(
    rows: Rows, place: NDArray[np.int32], stacked: list[sp.csr_matrix], by: NDArray[np.float64]
) -> Rows:
    """Rows that stand for what others touched, by the pool's rows as they are served, which are the first that are stacked."""
    if rows.via is None:
        return rows
    pool, via = stacked[0], rows.via.tocsc()
    via = via[:, np.flatnonzero(place >= 0)].tocsr()
    plain = (pool.data / by[pool.indices]).astype(np.float32)
    return Rows(via, sp.csr_matrix((plain, pool.indices, pool.indptr), shape=pool.shape))


def _learned(
    table: Table, heard: NDArray[np.bool_], random: np.random.Generator
) -> tuple[Shape, Fitted, dict[str, Any]]:
    past = list(stretches(table, HELD_OUT_BY_TIME))
    draws = [split(seen, random) for seen in past] if len(past) > 1 else splits(table, random)
    shape = tuned(draws[0] if len(past) > 1 else draws[-1], heard, random)
    channels = len(table.channels)
    told: list[tuple[list[tuple[int, str]], Groups]] = []
    learned: list[tuple[Table, Table, list[Part]]] = []
    for one, whole in zip(draws, [*past, table], strict=False):
        parts, _ = parts_of(one.rest, heard, shape)
        parts += _lately_parts(one.rest, heard, shape)
        mine = [(part.channel, part.name) for part in parts]
        if len(past) > 1 and told and mine != told[0][0]:
            break  # a channel that is new had no rows yet, and what it is worth cannot be told
        told.append((mine, _asked(one, heard, shape, parts, random)))
        learned.append((whole, one.rest, parts))
    names = list(dict.fromkeys(name for mine, _ in told for name in mine))
    every = joined([_aligned(mine, one, names) for mine, one in told])
    social = np.array([kind == TIES or verb(signal) in SOCIAL for kind, signal in table.channels])
    timed = len(every.bucket) >= ENOUGH and any(name == LATELY for _, name in names)
    fitted, by_channel = (fit_loud if timed else fit_gates)(
        every, names, 2 * channels, {"activity": np.tile(~social, 2), "social": np.tile(social, 2)}
    )
    quality = _quality(by_channel, fitted) if len(every.bucket) else {}
    visited = [_visited(*one, heard, shape, fitted, random) for one in learned if len(every.bucket)]
    spoken = [one for one in visited if one is not None]
    if spoken:
        visit, worth = placed(joined(spoken))
        fitted = fitted._replace(visit=visit)
        quality |= {VISIT: worth} if worth else {}
    return shape, fitted, quality


def _lately_parts(table: Table, heard: NDArray[np.bool_], shape: Shape) -> list[Part]:
    """What is said lately, once for each channel: the rows are the same, how far each is trusted is not."""
    rows = lately_rows(table, heard, shape)
    channels = len(table.channels)
    items = np.flatnonzero(heard & ~table.tied[:-1]).tolist()
    return [] if rows is None else [Part(channels + one, LATELY, rows) for one in items]


def _asked(
    cut_: Split, heard: NDArray[np.bool_], shape: Shape, parts: Sequence[Part], random: np.random.Generator
) -> Groups:
    """What was held out, as questions that each part answers for itself."""
    return groups(cut_, _scored(cut_.rest, heard, shape, parts), random)


def _scored(rest: Table, heard: NDArray[np.bool_], shape: Shape, parts: Sequence[Part]) -> Score:
    """What each part says of every item to some people, then topics and popularity; learned from ``rest``."""
    by = scale(rest, shape).astype(np.float32)
    known = popularity(rest, shape.half_life)
    channels = len(rest.channels)

    def score(seen: Table, people: NDArray[np.int64]) -> list[NDArray[np.float64]]:
        seen = seen.hearing(heard)
        x = {part.channel: seen.matrix(part.channel % channels)[people] for part in parts}
        for one in x:
            x[one] = present(x[one]) if one >= channels else x[one]
        found: list[Any] = [part.rows.scores(x[part.channel]) * by for part in parts]
        found.append(topic_scores(seen, people))
        found.append(np.tile(known, (len(people), 1)))
        return found

    return score


def _visited(
    table: Table,
    rest: Table,
    parts: Sequence[Part],
    heard: NDArray[np.bool_],
    shape: Shape,
    fitted: Fitted,
    random: np.random.Generator,
) -> Groups | None:
    """What people went on to want in a visit: of two features, the rest of a score by the gates that were found, and what the visit says.

    Args:
        table: all there is, or was at a time.
        rest: the older part of it.
        parts: learned from that.
        heard: (channels,).
        shape: of the fit.
        fitted: the gates.
        random: draws whom to ask about what.
    """
    beside = visits(rest.hearing(heard))
    if beside is None:
        return None
    asked, so_far = questions(table.hearing(heard), random)
    score = _scored(rest, heard, shape, parts)
    found = groups(asked, lambda seen, people: [*score(seen, people), beside.said(so_far[people])], random)
    share = dict(zip(fitted.names, fitted.mix, strict=True))
    each = [(share.get((part.channel, part.name), 0.0), part.channel) for part in parts]
    gates = np.vstack([*(by * fitted.gates[channel] for by, channel in each), fitted.gates[-2:]])
    spoken = gates[:, found.bucket].T[found.group]
    rest_of_it = np.einsum("ij,ij->i", found.features[:, :-1], spoken)
    return found._replace(features=np.column_stack([rest_of_it, found.features[:, -1]]))


def _aligned(mine: list[tuple[int, str]], asked: Groups, names: list[tuple[int, str]]) -> Groups:
    """The questions with a feature for each of ``names``: what one draw had too few people for says nothing there."""
    if mine == names:
        return asked
    features = np.zeros((len(asked.features), len(names) + 2))
    features[:, [*map(names.index, mine), -2, -1]] = asked.features
    return asked._replace(features=features)


def _quality(asked: Groups, fitted: Fitted) -> dict[str, Any]:
    lines = {"model": fitted.gates, **fitted.alone}
    only = np.zeros_like(fitted.gates)
    only[-1] = 1.0
    lines["popularity"] = only
    each = {name: np.zeros(len(asked.bucket)) for name in lines}
    by_history = {}
    for bucket, least in enumerate(HISTORY):
        here = asked.bucket == bucket
        if not here.any():
            continue
        for name, gates in lines.items():
            each[name][here] = ndcg(asked.of(here), gates[:, bucket])
        by_history[str(least)] = {
            "people": int(here.sum()),
            **{name: round(float(values[here].mean()), 4) for name, values in each.items()},
        }
        if bucket in fitted.guarded:
            by_history[str(least)]["held_back_to"] = fitted.guarded[bucket]
    return {
        **{name: round(float(values.mean()), 4) for name, values in each.items()},
        "by_history": by_history,
    }
