"""Without a person a regression is the one that never saw them."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.models.downdate import solved, without


def acts(seed: int, people: int, columns: int, each: float = 6.0) -> sp.csr_matrix:
    random = np.random.default_rng(seed)
    row = np.repeat(np.arange(people), np.maximum(1, random.poisson(each, people)))
    found = sp.csr_matrix(
        (random.random(len(row)) + 0.1, (row, random.zipf(1.3, len(row)) % columns)), shape=(people, columns)
    )
    found.sum_duplicates()
    return found


@pytest.mark.parametrize(("people", "columns"), [(300, 80), (60, 200)], ids=["primal", "dual"])
@pytest.mark.parametrize("what", ["the same", "more", "another", "nobody's own"])
def test_it_is_the_refit_without_them(people: int, columns: int, what: str):
    x = acts(1, people, columns)
    y = {
        "the same": x,
        "more": x[:, : columns // 2],
        "another": acts(2, people, columns),
        "nobody's own": acts(3, people, 17),
    }[what]
    own = 0 if what == "nobody's own" else y.shape[1]
    gone = np.array([3, 7, 55])
    stay = np.setdiff1d(np.arange(people), gone)

    found = without(solved(x, y, own=own, ridge=2.0), gone).rows()
    wanted = solved(x[stay], y[stay], own=own, ridge=2.0).rows()

    assert np.abs(found - wanted).max() < 1e-9 * np.abs(wanted).max()
    assert np.abs(found - solved(x, y, own=own, ridge=2.0).rows()).max() > 1e-4  # they did matter


@pytest.mark.parametrize(("people", "columns"), [(300, 80), (60, 200)], ids=["primal", "dual"])
def test_one_after_the_other_is_all_at_once(people: int, columns: int):
    x = acts(1, people, columns)
    together = without(solved(x, x, own=columns, ridge=2.0), np.array([4, 9, 11]))
    one = solved(x, x, own=columns, ridge=2.0)
    for gone in (11, 9, 4):
        one = without(one, np.array([gone]))

    assert one.rows() == pytest.approx(together.rows(), abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(5, 60), st.integers(5, 60), st.floats(0.05, 50.0))
def test_it_holds_for_any_shape_and_ridge(seed: int, people: int, columns: int, ridge: float):
    x, y = acts(seed, people, columns), acts(seed + 1, people, columns)
    gone = np.array([seed % people])
    stay = np.setdiff1d(np.arange(people), gone)

    found = without(solved(x, y, own=columns, ridge=ridge), gone).rows()
    wanted = solved(x[stay], y[stay], own=columns, ridge=ridge).rows()

    assert np.abs(found - wanted).max() <= 1e-5 * max(1.0, np.abs(wanted).max())


def test_who_alone_touched_an_item_takes_it_along():
    x = acts(1, 200, 50)
    x = sp.hstack([x, sp.csr_matrix(([3.0], ([8], [0])), shape=(200, 1))]).tocsr()
    found = without(solved(x, x, own=51, ridge=1e-9), np.array([8])).rows()

    assert np.abs(found[50]).max() < 1e-6
    assert np.isfinite(found).all()


def test_a_hundred_people_later_it_is_still_the_refit():
    x = acts(5, 600, 60)
    left = solved(x, x, own=60, ridge=2.0)
    for _ in range(100):
        left = without(left, np.array([0]))

    wanted = solved(x[100:], x[100:], own=60, ridge=2.0).rows()
    assert np.abs(left.rows() - wanted).max() < 1e-8 * np.abs(wanted).max()
