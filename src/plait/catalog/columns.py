"""The catalog as columns: one array per field, so that a condition over 100,000 items is a few array operations.

Items are put row by row and asked by column. Attributes are free, so a column takes whatever comes: numbers, texts,
true and false, and lists stand in arrays of their own (*facets*), and a comparison sees only the facet it speaks of.
Answers follow SQL's three-valued logic: a ``Truth`` is a pair of masks, *surely true* and *surely false*; where
neither is set, the value is not known.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Value = None | bool | int | float | str | list[Any] | tuple[Any, ...]


class Truth(NamedTuple):
    """What a condition says of every row: ``yes`` and ``no`` are never both set; neither means not known."""

    yes: Mask
    no: Mask


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def unknown(rows: int) -> Truth:
    """Not known for any row."""
    return Truth(np.zeros(rows, np.bool_), np.zeros(rows, np.bool_))


class Column:
    """The values of one field, a row each; rows that were never put are null."""

    def __init__(self) -> None:
        self.numbers: NDArray[np.float64] | None = None  # NaN is null
        self.flags: NDArray[np.int8] | None = None  # -1 is null
        self.texts: NDArray[np.int32] | None = None  # codes into ``words``, -1 is null
        self.lists: Lists | None = None
        self.words: list[str] = []
        self._codes: dict[str, int] = {}

    def put(self, row: int, value: Value) -> None:
        """Set one row; ``None`` makes it null."""
        if self.numbers is not None and row < len(self.numbers):
            self.numbers[row] = np.nan
        if self.flags is not None and row < len(self.flags):
            self.flags[row] = -1
        if self.texts is not None and row < len(self.texts):
            self.texts[row] = -1
        if self.lists is not None:
            self.lists.drop(row)
        if value is None:
            return
        if isinstance(value, bool):
            self.flags = _room(self.flags, row, np.int8, -1)
            self.flags[row] = value
        elif isinstance(value, (int, float)):
            self.numbers = _room(self.numbers, row, np.float64, np.nan)
            self.numbers[row] = value
        elif isinstance(value, str):
            self.texts = _room(self.texts, row, np.int32, -1)
            self.texts[row] = self._code(value)
        else:
            self.lists = self.lists or Lists()
            self.lists.put(row, value)

    def fill(self, values: Sequence[Value]) -> None:
        """Set the rows of an empty column from 0 on: ten times quicker than one by one where they are of one type."""
        types = set(map(type, values)) - {type(None)}
        if types == {bool}:
            self.flags = np.array([-1 if value is None else value for value in values], np.int8)
        elif types == {str}:
            self.texts = np.array([-1 if v is None else self._code(cast(str, v)) for v in values], np.int32)
        elif types and types <= {int, float}:
            self.numbers = np.array([np.nan if value is None else value for value in values], np.float64)
        elif types and types <= {list, tuple}:
            self.lists = Lists()
            self.lists.fill(cast(Sequence[Any], values))
        else:
            for row, value in enumerate(values):
                self.put(row, value)

    def _code(self, word: str) -> int:
        code = self._codes.get(word)
        if code is None:
            code = self._codes[word] = len(self.words)
            self.words.append(word)
        return code

    def compare(self, sign: str, value: float | str, rows: int) -> Truth:
        """Rows whose value stands to ``value`` as ``sign`` says; a value of the other type is not known."""
        compare = OPERATORS[sign]
        if isinstance(value, str):
            return self._where_text(sign, value, compare, rows)
        if self.numbers is None:
            return unknown(rows)
        numbers = _upto(self.numbers, rows, np.nan)
        yes = compare(numbers, value)
        no = ~yes
        null = np.isnan(numbers)
        no[null] = False
        yes[null] = False  # NaN <> 3 holds for numpy
        return Truth(yes, no)

    def _where_text(self, sign: str, value: str, compare: Callable[[Any, Any], Any], rows: int) -> Truth:
        if sign not in ("=", "<>"):
            return self.where(lambda word: bool(compare(word, value)), rows)
        if self.texts is None:
            return unknown(rows)
        texts = _upto(self.texts, rows, -1)
        same = texts == self._codes.get(value, -2)
        other = ~same & (texts >= 0)
        return Truth(same, other) if sign == "=" else Truth(other, same)

    def where(self, holds: Callable[[str], bool], rows: int) -> Truth:
        """Rows whose text ``holds``; asked once per different text."""
        if self.texts is None:
            return unknown(rows)
        # One more at the end, for the -1 of null.
        yes = np.fromiter((*map(holds, self.words), False), np.bool_, len(self.words) + 1)
        no = ~yes
        no[-1] = False
        texts = _upto(self.texts, rows, -1)
        return Truth(yes[texts], no[texts])

    def against(self, sign: str, other: Column, rows: int) -> Truth:
        """Rows where this number stands to the other column's number as ``sign`` says."""
        if self.numbers is None or other.numbers is None:
            return unknown(rows)
        mine, theirs = _upto(self.numbers, rows, np.nan), _upto(other.numbers, rows, np.nan)
        known = ~(np.isnan(mine) | np.isnan(theirs))
        yes = OPERATORS[sign](mine, theirs) & known
        return Truth(yes, ~yes & known)

    def has(self, value: float | str, rows: int) -> Truth:
        """Rows whose list holds ``value``; a single text or number counts as a list of one."""
        yes, no = self.compare("=", value, rows)
        if isinstance(value, str) and self.numbers is not None:
            no |= ~np.isnan(_upto(self.numbers, rows, np.nan))
        elif not isinstance(value, str) and self.texts is not None:
            no |= _upto(self.texts, rows, -1) >= 0
        if self.lists is not None:
            held = self.lists.holding(value, rows)
            yes |= held
            no |= ~held & (self.lists.lengths(rows) >= 0)
        return Truth(yes, no)

    def number(self, rows: int) -> NDArray[np.float64]:
        """The numbers, NaN where there is none; (rows,)."""
        return np.full(rows, np.nan) if self.numbers is None else _upto(self.numbers, rows, np.nan)

    def text(self, rows: int) -> NDArray[np.int32]:
        """Codes into ``words``, -1 where there is no text; (rows,)."""
        return np.full(rows, -1, np.int32) if self.texts is None else _upto(self.texts, rows, -1)

    def flag(self, rows: int) -> Truth:
        """Rows that are true, and rows that are false."""
        if self.flags is None:
            return unknown(rows)
        flags = _upto(self.flags, rows, -1)
        return Truth(flags == 1, flags == 0)

    def null(self, rows: int) -> Truth:
        """Rows without a value. Always known."""
        some = np.zeros(rows, np.bool_)
        if self.numbers is not None:
            some |= ~np.isnan(_upto(self.numbers, rows, np.nan))
        if self.flags is not None:
            some |= _upto(self.flags, rows, -1) >= 0
        if self.texts is not None:
            some |= _upto(self.texts, rows, -1) >= 0
        if self.lists is not None:
            some |= self.lists.lengths(rows) >= 0
        return Truth(~some, some)


class Lists:
    """Lists of texts or numbers, one per row, in one pool of codes; ``owner`` says whose each is.

    A list that is put anew goes to the pool's end and leaves a hole; the pool is written anew when holes are most of it.
    """

    def __init__(self) -> None:
        self.words: list[str | float] = []
        self._codes: dict[str | float, int] = {}
        self._pool = np.full(256, -1, np.int32)
        self._owner = np.zeros(256, np.int32)
        self._used = 0
        self._holes = 0
        self._start = np.zeros(0, np.int64)
        self._length = np.full(0, -1, np.int32)

    def put(self, row: int, values: Iterable[str | float]) -> None:
        """Set the list of a row that has none."""
        codes = [self._code(value) for value in values]
        end = self._used + len(codes)
        if end > len(self._pool):
            self._pool = _room(self._pool, end, np.int32, -1)
            self._owner = _room(self._owner, end, np.int32, 0)
        self._start = _room(self._start, row, np.int64, 0)
        self._length = _room(self._length, row, np.int32, -1)
        self._start[row], self._length[row] = self._used, len(codes)
        self._pool[self._used : end] = codes
        self._owner[self._used : end] = row
        self._used = end

    def fill(self, lists: Sequence[Sequence[str | float] | None]) -> None:
        """Set the lists of rows from 0 on, when there are none yet."""
        code = self._code
        self._pool = np.array([code(word) for some in lists if some for word in some], np.int32)
        self._length = np.array([-1 if some is None else len(some) for some in lists], np.int32)
        held = np.maximum(self._length, 0).astype(np.int64)
        self._start = np.cumsum(held) - held
        self._owner = np.repeat(np.arange(len(lists), dtype=np.int32), held)
        self._used = len(self._pool)

    def drop(self, row: int) -> None:
        """Forget the list of a row."""
        if row >= len(self._length) or self._length[row] < 0:
            return
        start, length = self._start[row], self._length[row]
        self._pool[start : start + length] = -1
        self._length[row] = -1
        self._holes += int(length)
        if self._holes > 4_096 and 2 * self._holes > self._used:
            self._close_holes()

    def _close_holes(self) -> None:
        kept = np.flatnonzero(self._pool[: self._used] >= 0)
        self._pool, self._owner = self._pool[kept], self._owner[kept]
        self._used, self._holes = len(kept), 0
        if len(kept):  # the lists keep their order and stand without gaps
            first = np.flatnonzero(np.diff(self._owner, prepend=-1))
            self._start[self._owner[first]] = first

    def _code(self, word: str | float) -> int:
        code = self._codes.get(word)
        if code is None:
            code = self._codes[word] = len(self.words)
            self.words.append(word)
        return code

    def code(self, word: str | float) -> int:
        """The code of a value, -1 when no list ever held it."""
        return self._codes.get(word, -1)

    def of(self, row: int) -> NDArray[np.int32]:
        """The codes of one row's list, in order; empty when it has none."""
        if row >= len(self._length) or self._length[row] <= 0:
            return self._pool[:0]
        start = self._start[row]
        return self._pool[start : start + self._length[row]]

    def rows(self, word: str | float) -> NDArray[np.int32]:
        """The rows whose list holds a value, in no order."""
        code = self._codes.get(word)
        if code is None:
            return self._owner[:0]
        return self._owner[np.flatnonzero(self._pool[: self._used] == code)]

    def holding(self, word: str | float, rows: int) -> Mask:
        """Which rows' list holds a value."""
        mask = np.zeros(rows, np.bool_)
        mask[self.rows(word)] = True
        return mask

    def lengths(self, rows: int) -> NDArray[np.int32]:
        """How long each list is, -1 where there is none."""
        return _upto(self._length, rows, -1)

    def pool(self, rows: int) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
        """All lists as they stand, nothing copied: row ``r`` holds ``codes[start[r] : start[r] + length[r]]``.

        Returns:
            start: (rows,); length: (rows,), < 1 where there is none; codes, holes among them.
        """
        return _upto(self._start, rows, 0), _upto(self._length, rows, -1), self._pool

    def spans(self, rows: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """All lists as compressed rows: row ``r`` holds ``codes[starts[r]:starts[r + 1]]``.

        Returns:
            starts: (rows + 1,); codes: (starts[-1],).
        """
        lengths = np.maximum(self.lengths(rows), 0).astype(np.int64)
        starts = np.zeros(rows + 1, np.int64)
        np.cumsum(lengths, out=starts[1:])
        begin = _upto(self._start, rows, 0)
        where = np.repeat(begin - starts[:-1], lengths) + np.arange(starts[-1])
        return starts, self._pool[where]


def _room(array: NDArray[Any] | None, row: int, dtype: Any, null: Any) -> NDArray[Any]:
    """The array with room for ``row``: grown by half, new rows null."""
    if array is None:
        return np.full(max(64, row + 1), null, dtype)
    if row < len(array):
        return array
    grown = np.full(max(64, row + 1, len(array) + len(array) // 2), null, dtype)
    grown[: len(array)] = array
    return grown


def _upto(array: NDArray[Any], rows: int, null: Any) -> NDArray[Any]:
    """The first ``rows`` values; what was never put is null."""
    if len(array) >= rows:
        return array[:rows]
    return _room(array, rows - 1, array.dtype, null)[:rows]
