"""Which items go together: the closed forms against the definition, and against each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from plait.models import linear


def acts(people=30, items=12, seed=0):
    random = np.random.default_rng(seed)
    return sp.csr_matrix((random.random((people, items)) < 0.3) * random.uniform(0.2, 2.0, (people, items)))


def made(rows):
    """B, multiplied out."""
    if rows.core is None:
        return rows.left @ rows.right
    return rows.left @ rows.core @ rows.right.toarray()


def plain(monkeypatch):
    monkeypatch.setattr(linear, "FREQUENCY", 0.0)
    monkeypatch.setattr(linear, "_activity", lambda x, y: np.ones(x.shape[0]))


def by_definition(x, y, *, own):
    """Ridge, one item at a time: an item that must not explain itself is not among what explains it."""
    x, y = x.toarray(), y.toarray()
    ridge = linear.RIDGE * (x**2).sum() / np.count_nonzero(x.any(axis=1))
    b = np.zeros((x.shape[1], y.shape[1]))
    for item in range(y.shape[1]):
        rest = np.array([column for column in range(x.shape[1]) if not own or column != item])
        gram = x[:, rest].T @ x[:, rest] + ridge * np.eye(len(rest))
        b[rest, item] = np.linalg.solve(gram, x[:, rest].T @ y[:, item])
    return b


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("people", [8, 60])  # fewer people than items: dual; more: primal
def test_both_closed_forms_are_ridge_regression(monkeypatch, own, people):
    plain(monkeypatch)
    x = acts(people)
    y = x if own else acts(people, seed=1)

    found = linear.item_item(x, y, own=own, keep=12).toarray()

    assert np.allclose(found, by_definition(x, y, own=own), atol=1e-5)  # single precision


def test_primal_and_dual_are_the_same_model():
    x, y = (one.astype(np.float32) for one in (acts(20, 20), acts(20, 20, seed=2)))

    left, core, right = linear._dual(x, y, 20, 3.0)

    primal = linear._primal(x, y, 20, np.arange(20), 3.0)
    dual = left @ core @ right.toarray()
    off = ~np.eye(20, dtype=bool)
    assert np.allclose(primal[off], dual[off], atol=1e-5)  # single precision


def test_what_explains_and_what_is_explained_may_differ_a_little():
    """An item that somebody only liked: most of the solution is known without a product, and it is the same."""
    x = acts(60)
    y = x.copy()
    y.data[::7] = 0.0
    y.eliminate_zeros()

    rows, _ = linear.ridge_rows(x, y, own=True)

    of = rows.origin.regression
    assert 2 * (x - y).nnz < y.nnz
    wanted = (of.x.T @ of.y).toarray() - np.diag(of.held)
    found = np.linalg.solve((of.x.T @ of.x).toarray() + of.ridge * np.eye(12), wanted)
    damped = rows.origin.damped[:, None] * found
    assert np.allclose(made(rows)[~np.eye(12, dtype=bool)], damped[~np.eye(12, dtype=bool)], atol=1e-5)


def test_who_explains_besides_has_rows_of_their_own(monkeypatch):
    plain(monkeypatch)
    x, friends = acts(40), acts(40, 5, seed=3)
    both = sp.hstack([x, friends]).tocsr()

    rows, theirs = linear.ridge_rows(x, x, own=True, also=friends)

    ridge = linear.RIDGE * x.multiply(x).sum() / 40
    b = np.zeros((17, 12))
    for item in range(12):
        rest = np.array([column for column in range(17) if column != item])
        some = both[:, rest].toarray()
        b[rest, item] = np.linalg.solve(
            some.T @ some + ridge * np.eye(16), some.T @ x[:, item].toarray().ravel()
        )
    off = ~np.eye(12, dtype=bool)
    assert np.allclose(made(rows)[off], b[:12][off], atol=1e-5)
    assert np.allclose(made(theirs), b[12:], atol=1e-5)


def test_rows_cut_are_the_rows_multiplied_out():
    x = acts(8, 40)
    rows, _ = linear.ridge_rows(x, x, own=True)
    loose = linear.Rows(sp.random(40, 40, 0.1, random_state=1, format="csr", dtype=np.float32), None)
    thin, beside = (
        sp.random(*shape, 0.2, random_state=2, format="csr", dtype=np.float32) for shape in ((40, 9), (9, 40))
    )
    scale = np.linspace(0.5, 2.0, 40)

    held, found = linear.cut([(0.7, rows), (0.3, loose), (0.2, linear.Rows(thin, beside))], scale, 40)

    whole = (0.7 * made(rows) + 0.3 * loose.left.toarray() + 0.2 * (thin @ beside).toarray()) * scale
    np.fill_diagonal(whole, 0.0)
    assert np.allclose(found.toarray(), whole[held], atol=1e-5)


@pytest.mark.parametrize("keep", [3, 39, 40])
def test_what_only_one_person_touched_is_cut_as_everything_else(keep):
    random = np.random.default_rng(4)
    x = sp.lil_matrix((6, 40))
    x[random.integers(0, 6, 30), np.arange(30)] = random.uniform(0.5, 2.0, 30)  # each of these by one person
    x[:, 30:] = random.uniform(0.5, 2.0, (6, 10))
    rows, _ = linear.ridge_rows(x.tocsr(), x.tocsr(), own=True)
    whole = made(rows)
    np.fill_diagonal(whole, 0.0)

    held, found = linear.cut([(1.0, rows)], np.ones(40), keep)

    assert held.tolist() == list(range(40))
    for row, kept in zip(whole, found.toarray(), strict=True):
        best = np.argsort(-np.abs(row), kind="stable")[:keep]
        assert set(np.flatnonzero(kept)) <= set(best)
        assert np.allclose(kept[best], row[best], atol=1e-6)


@pytest.mark.parametrize("people", [8, 60])  # dual; primal
@pytest.mark.parametrize("density", [0.01, 0.9])
def test_scores_are_acts_by_rows_multiplied_out(people, density):
    x = acts(people, 40)
    rows, _ = linear.ridge_rows(x, x, own=True, broadly=0.3, tastes=4)
    others = sp.random(37, 40, density, random_state=5, format="csr", dtype=np.float32)

    assert np.allclose(rows.scores(others), others @ made(rows), atol=1e-5)


def test_parts_that_rest_on_the_same_people_are_added_before_they_are_cut():
    x = acts(8, 40)
    rows, _ = linear.ridge_rows(x, x, own=True)
    other = replace(rows, left=rows.left.copy(), right=rows.right[::-1].tocsc())
    apart = replace(rows, left=rows.left @ sp.diags(np.linspace(1, 2, 8)))
    dense = linear.Rows(
        rows.left.copy(), np.linspace(-1, 1, 8 * 40, dtype=np.float32).reshape(8, 40), own=True
    )

    for parts in (
        [(0.7, rows), (0.3, other)],
        [(0.7, rows), (0.2, other), (0.1, apart)],
        [(0.7, rows), (0.3, dense)],
        [(0.7, dense), (0.3, replace(dense, right=dense.right[::-1].copy()))],
    ):
        held, found = linear.cut(parts, np.ones(40), 40)

        whole = sum(weight * made(one) for weight, one in parts)
        np.fill_diagonal(whole, 0.0)
        assert np.allclose(found.toarray(), whole[held], atol=1e-5)


@pytest.mark.parametrize("largest", [8_000, 5])  # closed form, neighbourhoods
def test_no_item_explains_itself(monkeypatch, largest):
    monkeypatch.setattr(linear, "LARGEST", largest)
    x = acts()

    assert not linear.item_item(x, x, own=True, keep=12).diagonal().any()


def test_a_like_of_an_item_may_explain_a_view_of_it():
    likes = sp.csr_matrix(np.eye(6).repeat(4, axis=0))

    found = linear.item_item(likes, likes, own=False, keep=6)

    assert (found.diagonal() > 0).all()


@pytest.mark.parametrize("largest", [8_000, 3])
def test_items_that_go_together_find_each_other(monkeypatch, largest):
    monkeypatch.setattr(linear, "LARGEST", largest)
    tents, boats = [1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]
    x = sp.csr_matrix(np.array([tents, boats] * 20, float))

    found = linear.item_item(x, x, own=True, keep=6).toarray()

    assert (found[0, 1:3] > 0.05).all()
    assert (np.abs(found[0, 3:]) < 1e-6).all()


def test_a_row_keeps_its_largest_values():
    x = acts(60)
    whole = linear.item_item(x, x, own=True, keep=12).toarray()

    cut = linear.item_item(x, x, own=True, keep=3).toarray()

    for row, kept in zip(whole, cut, strict=True):
        assert np.count_nonzero(kept) == 3
        assert np.abs(kept).max() == pytest.approx(np.abs(row).max())
        assert np.abs(row[kept == 0]).max() <= np.abs(kept[kept != 0]).min()


def test_nobody_and_nothing_give_an_empty_model():
    nothing = sp.csr_matrix((5, 4))

    assert linear.item_item(nothing, nothing, own=True, keep=3).nnz == 0


def test_neighbours_are_the_nearest_by_shrunk_cosine():
    random = np.random.default_rng(2)
    x = sp.random(60, 30, 0.2, random_state=random, format="csr", dtype=np.float32)
    y = sp.random(60, 25, 0.2, random_state=random, format="csr", dtype=np.float32)
    both = (x.T @ y).toarray()
    size = np.sqrt((x.toarray() ** 2).sum(axis=0))[:, None] * np.sqrt((y.toarray() ** 2).sum(axis=0))[None, :]
    wanted = both / (size + linear.SHRINK)

    found = linear._neighbourhoods(x, y, False).toarray()
    without_own = linear._neighbourhoods(x, y, True).toarray()

    assert np.allclose(found, wanted, atol=1e-6)
    np.fill_diagonal(wanted[:25], 0.0)
    assert np.allclose(without_own, wanted, atol=1e-6)


def test_of_many_neighbours_the_best_are_kept(monkeypatch):
    monkeypatch.setattr(linear, "MOST_NEIGHBOURS", (3, 3))
    random = np.random.default_rng(2)
    x = sp.random(60, 30, 0.3, random_state=random, format="csr", dtype=np.float32)
    everything = linear._neighbourhoods(x, x, True)
    monkeypatch.setattr(linear, "MOST_NEIGHBOURS", (30, 30))
    whole = linear._neighbourhoods(x, x, True).toarray()

    assert (np.diff(everything.indptr) == 3).all()
    for row, kept in zip(whole, everything.toarray(), strict=True):
        assert np.allclose(np.sort(kept)[-3:], np.sort(row)[-3:])
