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
    seen, scored = np.zeros(ROWS, bool), np.zeros(ROWS)
    seen[list(touched)] = True
    scored[seen] = np.array(scores)[seen]
    allowed, gone = np.ones(ROWS, bool), np.zeros(ROWS, bool)
    allowed[list(forbidden)] = False
    gone[list(used)] = True
    order = np.lexsort((np.arange(ROWS), -base_)).astype(np.int32)
    room = np.zeros(ROWS, np.int32)
    room[: len(touched)] = list(touched)

    rows, found = kernels.best(n, scored, seen, room, len(touched), base_, 0.5, order, allowed, gone)

    whole = scored + 0.5 * base_
    expected = [
        row for row in np.lexsort((np.arange(ROWS), -whole)) if row not in forbidden and row not in used
    ][:n]
    assert rows.tolist() == expected
    assert found.tolist() == whole[expected].tolist()


def test_what_each_act_gave_sums_to_the_score():
    random = np.random.default_rng(0)
    b = sp.random(30, 20, 0.3, "csr", random_state=1, dtype=np.float32)
    b.sort_indices()
    indptr, columns = b.indptr.astype(np.int64), b.indices.astype(np.int32)
    to_row = random.permutation(20).astype(np.int32)
    from_row = np.argsort(to_row).astype(np.int32)
    acts, weights = random.integers(-1, 30, 8).astype(np.int64), random.normal(size=8)
    scores, seen, touched = np.zeros(20), np.zeros(20, bool), np.zeros(20, np.int32)

    kernels.add_neighbours(acts, weights, indptr, columns, b.data, to_row, scores, seen, touched, 0)

    told = np.zeros((20, 8))
    everything = np.arange(20, dtype=np.int32)
    kernels.shares_of_neighbours(
        everything, acts, weights, np.arange(8, dtype=np.int32), indptr, columns, b.data, from_row, told
    )
    dense = np.where(acts >= 0, weights, 0) @ b.toarray()[acts]
    assert np.allclose(scores, dense[from_row])
    assert np.allclose(told.sum(axis=1), scores)


def test_a_question_leaves_no_trace():
    scores, seen = np.zeros(5), np.zeros(5, bool)
    touched = np.zeros(5, np.int32)
    count = kernels.add_points(np.array([3, 1, 3, -1], np.int32), np.ones(4), scores, seen, touched, 0)
    assert (count, scores.tolist()) == (2, [0.0, 1.0, 0.0, 2.0, 0.0])

    kernels.forget(touched, count, scores, seen)

    assert not scores.any()
    assert not seen.any()
