"""Evaluating a live installation from what it knows itself: the newest part is held back, the rest foretells it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np

from plait import circles
from plait.affinity import with_affinity
from plait.catalog import Catalog
from plait.errors import Rejected, Unavailable
from plait.evaluate import SOCIAL_SIGNALS, report
from plait.evaluate.dataset import Dataset
from plait.evaluate.split import BY_TIME
from plait.keys import load_keys
from plait.models.table import Table, table_of
from plait.profiles import everybody, people
from plait.profiles.fragment import half_life_ms
from plait.profiles.subjects import SEP
from plait.settings import Settings
from plait.store import open_store

FOLDER = "evaluations"  # in the data folder; the console reads what lies there
KEPT = 20  # of the newest


def evaluate_installation(
    settings: Settings,
    *,
    seed: int = 0,
    social: Collection[str] = SOCIAL_SIGNALS,
    now: int | None = None,
    told: Callable[[str], object] = lambda _: None,
) -> dict[str, Any]:
    """Hold back the newest tenth of what an installation knows, foretell it, and keep the report in the data folder.

    What is read is what a fit reads: the state, linked and consented, without robots, and what those around each person liked
    until then; nothing in it is changed. An act that was repeated counts as its newest, since the state keeps no other time.

    Args:
        settings: of the installation; its server may be running.
        seed: of what the model holds out itself, and of the bootstrap.
        social: signals that are social.
        now: ms since the epoch.
        told: is told what is being done.

    Returns:
        the report of ``plait evaluate`` (docs/reference/evaluate.md).

    Raises:
        Rejected: there is no data folder, or too little has happened to hold any back.
        Unavailable: the report cannot be written.
    """
    now = time.time_ns() // 1_000_000 if now is None else now
    if not Path(settings.data).is_dir():  # to open the store would make it
        raise Rejected(f"there is no data folder {settings.data}", code="folder_missing", field="data")
    half_life = half_life_ms(settings.half_life_days)
    told("reading")
    store = open_store(settings.url("store"))
    try:
        snapshot = store.snapshot()
        try:
            catalog = Catalog.load(snapshot)
            rows = everybody.training_rows(snapshot, settings, now=now)
            whole = table_of(rows, catalog, now=now, half_life=half_life)
            moment = _moment(whole)
            # Read again as of then: what friends liked later would tell what was looked at before.
            rows = circles.training_rows(
                snapshot, settings, load_keys(settings).pepper, now=now, until=moment
            )
            rows = with_affinity(rows, catalog, lambda row: people.members(snapshot, row, settings))
            rest = table_of(rows, catalog, now=now, half_life=half_life)
        finally:
            snapshot.close()
    finally:
        store.close()
    dataset = _held_back(whole, rest, moment)
    found = report(dataset, seed=seed, social=social, told=told, table=rest, now=now, half_life=half_life)
    _keep(Path(settings.data) / FOLDER, now, found)
    return found


def _moment(table: Table) -> int:
    """From when on what people wanted is held back, ms since the epoch."""
    if not table.wanted.any():
        raise Rejected("nothing has happened yet that could be foretold", code="too_few_rows")
    return int(np.quantile(table.at[table.wanted], 1 - BY_TIME))


def _held_back(table: Table, rest: Table, moment: int) -> Dataset:
    """What is asked: what people wanted after a moment, and had not touched before.

    Args:
        table: all acts.
        rest: what was known at the moment, of the same people and items.
        moment: ms since the epoch.
    """
    about = rest.own & (rest.entity < rest.items)  # what friends did with an item does not make it known
    known = np.unique(rest.person[about] * rest.items + rest.entity[about])
    late = (table.at > moment) & table.wanted
    asked = np.setdiff1d(table.person[late] * table.items + table.entity[late], known)
    if not len(asked) or not len(known):
        raise Rejected("too little has happened yet to hold any of it back", code="too_few_rows")
    nothing = np.zeros(0, np.int64)
    return Dataset(
        people=[""] * table.people,  # nobody is named in a report
        items=[name.partition(SEP)[2] for name in table.entities[: table.items]],
        signals=[], person=known // table.items, item=known % table.items, signal=np.zeros(len(known), np.int64),
        value=np.full(len(known), np.nan), at=np.zeros(len(known), np.int64), tie_from=nothing, tie_to=nothing,
        titles=[], topics=[], test_person=asked // table.items, test_item=asked % table.items, tested=True,
    )  # fmt: skip


def _keep(folder: Path, now: int, found: dict[str, Any]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fresh = folder / f".{now:015d}.json"
        fresh.write_text(json.dumps({"evaluated_at": now, **found}, indent=1))
        fresh.rename(folder / f"{now:015d}.json")
        for old in sorted(folder.glob("[0-9]*.json"))[:-KEPT]:
            old.unlink()
    except OSError as exc:
        raise Unavailable(
            f"the report cannot be written to {folder}: {exc}", code="report_not_saved"
        ) from exc
