"""The explanation is the computation: whatever somebody did, reasons add up to scores."""

from __future__ import annotations

import functools
from itertools import pairwise

import pytest
from bench.decide import HALF_LIFE, NOW, catalog_of, model_of
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.decide import Asked, Decider, Page, Question
from plait.models.ranker import Ranker
from plait.profiles.profile import Entry, Profile

ITEMS = 60


@functools.cache
def shop():
    shelf, model = catalog_of(ITEMS), model_of(ITEMS, keep=12)
    decider = Decider(shelf)
    decider.use(Ranker(model, shelf))
    return decider


entries = st.lists(
    st.builds(
        Entry,
        st.sampled_from(["web", "app", "bluesky:a", "bluesky:b"]),
        st.sampled_from(["view", "dwell", "like", "add", "remove", "rate"]),
        st.sampled_from(["item", "item", "item", "topic", "query", "url", "post"]),
        st.sampled_from([*(f"item-{one}" for one in range(9)), "topic-1", "topic-2", "unheard-of"]),
        st.sampled_from(["", "", "specs", "reviews"]),
        st.integers(1, 5),
        st.floats(-3, 30).filter(lambda weight: abs(weight) > 1e-6),
        st.integers(NOW - 9 * HALF_LIFE, NOW),
        st.just(False),
    ),
    max_size=40,
    unique_by=lambda one: one[:5],
)
asks = st.builds(
    Question,
    placements=st.just((Asked("home.hero", 2), Asked("item.related", 4), Asked("home.grid", 30))),
    page=st.builds(Page, item=st.none() | st.sampled_from(["item-3", "unheard-of"])),
    explain=st.just(True),
)


@settings(max_examples=150)
@given(entries, asks)
def test_contributions_sum_to_the_score_and_shares_to_one(acts, question):
    answer = shop().decide(question, Profile(["user:a"], acts), now=NOW, id="d")

    for shown in answer.placements.values():
        for one in shown.items:
            assert sum(why.contribution for why in one.because) == pytest.approx(one.score, abs=1e-6)
            assert sum(abs(why.share) for why in one.because) == pytest.approx(1.0, abs=1e-6)
            assert all(why.share * why.contribution >= 0 for why in one.because)


@settings(max_examples=100)
@given(entries, asks)
def test_scores_are_the_same_explained_or_not(acts, question):
    silent = Question(placements=question.placements, page=question.page)

    explained = shop().decide(question, Profile(["user:a"], acts), now=NOW, id="d")
    plain = shop().decide(silent, Profile(["user:a"], acts), now=NOW, id="d")

    for name, shown in explained.placements.items():
        other = plain.placements[name].items
        assert [one.item for one in shown.items] == [one.item for one in other]
        assert [one.score for one in shown.items] == pytest.approx([one.score for one in other], abs=1e-6)


@settings(max_examples=100)
@given(entries, asks)
def test_best_comes_first(acts, question):
    answer = shop().decide(question, Profile(["user:a"], acts), now=NOW, id="d")

    for shown in answer.placements.values():
        scores = [one.score for one in shown.items]
        assert all(one >= other - 1e-6 for one, other in pairwise(scores))


@settings(max_examples=100)
@given(entries, st.randoms(use_true_random=False))
def test_the_order_of_entries_does_not_matter(acts, random):
    question = Question(placements=(Asked("home.grid", 20),))
    other = list(acts)
    random.shuffle(other)

    one, two = (
        [
            item.score
            for item in shop()
            .decide(question, Profile(["a"], some), now=NOW, id="d")
            .placements["home.grid"]
            .items
        ]
        for some in (acts, other)
    )

    assert one == pytest.approx(two, rel=1e-9, abs=1e-9)


@settings(max_examples=100)
@given(entries)
def test_every_reason_is_something_the_person_did(acts):
    question = Question(placements=(Asked("home.grid", 20),), explain=True)

    answer = shop().decide(question, Profile(["user:a"], acts), now=NOW, id="d")

    done = {(one.source, one.signal) for one in acts} | {("catalog", "trending"), ("other", "other")}
    for one in answer.placements["home.grid"].items:
        assert {(why.source, why.signal) for why in one.because} <= done
