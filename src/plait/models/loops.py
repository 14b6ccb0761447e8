"""The hot loops of a fit, compiled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plait.compiled import compiled

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]

ABREAST = 16  # rows of a product that are made at one time
EQUAL = 1e-6  # of the largest: rows are of single precision
SAMPLED = 8  # one in so many numbers tells about where their largest begin


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
def crossed(
    k: NDArray[np.float32],
    x_indptr: Ints,
    x_people: Ints,
    x_data: NDArray[np.float32],
    y_indptr: Ints,
    y_people: Ints,
    y_data: NDArray[np.float32],
) -> tuple[Floats, Floats]:
    """``x_j' k x_j`` and ``x_j' k y_j`` of each column j: what is asked of a product without making it.

    ``k`` (people, people) is symmetric; x and y are columns compressed, as many of each.
    """
    lever, fit = np.zeros(len(x_indptr) - 1), np.zeros(len(x_indptr) - 1)
    for j in range(len(lever)):
        for p in range(x_indptr[j], x_indptr[j + 1]):
            row, mine, other = k[x_people[p]], 0.0, 0.0
            for q in range(x_indptr[j], x_indptr[j + 1]):
                mine += row[x_people[q]] * x_data[q]
            for q in range(y_indptr[j], y_indptr[j + 1]):
                other += row[y_people[q]] * y_data[q]
            lever[j] += x_data[p] * mine
            fit[j] += x_data[p] * other
    return lever, fit


@compiled
def times(
    k: NDArray[np.float32],
    first: int,
    indptr: Ints,
    people: Ints,
    data: NDArray[np.float32],
    found: NDArray[np.float32],
) -> None:
    """Rows ``first`` to ``first + ABREAST`` of ``k @ y`` into ``found``, k symmetric, y (people, items) with columns compressed."""
    many = min(ABREAST, len(k) - first)
    total = np.empty(ABREAST, np.float32)
    for j in range(len(indptr) - 1):
        total[:] = 0.0
        if many == ABREAST:  # told apart, so that its loop has a known length
            for p in range(indptr[j], indptr[j + 1]):
                row, by = k[people[p], first : first + ABREAST], data[p]
                for i in range(ABREAST):
                    total[i] += row[i] * by
        else:
            for p in range(indptr[j], indptr[j + 1]):
                for i in range(many):
                    total[i] += k[people[p], first + i] * data[p]
        for i in range(many):
            found[first + i, j] = total[i]


@compiled
def _near(size: NDArray[np.float32], width: int, near: Ints) -> int:
    """Where the ``width`` largest of some numbers >= 0 stand, and some that are smaller: into ``near``, in order; how many.

    A few of the numbers tell well enough below which one need not look; when they mislead, all are looked at.
    """
    some = size[::SAMPLED].copy()
    rank = int(1.3 * width / SAMPLED) + 4
    least = np.float32(0.0)
    if rank < len(some):
        least = np.partition(some, len(some) - rank)[len(some) - rank]
    filled = 0
    for j in range(len(size)):
        near[filled] = j
        filled += size[j] >= least
    if filled < width:
        filled = len(size)
        near[:filled] = np.arange(filled)
    return filled


@compiled
def _largest(
    row: NDArray[np.float32],
    size: NDArray[np.float32],
    near: Ints,
    columns: Ints,
    values: NDArray[np.float32],
) -> int:
    """The largest absolute values of ``row`` into ``columns`` and ``values``, how many; ``size`` and ``near`` are room.

    Zeros are none of them, and of equals at the edge the first are kept.
    """
    width = len(columns)
    for j in range(len(row)):
        size[j] = abs(row[j])
    many = _near(size[: len(row)], width, near)
    edge = np.float32(0.0)
    if many > width:
        edge = np.partition(size[near[:many]], many - width)[many - width]
    above = 0
    for k in range(many):
        above += size[near[k]] > edge
    left = width - above  # of those at the edge
    filled = 0
    for k in range(many):
        j = near[k]
        if size[j] < edge or size[j] == 0.0:
            continue
        if size[j] == edge:
            left -= 1
            if left < 0:
                continue
        columns[filled], values[filled] = j, row[j]
        filled += 1
        if filled == width:
            break
    return filled


@compiled
def largest_of_rows(
    which: NDArray[np.int64],
    indptr: Ints,
    indices: Ints,
    data: NDArray[np.float32],
    right: NDArray[np.float32],
    thin_indptr: Ints,
    thin_indices: Ints,
    thin_data: NDArray[np.float32],
    beside_indptr: Ints,
    beside_indices: Ints,
    beside_data: NDArray[np.float32],
    scale: NDArray[np.float32],
    own: bool,
    columns: Ints,
    values: NDArray[np.float32],
) -> None:
    """The largest absolute values of some rows of ``(left @ right + thin @ beside) * scale``, without writing those rows down.

    ``columns`` and ``values`` (rows, width) are filled, zeros where there is no more. Of equals at the edge the lower columns are
    kept. With ``own`` row r has nothing at column r. Rows that are one row of ``right`` and follow each other are worked out
    once: most things have been touched by a single person.
    """
    items, width = right.shape[1], columns.shape[1]
    row = np.empty(items, np.float32)
    size, near = np.empty(items, np.float32), np.empty(items + 1, np.int32)
    last = -1
    last_columns, last_values = np.empty(width + 1, np.int32), np.empty(width + 1, np.float32)
    for k in range(len(which)):
        at, end = indptr[which[k]], indptr[which[k] + 1]
        one = end - at == 1 and thin_indptr[which[k]] == thin_indptr[which[k] + 1]
        if one and indices[at] != last:
            last = indices[at]
            for j in range(items):
                row[j] = right[last, j] * scale[j]
            last_columns[:] = 0
            last_values[:] = 0.0
            _largest(row, size, near, last_columns, last_values)
        if one:
            _without(which[k] if own else -1, data[at], last_columns, last_values, columns[k], values[k])
            continue
        row[:] = 0.0
        for p in range(at, end):
            by, source = data[p], right[indices[p]]
            for j in range(items):
                row[j] += by * source[j]
        for p in range(thin_indptr[which[k]], thin_indptr[which[k] + 1]):
            by, source = thin_data[p], thin_indices[p]
            for q in range(beside_indptr[source], beside_indptr[source + 1]):
                row[beside_indices[q]] += by * beside_data[q]
        if own and which[k] < items:
            row[which[k]] = 0.0
        for j in range(items):
            row[j] *= scale[j]
        _largest(row, size, near, columns[k], values[k])


@compiled
def _without(
    own: int,
    by: np.float32,
    last_columns: Ints,
    last_values: NDArray[np.float32],
    columns: Ints,
    values: NDArray[np.float32],
) -> None:
    """One value fewer: not the one at ``own``, or else the smallest, of equals the highest column."""
    width, gone = len(columns), -1
    for j in range(width + 1):
        if last_columns[j] == own and last_values[j] != 0.0:
            gone = j
    if gone < 0:
        gone = width
        for j in range(width, -1, -1):
            if abs(last_values[j]) < abs(last_values[gone]):
                gone = j
    filled = 0
    for j in range(width + 1):
        if j != gone:
            columns[filled], values[filled] = last_columns[j], by * last_values[j]
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
    items = len(wanted_squares)
    both = np.zeros(items, np.float32)
    touched, row = np.empty(items, np.int32), np.empty(items, np.float32)
    size, near = np.empty(items, np.float32), np.empty(items + 1, np.int32)
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
        for j in range(count):
            item = touched[j]
            if own and item == column:
                both[item] = 0.0
            both[item] /= squares[column] * wanted_squares[item] + shrink
            row[j] = both[item] if abs(both[item]) > 1e-20 else 0.0
        filled = _largest(row[:count], size, near, columns[k], values[k])
        for j in range(filled):
            columns[k, j] = touched[columns[k, j]]
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
    """The DCG of each question over its ``top`` best; of equals what was wanted comes last: no luck.

    Equal is what differs by less than ``EQUAL`` of the largest score: what nothing tells apart would be ranked by rounding.
    """
    found = np.zeros(len(starts) - 1)
    for question in range(len(found)):
        most = 0.0
        for k in range(starts[question], starts[question + 1]):
            most = max(most, abs(scores[k]))
        for k in range(starts[question], starts[question + 1]):
            if truth[k] <= 0.0:
                continue
            rank = 0
            for other in range(starts[question], starts[question + 1]):
                beyond = scores[other] - scores[k]
                equal = abs(beyond) <= EQUAL * most and other != k
                if beyond > EQUAL * most or (equal and (truth[other] <= 0.0 or other < k)):
                    rank += 1
                    if rank >= top:
                        break
            if rank < top:
                found[question] += 1.0 / np.log2(rank + 2.0)
    return found
