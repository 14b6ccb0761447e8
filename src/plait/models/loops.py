"""The hot loops of a fit, compiled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plait.compiled import compiled

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]


@compiled
def mirror(square: NDArray[np.float32]) -> None:
    """Copy the lower triangle of a square matrix above its diagonal, in blocks that stay in the cache."""
    n = len(square)
    for top in range(0, n, 64):
        for left in range(0, top + 1, 64):
            for row in range(top, min(top + 64, n)):
                for col in range(left, min(left + 64, row)):
                    square[col, row] = square[row, col]


@compiled
def _edge(size: NDArray[np.float32], width: int) -> float:
    """The ``width``-th largest of some numbers >= 0; 0 when there are no more.

    Numbers >= 0 are in the order of their bits: counting by the highest of those leaves few to look at closely.
    """
    if width >= len(size):
        return 0.0
    bits = size.view(np.uint32)
    counts = np.zeros(8192, np.int64)
    for j in range(len(bits)):
        counts[bits[j] >> np.uint32(19)] += 1
    digit, left = 8191, width
    while counts[digit] < left:
        left -= counts[digit]
        digit -= 1
    close = np.empty(counts[digit], np.float32)
    filled = 0
    for j in range(len(bits)):
        if bits[j] >> np.uint32(19) == np.uint32(digit):
            close[filled] = size[j]
            filled += 1
    return float(np.partition(close, filled - left)[filled - left])


@compiled
def largest_of_rows(
    which: NDArray[np.int64],
    indptr: Ints,
    indices: Ints,
    data: NDArray[np.float32],
    right: NDArray[np.float32],
    extra_indptr: Ints,
    extra_indices: Ints,
    extra_data: NDArray[np.float32],
    scale: NDArray[np.float32],
    own: bool,
    columns: Ints,
    values: NDArray[np.float32],
) -> None:
    """The largest absolute values of some rows of ``(left @ right + extra) * scale``, without writing those rows down.

    ``columns`` and ``values`` (rows, width) are filled, zeros where there is no more. Of equals at the edge the lower columns are
    kept. With ``own`` row r has nothing at column r.
    """
    items, width = right.shape[1], columns.shape[1]
    row = np.empty(items, np.float32)
    size = np.empty(items, np.float32)
    for k in range(len(which)):
        row[:] = 0.0
        for p in range(indptr[which[k]], indptr[which[k] + 1]):
            by, source = data[p], right[indices[p]]
            for j in range(items):
                row[j] += by * source[j]
        for p in range(extra_indptr[which[k]], extra_indptr[which[k] + 1]):
            row[extra_indices[p]] += extra_data[p]
        if own and which[k] < items:
            row[which[k]] = 0.0
        for j in range(items):
            row[j] *= scale[j]
            size[j] = abs(row[j])
        edge = _edge(size, width)
        filled = 0
        for j in range(items):
            if size[j] > edge and size[j] > 0.0:
                columns[k, filled], values[k, filled] = j, row[j]
                filled += 1
        for j in range(items):
            if filled == width or edge == 0.0:
                break
            if size[j] == edge:
                columns[k, filled], values[k, filled] = j, row[j]
                filled += 1


@compiled
def neighbours(
    which: NDArray[np.int64],
    indptr: Ints,
    people: Ints,
    data: NDArray[np.float32],
    wanted_indptr: Ints,
    wanted: Ints,
    wanted_data: NDArray[np.float32],
    squares: NDArray[np.float32],
    wanted_squares: NDArray[np.float32],
    shrink: np.float32,
    own: bool,
    columns: Ints,
    values: NDArray[np.float32],
) -> None:
    """The items nearest to some columns by shrunk cosine, ``columns`` and ``values`` (columns, width) are filled.

    ``indptr, people, data`` are who touched a column, ``wanted_...`` what people wanted. Zeros stand where there is no more.
    """
    items, width = len(wanted_squares), columns.shape[1]
    both = np.zeros(items, np.float32)
    touched = np.empty(items, np.int32)
    for k in range(len(which)):
        column, count = which[k], 0
        for p in range(indptr[column], indptr[column + 1]):
            by = data[p]
            for q in range(wanted_indptr[people[p]], wanted_indptr[people[p] + 1]):
                item = wanted[q]
                if both[item] == 0.0:
                    touched[count] = item
                    count += 1
                both[item] += by * wanted_data[q]
                if both[item] == 0.0:  # what cancels out exactly is still touched, and once
                    both[item] = np.float32(1e-30)
        size = np.empty(count, np.float32)
        for j in range(count):
            item = touched[j]
            if own and item == column:
                both[item] = 0.0
            both[item] /= squares[column] * wanted_squares[item] + shrink
            size[j] = abs(both[item])
        edge = _edge(size, width)
        filled = 0
        for least in (
            True,
            False,
        ):  # first what is above the edge, then of what is on it as many as there is room for
            for j in range(count):
                item = touched[j]
                if filled < width and size[j] > 1e-20 and (size[j] > edge if least else size[j] == edge):
                    columns[k, filled], values[k, filled] = item, both[item]
                    filled += 1
        for j in range(count):
            both[touched[j]] = 0.0


@compiled
def add_products(
    first: int,
    last: int,
    indptr: NDArray[np.int64],
    columns: Ints,
    entity: NDArray[np.int64],
    left: NDArray[np.float32],
    across: NDArray[np.float32],
    values: NDArray[np.float32],
) -> None:
    """Add ``left[entity of the row] . across[column]`` to each value of some rows of a sparse matrix, in place."""
    thin = left.shape[1]
    for row in range(first, last):
        mine = left[entity[row]]
        for place in range(indptr[row], indptr[row + 1]):
            theirs = across[columns[place]]
            total = np.float32(0.0)
            for k in range(thin):
                total += mine[k] * theirs[k]
            values[place] += total


@compiled
def gains(scores: Floats, truth: Floats, starts: NDArray[np.int64], top: int) -> Floats:
    """The DCG of each question over its ``top`` best; of equals what was wanted comes last: no luck."""
    found = np.zeros(len(starts) - 1)
    for question in range(len(found)):
        for k in range(starts[question], starts[question + 1]):
            if truth[k] <= 0.0:
                continue
            rank = 0
            for other in range(starts[question], starts[question + 1]):
                above = scores[other] > scores[k]
                equal = scores[other] == scores[k] and other != k
                if above or (equal and (truth[other] <= 0.0 or other < k)):
                    rank += 1
                    if rank >= top:
                        break
            if rank < top:
                found[question] += 1.0 / np.log2(rank + 2.0)
    return found
