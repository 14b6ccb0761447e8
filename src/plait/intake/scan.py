"""One look at the bytes of a request: is there anything in them that needs a closer one?

Nearly all requests hold no key, no address, no password, nothing deep and nothing odd, and may rest as they came.
To know that without taking every request apart, this reads its bytes once, in machine code. It errs to one side
only: what it lets pass is clean, what it stops may be.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

DEEPEST = 40  # objects and lists within each other; clients send 3 to 6, and readers recurse

WORD = 1  # a string that is one of the words
ESCAPE = 2  # \u00.. or a surrogate: a word in disguise, a NUL, half a character
DEEP = 4
NUMBER = 8  # too many digits to be sure that every reader can hold it
BYTES = 16  # not ASCII, so it has yet to be shown that it is UTF-8
OPEN = 32  # ends inside a string, or with more ends than beginnings

_QUOTE, _BACKSLASH, _U = 0x22, 0x5C, 0x75


class Look(NamedTuple):
    """What was seen.

    Attributes:
        flags: of WORD, ESCAPE, DEEP, NUMBER, BYTES, OPEN.
        largest: bytes of the largest object or list ``level`` deep, 0 without one.
        keys, key_at: how many strings spell ``writeKey``, and where the first begins (its quote).
    """

    flags: int
    largest: int
    keys: int
    key_at: int


class Scanner:
    """Finds words whatever their case and with ``_``, ``-``, space and dot left out: ``card_number`` is ``Card-Number``."""

    def __init__(self, words: Iterable[str]) -> None:
        self._table, self._ends = _compiled([*words])
        self.look(b"{}", 1)  # load the machine code now, not while the first sender waits

    def look(self, body: bytes, level: int) -> Look:
        """Read ``body`` once; ``level`` counts brackets: 1 is the outermost object."""
        return Look(*_look(body, len(body), self._table, self._ends, level))


@lru_cache(maxsize=20_000)
def folded_word(word: str) -> str:
    """A word as it is compared: without case and what joins words."""
    return "".join(one for one in word.lower() if one not in "_- .")


def _compiled(words: list[str]) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """A trie: (states, 256) next state, 0 is nowhere and 1 the root; (states,) 0 nothing, 1 a word, 2 ``writeKey``."""
    rows: list[list[int]] = [[0] * 256, [0] * 256]
    ends = [0, 0]
    for number, word in enumerate(["writeKey", *words]):
        state = 1
        for byte in folded_word(word).encode():
            following = rows[state][byte]
            if following == 0:
                following = len(rows)
                rows.append([0] * 256)
                ends.append(0)
                rows[state][byte] = following
            state = following
        if state != 1 and ends[state] != 2:
            ends[state] = 2 if number == 0 else 1
    for state in range(1, len(rows)):
        for upper in range(ord("A"), ord("Z") + 1):
            rows[state][upper] = rows[state][upper + 32]
        for joint in b"_- .":
            rows[state][joint] = state
    return np.array(rows, np.int16), np.array(ends, np.uint8)


@njit(cache=True, nogil=True)
def _look(data, size, table, ends, level):  # type: ignore[no-untyped-def]  # pragma: no cover
    flags = 0
    depth = 0
    began = 0
    largest = 0
    keys = 0
    key_at = -1
    digits = 0
    exponent = False
    at = 0
    while at < size:
        byte = data[at]
        if byte == _QUOTE:
            start = at
            state = 1
            at += 1
            while at < size:
                byte = data[at]
                if byte == _QUOTE:
                    break
                if byte == _BACKSLASH:
                    state = 0
                    at += 1
                    if at + 4 < size and data[at] == _U:
                        # 000x to 007x is ASCII in disguise or a NUL, dxxx may be half of a pair
                        high, low = data[at + 1], data[at + 2]
                        ascii = high == 0x30 and low == 0x30 and data[at + 3] < 0x38
                        if ascii or high == 0x64 or high == 0x44:
                            flags |= ESCAPE
                elif byte >= 0x80:
                    flags |= BYTES
                    state = 0
                elif state != 0:
                    state = table[state, byte]
                at += 1
            if at >= size:
                flags |= OPEN
            if state != 0 and ends[state] != 0:
                if ends[state] == 2:
                    keys += 1
                    if keys == 1:
                        key_at = start
                else:
                    flags |= WORD
            digits = 0
            exponent = False
        elif byte == 0x7B or byte == 0x5B:
            depth += 1
            if depth == level:
                began = at
            if depth > DEEPEST:
                flags |= DEEP
            digits = 0
            exponent = False
        elif byte == 0x7D or byte == 0x5D:
            if depth == level and at - began + 1 > largest:
                largest = at - began + 1
            depth -= 1
            if depth < 0:
                flags |= OPEN
            digits = 0
            exponent = False
        elif 0x30 <= byte <= 0x39:
            digits += 1
            if digits > (2 if exponent else 200):
                flags |= NUMBER
        elif (byte == 0x65 or byte == 0x45) and digits > 0:
            exponent = True
            digits = 0
        elif byte == 0x2B or byte == 0x2D or byte == 0x2E:
            digits = digits if byte == 0x2E else 0
        else:
            if byte >= 0x80:
                flags |= BYTES
            digits = 0
            exponent = False
        at += 1
    return flags, largest, keys, key_at
