"""The hot loops of a fit, compiled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plait.compiled import compiled

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]

ABREAST = 16  # rows of a product that are made at one time
EQUAL = 1e-6  # of the largest: rows are of single precision
SAMPLED = 16  # one in so many numbers tells about where their largest begin


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
def squared(
    first: int,
    indptr: Ints,
    columns: Ints,
    data: NDArray[np.float32],
    back_indptr: Ints,
    back_people: Ints,
    back_data: NDArray[np.float32],
    found: NDArray[np.float32],
) -> None:
    """Rows ``first`` and on of ``x @ x.T`` into ``found``; x is told twice, rows compressed and columns compressed."""
    for i in range(len(found)):
        found[i] = 0.0
        for p in range(indptr[first + i], indptr[first + i + 1]):
            column, by = columns[p], data[p]
            for q in range(back_indptr[column], back_indptr[column + 1]):
                found[i, back_people[q]] += by * back_data[q]


@compiled
def _abreast(
    wide: NDArray[np.float32],
    indptr: Ints,
    people: Ints,
    data: NDArray[np.float32],
    found: NDArray[np.float32],
) -> None:
    """``wide.T @ right`` into ``found``, of ``wide`` (wide, ABREAST); right (wide, items) has its columns compressed."""
    total = np.empty(ABREAST, np.float32)
    for j in range(len(indptr) - 1):
        total[:] = 0.0
        first, end = indptr[j], indptr[j + 1]
        if (end - first) % 2:
            row, by = wide[people[first]], data[first]
            for i in range(ABREAST):
                total[i] = row[i] * by
            first += 1
        for p in range(first, end, 2):  # by twos: each step waits for the one before
            row, by, next_row, next_by = wide[people[p]], data[p], wide[people[p + 1]], data[p + 1]
            for i in range(ABREAST):
                total[i] += row[i] * by + next_row[i] * next_by
        for i in range(len(found)):
            found[i, j] = total[i]


@compiled
def times(
    wide: NDArray[np.float32],
    first: int,
    indptr: Ints,
    people: Ints,
    data: NDArray[np.float32],
    found: NDArray[np.float32],
) -> None:
    """Rows ``first`` to ``first + ABREAST`` of ``wide.T @ right`` into ``found``, right (wide, items) with columns compressed."""
    many = min(ABREAST, wide.shape[1] - first)
    some = np.zeros((len(wide), ABREAST), np.float32)
    some[:, :many] = wide[:, first : first + many]
    _abreast(some, indptr, people, data, found[first : first + many])


@compiled
def gathered(
    which: NDArray[np.int64],
    indptr: Ints,
    indices: Ints,
    data: NDArray[np.float32],
    core: NDArray[np.float32],
    shared: bool,
    begin: int,
    told: NDArray[np.float32],
) -> None:
    """Some rows of ``left @ core`` into ``told`` (blocks, wide, ABREAST), from ``begin`` on: ABREAST rows lie side by side.

    Where they are ``shared``, a row of ``left`` tells only which row of the core is meant.
    """
    row = np.empty(core.shape[1], np.float32)
    for k in range(len(told) * ABREAST):
        row[:] = 0.0
        if k < len(which):
            for p in range(indptr[which[k]], indptr[which[k] + 1]):
                by, source = np.float32(1.0) if shared else data[p], core[indices[p]]
                for j in range(len(row)):
                    row[j] += by * source[j]
        block = told[k // ABREAST]
        for j in range(len(row)):
            block[begin + j, k % ABREAST] = row[j]


@compiled
def _near(row: NDArray[np.float32], width: int, near: Ints) -> int:
    """Where the ``width`` largest absolute values of a row stand, and some that are smaller: into ``near``, in order; how many.

    A few of them tell well enough below which one need not look; when they mislead, all are looked at.
    """
    some = np.abs(row[::SAMPLED])
    rank = int(1.3 * width / SAMPLED) + 4
    least = np.float32(0.0)
    if rank < len(some):
        least = np.partition(some, len(some) - rank)[len(some) - rank]
    filled = 0
    for j in range(len(row)):
        near[filled] = j
        filled += abs(row[j]) >= least
    if filled < width:
        filled = len(row)
        near[:filled] = np.arange(filled)
    return filled


@compiled
def _largest(row: NDArray[np.float32], near: Ints, columns: Ints, values: NDArray[np.float32]) -> int:
    """The largest absolute values of ``row`` into ``columns`` and ``values``, how many; ``near`` is room.

    Zeros are none of them, and of equals at the edge the first are kept.
    """
    width = len(columns)
    many = _near(row, width, near)
    edge = np.float32(0.0)
    if many > width:
        edge = np.partition(np.abs(row[near[:many]]), many - width)[many - width]
    above = 0
    for k in range(many):
        above += abs(row[near[k]]) > edge
    left = width - above  # of those at the edge
    filled = 0
    for k in range(many):
        j = near[k]
        size = abs(row[j])
        if size < edge or size == 0.0:
            continue
        if size == edge:
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
    told: NDArray[np.float32],
    wanted_indptr: Ints,
    wanted_people: Ints,
    wanted_data: NDArray[np.float32],
    thin_indptr: Ints,
    thin_indices: Ints,
    thin_data: NDArray[np.float32],
    beside_indptr: Ints,
    beside_indices: Ints,
    beside_data: NDArray[np.float32],
    scale: NDArray[np.float32],
    own: bool,
    shared: bool,
    place: NDArray[np.int64],
    columns: Ints,
    values: NDArray[np.float32],
) -> None:
    """The largest absolute values of some rows of ``left @ right * scale + told @ wanted + thin @ beside``, without writing those rows down.

    Rows ``place`` of ``columns`` and ``values`` are filled, zeros where there is no more. Of equals at the edge the lower columns are
    kept. With ``own`` row r has nothing at column r. ``told`` is of ``gathered``, and may be of no width; ``shared`` is as there.
    """
    items = len(scale)
    rows = np.empty((ABREAST if told.shape[1] else 1, items), np.float32)
    near = np.empty(items + 1, np.int32)
    for k in range(len(which)):
        row = rows[k % len(rows)]
        if len(rows) == 1:
            row[:] = 0.0
        elif k % ABREAST == 0:
            _abreast(told[k // ABREAST], wanted_indptr, wanted_people, wanted_data, rows)
        for p in range(indptr[which[k]], indptr[which[k] + 1]):
            by, source = np.float32(1.0) if shared else data[p], right[indices[p]]
            for j in range(items):
                row[j] += by * source[j] * scale[j]
        for p in range(thin_indptr[which[k]], thin_indptr[which[k] + 1]):
            by, source = thin_data[p], thin_indices[p]
            for q in range(beside_indptr[source], beside_indptr[source + 1]):
                row[beside_indices[q]] += by * beside_data[q]
        if own and which[k] < items:
            row[which[k]] = 0.0
        _largest(row, near, columns[place[k]], values[place[k]])


@compiled
def shared_rows(
    held: NDArray[np.int64],
    place: NDArray[np.int64],
    which: NDArray[np.int64],
    by: NDArray[np.float32],
    own: bool,
    shared_columns: Ints,
    shared_values: NDArray[np.float32],
    columns: Ints,
    values: NDArray[np.float32],
) -> None:
    """Rows ``place`` of ``columns`` and ``values``, entities ``held[place]``: each ``by`` times a shared row, without what is its own."""
    for k in range(len(place)):
        at = place[k]
        _without(
            held[at] if own else -1, by[at], shared_columns[which[k]], shared_values[which[k]], columns[at], values[at]
        )  # fmt: skip


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
    near = np.empty(items + 1, np.int32)
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
        filled = _largest(row[:count], near, columns[k], values[k])
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
