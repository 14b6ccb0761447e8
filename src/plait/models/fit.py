"""Learning a model: read what people did, learn what goes with what, and how far to trust each channel."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from plait.catalog import Catalog
from plait.models import HISTORY, Manifest, Model, drop_old, prior
from plait.models.batch import topic_scores
from plait.models.gates import Groups, fit_gates, groups, ndcg, split
from plait.models.linear import item_item
from plait.models.table import Table, table_of
from plait.people import training_rows
from plait.profile import Entry, half_life_ms
from plait.settings import Settings
from plait.store import open_store

KEEP = 200  # values of each row of B that are kept
BUDGET = 60_000_000  # values of all rows together: half a gigabyte, mapped from disk
FEW = 20  # people; a channel of fewer has no rows of its own


def fit_installation(settings: Settings, *, now: int | None = None) -> dict[str, Any]:
    """Fit a model on the state of an installation and save it; called in a process of its own.

    Args:
        settings: of the installation.
        now: ms since the epoch.

    Returns:
        The manifest, as plain values.

    Raises:
        Unavailable: the model cannot be saved.
    """
    now = time.time_ns() // 1_000_000 if now is None else now
    store = open_store(settings.url("store"))
    try:
        snapshot = store.snapshot()
        try:
            catalog = Catalog.load(snapshot)
            position = snapshot.position
            rows = training_rows(snapshot, settings, now=now)
            model = fit(rows, catalog, now=now, half_life=half_life_ms(settings.half_life_days))
        finally:
            snapshot.close()
    finally:
        store.close()
    model = dataclasses.replace(model, manifest=msgspec.structs.replace(model.manifest, position=position))
    folder = Path(settings.data) / "models"
    model.save(folder)
    drop_old(folder)
    told: dict[str, Any] = msgspec.to_builtins(model.manifest)
    return told


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
        name: _fit(table, heard, now=now, half_life=half_life, seed=seed) for name, heard in lines.items()
    }


def _fit(table: Table, heard: NDArray[np.bool_], *, now: int, half_life: int, seed: int) -> Model:
    began = time.perf_counter()
    random = np.random.default_rng(seed)
    if not len(table.person) or not table.items:
        manifest = Manifest(id=_id(now), fitted_at=now, half_life=half_life, people=table.people)
        return dataclasses.replace(prior(half_life), manifest=manifest)
    gates, quality = _learned_gates(table, heard, random)
    tuned = time.perf_counter()
    blocks = _blocks(table, heard)
    place, b = _stacked(blocks)
    manifest = Manifest(
        id=_id(now),
        fitted_at=now,
        half_life=half_life,
        items=table.items,
        people=table.people,
        acts=len(table.person),
        channels=table.channels,
        wanted=table.targets,
        quality=quality,
        gated_off=["/".join(one) for one, gate in zip(table.channels, gates, strict=False) if not gate.any()],
        seconds=round(time.perf_counter() - tuned, 3),
        tuning_seconds=round(tuned - began, 3),
    )
    return Model(
        manifest, table.entities, place, b.indptr.astype(np.int64), b.indices.astype(np.int32),
        b.data.astype(np.float32), popularity(table).astype(np.float32), gates, _returns(table),
    )  # fmt: skip


def _id(now: int) -> str:
    return f"{now:015d}-{os.urandom(3).hex()}"


def _blocks(table: Table, heard: NDArray[np.bool_]) -> list[sp.csr_matrix | None]:
    """B of each channel, ``None`` for those too small, and of all of them together."""
    wanted = table.target()
    target = table.targets
    keep = max(10, min(KEEP, BUDGET // max(1, len(table.entities) * (len(table.channels) + 1))))
    found: list[sp.csr_matrix | None] = []
    for channel in range(len(table.channels)):
        if not heard[channel]:
            found.append(None)
            continue
        x = table.matrix(channel)
        enough = np.count_nonzero(np.diff(x.indptr)) >= FEW
        found.append(item_item(x, wanted, own=target[channel], keep=keep) if enough else None)
    found.append(item_item(table.hearing(heard).matrix(), wanted, own=True, keep=keep))
    return found


def _stacked(blocks: list[sp.csr_matrix | None]) -> tuple[NDArray[np.int32], sp.csr_matrix]:
    """All blocks' rows that hold something under one another, and where each entity's stands."""
    pooled = blocks[-1]
    assert pooled is not None
    place = np.full((len(blocks), pooled.shape[0]), -1, np.int32)
    parts: list[sp.csr_matrix] = []
    height = 0
    for number, block in enumerate(blocks):
        if block is None:
            continue
        held = np.flatnonzero(np.diff(block.indptr))
        place[number, held] = height + np.arange(len(held))
        height += len(held)
        parts.append(block[held])
    for number in range(len(blocks) - 1):
        # What a channel never saw, the pool may know.
        place[number] = np.where(place[number] < 0, place[-1], place[number])
    stacked = sp.vstack(parts).tocsr()
    stacked.sort_indices()
    return place, stacked


def _channel_scores(table: Table, blocks: list[sp.csr_matrix | None], people: NDArray[np.int64]) -> list[Any]:
    found = []
    pooled = blocks[-1]
    assert pooled is not None
    for channel in range(len(table.channels)):
        x = table.matrix(channel)[people]
        block = blocks[channel]
        if block is None:
            found.append((x @ pooled).toarray())
            continue
        score = x @ block
        unknown = np.flatnonzero(np.diff(block.indptr) == 0)
        if len(unknown):
            score = score + x[:, unknown] @ pooled[unknown]
        found.append(score.toarray())
    return found


def popularity(table: Table) -> NDArray[np.float64]:
    """(items,) 0..1: decayed counts of people who wanted each, on a scale of logarithms."""
    kept = table.wanted
    newest = int(table.at.max()) if len(table.at) else 0
    half_life = max(1, newest - int(np.median(table.at[kept]))) if kept.any() else 1
    faded = np.exp2((table.at[kept] - newest) / max(half_life, 1))
    counted = np.bincount(table.entity[kept], weights=faded, minlength=table.items)
    found = np.log1p(counted)
    scaled: NDArray[np.float64] = found / max(found.max(), 1e-9)
    return scaled


def _returns(table: Table) -> NDArray[np.float64]:
    """How often people come back to what they touched, per channel, then over all; a tenth at least, a half at most."""
    found = np.zeros(len(table.channels) + 1)
    for channel in range(len(table.channels)):
        here = (table.channel == channel) & (table.entity < table.items)
        again = table.again[here]
        # Ten acts of which one came again stand for what we believe before we saw any.
        found[channel] = min(0.5, max(0.1, (again.sum() + 1.0) / (len(again) + 10.0)))
    found[-1] = found[:-1].mean() if len(table.channels) else 0.1
    return found


def _learned_gates(
    table: Table, heard: NDArray[np.bool_], random: np.random.Generator
) -> tuple[NDArray[np.float64], dict[str, Any]]:
    cut = split(table, random)
    blocks = _blocks(cut.rest, heard)
    known = popularity(cut.rest)

    def score(seen: Table, people: NDArray[np.int64]) -> list[NDArray[np.float64]]:
        seen = seen.hearing(heard)
        found = _channel_scores(seen, blocks, people)
        found.append(topic_scores(seen, people))
        found.append(np.tile(known, (len(people), 1)))
        return found

    asked = groups(cut, score, random)
    fitted = fit_gates(asked, len(table.channels))
    target = np.array(table.targets)
    other = fitted[:-2][target].mean(axis=0) if target.any() else np.zeros(len(HISTORY))
    gates = np.vstack([fitted[:-2], other, fitted[-2:]])
    return gates, _quality(asked, fitted) if len(asked.bucket) else {}


def _quality(asked: Groups, gates: NDArray[np.float64]) -> dict[str, Any]:
    by_history = {}
    total: list[NDArray[np.float64]] = []
    popular: list[NDArray[np.float64]] = []
    alone = np.zeros(len(gates))
    alone[-1] = 1.0
    for bucket, least in enumerate(HISTORY):
        here = asked.bucket == bucket
        if here.any():
            some = asked.of(here)
            mine, theirs = ndcg(some, gates[:, bucket]), ndcg(some, alone)
            total.append(mine)
            popular.append(theirs)
            by_history[str(least)] = {
                "people": int(here.sum()),
                "model": round(float(mine.mean()), 4),
                "popularity": round(float(theirs.mean()), 4),
            }
    return {
        "model": round(float(np.concatenate(total).mean()), 4),
        "popularity": round(float(np.concatenate(popular).mean()), 4),
        "by_history": by_history,
    }
