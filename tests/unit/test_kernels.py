"""The compiled loops, against the plain way to say the same."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
import scipy.sparse as sp
from bench.decide import HALF_LIFE, NOW, catalog_of, model_of
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.models import kernels, reasons
from plait.models.ranker import Ranker
from plait.models.table import read
from plait.profiles.profile import Entry

ROWS = 12


@settings(deadline=None, max_examples=200)
@given(
    st.integers(1, ROWS),
    st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]), min_size=ROWS, max_size=ROWS),
    st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=ROWS, max_size=ROWS),
    st.sets(st.integers(0, ROWS - 1)),
    st.sets(st.integers(0, ROWS - 1)),
    st.sets(st.integers(0, ROWS - 1)),
)
def test_the_best_are_the_best_of_all(n, scores, base, touched, forbidden, used):
    base_ = np.array(base, np.float32)
    slot_of = (
        np.random.default_rng(n).permutation(ROWS).astype(np.int32)
    )  # rows and slots are numbered differently
    row_of = np.argsort(slot_of).astype(np.int32)
    rows = np.array(sorted(touched), np.int32)
    whole = 0.5 * base_.astype(np.float64)
    whole[rows] += np.array(scores)[rows]
    lines = np.zeros((ROWS, 8), np.int32)
    lines[slot_of[rows], kernels.STAMP] = 7
    lines.view(np.float32)[slot_of, kernels.BASE] = base_
    allowed, gone = np.ones(ROWS, bool), np.zeros(ROWS, bool)
    allowed[list(forbidden)] = False
    gone[list(used)] = True
    order = slot_of[np.lexsort((np.arange(ROWS), -base_))]

    best, found = kernels.best(
        n, slot_of[rows], whole[rows], len(rows), 7, lines, 0.5, order, row_of, allowed, gone
    )

    expected = [
        row for row in np.lexsort((np.arange(ROWS), -whole)) if row not in forbidden and row not in used
    ][:n]
    assert best.tolist() == expected
    assert found.tolist() == whole[expected].tolist()


def test_an_item_that_is_gone_is_not_among_the_best():
    order, row_of = np.arange(3, dtype=np.int32), np.array([0, -1, 1], np.int32)
    everything, nothing = np.ones(2, bool), np.zeros(2, bool)

    rows, _ = kernels.best(
        3, order, np.array([1.0, 2.0, 3.0]), 3, 0, np.zeros((3, 8), np.int32), 0.5, order, row_of, everything, nothing
    )  # fmt: skip

    assert rows.tolist() == [1, 0]


class Room:
    """What ``score`` works with, over 20 slots; nothing has topics or popularity unless it is given."""

    def __init__(self, topics=3):
        self.none = np.zeros(0, np.int32)
        self.lines = np.zeros((20, 8), np.int32)
        self.pool = self.none
        self.met, self.total = np.zeros(21, np.int32), np.zeros(20)
        self.sums, self.liking = np.full(20, -0.0), np.zeros(topics + 1)
        self.topics(dict.fromkeys(range(20), ()))

    def topics(self, told):
        """Give slots their topics, and nothing else any."""
        lists = [told.get(slot, ()) for slot in range(20)]
        ends = np.cumsum([0, *map(len, lists)])
        self.pool = np.array([code for one in lists for code in one] or [-1], np.int32)
        kernels.inline(
            np.arange(20, dtype=np.int32), ends[:-1], np.diff(ends).astype(np.int32), self.pool,
            len(self.liking) - 1, self.lines,
        )  # fmt: skip

    def scores(self, *, rows=(), b=None, points=(), more=(), liked=()):
        """The scores by slot; ``rows``, ``points`` and ``liked`` are pairs of what and weight."""
        b = sp.csr_matrix((1, 20), dtype=np.float32) if b is None else b
        told = [(np.array([at for at, _ in one], np.int32), np.array([by for _, by in one], float))
                for one in (rows, points, liked)]  # fmt: skip
        kernels.liked(*told[2], self.liking, 8)
        self.count = kernels.score(
            *told[0], *told[1], np.array(more, np.int32), b.indptr.astype(np.int64), b.indices.astype(np.int32), b.data,
            told[2][0], self.liking, self.pool, self.lines, 0.5, 1, self.sums, self.met, self.total,
        )  # fmt: skip
        found = np.zeros(20)
        found[self.met[: self.count]] = self.total[: self.count]
        return found

    def told(self, *, rows=(), b=None, points=(), liked=()):
        """What each act gave to each slot, popularity last."""
        b = sp.csr_matrix((1, 20), dtype=np.float32) if b is None else b
        parts, label = [], 0
        for one in (rows, points, liked):
            parts += [np.array([at for at, _ in one], np.int32), np.array([by for _, by in one], float),
                      np.arange(label, label + len(one), dtype=np.int32)]  # fmt: skip
            label += len(one)
        return kernels.told(
            np.arange(20, dtype=np.int32), 20, *parts, b.indptr.astype(np.int64), b.indices.astype(np.int32), b.data,
            self.pool, self.lines, 0.5, label,
        )  # fmt: skip


def test_what_each_act_gave_sums_to_the_score():
    random = np.random.default_rng(0)
    b = sp.random(30, 20, 0.3, "csr", random_state=1, dtype=np.float32)
    b.sort_indices()
    room = Room(topics=6)
    room.topics({slot: random.integers(0, 6, random.integers(0, 8)) for slot in range(20)})
    room.lines.view(np.float32)[:, kernels.BASE] = random.random(20)
    acts = list(zip(random.integers(-1, 30, 8).tolist(), random.normal(size=8).tolist(), strict=True))
    points = list(zip(random.integers(0, 20, 5).tolist(), random.normal(size=5).tolist(), strict=True))
    liked = list(zip(random.integers(0, 6, 4).tolist(), random.normal(size=4).tolist(), strict=True))

    scores = room.scores(rows=acts, b=b, points=points, liked=liked, more=range(20))

    assert np.allclose(room.told(rows=acts, b=b, points=points, liked=liked).sum(axis=1), scores)
    assert np.allclose(Room().scores(rows=acts, b=b), sum(by * b.toarray()[at] for at, by in acts if at >= 0))


def test_popularity_and_liked_topics_count_for_what_is_looked_at():
    room = Room()
    room.lines.view(np.float32)[4, kernels.BASE] = 0.5
    room.topics({4: [0, 1, 2, 2], 5: [0], 6: [0, 0, 0, 1, 2, 2, 2, 2, 2]})

    scores = room.scores(points=[(3, 1.0), (3, 1.0)], more=[4, 5, 6], liked=[(0, 2.0), (2, 1.0), (2, 0.5)])

    assert scores[[3, 4, 5]].tolist() == [2.0, 0.25 + (2.0 + 0.0 + 1.5 + 1.5) / 2, 2.0]
    assert np.isclose(scores[6], (3 * 2.0 + 5 * 1.5) / 3)


def test_acts_that_cancel_out_meet_an_item_once():
    room = Room()

    room.scores(points=[(3, 1.0), (3, -1.0), (3, 0.0), (3, -0.0)], more=[3, 3])

    assert room.count == 1


def test_a_question_leaves_no_trace():
    room = Room()
    room.scores(points=[(3, 1.0), (1, 1.0)], more=[7], liked=[(1, 2.0)])
    assert room.count == 3

    assert (room.sums.view(np.int64) == kernels.NOT_MET).all()
    assert not room.liking.any()


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from([-1.0, 0.5, 1.0, 2.0]))), st.integers(1, 8))
def test_the_most_liked_topics_come_first(told, most):
    liking = np.zeros(6)
    codes = np.array([code for code, _ in told], np.int32)

    found = kernels.liked(codes, np.array([by for _, by in told], float), liking, most)

    known = [code for code in np.lexsort((np.arange(6), -liking)) if liking[code] != 0]
    assert found.tolist() == known[:most]


@settings(deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 4.0]), min_size=6, max_size=6), max_size=4
    ),
    st.integers(2, 7),
)
def test_the_largest_reasons_are_told_and_the_rest_is_summed_up(told, most):
    table = np.array(told, float).reshape(-1, 6)

    label, value, share, ends, scores = reasons.reasons(table, most)

    begin = 0
    for row, end, score in zip(table, ends, scores, strict=True):
        said = sorted(((-abs(one), at, one) for at, one in enumerate(row) if one), key=lambda one: one[:2])
        kept, rest = (
            (said, 0.0) if len(said) <= most else (said[: most - 1], sum(one for *_, one in said[most - 1 :]))
        )
        expected = sorted(
            [(-abs(one), at, one) for _, at, one in kept] + ([(-abs(rest), -1, rest)] if rest else [])
        )
        assert [(one, at) for _, at, one in expected] == list(
            zip(value[begin:end].tolist(), label[begin:end].tolist(), strict=True)
        )
        assert score == row.sum()
        assert end == begin or np.isclose(np.abs(share[begin:end]).sum(), 1.0)
        assert (np.sign(share[begin:end]) == np.sign(value[begin:end])).all()
        begin = end


@settings(deadline=None, max_examples=300)
@given(
    st.lists(
        st.lists(
            st.floats(-1e9, 1e9) | st.floats(-1e-3, 1e-3) | st.sampled_from([0.0, 1.0, 0.9999999999, 1e-300]),
            min_size=4,
            max_size=4,
        ),
        max_size=3,
    ),
)
def test_reasons_are_written_as_they_are(told):
    table = np.array(told, float).reshape(-1, 4)
    texts = [
        json.dumps({"signal": name})[:-1] + ', "contribution":' for name in ("popular", "rest", "a", "b", "ü")
    ]
    spans = np.cumsum([0, *(len(one.encode()) for one in texts)]).astype(np.int32)
    pool = np.frombuffer("".join(texts).encode(), np.uint8).copy()
    labels = np.array([2, 3, 4], np.int32)

    text, ends, _ = reasons.written(table, 3, labels, pool, spans)

    place, value, share, until, _ = reasons.reasons(table, 3)
    begin = start = 0
    for end, stop in zip(ends.tolist(), until.tolist(), strict=True):
        found = json.loads(text.tobytes()[begin:end])
        named = [
            {-1: "rest", 0: "a", 1: "b", 2: "ü", 3: "popular"}[one] for one in place[start:stop].tolist()
        ]
        if start == stop:
            assert found == [{"signal": "popular", "contribution": 0.0, "share": 1.0}]
        else:
            assert [one["signal"] for one in found] == named
            for one, exact in zip(found, value[start:stop].tolist(), strict=True):
                small = abs(exact) < 1e-3  # then it is told by nine digits, else to nine decimals
                assert one["contribution"] == pytest.approx(exact, rel=1e-8, abs=1e-299 if small else 6e-10)
            assert [one["share"] for one in found] == pytest.approx(share[start:stop].tolist(), abs=1e-9)
        begin, start = end, stop


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["web", "bluesky:a", "bluesky:b", "ties"]), st.sampled_from(["view", "like", "remove", "shown"]),
            st.sampled_from(["item", "post", ""]), st.integers(1, 3), st.sampled_from(["", "specs"]),
            st.floats(-3, 30).filter(lambda weight: abs(weight) > 1e-6) | st.just(0.0), st.integers(0, 9 * HALF_LIFE),
        ),
        max_size=30,
    )
)  # fmt: skip
def test_a_person_is_heard_as_the_fit_reads_them(told):
    ranker = Ranker(model_of(60, keep=12), catalog_of(60))
    ranker.refresh()
    entries = [
        Entry(source, signal, kind, f"item-{item}", section, 1, weight, NOW - age, False)
        for source, signal, kind, item, section, weight, age in told
    ]

    acts = ranker.acts(entries, now=NOW)

    # Of these signals only a view foretells itself, so it alone tells how often people come back: gate 2.0, returns 0.2.
    expected = Counter()
    for entry, value in read(entries, now=NOW, half_life=HALF_LIFE):
        if (entry.kind, entry.signal) == ("item", "view"):
            expected[entry.id] += value * 2.0 * 0.2
    heard = Counter()
    for slot, weight in zip(acts.points.tolist(), acts.point_weights.tolist(), strict=True):
        heard[f"item-{slot}"] += weight
    assert dict(heard) == pytest.approx({item: weight for item, weight in expected.items() if item in heard})
    assert all(abs(weight) < 1e-12 for item, weight in expected.items() if item not in heard)
