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
def spread(
    numbers: Ints,
    weights: Floats,
    topic_weights: Floats,
    labels: Ints,
    spans: Ints,
    what: Ints,
    share: Floats,
) -> tuple[Ints, Floats, Ints, int, int]:
    """What sayings say together, each by its weight: rows of B first, then points, then topics.

    Saying ``s`` stands in ``what`` and ``share``: its rows from ``spans[s, 0]``, points from ``spans[s, 1]``, topics from
    ``spans[s, 2]`` up to ``spans[s, 3]``. What weighs nothing is left out.

    Returns:
        what, weight and label of each, and where the points and the topics begin.
    """
    room = 0
    for k in range(len(numbers)):
        room += spans[numbers[k], 3] - spans[numbers[k], 0]
    told, weight, label = np.empty(room, np.int32), np.empty(room, np.float64), np.empty(room, np.int32)
    ends = np.zeros(3, np.int64)
    count = 0
    for part in range(3):
        for k in range(len(numbers)):
            by = weights[k] if part < 2 else topic_weights[k]
            if by == 0.0:
                continue
            for at in range(spans[numbers[k], part], spans[numbers[k], part + 1]):
                told[count], weight[count], label[count] = what[at], by * share[at], labels[k]
                count += 1
        ends[part] = count
    return told[:count], weight[:count], label[:count], ends[0], ends[1]


@_compiled
def liked(topics: Ints, weights: Floats, liking: Floats, most: int) -> Ints:
    """Sum ``weights`` up by topic in ``liking`` (topics,), which is zero before; ``score`` makes it zero again.

    Returns:
        the codes of the ``most`` liked, best first; of equals the lower first.
    """
    for k in range(len(topics)):
        liking[topics[k]] += weights[k]
    codes = np.empty(most, np.int32)
    size = 0
    for k in range(len(topics)):
        code = topics[k]
        value = liking[code]
        known = value == 0.0
        for other in range(size):
            known = known or codes[other] == code
        if known:
            continue
        place = size if size < most else most
        while place > 0 and (
            liking[codes[place - 1]] < value
            or (liking[codes[place - 1]] == value and codes[place - 1] > code)
        ):
            if place < most:
                codes[place] = codes[place - 1]
            place -= 1
        if place < most:
            codes[place] = code
            size = min(size + 1, most)
    return codes[:size]


@_compiled
def score(
    rows: Ints,
    row_weights: Floats,
    points: Ints,
    point_weights: Floats,
    more: Ints,
    indptr: NDArray[np.int64],
    columns: Ints,
    values: NDArray[np.float32],
    to_row: Ints,
    topics: Ints,
    liking: Floats,
    pool: Ints,
    facts: Ints,
    bases: NDArray[np.float32],
    base_gate: float,
    touched: Ints,
    total: Floats,
) -> int:
    """Score all that the acts touch: neighbours, what was touched itself, and ``more`` that is to be looked at.

    ``row_weights[k] * B[rows[k]]`` is added up, ``point_weights[k]`` for the item ``points[k]`` itself, and for every
    item met what its topics are liked (``liking``, gates and rarity included; an item of many topics speaks of each
    less) and its popularity. Rows of -1 are passed over.

    Looking all over a large catalog is what takes the time, so what is asked of an item stands in one line of
    ``facts``, (catalog rows, 4): its topics ``r`` are ``pool[facts[r, 0] : facts[r, 0] + facts[r, 1]]``, its
    popularity is ``bases[r, 2]`` (``bases`` is the same memory read as floats), and ``facts[r, 3]`` is -1, or k once it
    was met as the k-th: then it stands in ``touched[k]``, its score in ``total[k]``. Returns how many were met.
    """
    count = 0
    for k in range(len(rows)):
        if rows[k] < 0:
            continue
        for p in range(indptr[rows[k]], indptr[rows[k] + 1]):
            row = to_row[columns[p]]
            if row < 0:
                continue
            at = facts[row, 3]
            if at < 0:
                at = facts[row, 3] = count
                touched[count], total[count] = row, 0.0
                count += 1
            total[at] += row_weights[k] * values[p]
    for k in range(len(points) + len(more)):
        row = points[k] if k < len(points) else more[k - len(points)]
        if row < 0:
            continue
        at = facts[row, 3]
        if at < 0:
            at = facts[row, 3] = count
            touched[count], total[count] = row, 0.0
            count += 1
        if k < len(points):
            total[at] += point_weights[k]
    for k in range(count):
        row = touched[k]
        value = base_gate * bases[row, 2]
        length = facts[row, 1]
        if len(topics) and length > 0:
            said = 0.0
            for p in range(facts[row, 0], facts[row, 0] + length):
                said += liking[pool[p]]
            value += said / np.sqrt(length)
        total[k] += value
    for k in range(len(topics)):
        liking[topics[k]] = 0.0
    return count


@_compiled
def best(
    n: int,
    touched: Ints,
    total: Floats,
    count: int,
    facts: Ints,
    bases: NDArray[np.float32],
    base_gate: float,
    order: Ints,
    allowed: Mask,
    used: Mask,
) -> tuple[Ints, Floats]:
    """The best ``n`` items that are allowed and not used, best first; of equals the lower row first.

    Items that nothing touched have only their ``base``; they are looked at in its order, until none can win.

    ``touched``, ``total``, ``count`` and ``facts`` are as ``score`` left them; ``base_gate`` > 0 is what popularity
    counts; ``order`` holds all rows, largest base first, lower rows first among equals.
    Returns rows and their scores: fewer than ``n`` when there are no more.
    """
    rows = np.empty(n, np.int32)
    found = np.empty(n, np.float64)
    size = 0
    for k in range(count + len(order)):
        row = touched[k] if k < count else order[k - count]
        score = total[k] if k < count else base_gate * bases[row, 2]
        if size == n and (score < found[n - 1] or (score == found[n - 1] and row > rows[n - 1])):
            if k < count:
                continue
            break  # all that follow in this order have less, or as much and a higher row
        if not allowed[row] or used[row] or (k >= count and facts[row, 3] >= 0):
            continue
        at = size if size < n else n - 1
        size = min(size + 1, n)
        while at > 0 and (found[at - 1] < score or (found[at - 1] == score and rows[at - 1] > row)):
            found[at] = found[at - 1]
            rows[at] = rows[at - 1]
            at -= 1
        found[at] = score
        rows[at] = row
    return rows[:size], found[:size]


@_compiled
def forget(touched: Ints, count: int, facts: Ints) -> None:
    """Make ``facts`` clean again, for the next question."""
    for k in range(count):
        facts[touched[k], 3] = -1


@_compiled
def shares_of_neighbours(
    items: Ints,
    rows: Ints,
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
    """Add to ``told[i, entry[k]]`` what touching it gave to ``items[i]``."""
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


@_compiled
def reasons(told: Floats, most: int) -> tuple[Ints, Floats, Floats, Ints, Floats]:
    """The contributions of each item, the largest first; of more than ``most`` the smallest are summed up as one.

    Args:
        told: (items, labels); contributions of 0 are no reasons.
        most: reasons of one item.

    Returns:
        For all items one after the other: the label (-1 for the sum of the rest), the contribution, and its share of
        all absolute contributions; for each item: where its reasons end, and the score.
    """
    items, labels = told.shape
    room = min(most, labels)
    label = np.empty(items * room, np.int32)
    value, share = np.empty(items * room, np.float64), np.empty(items * room, np.float64)
    ends, scores = np.empty(items, np.int32), np.empty(items, np.float64)
    count = 0
    for i in range(items):
        number, score = 0, 0.0
        for k in range(labels):
            score += told[i, k]
            number += told[i, k] != 0.0
        kept = number if number <= most else most - 1
        begin, rest, all_of_it = count, score, 0.0
        for k in range(labels):
            one = told[i, k]
            if one == 0.0:
                continue
            at = count
            if count - begin == kept:
                if abs(value[count - 1]) >= abs(one):
                    continue
                at = count - 1
            else:
                count += 1
            while at > begin and abs(value[at - 1]) < abs(one):
                value[at], label[at] = value[at - 1], label[at - 1]
                at -= 1
            value[at], label[at] = one, k
        for at in range(begin, count):
            rest -= value[at]
        if number > kept and rest != 0.0:
            at = count
            count += 1
            while at > begin and abs(value[at - 1]) <= abs(rest):
                value[at], label[at] = value[at - 1], label[at - 1]
                at -= 1
            value[at], label[at] = rest, -1
        for at in range(begin, count):
            all_of_it += abs(value[at])
        for at in range(begin, count):
            share[at] = value[at] / all_of_it
        ends[i], scores[i] = count, score
    return label[:count], value[:count], share[:count], ends, scores


def warm() -> None:
    """Compile everything, or load it from the cache, so that no visitor waits for it."""
    rows, spans = np.zeros(1, np.int32), np.zeros((1, 4), np.int32)
    one, values = np.zeros(1), np.zeros(1, np.float32)
    ptr, flag = np.zeros(2, np.int64), np.zeros(1, np.bool_)
    told = np.zeros((1, 1))
    spread(rows, one, one, rows, spans, rows, one)
    liked(rows, one, one, 1)
    score(
        rows, one, rows, one, rows, ptr, rows, values, rows, rows, one, rows, spans, spans.view(np.float32), 1.0,
        rows, one,
    )  # fmt: skip
    best(1, rows, one, 0, spans, spans.view(np.float32), 1.0, rows, ~flag, flag)
    forget(rows, 0, spans)
    shares_of_neighbours(rows, rows, one, rows, ptr, rows, values, rows, told)
    shares_of_points(rows, rows, one, rows, told)
    shares_of_topics(rows, rows, one, rows, ptr, rows, rows, told)
    reasons(told, 1)
