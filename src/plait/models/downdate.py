"""Taking people out of a regression that they were part of, without doing it again.

``B = argmin |Y - X B|^2 + ridge |B|^2`` with a diagonal of zero where an item would explain itself (EASE). Removing rows of ``X`` and ``Y``
changes the inverse by a matrix of their number (Sherman, Morrison and Woodbury), and B with it, so it takes some passes over B instead of an inversion.
What people weigh and the ridge stay what they were: the next fit refreshes those.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp
from numpy.typing import NDArray

Array = NDArray[np.float64]

BLOCK = 32  # columns; of some thousand rows they fit into the cache


@dataclass(frozen=True)
class Workings:
    """A regression with what is needed to take people out of it again.

    Attributes:
        x: (people, columns) what they touched, damped as it was fitted.
        y: (people, items) what they wanted, likewise.
        own: how many of the first columns are the first items: those do not explain themselves.
        ridge: > 0.
        inverse: of ``X'X + ridge`` (columns, columns), or, when there are fewer people, of ``XX' + ridge`` (people, people).
        right: ``B`` (columns, items), or what ``X'`` makes B of (people, items).
        excess: (own,) by how much each item's own row is held back.
        dual: whether the matrix is one of people.
    """

    x: sp.csr_matrix
    y: sp.csr_matrix
    own: int
    ridge: float
    inverse: Array
    right: Array
    excess: Array
    dual: bool

    def rows(self, some: NDArray[np.intp] | None = None) -> Array:
        """Rows of B, all by default: (columns, items), the diagonal zero."""
        some = np.arange(self.x.shape[1]) if some is None else some
        found: Array = self.x.T.tocsr()[some] @ self.right if self.dual else self.right[some].copy()
        own = np.flatnonzero(some < self.own)
        found[own, some[own]] = 0.0
        return found


def solved(x: sp.csr_matrix, y: sp.csr_matrix, *, own: int, ridge: float) -> Workings:
    """Fit a regression; the arguments are those of ``Workings``."""
    x, y = x.tocsr(), y.tocsr()
    dual = x.shape[0] < x.shape[1]
    gram = np.asfortranarray((x @ x.T if dual else x.T @ x).toarray(), np.float64)
    gram[np.diag_indices_from(gram)] += ridge
    inverse = _inverse(gram)
    if dual:
        right = _times(inverse, y)
        across = right[:, :own] if _same(x, y, own) else _times(inverse, x[:, :own].tocsr())
        excess = _excess(x, across, right, own)
        right[:, :own] += across * excess
    else:
        right = np.asfortranarray(_times(inverse, (x.T @ y).tocsr()))
        excess = np.diag(right)[:own] / np.diag(inverse)[:own]
        right[:, :own] -= inverse[:, :own] * excess
    return Workings(x, y, own, ridge, inverse, right, excess, dual)


def without(workings: Workings, people: NDArray[np.intp]) -> Workings:
    """The same regression as if some people had never been in it.

    Args:
        workings: are used up: their arrays are changed in place.
        people: rows of ``x``, each once.

    Returns:
        Workings of the others, in their order. B equals that of ``solved`` on their rows to rounding, about 1e-10 of its
        largest value for one person out of thousands.
    """
    stay = np.ones(workings.x.shape[0], np.bool_)
    stay[people] = False
    if workings.dual:
        return _without_dual(workings, people, np.flatnonzero(stay))
    x, y, own = workings.x[people], workings.y[people], workings.own
    inverse, right, held = workings.inverse, workings.right, workings.excess
    moved = _times(inverse, x.T.tocsr())  # (columns, people)
    core = np.eye(len(people)) - x @ moved
    if (
        np.linalg.eigvalsh(core)[0] < 1e-6
    ):  # hardly anybody else touched a column: what is left of it is noise
        return solved(workings.x[stay], workings.y[stay], own=own, ridge=workings.ridge)
    told = x @ right - y.toarray()
    told[:, :own] += moved[:own].T * held  # by B without the hold on its diagonal, which moves with everybody
    missed, more = np.linalg.solve(core, told), np.linalg.solve(core, moved.T)
    diagonal = np.arange(own)
    here = inverse[diagonal, diagonal] + np.einsum("ij,ji->i", moved[:own], more[:, :own])
    plain = right[diagonal, diagonal] + inverse[diagonal, diagonal] * held
    excess = (plain + np.einsum("ij,ji->i", moved[:own], missed[:, :own])) / here
    # A few columns at a time, which stay in the cache for all that is done to them.
    for at in range(0, max(inverse.shape[1], right.shape[1]), BLOCK):
        some = slice(at, min(at + BLOCK, own))
        if at < own:
            right[:, some] += inverse[:, some] * held[some]
        if at < right.shape[1]:
            right[:, at : at + BLOCK] += moved @ missed[:, at : at + BLOCK]
        if at < inverse.shape[1]:
            inverse[:, at : at + BLOCK] += moved @ more[:, at : at + BLOCK]
        if at < own:
            right[:, some] -= inverse[:, some] * excess[some]
    return replace(
        workings, x=workings.x[stay], y=workings.y[stay], inverse=inverse, right=right, excess=excess
    )


def _without_dual(workings: Workings, people: NDArray[np.intp], stay: NDArray[np.intp]) -> Workings:
    inverse, own = workings.inverse, workings.own
    lost = np.linalg.solve(
        inverse[np.ix_(people, people)], np.hstack([inverse[np.ix_(people, stay)], workings.right[people]])
    )
    across = inverse[np.ix_(stay, people)]
    inverse = inverse[np.ix_(stay, stay)] - across @ lost[:, : len(stay)]
    right = workings.right[stay] - across @ lost[:, len(stay) :]
    x, y = workings.x[stay].tocsr(), workings.y[stay].tocsr()
    if own:
        same = _same(x, y, own)
        beside = right[:, :own] / (1.0 + workings.excess) if same else _times(inverse, x[:, :own].tocsr())
        plain = right[:, :own] - beside * workings.excess
        excess = _excess(x, beside, plain, own)
        right[:, :own] += beside * (excess - workings.excess)
    else:
        excess = workings.excess
    return replace(workings, x=x, y=y, inverse=inverse, right=right, excess=excess)


def _excess(x: sp.csr_matrix, across: Array, plain: Array, own: int) -> Array:
    """What each item's own row is held back by: ``across`` is ``K^-1 X``, ``plain`` is ``K^-1 Y``."""
    mine = x[:, :own].tocsc()
    columns = np.repeat(np.arange(own), np.diff(mine.indptr))
    lever = np.bincount(columns, weights=mine.data * across[mine.indices, columns], minlength=own)
    fit = np.bincount(columns, weights=mine.data * plain[mine.indices, columns], minlength=own)
    found: Array = fit / np.maximum(1.0 - lever, 1e-9)
    return found


def _same(x: sp.csr_matrix, y: sp.csr_matrix, own: int) -> bool:
    """Whether what explains is what is explained."""
    return bool(own == y.shape[1] and abs(x[:, :own] - y).nnz == 0)


def _times(symmetric: Array, sparse: sp.csr_matrix) -> Array:
    found: Array = np.asfortranarray((sparse.T @ symmetric).T)
    return found


def _inverse(symmetric: Array) -> Array:
    """The inverse of a positive definite matrix, by Cholesky; its argument is destroyed."""
    factor, _ = la.lapack.dpotrf(symmetric, lower=1, overwrite_a=1)
    inverse, _ = la.lapack.dpotri(factor, lower=1, overwrite_c=1)
    lower = np.tril(inverse)
    result: Array = np.asfortranarray(lower + np.tril(lower, -1).T)
    return result
