"""The compiled loops, against the plain way to say the same."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.models import kernels

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
    met = np.array(sorted(touched), np.int32)
    whole = 0.5 * base_.astype(np.float64)
    whole[met] += np.array(scores)[met]
    facts = np.full((ROWS, 4), -1, np.int32)
    facts[met, 3] = np.arange(len(met))
    bases = facts.view(np.float32)
    bases[:, 2] = base_
    allowed, gone = np.ones(ROWS, bool), np.zeros(ROWS, bool)
    allowed[list(forbidden)] = False
    gone[list(used)] = True
    order = np.lexsort((np.arange(ROWS), -base_)).astype(np.int32)

    rows, found = kernels.best(n, met, whole[met], len(met), facts, bases, 0.5, order, allowed, gone)

    expected = [
        row for row in np.lexsort((np.arange(ROWS), -whole)) if row not in forbidden and row not in used
    ][:n]
    assert rows.tolist() == expected
    assert found.tolist() == whole[expected].tolist()


class Room:
    """What ``score`` works with, over 20 rows of a catalog; nothing has topics or popularity unless it is given."""

    def __init__(self):
        self.none = np.zeros(0, np.int32)
        self.facts = np.full((20, 4), -1, np.int32)
        self.bases = self.facts.view(np.float32)
        self.bases[:, 2] = 0.0
        self.pool = self.none
        self.touched, self.total = np.zeros(20, np.int32), np.zeros(20)
        self.liking = np.zeros(3)

    def scores(self, *, rows=(), b=None, to_row=None, points=(), more=(), liked=()):
        """The scores by row; ``rows``, ``points`` and ``liked`` are pairs of what and weight."""
        b = sp.csr_matrix((1, 20), dtype=np.float32) if b is None else b
        told = [(np.array([at for at, _ in one], np.int32), np.array([by for _, by in one], float))
                for one in (rows, points, liked)]  # fmt: skip
        kernels.liked(*told[2], self.liking, 8)
        self.count = kernels.score(
            *told[0], *told[1], np.array(more, np.int32), b.indptr.astype(np.int64), b.indices.astype(np.int32), b.data,
            np.arange(20, dtype=np.int32) if to_row is None else to_row, told[2][0], self.liking, self.pool,
            self.facts, self.bases, 0.5, self.touched, self.total,
        )  # fmt: skip
        found = np.zeros(20)
        found[self.touched[: self.count]] = self.total[: self.count]
        return found


def test_what_each_act_gave_sums_to_the_score():
    random = np.random.default_rng(0)
    b = sp.random(30, 20, 0.3, "csr", random_state=1, dtype=np.float32)
    b.sort_indices()
    to_row = random.permutation(20).astype(np.int32)
    from_row = np.argsort(to_row).astype(np.int32)
    acts, weights = random.integers(-1, 30, 8).astype(np.int32), random.normal(size=8)

    scores = Room().scores(rows=list(zip(acts, weights, strict=True)), b=b, to_row=to_row)

    told = np.zeros((20, 8))
    everything = np.arange(20, dtype=np.int32)
    kernels.shares_of_neighbours(
        everything, acts, weights, np.arange(8, dtype=np.int32), b.indptr.astype(np.int64),
        b.indices.astype(np.int32), b.data, from_row, told,
    )  # fmt: skip
    dense = np.where(acts >= 0, weights, 0) @ b.toarray()[acts]
    assert np.allclose(scores, dense[from_row])
    assert np.allclose(told.sum(axis=1), scores)


def test_popularity_and_liked_topics_count_for_what_is_looked_at():
    room = Room()
    room.bases[4, 2] = 0.5
    room.facts[4, :2] = 1, 4
    room.pool = np.array([9, 0, 1, 2, 2], np.int32)

    scores = room.scores(
        points=[(3, 1.0), (3, 1.0), (-1, 9.0)], more=[4], liked=[(0, 2.0), (2, 1.0), (2, 0.5)]
    )

    assert scores[[3, 4]].tolist() == [2.0, 0.25 + (2.0 + 0.0 + 1.5 + 1.5) / 2]


def test_a_question_leaves_no_trace():
    room = Room()
    room.scores(points=[(3, 1.0), (1, 1.0)], more=[7], liked=[(1, 2.0)])
    assert room.count == 3

    kernels.forget(room.touched, room.count, room.facts)

    assert (room.facts[:, 3] == -1).all()
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

    label, value, share, ends, scores = kernels.reasons(table, most)

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
