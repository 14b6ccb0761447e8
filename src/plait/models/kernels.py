"""The hot loops of an answer, compiled: add up scores, pick the best, say what each came from.

Items are rows of the catalog here. ``indptr, columns, values`` are the model's item-item rows in compressed form, columns
sorted within a row and in the model's own numbering; ``to_row`` turns those into catalog rows, -1 where an item is gone.
Everything runs without the interpreter's lock and touches what it must only: at 100,000 items most are never looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])
Ints = NDArray[np.int32]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def _compiled(function: F) -> F:
    # The compiled code is kept on disk (beside this file, else in the user's cache, else where NUMBA_CACHE_DIR says),
    # so only the first start after an installation pays for the compiler.
    try:
        compiled: Any = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # there is no place that may be written: every start pays
        compiled = numba.njit(nogil=True)(function)
    return cast("F", compiled)


@_compiled
def add_neighbours(
    rows: NDArray[np.int64],
    weights: Floats,
    indptr: NDArray[np.int64],
    columns: Ints,
    values: NDArray[np.float32],
    to_row: Ints,
    scores: Floats,
    seen: Mask,
    touched: Ints,
    count: int,
) -> int:
    """Add ``weights[k] * B[rows[k]]`` to ``scores``, and note the catalog rows that were met for the first time.

    ``rows`` are rows of B, -1 is passed over; ``scores`` and ``seen`` are (catalog rows,) and changed in place;
    the first ``count`` of ``touched`` are the rows seen so far. Returns the new count.
    """
    for k in range(len(rows)):
        if rows[k] < 0 or weights[k] == 0.0:
            continue
        for p in range(indptr[rows[k]], indptr[rows[k] + 1]):
            row = to_row[columns[p]]
            if row < 0:
                continue
            if not seen[row]:
                seen[row] = True
                touched[count] = row
                count += 1
            scores[row] += weights[k] * values[p]
    return count


@_compiled
def add_points(rows: Ints, weights: Floats, scores: Floats, seen: Mask, touched: Ints, count: int) -> int:
    """Add ``weights[k]`` to the item ``rows[k]`` itself; as ``add_neighbours``."""
    for k in range(len(rows)):
        row = rows[k]
        if row < 0:
            continue
        if not seen[row]:
            seen[row] = True
            touched[count] = row
            count += 1
        scores[row] += weights[k]
    return count


@_compiled
def add_topics(
    liking: Floats,
    start: NDArray[np.int64],
    length: Ints,
    pool: Ints,
    scores: Floats,
    touched: Ints,
    count: int,
) -> None:
    """Add to every touched item what its topics are liked; an item of many topics speaks of each less.

    ``liking`` is (topics,), gates and rarity included; item ``r`` has the topics
    ``pool[start[r] : start[r] + length[r]]``.
    """
    for k in range(count):
        row = touched[k]
        if row >= len(length) or length[row] <= 0:
            continue
        total = 0.0
        for p in range(start[row], start[row] + length[row]):
            total += liking[pool[p]]
        scores[row] += total / np.sqrt(length[row])


@_compiled
def best(
    n: int,
    scores: Floats,
    seen: Mask,
    touched: Ints,
    count: int,
    base: NDArray[np.float32],
    base_gate: float,
    order: Ints,
    allowed: Mask,
    used: Mask,
) -> tuple[Ints, Floats]:
    """The best ``n`` items that are allowed and not used, best first; of equals the lower row first.

    Items that nothing touched have only their ``base``; they are looked at in its order, until none can win.

    ``scores`` are those of touched items without their base; ``base`` is popularity and ``base_gate`` > 0 what it
    counts; ``order`` holds all rows, largest base first, lower rows first among equals. Returns rows and their
    scores, base included: fewer than ``n`` when there are no more.
    """
    rows = np.empty(n, np.int32)
    found = np.empty(n, np.float64)
    size = 0
    for k in range(count + len(order)):
        row = touched[k] if k < count else order[k - count]
        score = base_gate * base[row]
        if k < count:
            score += scores[row]
        if size == n and (score < found[n - 1] or (score == found[n - 1] and row > rows[n - 1])):
            if k < count:
                continue
            break  # all that follow in this order have less, or as much and a higher row
        if not allowed[row] or used[row] or (k >= count and seen[row]):
            continue
        place = size if size < n else n - 1
        size = min(size + 1, n)
        while place > 0 and (
            found[place - 1] < score or (found[place - 1] == score and rows[place - 1] > row)
        ):
            found[place] = found[place - 1]
            rows[place] = rows[place - 1]
            place -= 1
        found[place] = score
        rows[place] = row
    return rows[:size].copy(), found[:size].copy()


@_compiled
def forget(touched: Ints, count: int, scores: Floats, seen: Mask) -> None:
    """Make the touched rows of ``scores`` and ``seen`` clean again, for the next question."""
    for k in range(count):
        scores[touched[k]] = 0.0
        seen[touched[k]] = False


@_compiled
def shares_of_neighbours(
    items: Ints,
    rows: NDArray[np.int64],
    weights: Floats,
    entry: Ints,
    indptr: NDArray[np.int64],
    columns: Ints,
    values: NDArray[np.float32],
    from_row: Ints,
    told: Floats,
) -> None:
    """Add to ``told[i, entry[k]]`` what ``weights[k] * B[rows[k]]`` gave to ``items[i]``."""
    for i in range(len(items)):
        column = from_row[items[i]]
        if column < 0:
            continue
        for k in range(len(rows)):
            if rows[k] < 0:
                continue
            low, high = indptr[rows[k]], indptr[rows[k] + 1]
            while low < high:
                middle = (low + high) // 2
                if columns[middle] < column:
                    low = middle + 1
                else:
                    high = middle
            if low < indptr[rows[k] + 1] and columns[low] == column:
                told[i, entry[k]] += weights[k] * values[low]


@_compiled
def shares_of_points(items: Ints, rows: Ints, weights: Floats, entry: Ints, told: Floats) -> None:
    """Add to ``told[i, entry[k]]`` what ``add_points`` gave to ``items[i]``."""
    for i in range(len(items)):
        for k in range(len(rows)):
            if rows[k] == items[i]:
                told[i, entry[k]] += weights[k]


@_compiled
def shares_of_topics(
    items: Ints,
    topics: Ints,
    weights: Floats,
    entry: Ints,
    start: NDArray[np.int64],
    length: Ints,
    pool: Ints,
    told: Floats,
) -> None:
    """Add to ``told[i, entry[k]]`` what liking ``topics[k]`` by ``weights[k]`` gave to ``items[i]``."""
    for i in range(len(items)):
        row = items[i]
        if row >= len(length) or length[row] <= 0:
            continue
        root = np.sqrt(length[row])
        for p in range(start[row], start[row] + length[row]):
            for k in range(len(topics)):
                if topics[k] == pool[p]:
                    told[i, entry[k]] += weights[k] / root


def warm() -> None:
    """Compile everything, or load it from the cache, so that no visitor waits for it."""
    none, rows = np.zeros(1, np.int64), np.zeros(1, np.int32)
    one, values = np.zeros(1), np.zeros(1, np.float32)
    ptr, flag = np.zeros(2, np.int64), np.zeros(1, np.bool_)
    told = np.zeros((1, 1))
    add_neighbours(none, one, ptr, rows, values, rows, one, flag, rows, 0)
    add_points(rows, one, one, flag, rows, 0)
    add_topics(one, none, rows, rows, one, rows, 0)
    best(1, one, flag, rows, 0, values, 1.0, rows, ~flag, flag)
    forget(rows, 0, one, flag)
    shares_of_neighbours(rows, none, one, rows, ptr, rows, values, rows, told)
    shares_of_points(rows, rows, one, rows, told)
    shares_of_topics(rows, rows, one, rows, none, rows, rows, told)
