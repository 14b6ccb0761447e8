"""What a condition is made of: parts that say of all rows at once, or of one, whether they hold.

With SQL's three-valued logic: what is asked of a value that is missing is neither so nor not so. ``expressions.py`` makes them of a text.
"""

# What ``truth``, ``test``, ``ask`` and ``say`` of a part mean, ``Node`` and ``Field`` say.
# ruff: noqa: D102

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from plait.catalog.columns import OPERATORS, Column, Mask, Truth, unknown


class Condition(msgspec.Struct, frozen=True):
    """A compiled expression.

    Attributes:
        text: as it was written.
        names: the columns it reads: field names, ``attributes.…``, and of functions name and arguments.
    """

    text: str
    names: frozenset[str]
    root: Node

    def mask(self, columns: Mapping[str, Column], rows: int) -> Mask:
        """Which of the first ``rows`` rows it surely holds for; (rows,). A missing column is null everywhere."""
        return self.root.truth(columns, rows).yes

    def test(self, row: Mapping[str, Any]) -> bool:
        """Whether it surely holds for one row: the same answer as ``mask``. A missing name is null."""
        return self.root.test(row) is True


class Node(msgspec.Struct, frozen=True):
    """A part of a condition: says of all rows, or of one, whether it holds (``None``: not known)."""

    def truth(self, columns: Mapping[str, Column], rows: int, /) -> Truth:
        """Of the first ``rows`` rows: those that it surely holds for, and those that it surely does not."""
        raise NotImplementedError

    def test(self, row: Mapping[str, Any], /) -> bool | None:
        """Of one row."""
        raise NotImplementedError


class Always(Node, frozen=True):
    """What holds always, never, or is never known."""

    holds: bool | None

    def truth(self, _: Mapping[str, Column], rows: int) -> Truth:
        return Truth(np.full(rows, self.holds is True), np.full(rows, self.holds is False))

    def test(self, _: Mapping[str, Any]) -> bool | None:
        return self.holds


class Not(Node, frozen=True):
    """The contrary; of what is not known nothing is."""

    part: Node

    def truth(self, columns: Mapping[str, Column], rows: int) -> Truth:
        yes, no = self.part.truth(columns, rows)
        return Truth(no, yes)

    def test(self, row: Mapping[str, Any]) -> bool | None:
        held = self.part.test(row)
        return None if held is None else not held


class All(Node, frozen=True):
    """``and``: false as soon as one part is, else unknown as soon as one part is."""

    parts: tuple[Node, ...]

    def truth(self, columns: Mapping[str, Column], rows: int) -> Truth:
        yes, no = self.parts[0].truth(columns, rows)
        for part in self.parts[1:]:
            more = part.truth(columns, rows)
            yes, no = yes & more.yes, no | more.no
        return Truth(yes, no)

    def test(self, row: Mapping[str, Any]) -> bool | None:
        found: bool | None = True
        for part in self.parts:
            held = part.test(row)
            if held is False:
                return False
            found = found and held
        return found


class Field(Node, frozen=True):
    """A part that asks one column."""

    name: str

    def ask(self, column: Column, rows: int) -> Truth:
        """``truth`` of a column that there is."""
        raise NotImplementedError

    def say(self, value: Any) -> bool | None:
        """``test`` of a value, ``None`` where there is none."""
        raise NotImplementedError

    def truth(self, columns: Mapping[str, Column], rows: int) -> Truth:
        column = columns.get(self.name)
        return unknown(rows) if column is None else self.ask(column, rows)

    def test(self, row: Mapping[str, Any]) -> bool | None:
        return self.say(row.get(self.name))


class Flag(Field, frozen=True):
    """Whether a column is true."""

    def ask(self, column: Column, rows: int) -> Truth:
        return column.flag(rows)

    def say(self, value: Any) -> bool | None:
        return value if isinstance(value, bool) else None


class Null(Field, frozen=True):
    """Whether a column has no value; always known."""

    def truth(self, columns: Mapping[str, Column], rows: int) -> Truth:
        return columns.get(self.name, _EMPTY).null(rows)

    def say(self, value: Any) -> bool | None:
        return value is None


class Compare(Field, frozen=True):
    """How a column stands to a value; known of its own type only."""

    sign: str
    value: float | str

    def ask(self, column: Column, rows: int) -> Truth:
        return column.compare(self.sign, self.value, rows)

    def say(self, value: Any) -> bool | None:
        return bool(OPERATORS[self.sign](value, self.value)) if _same_type(value, self.value) else None


class CompareFields(Node, frozen=True):
    """How one column's number stands to another's."""

    left: str
    sign: str
    right: str

    def truth(self, columns: Mapping[str, Column], rows: int) -> Truth:
        return columns.get(self.left, _EMPTY).against(self.sign, columns.get(self.right, _EMPTY), rows)

    def test(self, row: Mapping[str, Any]) -> bool | None:
        mine, theirs = row.get(self.left), row.get(self.right)
        if not (_same_type(mine, 0.0) and _same_type(theirs, 0.0)):
            return None
        return bool(OPERATORS[self.sign](mine, theirs))


class Has(Field, frozen=True):
    """Whether a list holds a value; a single one counts as a list of one."""

    value: float | str

    def ask(self, column: Column, rows: int) -> Truth:
        return column.has(self.value, rows)

    def say(self, value: Any) -> bool | None:
        if value is None or isinstance(value, bool):
            return None
        return self.value in value if isinstance(value, (list, tuple)) else bool(self.value == value)


class Like(Field, frozen=True):
    """Whether a text looks like a pattern."""

    pattern: str
    any_case: bool

    def ask(self, column: Column, rows: int) -> Truth:
        return column.where(like(self.pattern, any_case=self.any_case), rows)

    def say(self, value: Any) -> bool | None:
        return like(self.pattern, any_case=self.any_case)(value) if isinstance(value, str) else None


_EMPTY = Column()


def _same_type(value: Any, other: float | str) -> bool:
    if isinstance(other, str):
        return isinstance(value, str)
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@lru_cache(256)
def like(pattern: str, *, any_case: bool) -> Callable[[str], bool]:
    """SQL's LIKE: ``%`` is any text, ``_`` any one character.

    Pieces between ``%`` are found from left to right, so that no pattern takes more than length x length; one regular
    expression of the whole would backtrack for years on ``%a%a%a%a%``.
    """
    flags = re.DOTALL | (re.IGNORECASE if any_case else 0)
    texts = pattern.split("%")
    pieces = [
        re.compile("".join("." if char == "_" else re.escape(char) for char in text), flags) for text in texts
    ]
    if len(pieces) == 1:
        return lambda text: pieces[0].fullmatch(text) is not None
    first, *middle, last = pieces
    ending = len(texts[-1])  # of equal length whatever it matches

    def holds(text: str) -> bool:
        if first.match(text) is None:
            return False
        place = len(texts[0])
        for piece in middle:
            found = piece.search(text, place)
            if found is None:
                return False
            place = found.end()
        return len(text) - ending >= place and last.match(text, len(text) - ending) is not None

    return holds


class Sure(Node, frozen=True):
    """``is true``, ``is false``: what is not known is not so."""

    part: Node

    def truth(self, columns: Mapping[str, Column], rows: int) -> Truth:
        yes = self.part.truth(columns, rows).yes
        return Truth(yes, ~yes)

    def test(self, row: Mapping[str, Any]) -> bool | None:
        return self.part.test(row) is True
