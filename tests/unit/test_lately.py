"""A shelf that turns over: every day new articles of two kinds, and people who come for one of them."""

from __future__ import annotations

import numpy as np
import pytest

from plait.catalog import Catalog, Item
from plait.events import DAY
from plait.models import Model
from plait.models.batch import scores
from plait.models.fit import fit, fit_table
from plait.models.lately import stretches, turns_over
from plait.models.ranker import Ranker
from plait.models.table import table_of
from plait.profiles.profile import Entry

NOW = 1_780_000_000_000
HALF_LIFE = 14 * DAY
DAYS = 40


def view(item, days, signal="view", source="web"):
    return Entry(source, signal, "item", item, "", 1, 2 ** (-days / 14), NOW - int(days * DAY) - 1, False)


def shelf():
    return Catalog(Item(id=f"{kind}-{day}") for kind in ("tent", "boat") for day in range(DAYS))


def readers(number=240, *, turning=True):
    """Each reads, on some days, the article of their kind that is new that day; or any, where nothing turns over."""
    random = np.random.default_rng(0)
    for person in range(number):
        kind = ("tent", "boat")[person % 3 == 0]
        days = random.choice(DAYS, 8, replace=False)
        about = days if turning else random.choice(DAYS, 8, replace=False)
        entries = [
            view(f"{kind}-{item}", day + random.random() / 2)
            for item, day in zip(about.tolist(), days.tolist(), strict=True)
        ]
        yield f"user:{person}", entries


@pytest.fixture(scope="module")
def model():
    return fit(readers(), shelf(), now=NOW, half_life=HALF_LIFE)


def best(model, entries, n=4):
    catalog = shelf()
    ranker = Ranker(model, catalog)
    ranker.refresh()
    acts = ranker.acts(entries, now=NOW)
    ranker.score(acts)
    rows, found = ranker.best(n, np.ones(len(catalog.ids), np.bool_), acts.base_gate)
    told = ranker.told(rows, acts)
    assert np.allclose(told.sum(axis=1), found, rtol=1e-6)  # every score is told in full
    return [catalog.ids[row] for row in rows]


def test_who_read_old_articles_of_a_kind_is_shown_the_new_ones_of_it(model):
    found = best(model, [view(f"boat-{day}", day) for day in range(16, 34, 2)])

    assert {one.partition("-")[0] for one in found} == {"boat"}
    assert all(int(one.partition("-")[2]) < 15 for one in found)


def test_the_moment_has_gates_where_the_shelf_turns_over(model):
    lately = model.gates[len(model.manifest.channels) + 1 : -2]

    assert lately.any()
    assert (model.place[-2] >= 0).any()


def test_it_has_none_where_the_shelf_stays_as_it_is():
    model = fit(readers(turning=False), shelf(), now=NOW, half_life=HALF_LIFE)

    assert not model.gates[len(model.manifest.channels) + 1 : -2].any()
    assert not turns_over(table_of(readers(turning=False), shelf(), now=NOW, half_life=HALF_LIFE))


def test_many_are_scored_as_one_by_one_lately_too(model):
    people = list(readers())
    table = table_of(people, shelf(), now=NOW, half_life=HALF_LIFE)
    ranker = Ranker(model, shelf())
    ranker.refresh()

    found = scores(model, table, np.arange(9))

    for person in range(9):
        acts = ranker.acts(people[person][1], now=NOW)
        told = ranker.told(range(2 * DAYS), acts).sum(axis=1)
        fresh = sorted(set(range(2 * DAYS)) - set(acts.points.tolist()))
        assert np.allclose(told[fresh], found[person, fresh], rtol=1e-5, atol=1e-6)


def test_each_stretch_of_the_past_knows_nothing_of_what_came_after():
    table = table_of(readers(), shelf(), now=NOW, half_life=HALF_LIFE)

    ends = [int(one.at.max()) for one in stretches(table, 0.1)]

    assert len(ends) > 1
    assert ends == sorted(ends, reverse=True)
    for one, end in zip(stretches(table, 0.1), ends, strict=True):
        assert (one.began <= end).all()


def test_the_same_people_give_the_same_model():
    table = table_of(readers(), shelf(), now=NOW, half_life=HALF_LIFE)
    one, other = (fit_table(table, now=NOW, half_life=HALF_LIFE) for _ in range(2))

    assert np.array_equal(one.gates, other.gates)
    assert np.array_equal(one.values, other.values)


def test_a_saved_model_keeps_the_moment(model, tmp_path):
    again = Model.load(model.save(tmp_path))

    mine = [view("boat-20", 20)]
    assert best(again, mine) == best(model, mine)
