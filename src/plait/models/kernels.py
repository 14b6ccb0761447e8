"""The hot loops of an answer, compiled: read a person's acts, add up scores, pick the best, tell what each came from.

Items go by *slot* here: those of the model keep its numbering, what the catalog has besides comes after. So the columns
of ``indptr, columns, values``, the model's item-item rows in compressed form, sorted within a row, are slots as they
stand. Everything runs without the interpreter's lock and touches what it must only: at 100,000 items most are never
looked at.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plait.compiled import compiled
from plait.models import HISTORY, reasons

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

SMALLEST_BASE = 1e-9  # of the gate of popularity, so that it orders those that nothing else tells apart
NOT_MET = -(1 << 63)  # the bits of -0.0
# Of a saying's fourth fact: it is read at all; it says something about topics; it is about a person.
COUNTS, ON_TOPIC, TIED = 1, 2, 4
GAP = 30 * 60_000  # ms with nothing wanted, and a visit is over
FADES = 10 * 60_000  # ms in which what was done in a visit counts half
INLINE = 4  # topics that stand in an item's line; of more the first place says where in the pool they begin
# Places in an item's line, (slots, 8); the last two hold floats.
TOPICS, MANY, STAMP, ROOT, BASE = 0, 4, 5, 6, 7


@compiled
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
    visit: Floats,
    sums: Floats,
    places: Ints,
    met: Mask,
) -> tuple[Ints, Floats, Ints, int, int, Ints, float]:
    """What a person's acts say together: rows of B first, in all, lately and of a visit, then points, then topics, each by its weight.

    The intensities are those of ``table.read``: weights relative to the newest act, all that one channel says about one
    thing saturates together, and ties share the root of their number. An act speaks by the gate that its channel has for
    people who wanted as many different items. What was done in the visit of now says what goes with it in one visit, the less the
    longer ago.

    Given:
        numbers: (acts,) of their sayings, see ``Sayings``.
        weights: (acts,) decayed to ``now``.
        ats: (acts,) ms since the epoch.
        now: ms since the epoch.
        half_life: ms.
        page: the saying of the item that a page is about, which speaks louder than all that was done before; or -1.
        spans, facts, what, share: of the sayings.
        gates: (2 * (channels + 1) + 2, buckets of history), see ``Model``;
        visit: (buckets of history,).
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
    present = np.zeros(acts)  # what each is of one whole thing that was touched
    for k in range(acts):
        number = numbers[k]
        size = abs(sums[facts[number, 2]])
        present[k] = value[k] / size if size > 1e-9 else np.sign(value[k])
        value[k] *= np.log2(1.0 + size) / size if size > 1e-9 else 1.0 / np.log(2.0)
        if facts[number, 3] & TIED:
            value[k] /= np.sqrt(max(1, ties))
        if value[k] == 0.0:
            continue
        room += spans[number, 5] - spans[number, 0]
        if facts[number, 3] & ON_TOPIC:
            spoken += abs(value[k])
        if value[k] > 0.0:
            for at in range(spans[number, 5], spans[number, 6]):
                wanted += 0 if met[what[at]] else 1
                met[what[at]] = True
    for k in range(acts):
        sums[facts[numbers[k], 2]] = 0.0
        for at in range(spans[numbers[k], 5], spans[numbers[k], 6]):
            met[what[at]] = False
    bucket = 0
    while bucket + 1 < len(HISTORY) and wanted >= HISTORY[bucket + 1]:
        bucket += 1
    topic_gate = gates[kinds - 2, bucket] / np.sqrt(max(1.0, spoken))
    loudest = 1.0
    for channel in range((kinds - 2) // 2):
        loudest = max(loudest, gates[channel, bucket])
    if page >= 0:
        room += spans[page, 5] - spans[page, 0]
    told, weight, label = np.empty(room, np.int32), np.empty(room, np.float64), np.empty(room, np.int32)
    labels = np.empty(acts + 1, np.int32)
    ends = np.zeros(5, np.int64)
    count, known = 0, 0
    lately = (kinds - 2) // 2
    for part in range(5):
        for k in range(acts + 1):
            number = numbers[k] if k < acts else page
            if number < 0 or (k < acts and value[k] == 0.0):
                continue
            if places[facts[number, 1]] < 0:
                places[facts[number, 1]], labels[known] = known, facts[number, 1]
                known += 1
            if k == acts:
                by = 3.0 * (loudest if part < 4 else max(1.0, gates[kinds - 2, bucket]))
            elif part == 1:
                by = present[k] * gates[facts[number, 0] + lately, bucket]
            elif part == 2:
                ago = max(0, now - ats[k])
                by = present[k] * visit[bucket] * 2.0 ** (-ago / FADES) if ago <= GAP else 0.0
            elif part < 4:
                by = value[k] * gates[facts[number, 0], bucket]
            else:
                by = value[k] * topic_gate
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
    return told[:count], weight[:count], label[:count], ends[2], ends[3], labels[:known], base_gate


@compiled
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


@compiled
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


@compiled
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


@compiled
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


@compiled
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


def warm() -> None:
    """Compile everything, or load it from the cache, so that no visitor waits for it."""
    ints, line, one = np.zeros(1, np.int32), np.zeros((1, 8), np.int32), np.zeros(1)
    spans, facts, longs, flag = (
        np.zeros((1, 7), np.int32),
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
        np.zeros((4, len(HISTORY))),
        np.zeros(len(HISTORY)),
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
    reasons.written(np.zeros((1, 2)), 1, ints, np.zeros(1, np.uint8), np.zeros(3, np.int32))
