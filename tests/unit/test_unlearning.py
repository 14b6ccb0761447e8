"""After an erasure the model is that of who is left, by the decisions of the fit before."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from plait.catalog import Catalog, Item
from plait.errors import Unavailable
from plait.events import DAY
from plait.models.fit import Frozen, _fit
from plait.models.table import Table, table_of
from plait.profile import Entry
from plait.serve import unlearn_erased
from plait.workers import UNLEARN

NOW = 1_780_000_000_000
HALF_LIFE = 14 * DAY


def entry(item: str, days: float, signal: str = "view", source: str = "web") -> Entry:
    return Entry(source, signal, "item", item, "", 1, 2 ** (-days / 14), NOW - int(days * DAY), False)


def rows(number: int = 120) -> list[tuple[str, list[Entry]]]:
    """Half look at tents, half at boats; the last also at what nobody else knows, and likes things on a network."""
    random = np.random.default_rng(0)
    found = []
    for person in range(number):
        kind = ("tent", "boat")[person % 2]
        chosen = random.choice(12, 5, replace=False)
        entries = [entry(f"{kind}-{one}", float(day)) for day, one in enumerate(chosen)]
        entries += [entry(f"{kind}-{chosen[0]}", 1.0, "like", "network")]
        found.append((f"user:{person}", entries))
    found[-1][1].extend([entry("secret", 0.5), entry("secret", 0.5, "purchase")])
    return found


def table(people: list[tuple[str, list[Entry]]]) -> Table:
    shelf = Catalog(
        [Item(id=f"{kind}-{n}") for kind in ("tent", "boat") for n in range(12)] + [Item(id="secret")]
    )
    return table_of(people, shelf, now=NOW, half_life=HALF_LIFE)


def fitted(people: list[tuple[str, list[Entry]]], frozen: Frozen | None = None):
    made = table(people)
    return _fit(
        made, np.ones(len(made.channels), np.bool_), now=NOW, half_life=HALF_LIFE, seed=0, frozen=frozen
    )


def test_the_same_people_and_decisions_make_the_same_model():
    model, decided = fitted(rows())
    again, kept = fitted(rows(), decided)

    for name in ("place", "indptr", "columns", "values", "popularity", "gates", "returns"):
        assert np.array_equal(getattr(again, name), getattr(model, name)), name
    assert kept == decided
    assert again.manifest.quality == model.manifest.quality


def test_what_only_the_erased_person_knew_is_gone():
    model, decided = fitted(rows())
    left, _ = fitted(rows()[:-1], decided)
    place = next(number for number, one in enumerate(model.entities) if one.endswith("secret"))

    assert model.popularity[place] > 0
    assert place in model.columns
    assert left.popularity[place] == 0
    assert place not in left.columns


def test_decisions_are_kept_by_the_names_of_channels():
    _, decided = fitted(rows())
    turned = [(who, entries[::-1]) for who, entries in rows()]  # its channels come in another order
    model, kept = fitted(turned, decided)

    assert table(turned).channels != table(rows()).channels
    assert {one[:2]: one[2] for one in kept.gates} == {one[:2]: one[2] for one in decided.gates}
    assert sorted(kept.mix) == sorted(decided.mix)
    assert model.manifest.channels == table(turned).channels


def test_a_channel_that_is_new_waits_for_the_next_fit():
    without = [(who, [one for one in entries if one.signal != "like"]) for who, entries in rows()]
    _, decided = fitted(without)
    model, _ = fitted(rows(), decided)

    assert not model.gates[model.manifest.channels.index(("network", "like"))].any()


# -- when


def place(folder: Path, *, model: object = "a model", fails: bool = False):
    asked = []

    async def unlearn() -> dict[str, object]:
        asked.append(1)
        if fails:
            raise Unavailable("no room", code="disk_full")
        return {}

    return SimpleNamespace(settings=SimpleNamespace(data=str(folder)), model=model, unlearn=unlearn), asked


def note(folder: Path, *, age: float) -> Path:
    path = folder / UNLEARN
    path.touch()
    os.utime(path, (time.time() - age, time.time() - age))
    return path


@pytest.mark.parametrize(("age", "done"), [(29.0, False), (31.0, True)])
def test_it_is_done_some_time_after_an_erasure(tmp_path: Path, age: float, done: bool):
    path, (here, asked) = note(tmp_path, age=age), place(tmp_path)

    assert asyncio.run(unlearn_erased(here, now=time.time(), after=30.0)) is done
    assert (len(asked), path.exists()) == (int(done), not done)


def test_nobody_erased_nothing_done(tmp_path: Path):
    here, asked = place(tmp_path)

    assert not asyncio.run(unlearn_erased(here, now=time.time(), after=0.0))
    assert not asked


def test_without_a_model_there_is_nothing_to_unlearn(tmp_path: Path):
    path, (here, asked) = note(tmp_path, age=60.0), place(tmp_path, model=None)

    assert not asyncio.run(unlearn_erased(here, now=time.time(), after=30.0))
    assert (asked, path.exists()) == ([], False)


def test_what_failed_is_tried_again(tmp_path: Path):
    path, (here, _) = note(tmp_path, age=60.0), place(tmp_path, fails=True)

    with pytest.raises(Unavailable):
        asyncio.run(unlearn_erased(here, now=time.time(), after=30.0))
    assert path.exists()
