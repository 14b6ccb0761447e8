"""Lists of numbers that grow, side by side in one piece of memory: eight bytes a number with its weight.

A row lies in a block of the pool that has room for a power of two; a row that outgrows its block moves to a larger
one, and the old block waits for the next row of its size. Rows are sorted by number, so a tie is found by halving.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plait.compiled import compiled

Ints = NDArray[np.int32]
Floats = NDArray[np.float32]
Longs = NDArray[np.int64]

_SIZES = 32  # powers of two


class Rows:
    """Rows of (number, weight). Numbers of a row are sorted and unlike.

    Attributes:
        size: numbers in all rows.
    """

    def __init__(self) -> None:
        self._start, self._length, self._block = (
            np.zeros(64, np.int64),
            np.zeros(64, np.int32),
            np.full(64, -1, np.int8),
        )
        self._ids, self._weights = np.zeros(1 << 10, np.int32), np.zeros(1 << 10, np.float32)
        self._free = np.full(
            _SIZES, -1, np.int64
        )  # of each size the first block that waits; its place holds the next
        self._end = np.zeros(1, np.int64)  # of what was ever taken
        self.size = 0

    @property
    def arrays(self) -> tuple[Longs, Ints, Ints, Floats]:
        """Where rows begin, how long they are, and their numbers and weights."""
        return self._start, self._length, self._ids, self._weights

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return sum(
            one.nbytes
            for one in (self._start, self._length, self._block, self._ids, self._weights, self._free)
        )

    def room(self, rows: int) -> None:
        """Let there be so many rows; new ones are empty."""
        if rows > len(self._start):
            more = max(rows - len(self._start), len(self._start) // 4)
            self._start = np.concatenate([self._start, np.zeros(more, np.int64)])
            self._length = np.concatenate([self._length, np.zeros(more, np.int32)])
            self._block = np.concatenate([self._block, np.full(more, -1, np.int8)])

    def row(self, row: int) -> tuple[Ints, Floats]:
        """The numbers and weights of a row; a copy."""
        begin = int(self._start[row])
        end = begin + int(self._length[row])
        return self._ids[begin:end].copy(), self._weights[begin:end].copy()

    def value(self, row: int, number: int) -> float:
        """The weight of a number in a row, 0 when it is not in it."""
        ids, weights = self.row(row)
        at = int(np.searchsorted(ids, number))
        return float(weights[at]) if at < len(ids) and ids[at] == number else 0.0

    def put(self, row: int, ids: Ints, weights: Floats) -> None:
        """Set a row; ``ids`` sorted and unlike."""
        self.size += len(ids) - int(self._length[row])
        self._reserve(1 << max(2, len(ids) - 1).bit_length())
        _put(
            self._start,
            self._length,
            self._block,
            self._ids,
            self._weights,
            self._free,
            self._end,
            row,
            ids,
            weights,
        )

    def add(self, rows: Ints, ids: Ints, weights: Floats) -> None:
        """Set many numbers, one after the other; of one that is there the weight is set."""
        done = 0
        while done < len(rows):
            done, grown = _add(
                self._start, self._length, self._block, self._ids, self._weights, self._free, self._end,
                rows, ids, weights, done,
            )  # fmt: skip
            self.size += grown
            if done < len(rows):
                self._reserve(2 << max(2, int(self._length[rows[done]])).bit_length())

    def remove(self, rows: Ints, number: int) -> None:
        """Take a number out of some rows, where it is in them."""
        self.size -= _remove(self._start, self._length, self._ids, self._weights, rows, number)

    def _reserve(self, room: int) -> None:
        """Let the pool have room for a block of this size, whatever waits."""
        lacks = int(self._end[0]) + room - len(self._ids)
        if lacks > 0:
            more = max(
                lacks, len(self._ids) // 8
            )  # a little at a time: the old and the new are there at once
            self._ids = np.concatenate([self._ids, np.zeros(more, np.int32)])
            self._weights = np.concatenate([self._weights, np.zeros(more, np.float32)])


@compiled
def _take(free: Longs, end: Longs, ids: Ints, block: int) -> int:
    """A block of ``1 << block`` places: one that waits, or new; -1 when the pool is too small."""
    begin: int = free[block]
    if begin >= 0:
        # The next one's place stands in two halves, for places do not fit into 32 bits.
        free[block] = (np.int64(ids[begin]) << 32) | (np.int64(ids[begin + 1]) & 0xFFFFFFFF)
        return begin
    begin = end[0]
    if begin + (1 << block) > len(ids):
        return -1
    end[0] = begin + (1 << block)
    return begin


@compiled
def _give(free: Longs, ids: Ints, begin: int, block: int) -> None:
    ids[begin], ids[begin + 1] = np.int32(free[block] >> 32), np.int32(free[block] & 0xFFFFFFFF)
    free[block] = begin


@compiled
def _put(
    start: Longs, length: Ints, block: NDArray[np.int8], ids: Ints, weights: Floats, free: Longs, end: Longs,
    row: int, numbers: Ints, values: Floats,
) -> None:  # fmt: skip
    wanted = 1
    while (1 << wanted) < len(numbers):
        wanted += 1
    if len(numbers) == 0:
        wanted = -1
    if wanted != block[row]:
        if block[row] >= 0:
            _give(free, ids, start[row], block[row])
        if wanted >= 0:
            start[row] = _take(free, end, ids, wanted)
        block[row] = wanted
    begin = start[row]
    for k in range(len(numbers)):
        ids[begin + k], weights[begin + k] = numbers[k], values[k]
    length[row] = len(numbers)


@compiled
def _add(
    start: Longs, length: Ints, block: NDArray[np.int8], ids: Ints, weights: Floats, free: Longs, end: Longs,
    rows: Ints, numbers: Ints, values: Floats, done: int,
) -> tuple[int, int]:  # fmt: skip
    """Add from ``done`` on, until the pool is too small; how far it came, and how many were new."""
    grown = 0
    for k in range(done, len(rows)):
        row, number = rows[k], numbers[k]
        begin, size = start[row], length[row]
        low, high = 0, size
        while low < high:
            middle = (low + high) >> 1
            if ids[begin + middle] < number:
                low = middle + 1
            else:
                high = middle
        if low < size and ids[begin + low] == number:
            weights[begin + low] = values[k]
            continue
        if block[row] < 0 or size == (1 << block[row]):
            larger = 1 if block[row] < 0 else block[row] + 1
            fresh = _take(free, end, ids, larger)
            if fresh < 0:
                return k, grown
            for p in range(size):
                ids[fresh + p], weights[fresh + p] = ids[begin + p], weights[begin + p]
            if block[row] >= 0:
                _give(free, ids, begin, block[row])
            start[row], block[row], begin = fresh, larger, fresh
        for p in range(size, low, -1):
            ids[begin + p], weights[begin + p] = ids[begin + p - 1], weights[begin + p - 1]
        ids[begin + low], weights[begin + low] = number, values[k]
        length[row] = size + 1
        grown += 1
    return len(rows), grown


@compiled
def _remove(start: Longs, length: Ints, ids: Ints, weights: Floats, rows: Ints, number: int) -> int:
    """Take a number out of rows; out of how many it was taken."""
    taken = 0
    for k in range(len(rows)):
        begin, size = start[rows[k]], length[rows[k]]
        low, high = 0, size
        while low < high:
            middle = (low + high) >> 1
            if ids[begin + middle] < number:
                low = middle + 1
            else:
                high = middle
        if low == size or ids[begin + low] != number:
            continue
        for p in range(low, size - 1):
            ids[begin + p], weights[begin + p] = ids[begin + p + 1], weights[begin + p + 1]
        length[rows[k]] = size - 1
        taken += 1
    return taken


@compiled
def look_up(
    table: NDArray[np.uint64], places: Ints, keys: NDArray[np.uint64], nodes: int, add: bool
) -> tuple[Ints, int]:
    """The node of each key, -1 where there is none; how many nodes there are then.

    Given:
        table, places: keys and their nodes, -1 where there is none; as large as a power of two, at most half full.
        add: whether keys that are not there become nodes.
    """
    mask = len(table) - 1
    found = np.empty(len(keys), np.int32)
    for k in range(len(keys)):
        at = np.int64(keys[k] & np.uint64(mask))
        while places[at] >= 0 and table[at] != keys[k]:
            at = (at + 1) & mask
        if places[at] < 0 and add:
            table[at], places[at] = keys[k], nodes
            nodes += 1
        found[k] = places[at]
    return found, nodes


@compiled
def move(table: NDArray[np.uint64], places: Ints, larger: NDArray[np.uint64], room: Ints) -> None:
    """Copy a table into a larger one, which is empty."""
    mask = len(larger) - 1
    for k in range(len(table)):
        if places[k] >= 0:
            at = np.int64(table[k] & np.uint64(mask))
            while room[at] >= 0:
                at = (at + 1) & mask
            larger[at], room[at] = table[k], places[k]


@compiled
def shared(
    start: Longs,
    length: Ints,
    ids: Ints,
    weights: Floats,
    people: Ints,
    by: Floats,
    sums: Floats,
    count: Ints,
) -> tuple[Ints, Floats, Ints]:
    """The sum of rows, each times its weight.

    Given:
        start, length, ids, weights: of ``Rows``.
        people, by: rows and what each counts; unlike.
        sums, count: zero for every number, before and after.

    Returns:
        numbers as they were met, their sums, and in how many rows each is.
    """
    room = 0
    for k in range(len(people)):
        room += length[people[k]]
    found = np.empty(room, np.int32)
    met = 0
    for k in range(len(people)):
        begin = start[people[k]]
        for at in range(begin, begin + length[people[k]]):
            number = ids[at]
            if count[number] == 0:
                found[met] = number
                met += 1
            count[number] += 1
            sums[number] += by[k] * weights[at]
    total, rows = np.empty(met, np.float32), np.empty(met, np.int32)
    for k in range(met):
        total[k], rows[k] = sums[found[k]], count[found[k]]
        sums[found[k]], count[found[k]] = 0.0, 0
    return found[:met], total, rows


@compiled
def latest(
    start: Longs, length: Ints, ids: Ints, when: Floats, rows: Ints, since: Floats, newest: Floats, met: Ints
) -> tuple[Ints, Floats]:
    """The newest moment that each number of rows rests on: its own in a row, or the row's.

    Given:
        start, length, ids, when: of ``Rows`` whose weights are moments.
        rows, since: rows and the moment of each.
        newest, met: zero for every number, before and after.

    Returns:
        numbers as they were met, and the newest moment of each.
    """
    room = 0
    for k in range(len(rows)):
        room += length[rows[k]]
    found, many = np.empty(room, np.int32), 0
    for k in range(len(rows)):
        begin = start[rows[k]]
        for at in range(begin, begin + length[rows[k]]):
            number = ids[at]
            if met[number] == 0:
                met[number] = 1
                found[many] = number
                many += 1
            newest[number] = max(newest[number], since[k], when[at])
    moments = np.empty(many, np.float32)
    for k in range(many):
        moments[k] = newest[found[k]]
        newest[found[k]], met[found[k]] = 0.0, 0
    return found[:many], moments


@compiled
def two_steps(
    start: Longs,
    length: Ints,
    ids: Ints,
    weights: Floats,
    somebody: Ints,
    followed: Ints,
    strength: Floats,
    most: int,
    sums: Floats,
    marks: Ints,
) -> tuple[Ints, Floats]:
    """Whom the followed are tied to, without themselves and who asks; and the sum of strength times strength.

    Of a row that is longer than its part of ``most`` steps, places at equal distances are looked at and count for the rest.

    Given:
        sums, marks: zero for every node, before and after.
    """
    for k in range(len(followed)):
        marks[followed[k]] = 1
    for k in range(len(somebody)):
        if somebody[k] >= 0:
            marks[somebody[k]] = 1
    part = max(16, most // max(1, len(followed)))
    room = 0
    for k in range(len(followed)):
        room += min(part, length[followed[k]])
    found, met = np.empty(room, np.int32), 0
    for k in range(len(followed)):
        begin, size = start[followed[k]], length[followed[k]]
        steps = min(part, size)
        by = strength[k] * (size / steps if steps else 0.0)
        for step in range(steps):
            at = begin + (step * size) // steps
            node = ids[at]
            if marks[node] == 1:
                continue
            if marks[node] == 0:
                marks[node] = 2
                found[met] = node
                met += 1
            sums[node] += by * weights[at]
    total = np.empty(met, np.float32)
    for k in range(met):
        total[k] = sums[found[k]]
        sums[found[k]], marks[found[k]] = 0.0, 0
    for k in range(len(followed)):
        marks[followed[k]] = 0
    for k in range(len(somebody)):
        if somebody[k] >= 0:
            marks[somebody[k]] = 0
    return found[:met], total
