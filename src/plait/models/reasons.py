"""The hot loops of an explanation, compiled: which acts count most for each item, written as JSON.

A page has hundreds of reasons. To make an object of each and encode it took a fifth of the whole answer's time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plait.compiled import compiled

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]

SHARE = np.frombuffer(b',"share":', np.uint8)
PAIRS = np.frombuffer("".join(f"{number:02}" for number in range(100)).encode(), np.uint8)
NULL = tuple(b"null")


@compiled
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


@compiled
def written(
    told: Floats,
    most: int,
    labels: Ints,
    texts: NDArray[np.uint8],
    spans: Ints,
) -> tuple[NDArray[np.uint8], NDArray[np.int64], Floats]:
    """The reasons of each item as JSON, one array after the other.

    Given:
        told: (items, labels + 1), see ``kernels.told``.
        most: reasons of one item, see ``reasons``.
        labels: (labels,) numbers of the labels that ``told`` is about.
        texts, spans: how the reason of a label begins, up to its contribution; label 0 is popularity, 1 is the rest.

    Returns:
        the text; where each item's ends; and their scores.
    """
    label, value, share, ends, scores = reasons(told, most)
    room = 200 * len(ends)
    for k in range(len(label)):
        of = 1 if label[k] < 0 else (labels[label[k]] if label[k] < len(labels) else 0)
        room += spans[of + 1] - spans[of] + 64
    text = np.empty(room, np.uint8)
    until = np.empty(len(ends), np.int64)
    at, k = 0, 0
    for i in range(len(ends)):
        text[at] = 91  # [
        at += 1
        begin = k
        while k < ends[i] or (k == begin and k == ends[i]):
            nothing = k == ends[i]  # nothing may be known of person and item
            if k > begin:
                text[at] = 44  # ,
                at += 1
            of = 0
            if not nothing:
                of = 1 if label[k] < 0 else (labels[label[k]] if label[k] < len(labels) else 0)
            begins, size = spans[of], spans[of + 1] - spans[of]
            text[at : at + size] = texts[begins : begins + size]
            at = _number(text, at + size, 0.0 if nothing else value[k], 1e-3)
            text[at : at + len(SHARE)] = SHARE
            at += len(SHARE)
            at = _number(text, at, 1.0 if nothing else share[k], 0.0)
            text[at] = 125  # }
            at += 1
            if nothing:
                break
            k += 1
        text[at] = 93  # ]
        at += 1
        until[i] = at
    return text[:at], until, scores


@compiled
def _number(text: NDArray[np.uint8], at: int, value: float, small: float) -> int:
    """Write a number at ``text[at]`` to nine decimals, below ``small`` to as many digits; returns where it ends."""
    if not np.isfinite(value):
        for letter in NULL:
            text[at] = letter
            at += 1
        return at
    if value < 0.0:
        text[at] = 45  # -
        at += 1
        value = -value
    power = 0
    if value < 1e-300:
        value = 0.0
    elif value < small or value >= 1e6:
        power = int(np.floor(np.log10(value)))
        value /= 10.0**power
    whole = np.uint64(np.rint(value * 1e9))
    front = np.uint32(whole // np.uint64(1_000_000_000))  # below a million
    back = np.uint32(whole - np.uint64(front) * np.uint64(1_000_000_000))
    size = 1
    bound = np.uint32(10)
    while front >= bound:
        size += 1
        bound *= np.uint32(10)
    for place in range(at + size - 1, at - 1, -1):
        text[place] = 48 + front % np.uint32(10)
        front //= np.uint32(10)
    at += size
    text[at] = 46  # .
    text[at + 9] = 48 + back % np.uint32(10)
    back //= np.uint32(10)
    for place in range(at + 7, at, -2):  # two digits at a time
        pair = 2 * (back % np.uint32(100))
        back //= np.uint32(100)
        text[place], text[place + 1] = PAIRS[pair], PAIRS[pair + 1]
    at += 10
    while text[at - 1] == 48 and text[at - 2] != 46:  # zeros at the end, but one after the point
        at -= 1
    if power != 0:
        text[at] = 101  # e
        at += 1
        if power < 0:
            text[at] = 45
            at += 1
        power = abs(power)
        if power >= 100:
            text[at] = 48 + power // 100
            at += 1
        if power >= 10:
            text[at] = 48 + power // 10 % 10
            at += 1
        text[at] = 48 + power % 10
        at += 1
    return at
