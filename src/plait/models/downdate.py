"""Taking people out of a regression that they were part of, without doing it again.

``B = P (X'Y - diag(held))`` with ``P = (X'X + ridge)^-1``, where ``held`` keeps an item from explaining itself. When rows ``U`` leave
X and rows ``V`` leave Y, P changes by a matrix of their number (Sherman, Morrison and Woodbury), and so does B:

    B' = B + M (1 - U M)^-1 (U B - V)    with    M = P U'

M is found by conjugate gradients on X as it lies there, so no inverse is kept: what a regression needs to forget is its own rows.
What people and items weigh, the ridge, and how far each item is held back stay what they were: the next fit refreshes those.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Array = NDArray[np.float64]

EXACT = 1e-9  # of what is asked for; conjugate gradients go on until no more than this is left
PASSES = 2_000  # at most


@dataclass(frozen=True)
class Regression:
    """What a regression was fitted on, as it was fitted.

    Attributes:
        person: (people,) whose rows these are, ascending.
        x: (people, columns) what they touched, damped.
        y: (people, items) what they wanted, likewise; items are the first columns.
        ridge: > 0.
        held: (items,) what each item was held back by on B's diagonal; zeros where an item may explain itself.
        broadly: how much of what people have in common at large was added to B,
        u, squares: by these directions of people, (people, directions), and the squares of their values.
    """

    person: NDArray[np.int64]
    x: sp.csr_matrix
    y: sp.csr_matrix
    ridge: float
    held: Array
    broadly: float = 0.0
    u: NDArray[np.float32] | None = None
    squares: NDArray[np.float32] | None = None

    def without(self, people: NDArray[np.int64]) -> Regression:
        """The same one, with the rows of some people gone."""
        stay = ~np.isin(self.person, people)
        u = None if self.u is None else self.u[stay]
        return replace(self, person=self.person[stay], x=self.x[stay], y=self.y[stay], u=u)


def change(regression: Regression, people: NDArray[np.int64]) -> tuple[Array, Array]:
    """What B changes by when some people leave: ``left @ right``, (columns, thin) and (thin, items).

    Args:
        regression: that they are part of.
        people: who leaves; of those who are not part of it nothing is to be done.
    """
    gone = np.isin(regression.person, people)
    x, y = regression.x.astype(np.float64), regression.y.astype(np.float64)
    u, v = x[gone], y[gone]
    items = y.shape[1]
    if not gone.any():
        return np.zeros((x.shape[1], 0)), np.zeros((0, items))
    moved = solved(x, regression.ridge, u.T.toarray())
    core = np.eye(u.shape[0]) - u @ moved
    told = (y.T @ (x @ moved)).T - moved[:items].T * regression.held  # U B
    left, right = np.linalg.solve(core.T, moved.T).T, told - v.toarray()
    if regression.u is None or regression.squares is None or not regression.broadly:
        return left, right
    # What is broad is W T, both sums over people: theirs leave each.
    theirs, by = regression.u[gone].astype(np.float64), regression.squares.astype(np.float64)
    others = regression.u[~gone].astype(np.float64)
    wide = x.T @ regression.u.astype(np.float64)
    left_over = ((y[~gone].T @ others) / by).T
    lefts = [left, -regression.broadly * u.T.toarray(), -regression.broadly * wide @ (theirs / by).T]
    return np.hstack(lefts), np.vstack([right, theirs @ left_over, v.toarray()])


def solved(x: sp.csr_matrix, ridge: float, wanted: Array) -> Array:
    """``(x'x + ridge)^-1 wanted``, by conjugate gradients, all columns at once.

    Args:
        x: (people, columns).
        ridge: > 0.
        wanted: (columns, several).
    """
    back = x.T.tocsr()
    # Columns that many touched would be slow to come right: each is measured by its own size.
    size = 1.0 / np.sqrt(np.asarray(x.multiply(x).sum(axis=0)).ravel() + ridge)[:, None]
    left = size * wanted
    found, towards = np.zeros_like(left), left.copy()
    now = (left * left).sum(axis=0)
    enough = EXACT**2 * np.maximum(now, 1e-300)
    for _ in range(PASSES):
        if (now <= enough).all():
            break
        spread = size * towards
        ahead = size * (back @ (x @ spread) + ridge * spread)
        step = now / np.maximum((towards * ahead).sum(axis=0), 1e-300)
        found += step * towards
        left -= step * ahead
        before, now = now, (left * left).sum(axis=0)
        towards = left + now / np.maximum(before, 1e-300) * towards
    result: Array = size * found
    return result
