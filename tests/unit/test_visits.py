"""Visits with a purpose: everybody likes tents and boats alike, and is after one of them on any one day."""

from __future__ import annotations

import numpy as np
import pytest

from plait.catalog import Catalog, Item
from plait.events import DAY
from plait.models import Model
from plait.models.fit import fit, fit_with
from plait.models.ranker import Ranker
from plait.models.table import table_of
from plait.models.visits import questions, together, visits
from plait.profiles.profile import Entry

NOW = 1_780_000_000_000
HALF_LIFE = 14 * DAY
MINUTE = 60_000
KINDS, EACH, VISITS = ("tent", "boat"), 30, 6


def view(item, ago, signal="view"):
    return Entry("web", signal, "item", item, "", 1, 2 ** (-ago / HALF_LIFE), NOW - int(ago), False)


def shelf():
    return Catalog(Item(id=f"{kind}-{number}") for kind in KINDS for number in range(EACH))


def shoppers(number=300, *, purposeful=True):
    """Each comes on six days and looks at three things, a few minutes apart: all tents or all boats, or any."""
    random = np.random.default_rng(0)
    for person in range(number):
        left = {kind: random.permutation(EACH).tolist() for kind in KINDS}
        entries = []
        for visit in range(VISITS):
            begins = (visit + random.random() / 2) * 3 * DAY + 2 * DAY
            of = KINDS[(visit + person) % 2]
            for step in range(3):
                kind = of if purposeful else KINDS[int(random.integers(2))]
                entries.append(view(f"{kind}-{left[kind].pop()}", begins - step * 3 * MINUTE))
        yield f"user:{person}", entries


@pytest.fixture(scope="module")
def model() -> Model:
    return fit(shoppers(), shelf(), now=NOW, half_life=HALF_LIFE)


def best(model, entries, n=8):
    catalog = shelf()
    ranker = Ranker(model, catalog)
    ranker.refresh()
    acts = ranker.acts(entries, now=NOW)
    ranker.score(acts)
    rows, found = ranker.best(n, np.ones(len(catalog.ids), np.bool_), acts.base_gate)
    told = ranker.told(rows, acts)
    assert np.allclose(told.sum(axis=1), found, rtol=1e-6)  # every score is told in full
    return [catalog.ids[row].partition("-")[0] for row in rows]


BOTH = [view(f"{kind}-{number}", day * DAY) for day, number in ((3, 1), (6, 2)) for kind in KINDS]


def test_what_somebody_looks_at_now_brings_up_what_others_looked_at_in_the_same_visit(model):
    for kind in KINDS:
        found = best(model, [*BOTH, view(f"{kind}-7", 2 * MINUTE), view(f"{kind}-8", MINUTE)])

        assert found.count(kind) >= 7, found


def test_a_visit_of_an_hour_ago_is_over(model):
    fresh, over = (best(model, [*BOTH, view("boat-7", ago * MINUTE)], n=20).count("boat") for ago in (1, 60))

    assert fresh >= 15
    assert over <= 13


def test_the_manifest_says_what_visits_are_worth(model):
    told = model.manifest.quality["visit"]

    assert told["people"] >= 50
    assert told["model"] > told["without"]


def test_visits_that_tell_nothing_are_not_heard():
    model = fit(shoppers(purposeful=False), shelf(), now=NOW, half_life=HALF_LIFE)

    assert not model.visit.any()
    assert not (model.place[-1] >= 0).any()


def test_without_times_there_are_no_visits():
    rows = [(who, [one._replace(at=0) for one in entries]) for who, entries in shoppers(40)]

    assert visits(table_of(rows, shelf(), now=NOW, half_life=HALF_LIFE)) is None


def test_what_is_asked_about_was_wanted_later_than_all_that_is_known():
    table = table_of(shoppers(), shelf(), now=NOW, half_life=HALF_LIFE)
    asked, so_far = questions(table, np.random.default_rng(0))
    people = np.flatnonzero(np.diff(asked.truth.indptr))

    assert len(people) > 20
    for person in people:
        of = table.person == person
        wanted = np.isin(table.entity, asked.truth[person].indices) & of
        known = asked.rest.person == person
        assert asked.rest.at[known].max() < table.at[wanted].min()
        newest = table.at[wanted].min() - table.at[of & np.isin(table.entity, so_far[person].indices)]
        # Half as much every ten minutes, as an answer hears it.
        assert np.allclose(np.sort(so_far[person].data), np.sort(2.0 ** (-newest / (10 * MINUTE))))


def test_what_stands_nearer_in_a_visit_goes_better_together():
    rows = [("user:1", [view(f"tent-{number}", (10 - number) * MINUTE) for number in range(4)])]
    found = together(table_of(rows, shelf(), now=NOW, half_life=HALF_LIFE), np.ones(2 * EACH), 0)

    assert found[0, 1] > found[0, 2] > found[0, 3] > 0
    assert found[1, 0] == found[0, 1]
    assert found[0, 0] == 0


def test_who_is_forgotten_leaves_the_visits_too():
    rows = list(shoppers())
    table = table_of(rows, shelf(), now=NOW, half_life=HALF_LIFE)
    heard = np.ones(len(table.channels), np.bool_)
    found = fit_with(table, heard, now=NOW, half_life=HALF_LIFE, seed=0)
    assert found.learned is not None
    assert found.learned.visits is not None
    gone = np.array([3, 77])
    model, _ = found.learned.without(found.model, gone)
    rest = table.only(~np.isin(table.person, gone))
    expected = together(rest, found.learned.visits.often, 0)

    for item in range(table.items):
        row = int(model.place[-1, item])
        if row >= 0:
            here = slice(int(model.indptr[row]), int(model.indptr[row + 1]))
            theirs = expected[item, model.columns[here]].toarray()[0]
            assert np.allclose(model.values[here], theirs, atol=1e-5 * abs(expected).max())
    before = found.model.values[found.learned.visits.first :].sum()
    assert model.values[found.learned.visits.first :].sum() != before
