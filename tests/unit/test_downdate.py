"""Without a person a regression is the one that never saw them, what people and items weigh staying as it was."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.models.downdate import Regression, change, solved
from plait.models.linear import Rows, ridge_rows


def acts(seed: int, people: int, columns: int, each: float = 6.0) -> sp.csr_matrix:
    random = np.random.default_rng(seed)
    row = np.repeat(np.arange(people), np.maximum(1, random.poisson(each, people)))
    found = sp.csr_matrix(
        (random.random(len(row)) + 0.1, (row, random.zipf(1.3, len(row)) % columns)), shape=(people, columns)
    )
    found.sum_duplicates()
    return found


def weights(of: Regression) -> np.ndarray:
    """B from its definition, in double precision."""
    x, y = of.x.toarray().astype(float), of.y.toarray().astype(float)
    wanted = x.T @ y
    wanted[np.arange(y.shape[1]), np.arange(y.shape[1])] -= of.held
    found = np.linalg.solve(x.T @ x + of.ridge * np.eye(x.shape[1]), wanted)
    if of.u is not None:
        found += of.broadly * (x.T @ of.u) @ ((y.T @ of.u) / of.squares).T
    return found


def off(rows: Rows) -> np.ndarray:
    """How far rows are from their regression's own B, the diagonal apart."""
    made = rows.left @ rows.right if rows.core is None else rows.left @ rows.core @ rows.right.toarray()
    wanted = weights(rows.origin.regression)[rows.origin.rows]
    if rows.origin.damped is not None:
        wanted = rows.origin.damped[:, None] * wanted
    if rows.own:
        wanted[np.arange(made.shape[1]), np.arange(made.shape[1])] = 0
        made[np.arange(made.shape[1]), np.arange(made.shape[1])] = 0
    return np.abs(made - wanted).max() / np.abs(wanted).max()


@pytest.mark.parametrize(("people", "columns"), [(300, 80), (60, 200)], ids=["primal", "dual"])
@pytest.mark.parametrize("broadly", [0.0, 0.3])
@pytest.mark.parametrize("what", ["the same", "more", "another"])
def test_rows_know_the_regression_that_they_are_from(people: int, columns: int, broadly: float, what: str):
    x = acts(1, people, columns)
    y = {"the same": x, "more": x[:, : columns // 2], "another": acts(2, people, columns)}[what]

    rows, _ = ridge_rows(x, y, own=True, broadly=broadly, tastes=8)

    assert off(rows) < 2e-5  # rows are of single precision


@pytest.mark.parametrize("people", [300, 40], ids=["primal", "dual"])
def test_so_do_the_rows_of_friends(people: int):
    x, friends = acts(1, people, 60), acts(4, people, 30)

    rows, theirs = ridge_rows(x, x, own=True, also=friends)

    assert theirs is not None
    assert theirs.origin.regression is rows.origin.regression
    assert max(off(rows), off(theirs)) < 2e-5


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000), st.integers(5, 60), st.integers(5, 60), st.floats(0.2, 50.0),
    st.sampled_from([0.0, 0.3]), st.booleans(), st.integers(1, 4),
)  # fmt: skip
def test_a_change_is_the_refit_without_them(
    seed: int, people: int, columns: int, ridge: float, broadly: float, own: bool, leave: int
):
    x, y = acts(seed, people, columns), acts(seed + seed % 2, people, columns)
    rows, _ = ridge_rows(x, y, own=own, ridge=ridge, broadly=broadly, tastes=8)
    regression = rows.origin.regression
    gone = np.unique(np.random.default_rng(seed).integers(0, people, leave))

    left, right = change(regression, gone)

    wanted = weights(regression.without(gone))
    assert np.abs(weights(regression) + left @ right - wanted).max() <= 1e-6 * np.abs(wanted).max()


def test_one_after_the_other_is_all_at_once():
    regression = ridge_rows(acts(1, 300, 80), acts(1, 300, 80), own=True, broadly=0.3, tastes=8)[
        0
    ].origin.regression
    gone = np.array([4, 9, 11])
    left, right = change(regression, gone)
    total, one = np.zeros((80, 80)), regression
    for person in gone[::-1]:
        more, by = change(one, np.array([person]))
        total += more @ by
        one = one.without(np.array([person]))

    assert total == pytest.approx(left @ right, abs=1e-8)
    assert np.abs(total).max() > 1e-3  # they did matter


def test_who_never_was_part_of_it_changes_nothing():
    x = sp.vstack([acts(1, 30, 20), sp.csr_matrix((1, 20))]).tocsr()
    regression = ridge_rows(x, x, own=True)[0].origin.regression
    left, right = change(regression, np.array([30]))

    assert (left @ right).shape == (20, 20)
    assert not (left @ right).any()


def test_conjugate_gradients_solve_what_is_badly_balanced():
    x = acts(3, 400, 50)
    x = (x @ sp.diags(np.logspace(-3, 3, 50))).tocsr()
    wanted = np.random.default_rng(0).standard_normal((50, 3))

    found = solved(x, 1e-2, wanted)

    assert x.T @ (x @ found) + 1e-2 * found == pytest.approx(wanted, abs=1e-5)
