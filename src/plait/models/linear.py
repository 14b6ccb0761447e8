"""Which items go together, in closed form: ridge regression from what people touched to what they wanted.

``B = argmin |Y - X B|^2 + ridge |B|^2`` with, where an item could explain itself, a diagonal of zero (EASE,
Steck 2019). Two exact forms exist: the *primal* inverts a matrix of the columns, the *dual* one of the people; the smaller
is taken. Beyond both, each row is a neighbourhood by shrunk cosine. Rows are cut to their largest values for serving.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp
from numpy.typing import NDArray

Array = NDArray[np.float64]

LARGEST = 8_000  # people or columns that one matrix is inverted for: half a gigabyte, and some ten seconds on two cores
RIDGE = 10.0  # times the mean square of a column
# A frequent item says less about those who touched it, an active person less about each item they touched.
FREQUENCY = 0.25
ACTIVITY = 0.25
SHRINK = 10.0  # people; how many must share two items before their cosine is believed half
CHUNK = 1_024  # rows of B that are dense at one time


def item_item(x: sp.csr_matrix, y: sp.csr_matrix, *, own: bool, keep: int) -> sp.csr_matrix:
    """The weights ``B`` of ``y ~ x @ B``.

    Args:
        x: (people, columns) what they touched, by one channel; >= 0 except where they disliked.
        y: (people, items) what they wanted; its items are the first columns of ``x``.
        own: whether what ``x`` tells is in ``y``: then an item must not explain itself, and B's diagonal is zero.
        keep: the largest absolute values that are kept of each row.

    Returns:
        (columns, items) float32, indices sorted in each row.
    """
    shape = (x.shape[1], y.shape[1])
    people = np.flatnonzero(np.diff(x.indptr))
    x, y = x[people], y[people]
    columns = np.flatnonzero(np.diff(x.tocsc().indptr))
    items = np.flatnonzero(np.diff(y.tocsc().indptr))
    if not len(columns) or not len(items):
        return sp.csr_matrix(shape, dtype=np.float32)
    x, y = x[:, columns].tocsr(), y[:, items].tocsr()
    heard = 1.0 / np.maximum(np.diff(x.indptr), 1.0) ** (ACTIVITY)
    damped = _frequency(x), _frequency(y)
    x = (sp.diags(heard) @ x @ sp.diags(1 / damped[0])).tocsr()
    y = (sp.diags(heard) @ y @ sp.diags(1 / damped[1])).tocsr()
    # Position in ``y`` of each column of ``x``, -1 when it is no item that anybody wanted.
    self_of = np.full(len(columns), -1)
    where = np.searchsorted(items, columns)
    inside = where < len(items)
    inside[inside] = items[where[inside]] == columns[inside]
    self_of[inside] = where[inside]
    if min(x.shape) > LARGEST:
        rows = _neighbourhoods(x, y, self_of, own, keep)
    elif x.shape[0] <= x.shape[1]:
        rows = _dual(x, y, self_of, own, keep)
    else:
        rows = _primal(x, y, self_of, own, keep)
    b = (sp.diags(1 / damped[0]) @ rows @ sp.diags(damped[1])).tocoo()
    found = sp.csr_matrix(
        (b.data.astype(np.float32), (columns[b.row], items[b.col])), shape=shape, dtype=np.float32
    )
    found.sort_indices()
    return found


def _frequency(x: sp.csr_matrix) -> Array:
    counts = np.bincount(x.indices, minlength=x.shape[1]).astype(np.float64)
    return np.maximum(counts, 1.0) ** FREQUENCY


def _ridge(x: sp.csr_matrix) -> float:
    return float(RIDGE * x.multiply(x).sum() / x.shape[1])


def _inverse(symmetric: Array) -> Array:
    """The inverse of a positive definite matrix, by Cholesky; its argument is destroyed."""
    factor, _ = la.lapack.dpotrf(symmetric, lower=1, overwrite_a=1)
    inverse, _ = la.lapack.dpotri(factor, lower=1, overwrite_c=1)
    lower = np.tril(inverse)
    result: Array = lower + np.tril(lower, -1).T
    return result


def _primal(
    x: sp.csr_matrix, y: sp.csr_matrix, self_of: NDArray[np.intp], own: bool, keep: int
) -> sp.csr_matrix:
    gram = np.asfortranarray((x.T @ x).toarray())
    gram[np.diag_indices_from(gram)] += _ridge(x)
    p = _inverse(gram)
    xy = (x.T @ y).tocsc()
    b: Array = (xy.T @ p).T  # p is symmetric
    if own:
        inside = np.flatnonzero(self_of >= 0)
        excess = b[inside, self_of[inside]] / p[inside, inside]
        b[:, self_of[inside]] -= p[:, inside] * excess
        b[inside, self_of[inside]] = 0.0
    return sp.vstack([_largest(b[at : at + CHUNK], keep) for at in range(0, len(b), CHUNK)]).tocsr()


def _dual(
    x: sp.csr_matrix, y: sp.csr_matrix, self_of: NDArray[np.intp], own: bool, keep: int
) -> sp.csr_matrix:
    """``B = X' K^-1 (Y + X diag(excess))`` with ``K = X X' + ridge``: the same B, by a matrix of the people."""
    ridge = _ridge(x)
    gram = np.asfortranarray((x @ x.T).toarray())
    gram[np.diag_indices_from(gram)] += ridge
    k = _inverse(gram)
    inside = np.flatnonzero(self_of >= 0) if own else np.zeros(0, np.intp)
    wanted = y.tocsc()
    if len(inside):
        mine = x.tocsc()[:, inside]
        kx: Array = (mine.T @ k).T
        lever = np.asarray(mine.multiply(kx).sum(axis=0)).ravel()  # x_j' K^-1 x_j < 1
        ky: Array = (wanted[:, self_of[inside]].T @ k).T
        fit = np.asarray(mine.multiply(ky).sum(axis=0)).ravel()  # the diagonal without the constraint
        excess = fit / np.maximum(1.0 - lever, 1e-9)
        place = sp.csc_matrix(
            (np.ones(len(inside)), (np.arange(len(inside)), self_of[inside])),
            shape=(len(inside), y.shape[1]),
        )
        wanted = (wanted + mine @ sp.diags(excess) @ place).tocsc()
    a: Array = (wanted.T @ k).T
    back = x.T.tocsr()
    parts = []
    for at in range(0, back.shape[0], CHUNK):
        b = np.asarray(back[at : at + CHUNK] @ a)
        if own:
            here = np.flatnonzero(self_of[at : at + CHUNK] >= 0)
            b[here, self_of[at : at + CHUNK][here]] = 0.0
        parts.append(_largest(b, keep))
    return sp.vstack(parts).tocsr()


def _neighbourhoods(
    x: sp.csr_matrix, y: sp.csr_matrix, self_of: NDArray[np.intp], own: bool, keep: int
) -> sp.csr_matrix:
    squares = np.sqrt(np.asarray(x.multiply(x).sum(axis=0)).ravel())
    wanted = np.sqrt(np.asarray(y.multiply(y).sum(axis=0)).ravel())
    back = x.T.tocsr()
    parts = []
    for at in range(0, back.shape[0], CHUNK):
        both = (back[at : at + CHUNK] @ y).tocoo()
        row, col = both.row, both.col
        value = both.data / (squares[at + row] * wanted[col] + SHRINK)
        if own:
            other = self_of[at + row] != col
            row, col, value = row[other], col[other], value[other]
        parts.append(_largest_sparse(sp.csr_matrix((value, (row, col)), shape=both.shape), keep))
    return sp.vstack(parts).tocsr()


def _largest(dense: Array, keep: int) -> sp.csr_matrix:
    """The ``keep`` largest absolute values of each row, zeros never."""
    rows, items = dense.shape
    if keep < items:
        at = np.argpartition(-np.abs(dense), keep - 1, axis=1)[:, :keep]
        values = np.take_along_axis(dense, at, axis=1)
    else:
        at = np.broadcast_to(np.arange(items), dense.shape)
        values = dense
    found = sp.csr_matrix(
        (values.ravel(), at.ravel(), np.arange(rows + 1) * values.shape[1]), shape=dense.shape
    )
    found.data[np.abs(found.data) < 1e-9] = 0.0
    found.eliminate_zeros()
    return found


def _largest_sparse(rows: sp.csr_matrix, keep: int) -> sp.csr_matrix:
    sizes = np.diff(rows.indptr)
    if (sizes <= keep).all():
        return rows
    row = np.repeat(np.arange(rows.shape[0]), sizes)
    order = np.lexsort((-np.abs(rows.data), row))
    rank = np.arange(len(row)) - np.repeat(rows.indptr[:-1], sizes)
    kept = order[rank < keep]
    return sp.csr_matrix((rows.data[kept], (row[kept], rows.indices[kept])), shape=rows.shape)
