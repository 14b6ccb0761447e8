"""Which items go together, in closed form: ridge regression from what people touched to what they wanted.

``B = argmin |Y - X B|^2 + ridge |B|^2`` with, where an item could explain itself, a diagonal of zero (EASE, Steck 2019). Two
exact forms exist: the *primal* inverts a matrix of the columns, the *dual* one of the people; the smaller is taken. Beyond
both, each row is a neighbourhood by shrunk cosine. Either way a row of B is a few rows of a thin matrix added up: ``Rows``
keeps it so, which is exact and small, until rows are cut to their largest values for serving.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp
from numpy.typing import NDArray

from plait.models import loops
from plait.models.downdate import Regression
from plait.models.tastes import broad, directions

Floats = NDArray[np.float32]

LARGEST = 8_000  # people or columns that one matrix is inverted for: a quarter of a gigabyte, some ten seconds on two cores
RIDGE = 4.0  # times the mean square of a person's row
# A frequent item says less about those who touched it, an active person less about each item they touched.
FREQUENCY = 0.25
ACTIVITY = 0.25
SHRINK = 10.0  # people; how many must share two items before their cosine is believed half
SPARSE = 0.03  # filled; a product with a sparser matrix is quicker one by one
NEIGHBOURS = 20_000_000  # of all rows together where nothing is inverted: what one part holds in memory
MOST_NEIGHBOURS = (100, 1_000)  # of one row, at least and at most
CHUNK = 256  # rows of B that are made at one time


@dataclass(frozen=True)
class Origin:
    """Where rows come from: the regression, which of its rows they are, and what they and its columns were multiplied by."""

    regression: Regression
    rows: slice
    damped: NDArray[np.float64] | None = None
    items: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Rows:
    """B, not multiplied out: ``left @ right``, or ``left @ core @ right``.

    Attributes:
        left: (entities, thin).
        right: (thin, items), dense or sparse; ``None`` stands for the identity. (wide, items) sparse, columns compressed, where there is a core.
        own: whether the diagonal is zero.
        via: (entities, columns) that ``left`` is a product of, where these rows stand for what others touched.
        origin: the regression that they are from, so that people can be taken out of them again.
        core: (thin, wide). ``core @ right`` would be dense, of all people and all items; it is never made.
    """

    left: sp.csr_matrix
    right: Floats | sp.csr_matrix | None
    own: bool = False
    via: sp.csr_matrix | None = None
    origin: Origin | None = None
    core: Floats | None = None

    def scores(self, x: sp.csr_matrix) -> Floats:
        """``x @ B``, except for what an item says of itself: (people, items)."""
        thin = x.astype(np.float32) @ self.left
        if self.core is not None:
            few = thin.nnz < SPARSE * thin.shape[0] * thin.shape[1]
            wide = np.asarray(thin @ self.core) if few else thin.toarray() @ self.core
            return _times(self.right, np.ascontiguousarray(wide.T))
        if not isinstance(self.right, np.ndarray):
            dense: Floats = (thin if self.right is None else thin @ self.right).toarray()
            return dense
        # Few acts know few others: then most of a dense product would be of zeros.
        few = thin.nnz < SPARSE * thin.shape[0] * thin.shape[1]
        found: Floats = np.asarray(thin @ self.right) if few else thin.toarray() @ self.right
        return found

    def before(self, x: sp.csr_matrix) -> Rows:
        """The rows of ``x @ B``: of those who stand for what others touched."""
        return Rows(
            (x.astype(np.float32) @ self.left).tocsr(), self.right, via=x, origin=self.origin, core=self.core
        )

    @property
    def held(self) -> NDArray[np.intp]:
        """The entities that have a row."""
        return np.flatnonzero(np.diff(self.left.indptr))


class Apart(NamedTuple):
    """What is explained, beside what explains it: ``y = x * scale + rest``, of the items that are columns of ``x``."""

    scale: NDArray[np.float64]
    rest: sp.csr_matrix


def ridge_rows(
    x: sp.csr_matrix,
    y: sp.csr_matrix,
    *,
    own: bool,
    ridge: float = RIDGE,
    also: sp.csr_matrix | None = None,
    broadly: float = 0.0,
    tastes: int = 0,
) -> tuple[Rows, Rows | None]:
    """The weights ``B`` of ``y ~ x @ B``, and those of ``also``.

    Args:
        x: (people, columns) what they touched, by one channel; >= 0 except where they disliked.
        y: (people, items) what they wanted; its items are the first columns of ``x``.
        own: whether what ``x`` tells is in ``y``: then an item must not explain itself, and B's diagonal is zero.
        ridge: times the mean square of a person's row.
        also: (people, others) what explains besides.
        broadly: how much of what ``tastes`` directions foretell is added, where nothing explains besides.
        tastes: see ``tastes.broad``.

    Returns:
        rows of the columns of ``x``, and of those of ``also``. They foretell ``y`` by frequency: an item that n people
        wanted is scaled by n ** -FREQUENCY; ``scale`` gives that back.
    """
    rows, items = x.shape[1], y.shape[1]
    people = np.flatnonzero(np.diff(x.indptr) + (np.diff(also.indptr) if also is not None else 0))
    empty = Rows(sp.csr_matrix((rows, 0), dtype=np.float32), np.zeros((0, items), np.float32), own)
    if not len(people) or not y[people].nnz:
        return empty, None
    x, y = x[people].tocsr(), y[people].tocsr()
    heard = sp.diags(1.0 / _activity(x, y))
    damped = sp.diags(1.0 / frequency(x))
    x_damped = (heard @ x @ damped).tocsr().astype(np.float32)
    y_damped = (heard @ y @ sp.diags(1.0 / frequency(y))).tocsr().astype(np.float32)
    if not is_exact(x):
        return Rows(
            (damped @ _neighbourhoods(x_damped, y_damped, own)).tocsr().astype(np.float32), None, own
        ), None
    square = max(float(x_damped.multiply(x_damped).sum()) / len(people), 1e-9 if x_damped.nnz else 1.0)
    blocks = [x_damped]
    if also is not None:
        blocks.append(also[people].astype(np.float32).tocsr())
    held = np.zeros(items)
    apart = None
    if own:
        rest = (heard @ (y - x[:, :items]) @ sp.diags(1.0 / frequency(y))).tocsr().astype(np.float32)
        rest.eliminate_zeros()
        apart = Apart(frequency(x)[:items] / frequency(y), rest)
    left, core, right = _solved(blocks, y_damped, items if own else 0, ridge * square, held, apart)
    everything = sp.hstack(blocks).tocsr() if len(blocks) > 1 else x_damped
    regression = Regression(people, everything, y_damped, ridge * square, held)
    if broadly and also is None:
        u, squares = directions(x_damped, tastes)
        if core is not None:
            core = np.hstack([core, np.float32(broadly) * (u / squares) @ u.T])
            right = sp.vstack([right, y_damped]).tocsc()
        else:
            begin, told = broad(x_damped, y_damped, left, u, squares)
            for at in range(0, len(right), CHUNK):  # the whole product would be as large as all the rest
                right[at : at + CHUNK] += np.float32(broadly) * begin[at : at + CHUNK] @ told
        regression = replace(regression, broadly=broadly, u=u, squares=squares)
    parts = np.cumsum([0, *(one.shape[1] for one in blocks)])
    mine = left[: parts[1]]
    mine = (damped @ mine).tocsr().astype(np.float32)
    theirs = None
    if also is not None:
        origin = Origin(regression, slice(int(parts[-2]), int(parts[-1])))
        theirs = Rows(left[parts[-2] :].tocsr(), right, origin=origin, core=core)
    origin = Origin(regression, slice(0, rows), damped.diagonal())
    return Rows(mine, right, own, origin=origin, core=core), theirs


def is_exact(x: sp.csr_matrix) -> bool:
    """Whether a regression on these columns is solved exactly: people or columns are few enough for an inversion."""
    if x.shape[0] <= LARGEST or x.shape[1] <= LARGEST:
        return True
    few = np.count_nonzero(np.diff(x.indptr)) <= LARGEST
    return bool(few or len(np.unique(x.indices)) <= LARGEST)


def frequency(x: sp.csr_matrix) -> NDArray[np.float64]:
    """How much each column is damped, (columns,)."""
    counts = np.bincount(x.indices, minlength=x.shape[1]).astype(np.float64)
    damped: NDArray[np.float64] = np.maximum(counts, 1.0) ** FREQUENCY
    return damped


def _activity(x: sp.csr_matrix, y: sp.csr_matrix) -> NDArray[np.float64]:
    """How much each person is damped: by how many things they did, and how strongly they do things on the whole."""
    count = np.maximum(np.diff(x.indptr), 1.0)
    strength = np.asarray(abs(x).sum(axis=1)).ravel() / count
    other = np.asarray(abs(y).sum(axis=1)).ravel() / np.maximum(np.diff(y.indptr), 1.0)
    strength = np.where(strength > 0, strength, np.where(other > 0, other, 1.0))
    damped: NDArray[np.float64] = count**ACTIVITY * strength
    return damped


def _solved(
    blocks: Sequence[sp.csr_matrix],
    y: sp.csr_matrix,
    own: int,
    ridge: float,
    held: NDArray[np.float64],
    apart: Apart | None,
) -> tuple[sp.csr_matrix, Floats | None, Any]:
    """``B`` of the columns of all blocks, as ``Rows`` has it: left, core and right; the first ``own`` of them do not explain themselves.

    What each was held back by is written to ``held``: see ``Regression``.
    """
    everything = sp.hstack(blocks).tocsr() if len(blocks) > 1 else blocks[0]
    used = np.flatnonzero(np.diff(everything.tocsc().indptr))
    people = everything.shape[0]
    if people <= len(used) or len(used) > LARGEST:
        return _dual(everything, y, own, ridge, held)
    place = sp.csr_matrix(
        (np.ones(len(used), np.float32), (used, np.arange(len(used)))), shape=(everything.shape[1], len(used))
    )
    inside = int(np.searchsorted(used, own))
    return place, None, _primal(everything[:, used].tocsr(), y, inside, used, ridge, held, apart)


def inverse(symmetric: Floats) -> Floats:
    """The inverse of a positive definite matrix, by Cholesky; its argument is destroyed."""
    factor, _ = la.lapack.spotrf(symmetric, lower=1, overwrite_a=1)
    found, _ = la.lapack.spotri(factor, lower=1, overwrite_c=1)
    loops.mirror(found)
    result: Floats = found
    return result


def _primal(
    x: sp.csr_matrix,
    y: sp.csr_matrix,
    inside: int,
    used: NDArray[np.intp],
    ridge: float,
    held: NDArray[np.float64] | None = None,
    apart: Apart | None = None,
) -> Floats:
    gram = np.asfortranarray((x.T @ x).toarray(), np.float32)
    gram[np.diag_indices_from(gram)] += ridge
    p = inverse(gram)
    b = _fitted(p, x, y, used[:inside], ridge, apart)
    if inside:
        own = used[:inside]
        excess = b[np.arange(inside), own] / p[np.arange(inside), np.arange(inside)]
        b[:, own] -= p[:, :inside] * excess
        if held is not None:
            held[own] = excess
    return b


def _fitted(
    p: Floats, x: sp.csr_matrix, y: sp.csr_matrix, own: NDArray[np.intp], ridge: float, apart: Apart | None
) -> Floats:
    """``p x'y``, with ``p = (x'x + ridge)^-1``; ``own`` are the items that the first columns of ``x`` are."""
    if apart is None or apart.rest.nnz > y.nnz // 2:
        return np.ascontiguousarray(((x.T @ y).T @ p).T)  # p is symmetric
    # Mostly what explains is what is explained: of that, p x'x is 1 - ridge p, which costs nothing.
    b = np.zeros((x.shape[1], y.shape[1]), np.float32)
    b[:, own] = (-ridge * apart.scale[own]).astype(np.float32) * p[:, : len(own)]
    b[np.arange(len(own)), own] += apart.scale[own].astype(np.float32)
    if apart.rest.nnz:
        b += ((x.T @ apart.rest).T @ p).T
    return b


def _dual(
    x: sp.csr_matrix, y: sp.csr_matrix, own: int, ridge: float, held: NDArray[np.float64] | None = None
) -> tuple[sp.csr_matrix, Floats, sp.csc_matrix]:
    """``B = X' K^-1 (Y + X diag(excess))``, its three factors, with ``K = X X' + ridge``: the same B, by a matrix of the people."""
    gram = np.empty((x.shape[0], x.shape[0]), np.float32)
    back = x.tocsc()
    _each(
        lambda at: loops.squared(
            at, x.indptr, x.indices, x.data, back.indptr, back.indices, back.data, gram[at : at + CHUNK]
        ),
        range(0, len(gram), CHUNK),
    )
    gram[np.diag_indices_from(gram)] += ridge
    k = inverse(gram.T).T  # symmetric; rows contiguous
    if own:
        mine, theirs = x[:, :own].tocsc(), y.tocsc()
        lever, fit = loops.crossed(
            k, mine.indptr, mine.indices, mine.data, theirs.indptr, theirs.indices, theirs.data
        )
        excess = fit / np.maximum(1.0 - lever, 1e-6)
        if held is not None:
            held[:own] = ridge * excess
        y = y + mine @ sp.diags(excess.astype(np.float32))
    return x.T.tocsr(), k, y.tocsc().astype(np.float32)


def _each(make: Callable[[int], None], turns: range) -> None:
    """Do something for each turn, on all cores."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(make, turns))


def _times(right: sp.csc_matrix, wide: Floats) -> Floats:
    """``wide.T @ right``, (rows, items), of ``wide`` (wide, rows)."""
    found = np.empty((wide.shape[1], right.shape[1]), np.float32)
    data = right.data.astype(np.float32, copy=False)
    _each(
        lambda first: loops.times(wide, first, right.indptr, right.indices, data, found),
        range(0, len(found), loops.ABREAST),
    )
    return found


def _neighbourhoods(x: sp.csr_matrix, y: sp.csr_matrix, own: bool) -> sp.csr_matrix:
    squares = np.sqrt(np.asarray(x.multiply(x).sum(axis=0)).ravel()).astype(np.float32)
    wanted = np.sqrt(np.asarray(y.multiply(y).sum(axis=0)).ravel()).astype(np.float32)
    back = x.T.tocsr()
    held = np.flatnonzero(np.diff(back.indptr))
    width = int(max(MOST_NEIGHBOURS[0], min(MOST_NEIGHBOURS[1], NEIGHBOURS // max(1, len(held)))))
    columns, values = np.zeros((len(held), width), np.int32), np.zeros((len(held), width), np.float32)

    def make(at: int) -> None:
        loops.neighbours(
            held[at : at + CHUNK], back.indptr, back.indices, back.data, y.indptr, y.indices, y.data, squares, wanted,
            np.float32(SHRINK), own, columns[at : at + CHUNK], values[at : at + CHUNK],
        )  # fmt: skip

    _each(make, range(0, len(held), CHUNK))
    starts = np.zeros(x.shape[1] + 1, np.int64)
    starts[held + 1] = width
    found = sp.csr_matrix(
        (values.ravel(), columns.ravel(), np.cumsum(starts)), shape=(x.shape[1], y.shape[1])
    )
    found.eliminate_zeros()
    found.sort_indices()
    return found


def cut(
    parts: Sequence[tuple[float, Rows]], scale: NDArray[np.float64], keep: int
) -> tuple[NDArray[np.intp], sp.csr_matrix]:
    """Rows summed up, multiplied out and cut to their largest values.

    Args:
        parts: (weight, rows), all of the same entities.
        scale: (items,) that every column is multiplied by; what is large then is kept.
        keep: values of each row.

    Returns:
        the entities that have a row, and those rows: float32, indices sorted in each.
    """
    dense = [(weight, one) for weight, one in parts if isinstance(one.right, np.ndarray)]
    folded = [(weight, one) for weight, one in parts if one.core is not None]
    loose = [
        (weight, one) for weight, one in parts if one.core is None and not isinstance(one.right, np.ndarray)
    ]
    items = len(scale)
    rows = parts[0][1].left.shape[0]
    thin, beside = _loose(loose, rows, items)
    if not dense and not folded:
        found = largest((thin @ beside @ sp.diags(scale)).tocsr().astype(np.float32), keep)
        held = np.flatnonzero(np.diff(found.indptr))
        return held, found[held]
    sums = _Sums(dense, folded, thin, beside, scale, any(one.own for _, one in parts))
    held = np.flatnonzero(sum(np.diff(one.indptr) for one in [*sums.lefts, thin]))
    width = min(keep, items)
    columns, values = np.zeros((len(held), width), np.int32), np.zeros((len(held), width), np.float32)
    at_hand, by = sums.single(held)
    several = np.flatnonzero(at_hand < 0)
    sums.cut(held[several], columns, values, several)
    # What only one person touched has that person's row: it is worked out once, with one value more than are kept, since an
    # item may not be in its own.
    alone = np.flatnonzero(at_hand >= 0)
    _, first, which = np.unique(at_hand[alone], return_index=True, return_inverse=True)
    shared = np.zeros((len(first), width + 1), np.int32), np.zeros((len(first), width + 1), np.float32)
    sums.cut(held[alone[first]], *shared, np.arange(len(first)), shared=True)
    _each(
        lambda at: loops.shared_rows(
            held, alone[at : at + CHUNK], which[at : at + CHUNK], by, sums.own, *shared, columns, values
        ),
        range(0, len(alone), CHUNK),
    )
    return held, _pressed(columns, values, items)


class _Sums:
    """The weighed sum of parts, a few rows of which are made at one time."""

    def __init__(
        self,
        dense: Sequence[tuple[float, Rows]],
        folded: Sequence[tuple[float, Rows]],
        thin: sp.csr_matrix,
        beside: sp.csr_matrix,
        scale: NDArray[np.float64],
        own: bool,
    ) -> None:
        self.own = own
        by = sp.diags(scale.astype(np.float32))
        self._thin, self._beside, self._scale = thin, (beside @ by).tocsr(), scale.astype(np.float32)
        shape = thin.shape[0], len(scale)
        left, right = (
            _added(dense)
            if dense
            else (sp.csr_matrix((shape[0], 0), dtype=np.float32), np.zeros((0, shape[1]), np.float32))
        )
        self._dense, self._right = left.tocsr().astype(np.float32), right
        self._folded = [
            (one.left.tocsr().astype(np.float32), one.core) for _, one in folded if one.core is not None
        ]
        self._wanted = sp.csc_matrix((0, shape[1]), dtype=np.float32)
        if folded:
            rights = [np.float32(weight) * one.right for weight, one in folded if one.right is not None]
            self._wanted = sp.vstack(rights)
            self._wanted = (self._wanted @ by).tocsc().astype(np.float32)
        self.lefts = [self._dense, *(one for one, _ in self._folded)]

    def single(self, held: NDArray[np.intp]) -> tuple[NDArray[np.int64], Floats]:
        """Of rows that are one row of all that is added up, times a number: which and the number; else -1."""
        lefts = [one for one in self.lefts if one.nnz]
        first = lefts[0] if lefts else self._thin
        left = first if all(_same(one, first) for one in lefts[1:]) else sp.hstack(lefts).tocsr()
        found, by = np.full(len(held), -1), np.ones(len(held), np.float32)
        here = (np.diff(left.indptr)[held] == 1) & (np.diff(self._thin.indptr)[held] == 0)
        at = left.indptr[held[here]]
        found[here], by[here] = left.indices[at], left.data[at]
        return found, by

    def cut(
        self,
        which: NDArray[np.intp],
        columns: NDArray[np.int32],
        values: Floats,
        place: NDArray[np.intp],
        *,
        shared: bool = False,
    ) -> None:
        """The largest values of some rows into some rows of ``columns`` and ``values``.

        ``shared`` rows are those of what one person touched: as if it were touched once, and nobody's own.
        """
        thin, beside, dense, wanted = self._thin, self._beside, self._dense, self._wanted
        wide = sum(core.shape[1] for _, core in self._folded)

        def make(at: int) -> None:
            some = which[at : at + CHUNK]
            told = np.empty((-(-len(some) // loops.ABREAST), wide, loops.ABREAST), np.float32)
            begin = 0
            for left, core in self._folded:
                loops.gathered(some, left.indptr, left.indices, left.data, core, shared, begin, told)
                begin += core.shape[1]
            loops.largest_of_rows(
                some, dense.indptr, dense.indices, dense.data, self._right, told, wanted.indptr, wanted.indices, wanted.data,
                thin.indptr, thin.indices, thin.data, beside.indptr, beside.indices, beside.data,
                self._scale, self.own and not shared, shared, place[at : at + CHUNK], columns, values,
            )  # fmt: skip

        _each(make, range(0, len(which), CHUNK))


def _loose(parts: Sequence[tuple[float, Rows]], rows: int, items: int) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """One product of sparse matrices, (rows, thin) and (thin, items), that is the weighed sum of parts that are not dense."""
    lefts = [np.float32(weight) * one.left for weight, one in parts]
    rights = [sp.eye(items, dtype=np.float32) if one.right is None else one.right for _, one in parts]
    if not parts:
        return sp.csr_matrix((rows, 0), dtype=np.float32), sp.csr_matrix((0, items), dtype=np.float32)
    return sp.hstack(lefts).tocsr().astype(np.float32), sp.vstack(rights).tocsr().astype(np.float32)


def _added(parts: Sequence[tuple[float, Rows]]) -> tuple[sp.csr_matrix, Floats]:
    """One product that is the weighed sum of several; what they have in common is there once."""
    weights = [np.float32(weight) for weight, _ in parts]
    lefts, rights = (
        [one.left for _, one in parts],
        [one.right for _, one in parts if isinstance(one.right, np.ndarray)],
    )
    first = rights[0]
    if all(one is first for one in rights):
        return sum(
            (by * one for by, one in zip(weights[1:], lefts[1:], strict=True)), weights[0] * lefts[0]
        ), first
    if not all(_same(one, lefts[0]) for one in lefts[1:]):
        return sp.hstack([by * one for by, one in zip(weights, lefts, strict=True)]), np.concatenate(rights)
    right = weights[0] * first
    for by, one in zip(weights[1:], rights[1:], strict=True):
        for at in range(0, len(right), CHUNK):
            right[at : at + CHUNK] += by * one[at : at + CHUNK]
    return lefts[0], right


def _same(one: sp.csr_matrix, other: sp.csr_matrix) -> bool:
    """Whether two matrices are written down alike."""
    return one.shape == other.shape and all(
        np.array_equal(getattr(one, part), getattr(other, part)) for part in ("indptr", "indices", "data")
    )


def _pressed(columns: NDArray[np.int32], values: Floats, items: int) -> sp.csr_matrix:
    """Rows of equal width as a sparse matrix without its zeros, indices sorted."""
    starts = np.arange(len(values) + 1, dtype=np.int64) * values.shape[1]
    found = sp.csr_matrix((values.ravel(), columns.ravel(), starts), shape=(len(values), items))
    found.eliminate_zeros()
    found.sort_indices()
    return found


def largest(rows: sp.csr_matrix, keep: int) -> sp.csr_matrix:
    """The ``keep`` largest absolute values of each row, zeros never; indices sorted."""
    rows.eliminate_zeros()
    sizes = np.diff(rows.indptr)
    if (sizes > keep).any():
        row = np.repeat(np.arange(rows.shape[0]), sizes)
        order = np.lexsort((-np.abs(rows.data), row))
        rank = np.arange(len(row)) - np.repeat(rows.indptr[:-1], sizes)
        kept = order[rank < keep]
        rows = sp.csr_matrix((rows.data[kept], (row[kept], rows.indices[kept])), shape=rows.shape)
    rows.sort_indices()
    return rows


def item_item(x: sp.csr_matrix, y: sp.csr_matrix, *, own: bool, keep: int) -> Any:
    """B itself, (columns, items) float32, cut to the ``keep`` largest of each row."""
    rows, _ = ridge_rows(x, y, own=own)
    held, found = cut([(1.0, rows)], frequency(y), keep)
    place = sp.csr_matrix(
        (np.ones(len(held), np.float32), (held, np.arange(len(held)))), shape=(x.shape[1], len(held))
    )
    return (place @ found).tocsr()
