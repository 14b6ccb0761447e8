"""The scores of many people at once are the ranker's own, person by person."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.catalog import Catalog, Item
from plait.events import DAY
from plait.models.batch import scores
from plait.models.fit import fit_table
from plait.models.ranker import Ranker
from plait.models.table import table_of
from plait.profiles.profile import Entry

NOW = 1_780_000_000_000
HALF_LIFE = 14 * DAY
SIGNALS = (("web", "view"), ("web", "purchase"), ("bluesky", "like"))


def world(seed):
    """Sixty people of two tastes, each with views, purchases, likes and friends."""
    random = np.random.default_rng(seed)
    people = []
    for person in range(60):
        entries = [
            Entry(
                source,
                signal,
                "item",
                f"i{2 * item + person % 2}",
                "",
                1,
                2.0 ** -(age / 14),
                NOW - int(age * DAY),
                False,
            )
            for source, signal in SIGNALS
            for item, age in zip(random.choice(12, 4, replace=False), random.uniform(0, 30, 4), strict=True)
        ]
        friends = random.choice(30, 2, replace=False) * 2 + person % 2
        entries += [
            Entry("ties:b", "follow", "person", f"user:{one}", "", 1, 1.0, NOW, False) for one in friends
        ]
        people.append((f"user:{person}", entries))
    shelf = Catalog(Item(id=f"i{n}", topics=(("even", "odd")[n % 2], f"t{n % 5}")) for n in range(24))
    return people, shelf


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 1_000))
def test_many_at_once_are_scored_as_one_by_one(seed):
    people, shelf = world(seed)
    table = table_of(people, shelf, now=NOW, half_life=HALF_LIFE)
    model = fit_table(table, now=NOW, half_life=HALF_LIFE)
    ranker = Ranker(model, shelf)
    ranker.refresh()

    found = scores(model, table, np.arange(60))

    for person in (0, 7, 31):
        acts = ranker.acts(people[person][1], now=NOW)
        touched = {row for row in acts.points.tolist() if row >= 0}
        told = ranker.told(range(24), acts).sum(axis=1)
        for row in set(range(24)) - touched:  # what somebody may come back to is told apart
            assert np.isclose(told[row], found[person, row], rtol=1e-5, atol=1e-7)
