"""Fitting a model on the state of an installation, and taking out of it who was erased."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from plait.affinity import with_affinity
from plait.catalog import Catalog
from plait.circles import training_rows
from plait.errors import Corrupt
from plait.keys import load_keys
from plait.models import Model, drop_old, newest
from plait.models.fit import Fit, Frozen, fit_with, id_of
from plait.models.parts import Shape
from plait.models.table import Table, table_of
from plait.models.unlearn import PEOPLE, Learned, hashes
from plait.profiles import people
from plait.profiles.fragment import half_life_ms
from plait.profiles.profile import Entry
from plait.settings import Settings
from plait.store import open_store

How = Literal["fit", "refit", "forget"]
FROZEN = "frozen.json"  # in a model's folder
_log = structlog.get_logger()


def fit_installation(settings: Settings, *, now: int | None = None, how: How = "fit") -> dict[str, Any]:
    """Fit a model on the state of an installation and save it; called in a process of its own.

    Args:
        settings: of the installation.
        now: ms since the epoch.
        how: ``fit`` decides everything. ``refit`` keeps the gates and all else that the last fit decided, and learns the rows anew.
            ``forget`` takes those out of the model who may not be learned from any more, or is a ``refit`` where that cannot be;
            no older model stays. Without a last fit all of them are one.

    Returns:
        The manifest, as plain values.

    Raises:
        Unavailable: the model cannot be saved.
    """
    now = time.time_ns() // 1_000_000 if now is None else now
    folder = Path(settings.data) / "models"
    frozen = None if how == "fit" else _frozen(folder)
    half_life = half_life_ms(settings.half_life_days)
    table, who, position = _read(settings, now=now, half_life=half_life)
    found = _unlearned(folder, table, who, now=now) if how == "forget" else None
    if found is None:
        heard = np.ones(len(table.channels), np.bool_)
        found = fit_with(table, heard, now=now, half_life=half_life, seed=0, frozen=frozen)
        manifest = msgspec.structs.replace(found.model.manifest, position=position)
        found = found._replace(model=dataclasses.replace(found.model, manifest=manifest))
    done = found.model.save(folder, beside=lambda fresh: _beside(fresh, found, who))
    _log.info(
        "model_fitted", model=done.name, seconds=found.model.manifest.seconds, unlearned=found.unlearned
    )
    drop_old(folder, keep=1 if how == "forget" else 2)  # the one before knows who was erased
    told: dict[str, Any] = msgspec.to_builtins(found.model.manifest)
    return told


def _read(settings: Settings, *, now: int, half_life: int) -> tuple[Table, NDArray[np.uint64], int]:
    """What may be learned from, hashes of who did it, and the position of the state."""
    pepper = load_keys(settings).pepper
    names: list[str] = []

    def named(
        rows: Iterable[tuple[str, list[Entry]]],
    ) -> Iterator[tuple[str, list[Entry]]]:
        for name, entries in rows:
            names.append(name)
            yield name, entries

    store = open_store(settings.url("store"))
    try:
        with closing(store.snapshot()) as snapshot:
            catalog = Catalog.load(snapshot)
            rows = named(training_rows(snapshot, settings, pepper, now=now))
            rows = with_affinity(rows, catalog, lambda row: people.members(snapshot, row, settings))
            table = table_of(rows, catalog, now=now, half_life=half_life)
            return table, hashes(names, pepper), snapshot.position
    finally:
        store.close()


def _beside(fresh: Path, found: Fit, who: NDArray[np.uint64]) -> None:
    """What lies beside a model, for those who will be erased."""
    if found.decided is not None:
        (fresh / FROZEN).write_bytes(msgspec.json.encode(found.decided))
    if found.learned is not None:
        learned = found.learned if found.unlearned else dataclasses.replace(found.learned, who=who)
        learned.save(fresh)


def _unlearned(folder: Path, table: Table, who: NDArray[np.uint64], *, now: int) -> Fit | None:
    """The newest model without those who left; ``None`` where it has to be learned anew for that."""
    last, decided = newest(folder), _frozen(folder)
    if last is None or decided is None:
        return None
    began = time.perf_counter()
    try:
        model = Model.load(last)
    except Corrupt:
        return None
    learned = Learned.load(last, model)
    if learned is None:
        return None
    people = learned.leaving(who, table)
    if len(people) > PEOPLE:
        return None
    model, learned = learned.without(model, people)
    manifest = msgspec.structs.replace(
        model.manifest, id=id_of(now), seconds=round(time.perf_counter() - began, 3), tuning_seconds=0.0
    )
    return Fit(dataclasses.replace(model, manifest=manifest), decided, learned, unlearned=len(people))


def _frozen(folder: Path) -> Frozen | None:
    """What the newest fit decided; ``None`` when there is none, or it was made before this was kept."""
    last = newest(folder)
    if last is None:
        return None
    try:
        found = msgspec.json.decode((last / FROZEN).read_bytes(), type=Frozen)
    except (OSError, msgspec.MsgspecError):
        return None
    return found if len(found.shape) == len(Shape._fields) else None
