"""The hot loops of an answer, compiled: read a person's acts, add up scores, pick the best, say what each came from.

Items go by *slot* here: those of the model keep its numbering, what the catalog has besides comes after. So the columns
of ``indptr, columns, values``, the model's item-item rows in compressed form, sorted within a row, are slots as they
stand. Everything runs without the interpreter's lock and touches what it must only: at 100,000 items most are never
looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

from plait.models import HISTORY

F = TypeVar("F", bound=Callable[..., Any])
Ints = NDArray[np.int32]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

SMALLEST_BASE = 1e-9  # of the gate of popularity, so that it orders those that nothing else tells apart
NOT_MET = -(1 << 63)  # the bits of -0.0
COUNTS, ON_TOPIC, TIED = (
    1,
    2,
    4,
)  # of a saying's fourth fact: it is read; it speaks of topics; it is about a person
SHARE = tuple(b',"share":')
NULL = tuple(b"null")
INLINE = 4  # topics that stand in an item's line; of more the first place says where in the pool they begin
TOPICS, MANY, STAMP, ROOT, BASE = (
    0,
    4,
    5,
    6,
    7,
)  # places in an item's line, (slots, 8); the last two hold floats


def _compiled(function: F) -> F:
    # The compiled code is kept on disk (beside this file, else in the user's cache, else where NUMBA_CACHE_DIR says),
    # so only the first start after an installation pays for the compiler.
    try:
        compiled: Any = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # there is no place that may be written: every start pays
        compiled = numba.njit(nogil=True)(function)
    return cast("F", compiled)


@_compiled
def hear(
    numbers: Ints,
    weights: Floats,
    ats: NDArray[np.int64],
    now: int,
    half_life: int,
    page: int,
    spans: Ints,
    facts: Ints,
    what: Ints,
    share: Floats,
    gates: Floats,
    sums: Floats,
    places: Ints,
    met: Mask,
) -> tuple[Ints, Floats, Ints, int, int, Ints, float]:
    """What a person's acts say together: rows of B first, then points, then topics, each by its weight.

    The intensities are those of ``table.read``: weights relative to the newest act, all that one channel says about one
    thing saturates together, and ties share the root of their number. An act speaks by the gate that its channel has for
    people who wanted as many different items.

    Given:
        numbers: (acts,) of their sayings, see ``Sayings``.
        weights: (acts,) decayed to ``now``.
        ats: (acts,) ms since the epoch.
        now: ms since the epoch.
        half_life: ms.
        page: the saying of the item that a page is about, which speaks louder than all that was done before; or -1.
        spans, facts, what, share: of the sayings.
        gates: (channels + 3, buckets of history), see ``Model``.
        sums: zero for each group of sayings, before and after.
        places: -1 for each label, before and after.
        met: (slots,) false before and after.

    Returns:
        what, weight and label of each thing said, labels numbered as they occur; where the points and the topics
        begin; the labels that occur; and what popularity counts.
    """
    acts, kinds = len(numbers), len(gates)
    newest = np.int64(-1)
    for k in range(acts):
        if weights[k] != 0.0 and facts[numbers[k], 3] & COUNTS:
            newest = max(newest, ats[k])
    fresh = 2.0 ** min((now - newest) / half_life, 1_000.0)
    value, ties = np.zeros(acts + 1), 0
    for k in range(acts):
        if weights[k] != 0.0 and facts[numbers[k], 3] & COUNTS:
            value[k] = weights[k] * fresh
            sums[facts[numbers[k], 2]] += value[k]
            ties += 1 if facts[numbers[k], 3] & TIED else 0
    wanted, spoken, room = 0, 0.0, 0
    for k in range(acts):
        number = numbers[k]
        size = abs(sums[facts[number, 2]])
        value[k] *= np.log2(1.0 + size) / size if size > 1e-9 else 1.0 / np.log(2.0)
        if facts[number, 3] & TIED:
            value[k] /= np.sqrt(max(1, ties))
        if value[k] == 0.0:
            continue
        room += spans[number, 3] - spans[number, 0]
        if facts[number, 3] & ON_TOPIC:
            spoken += abs(value[k])
        if value[k] > 0.0:
            for at in range(spans[number, 3], spans[number, 4]):
                wanted += 0 if met[what[at]] else 1
                met[what[at]] = True
    for k in range(acts):
        sums[facts[numbers[k], 2]] = 0.0
        for at in range(spans[numbers[k], 3], spans[numbers[k], 4]):
            met[what[at]] = False
    bucket = 0
    while bucket + 1 < len(HISTORY) and wanted >= HISTORY[bucket + 1]:
        bucket += 1
    topic_gate = gates[kinds - 2, bucket] / np.sqrt(max(1.0, spoken))
    loudest = 1.0
    for channel in range(kinds - 2):
        loudest = max(loudest, gates[channel, bucket])
    if page >= 0:
        room += spans[page, 3] - spans[page, 0]
    told, weight, label = np.empty(room, np.int32), np.empty(room, np.float64), np.empty(room, np.int32)
    labels = np.empty(acts + 1, np.int32)
    ends = np.zeros(3, np.int64)
    count, known = 0, 0
    for part in range(3):
        for k in range(acts + 1):
            number = numbers[k] if k < acts else page
            if number < 0 or (k < acts and value[k] == 0.0):
                continue
            if places[facts[number, 1]] < 0:
                places[facts[number, 1]], labels[known] = known, facts[number, 1]
                known += 1
            if k == acts:
                by = 3.0 * (loudest if part < 2 else max(1.0, gates[kinds - 2, bucket]))
            else:
                by = value[k] * (gates[facts[number, 0], bucket] if part < 2 else topic_gate)
            if by == 0.0:
                continue
            for at in range(spans[number, part], spans[number, part + 1]):
                told[count], weight[count] = what[at], by * share[at]
                label[count] = places[facts[number, 1]]
                count += 1
        ends[part] = count
    for k in range(known):
        places[labels[k]] = -1
    base_gate = max(gates[kinds - 1, bucket], SMALLEST_BASE)
    return told[:count], weight[:count], label[:count], ends[0], ends[1], labels[:known], base_gate


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
def inline(
    slots: Ints, start: NDArray[np.int64], length: Ints, pool: Ints, nothing: int, lines: Ints
) -> None:
    """Write the topics of every catalog row into the line of its slot, for ``score``.

    Given:
        slots: (rows,) the slot of each catalog row.
        start, length, pool: the topics of row ``r`` are ``pool[start[r] : start[r] + length[r]]``.
        nothing: the code that stands where there is no topic.
        lines: (slots, 8), see ``score``.
    """
    roots = lines.view(np.float32)
    for row in range(len(slots)):
        slot, count = slots[row], max(0, length[row])
        roots[slot, ROOT] = 1.0 / np.sqrt(max(1, count))
        lines[slot, MANY] = count if count > INLINE else 0
        for place in range(INLINE):
            lines[slot, TOPICS + place] = pool[start[row] + place] if place < count <= INLINE else nothing
        if count > INLINE:
            lines[slot, TOPICS] = start[row]


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
    topics: Ints,
    liking: Floats,
    pool: Ints,
    lines: Ints,
    base_gate: float,
    stamp: int,
    sums: Floats,
    met: Ints,
    total: Floats,
) -> int:
    """Score all that the acts touch: neighbours, what was touched itself, and ``more`` that is to be looked at.

    ``row_weights[k] * B[rows[k]]`` is added up, ``point_weights[k]`` for the item ``points[k]`` itself, and for every
    item met what its topics are liked (``liking``, gates and rarity included; an item of many topics speaks of each
    less) and its popularity. Rows of B that are -1 are passed over.

    Looking all over a large catalog is what takes the time, not the sums. So the first pass touches ``sums`` alone,
    which fits into a cache near the processor, and has no branch to guess wrong: -0.0 marks what was not met, and no
    sum is -0.0. The second reads one line of ``lines`` for each item met, (slots, 8): its popularity, up to four topics or
    where in ``pool`` more of them stand, one over the root of their number, and the ``stamp`` of the last question that
    met it. Whatever was met stands in ``met``, its score in ``total``. ``sums`` and ``liking`` are left as they were
    found, all -0.0 and 0.0.

    Returns:
        how many were met.
    """
    marks = sums.view(np.int64)
    count = 0
    for k in range(len(rows)):
        if rows[k] < 0:
            continue
        weight = row_weights[k]
        for p in range(indptr[rows[k]], indptr[rows[k] + 1]):
            slot = columns[p]
            met[count] = slot
            count += marks[slot] == NOT_MET
            sums[slot] = (sums[slot] + weight * values[p]) + 0.0
    for k in range(len(points) + len(more)):
        slot = points[k] if k < len(points) else more[k - len(points)]
        met[count] = slot
        count += marks[slot] == NOT_MET
        sums[slot] = (sums[slot] + (point_weights[k] if k < len(points) else 0.0)) + 0.0
    facts = lines.view(np.float32)
    if len(topics):
        for k in range(count):
            slot = met[k]
            if lines[slot, MANY] > 0:
                liked = 0.0
                for p in range(lines[slot, TOPICS], lines[slot, TOPICS] + lines[slot, MANY]):
                    liked += liking[pool[p]]
            else:
                liked = (liking[lines[slot, TOPICS]] + liking[lines[slot, TOPICS + 1]]) + (
                    liking[lines[slot, TOPICS + 2]] + liking[lines[slot, TOPICS + 3]]
                )
            total[k] = sums[slot] + base_gate * facts[slot, BASE] + liked * facts[slot, ROOT]
            sums[slot] = -0.0
            lines[slot, STAMP] = stamp
    else:
        for k in range(count):
            slot = met[k]
            total[k] = sums[slot] + base_gate * facts[slot, BASE]
            sums[slot] = -0.0
            lines[slot, STAMP] = stamp
    for k in range(len(topics)):
        liking[topics[k]] = 0.0
    return count


@_compiled
def best(
    n: int,
    met: Ints,
    total: Floats,
    count: int,
    stamp: int,
    lines: Ints,
    base_gate: float,
    order: Ints,
    row_of: Ints,
    allowed: Mask,
    used: Mask,
) -> tuple[Ints, Floats]:
    """The best ``n`` items that are allowed and not used, best first; of equals the lower catalog row first.

    Items that nothing touched have only their popularity; they are looked at in its order, until none can win.

    Given:
        n: how many.
        met, total, count, stamp, lines: as ``score`` left them.
        base_gate: > 0, what popularity counts.
        order: all slots, most popular first, lower catalog rows first among equals.
        row_of: (slots,) catalog row of each slot, -1 where an item is gone.
        allowed, used: by catalog row.

    Returns:
        catalog rows and their scores: fewer than ``n`` when there are no more.
    """
    facts = lines.view(np.float32)
    rows = np.empty(n, np.int32)
    found = np.empty(n, np.float64)
    size = 0
    for k in range(count + len(order)):
        slot = met[k] if k < count else order[k - count]
        score = total[k] if k < count else base_gate * facts[slot, BASE]
        if size == n and score < found[n - 1]:
            if k < count:
                continue
            break  # all that follow in this order have less
        row = row_of[slot]
        if size == n and score == found[n - 1] and row > rows[n - 1]:
            if k < count:
                continue
            break  # or as much, and a higher row
        if row < 0 or not allowed[row] or used[row] or (k >= count and lines[slot, STAMP] == stamp):
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
def told(
    slots: Ints,
    items: int,
    rows: Ints,
    row_weights: Floats,
    row_label: Ints,
    points: Ints,
    point_weights: Floats,
    point_label: Ints,
    topics: Ints,
    topic_weights: Floats,
    topic_label: Ints,
    indptr: NDArray[np.int64],
    columns: Ints,
    values: NDArray[np.float32],
    pool: Ints,
    lines: Ints,
    base_gate: float,
    labels: int,
) -> Floats:
    """What each label gave to each item: (slots, labels + 1), popularity last; rows sum to what ``score`` says.

    Given:
        slots: of the items.
        items: how many the model knows; only their slots are columns of B.
        rows, points, topics: what was said, with weights and labels, see ``hear``.
        indptr, columns, values: B.
        pool, lines: see ``score``.
        base_gate: what popularity counts.
        labels: how many.
    """
    found = np.zeros((len(slots), labels + 1))
    facts = lines.view(np.float32)
    for i in range(len(slots)):
        slot = slots[i]
        for k in range(len(rows) if slot < items else 0):
            if rows[k] < 0:
                continue
            low, high = indptr[rows[k]], indptr[rows[k] + 1]
            end = high
            while low < high:
                middle = (low + high) // 2
                if columns[middle] < slot:
                    low = middle + 1
                else:
                    high = middle
            if low < end and columns[low] == slot:
                found[i, row_label[k]] += row_weights[k] * values[low]
        for k in range(len(points)):
            if points[k] == slot:
                found[i, point_label[k]] += point_weights[k]
        many = lines[slot, MANY]
        for place in range(many if many > 0 else INLINE):
            topic = pool[lines[slot, TOPICS] + place] if many > 0 else lines[slot, TOPICS + place]
            for k in range(len(topics)):
                if topics[k] == topic:
                    found[i, topic_label[k]] += topic_weights[k] * facts[slot, ROOT]
        found[i, labels] = base_gate * facts[slot, BASE]
    return found


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


@_compiled
def written(
    told: Floats,
    most: int,
    labels: Ints,
    texts: NDArray[np.uint8],
    spans: Ints,
) -> tuple[NDArray[np.uint8], NDArray[np.int64], Floats]:
    """The reasons of each item as JSON, one array after the other: a page has hundreds, and an object for each took
    a third of the whole answer's time.

    Given:
        told: (items, labels + 1), see ``told``.
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
            for p in range(spans[of], spans[of + 1]):
                text[at] = texts[p]
                at += 1
            at = _number(text, at, 0.0 if nothing else value[k], 1e-3)
            for letter in SHARE:
                text[at] = letter
                at += 1
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


@_compiled
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
    whole = np.int64(np.rint(value * 1e9))
    front, back = whole // 1_000_000_000, whole % 1_000_000_000
    size = 1
    while front >= 10**size:
        size += 1
    for place in range(at + size - 1, at - 1, -1):
        text[place] = 48 + front % 10
        front //= 10
    at += size
    text[at] = 46  # .
    for place in range(at + 9, at, -1):
        text[place] = 48 + back % 10
        back //= 10
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


def warm() -> None:
    """Compile everything, or load it from the cache, so that no visitor waits for it."""
    ints, line, one = np.zeros(1, np.int32), np.zeros((1, 8), np.int32), np.zeros(1)
    spans, facts, longs, flag = (
        np.zeros((1, 5), np.int32),
        line[:, :4].copy(),
        np.zeros(2, np.int64),
        ~ints.astype(np.bool_),
    )
    values, sums = np.zeros(1, np.float32), np.full(1, -0.0)
    hear(
        ints,
        one,
        longs[:1],
        1,
        1,
        -1,
        spans,
        facts,
        ints,
        one,
        np.zeros((3, len(HISTORY))),
        one,
        ints - 1,
        ~flag,
    )
    liked(ints, one, one, 1)
    inline(ints, longs[:1], ints, ints, 0, line)
    score(
        ints,
        one,
        ints,
        one,
        ints,
        longs,
        ints,
        values,
        ints,
        one,
        ints,
        line,
        1.0,
        1,
        sums,
        ints.repeat(4),
        one.repeat(4),
    )
    best(1, ints, one, 0, 1, line, 1.0, ints, ints, flag, ~flag)
    told(
        ints, 1, ints, one, ints, ints, one, ints, ints, one, ints, longs, ints, values, ints, line, 1.0, 1
    )  # fmt: skip
    written(np.zeros((1, 2)), 1, ints, np.zeros(1, np.uint8), np.zeros(3, np.int32))


@_compiled
def mirror(square: NDArray[np.float32]) -> None:
    """Copy the lower triangle of a square matrix above its diagonal, in blocks that stay in the cache."""
    n = len(square)
    for top in range(0, n, 64):
        for left in range(0, top + 1, 64):
            for row in range(top, min(top + 64, n)):
                for col in range(left, min(left + 64, row)):
                    square[col, row] = square[row, col]


@_compiled
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


@_compiled
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


@_compiled
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


@_compiled
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
