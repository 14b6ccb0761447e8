"""The table that a model is fitted on: how it is read does not show."""

from __future__ import annotations

import numpy as np
import pytest

from plait.catalog import Catalog, Item
from plait.models import table as tables
from plait.models.table import table_of
from plait.profiles.profile import Entry

NOW = 1_780_000_000_000


def people(number: int = 40) -> list[tuple[str, list[Entry]]]:
    random = np.random.default_rng(1)
    found = []
    for person in range(number):
        entries = [
            Entry(
                "web", str(random.choice(["view", "remove", "purchase"])), "item", f"tent-{random.integers(8)}",
                str(random.choice(["", "specs"])), int(random.integers(1, 3)), float(random.random()), NOW - int(random.integers(1e9)), False,
            )
            for _ in range(random.integers(0, 12))
        ]  # fmt: skip
        found.append((f"user:{person}", entries))
    return found


def made() -> tables.Table:
    shelf = Catalog([Item(id=f"tent-{n}", topics=("tents",)) for n in range(8)])
    return table_of(people(), shelf, now=NOW, half_life=14 * 86_400_000)


@pytest.mark.parametrize("size", [1, 7, 30])
def test_slices_do_not_show(monkeypatch, size):
    whole = made()
    monkeypatch.setattr(tables, "SLICE", size)
    sliced = made()

    for name in ("person", "channel", "entity", "value", "again", "at"):
        assert getattr(sliced, name).tolist() == getattr(whole, name).tolist()
    assert (sliced.people, sliced.entities) == (whole.people, whole.entities)


def test_some_people_keep_their_numbers_and_all_their_acts():
    whole = made()
    some = np.array([3, 17, 39])
    few = whole.of(some)

    for channel in (None, 0, 1, 2):
        assert (few.matrix(channel)[some] != whole.matrix(channel)[some]).nnz == 0
    assert set(few.person) <= set(some.tolist())


def test_of_several_acts_on_an_item_the_strongest_counts():
    value = np.array([0.5, -2.0, 1.0, 0.25])
    found = tables._strongest(np.array([0, 0, 1, 0]), np.array([2, 2, 0, 1]), value, (2, 3))

    assert found.toarray().tolist() == [[0.0, 0.25, -2.0], [1.0, 0.0, 0.0]]
    assert found.has_sorted_indices


def test_a_table_of_nobody_is_a_table():
    assert table_of([], Catalog(), now=NOW, half_life=1).target().shape == (0, 0)
