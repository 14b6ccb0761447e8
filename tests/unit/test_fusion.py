"""How gates are placed and judged: questions whose right answer is known by construction."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from plait.models import fusion
from plait.models.gates import Groups, joined, ndcg, splits
from plait.models.linear import ridge_rows
from plait.models.table import Table
from plait.models.tastes import directions

SOURCES = {"activity": np.array([True, False]), "social": np.array([False, True])}
NAMES = [(0, "pool"), (1, "friends")]


def questions(number=400, candidates=60, *, seed=0, told=(3.0, 0.0)) -> Groups:
    """One wanted item each; two channels lift it by ``told`` standard deviations; topics are silent, popularity is chance."""
    random = np.random.default_rng(seed)
    features = random.standard_normal((number * candidates, 4))
    features[:, 2] = 0.0
    truth = np.zeros(number * candidates)
    truth[::candidates] = 1.0
    features[::candidates, :2] += told
    return Groups(
        features,
        truth,
        np.ones(len(truth)),
        np.repeat(np.arange(number), candidates),
        np.full(number, 5),
        np.ones(number),
    )


def test_climbing_ranks_no_worse_than_likelihood():
    asked = questions(told=(1.5, 0.7))

    likely = fusion.likely(asked, np.ones(4))
    climbed = fusion._climbed(asked, likely, fusion.NEEDED)

    assert ndcg(asked, climbed).mean() >= ndcg(asked, likely).mean()


def test_a_source_of_noise_costs_nothing_on_questions_that_nobody_saw():
    fitted, _ = fusion.fit_gates(questions(), NAMES, 2, SOURCES)

    unseen = questions(seed=1)
    combined = np.append(fitted.mix * fitted.gates[:2, 5], fitted.gates[2:, 5])

    alone = np.array([1.0, 0.0, 0.0, 0.0])
    assert ndcg(unseen, combined).mean() >= 0.997 * ndcg(unseen, alone).mean()


def test_two_sources_that_both_tell_something_are_both_heard():
    fitted, _ = fusion.fit_gates(questions(told=(1.5, 1.5)), NAMES, 2, SOURCES)

    assert (fitted.gates[:2, 5] > 0).all()
    assert fitted.guarded.get(5, 1.0) == 1.0


def test_what_combining_gains_everybody_is_heard_where_histories_are_short():
    few, as_few, many = (
        questions(60, told=(1.5, 0.0)),
        questions(60, seed=1, told=(1.5, 0.0)),
        questions(600, seed=2, told=(1.5, 1.5)),
    )
    asked = joined([few._replace(bucket=np.full(60, 1)), as_few._replace(bucket=np.full(60, 3)), many])
    both, first, second = np.array([1.0, 1, 0, 0]), np.array([1.0, 0, 0, 0]), np.array([0.0, 1, 0, 0])
    gates, activity, social = (np.repeat(one[:, None], 6, axis=1) for one in (both, first, second))
    alone = {"activity": activity, "social": social}

    placed, held = fusion.guard(asked, gates, alone, 50, 300.0)
    _, held_by_few = fusion.guard(asked, gates, alone, 50)

    assert held[3] < 1.0
    assert 1 not in held
    assert held_by_few[1] < 1.0
    assert np.array_equal(placed[:, 1], both)


def of_who_is_new(number: int, popular: float, told: float) -> Groups:
    """Who is new wants what is popular and what their one act tells."""
    asked = questions(number, told=(told, 0.0))
    asked.features[::60, 3] += popular
    return asked._replace(bucket=np.full(number, 1))


def of_short_and_long_histories() -> Groups:
    """The many who are not new want only what their acts tell."""
    old = questions(900, seed=1, told=(1.5, 0.0))
    old.features[::60, 3] -= 0.6
    return joined([of_who_is_new(160, 1.2, 0.6), old])


def popular(asked: Groups) -> float:
    """The part of popularity in the gates of who is new."""
    gates = fusion._by_bucket(asked, np.array([1.0, 0.0, 0.0, 0.1]))[:, 1]
    return float(gates[3] / gates.sum())


def test_what_serves_the_many_does_not_silence_what_is_popular_for_who_is_new():
    asked = of_short_and_long_histories()
    gates = fusion._by_bucket(asked, np.array([1.0, 0.0, 0.0, 0.0]))

    new = asked.of(asked.bucket == 1)
    assert ndcg(new, gates[:, 1]).mean() > 1.1 * ndcg(new, np.array([1.0, 0.0, 0.0, 0.0])).mean()
    assert gates[3, 1] > 0.1 * gates[0, 1]
    assert gates[3, 5] < 0.01 * gates[0, 5]


def test_gates_hardly_move_when_other_questions_of_the_same_kind_are_left_out():
    asked = of_who_is_new(170, 0.55, 0.6)

    found = [
        popular(asked.of(np.random.default_rng(seed).permutation(170) >= 8)) for seed in range(8)
    ]  # one climb alone ends anywhere between 0.17 and 0.44

    assert min(found) > 0.3
    assert max(found) - min(found) < 0.15


def test_gates_stay_where_they_are_when_scores_move_by_a_rounding():
    asked = of_who_is_new(170, 0.55, 0.6)
    noise = np.random.default_rng(2).standard_normal(asked.features.shape)
    near = asked._replace(features=asked.features * (1 + 1e-9 * noise))

    assert abs(popular(near) - popular(asked)) < 0.02


def test_what_differs_by_a_rounding_is_equal():
    told = questions(1, 40, told=(0.0, 0.0))
    features = np.ones((40, 4))
    features[0] += 1e-9  # what was wanted is above all others by less than rows can tell

    assert ndcg(told._replace(features=features), np.ones(4))[0] == 0.0


def test_questions_of_several_draws_stay_apart_when_joined():
    one, other = questions(3), questions(2, seed=1)

    both = joined([one, other])

    gates = np.array([1.0, 0.0, 0.0, 0.0])
    assert np.array_equal(ndcg(both, gates), np.concatenate([ndcg(one, gates), ndcg(other, gates)]))


def table(at: int) -> Table:
    random = np.random.default_rng(0)
    person = np.repeat(np.arange(60), 6)
    item = np.concatenate([random.choice(30, 6, replace=False) for _ in range(60)])
    zeros, ones = np.zeros(360, np.int64), np.ones(360)
    ats = np.arange(360, dtype=np.int64) * 1_000 + 1 if at else zeros
    return Table([("web", "view")], [f"item\x1f{one}" for one in range(30)], 30, 60, person, zeros, item, ones,
                 ones > 1, ats, sp.csr_matrix((30, 1)), np.full(60, -1))  # fmt: skip


def test_without_times_everybody_is_asked_once_with_nothing_cut_short():
    draws = splits(table(0), np.random.default_rng(0))

    assert len(draws) == 2
    assert (np.diff(draws[1].truth.indptr) == 2).all()  # a fifth of six items, rounded up
    assert (np.diff(draws[1].rest.target().indptr) == 4).all()


def test_with_times_one_draw_asks_about_what_came_last():
    assert len(splits(table(1), np.random.default_rng(0))) == 1


def test_directions_are_the_largest_singular_vectors():
    x = sp.random(80, 50, 0.2, random_state=0, dtype=np.float32).tocsr()

    found, squares = directions(x, 5)

    u, values, _ = np.linalg.svd(x.toarray())
    u = u[:, :5]
    assert np.allclose(squares, values[:5] ** 2, rtol=1e-2)
    assert np.allclose(np.abs(np.sum(found * u, axis=0)), 1.0, atol=1e-2)  # signs are free


def test_what_is_broad_is_added_alike_whichever_matrix_was_inverted():
    for shape in ((40, 90), (90, 40)):  # the dual form, the primal
        x = sp.random(*shape, 0.2, random_state=0, dtype=np.float32).tocsr()
        x.data[:] = 1.0
        plain, _ = ridge_rows(x, x, own=True)
        both, _ = ridge_rows(x, x, own=True, broadly=0.5, tastes=4)

        more = both.scores(x) - plain.scores(x)

        values = np.linalg.svd(more, compute_uv=False)
        assert values[3] > 1e-2 * values[0]
        assert values[4] < 1e-3 * values[0]
