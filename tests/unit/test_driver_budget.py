"""What a network still takes, by our own count and by its word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.connectors import Limit
from plait.driver.budget import Budget, moment, patience, remaining
from plait.driver.plan import LATEST, SOONEST, Plan

NOW = 1_790_000_000.0


@given(
    calls=st.integers(1, 50), seconds=st.integers(1, 400),
    tries=st.lists(st.floats(0, 30, allow_nan=False), min_size=1, max_size=200),
)  # fmt: skip
def test_no_window_ever_holds_more_calls_than_the_network_allows(calls, seconds, tries):
    budget, now, made = Budget(Limit(calls=calls, seconds=seconds)), NOW, []
    for pause in tries:
        now += pause
        if budget.wait(now) <= 0:
            budget.take(now)
            made.append(now)

    assert all(sum(1 for one in made if start <= one <= start + seconds) <= calls for start in made)


@given(st.integers(1, 60), st.integers(1, 400), st.integers(0, 200))
def test_who_waits_as_long_as_told_may_call(calls, seconds, many):
    budget, now = Budget(Limit(calls=calls, seconds=seconds)), NOW
    for _ in range(many):
        now += budget.wait(now) + 1e-6
        assert budget.wait(now) <= 0
        budget.take(now)


def test_a_budget_is_used_nearly_whole():
    budget = Budget(Limit(calls=300, seconds=300))
    made = 0
    while budget.wait(NOW) <= 0:
        budget.take(NOW)
        made += 1

    assert made == 285


def test_a_restart_does_not_begin_with_a_full_budget():
    budget = Budget(Limit(calls=10, seconds=60))
    for _ in range(9):
        budget.take(NOW)

    again = Budget(Limit(calls=10, seconds=60), budget.spent())

    assert again.wait(NOW + 1) > 50
    assert again.left(NOW + 1) == 0


def test_a_backfill_leaves_half_to_what_happens_now():
    budget = Budget(Limit(calls=100, seconds=60))
    for _ in range(47):
        budget.take(NOW)

    assert budget.wait(NOW, keep=0.5) > 0
    assert budget.wait(NOW) == 0


def test_what_the_network_says_is_left_counts_when_it_is_less():
    budget = Budget(Limit(calls=300, seconds=300))

    budget.hear({"x-ratelimit-remaining": "2", "x-ratelimit-reset": str(NOW + 100)}, NOW)
    budget.take(NOW)
    budget.take(NOW)

    assert budget.wait(NOW) == pytest.approx(100)
    assert budget.wait(NOW + 101) == 0


def test_a_network_that_promises_more_than_its_statement_makes_us_no_faster():
    budget = Budget(Limit(calls=1, seconds=60))
    budget.take(NOW)

    budget.hear({"ratelimit-remaining": "5000", "ratelimit-reset": "60"}, NOW)

    assert budget.wait(NOW) > 0


@pytest.mark.parametrize(
    ("headers", "left", "until"),
    [
        ({"x-ratelimit-remaining": "299", "x-ratelimit-reset": "2026-09-21T13:45:00.000Z"}, 299, 1_789_998_300),  # Mastodon
        ({"ratelimit-limit": "3000", "ratelimit-remaining": "2999", "ratelimit-reset": "1790000300"}, 2999, NOW + 300),  # Bluesky
        ({"x-rate-limit-remaining": "14", "x-rate-limit-reset": "1790000900"}, 14, NOW + 900),  # X
        ({"ratelimit": "limit=100, remaining=50, reset=5"}, 50, NOW + 5),
        ({"ratelimit": '"default";r=7;t=30'}, 7, NOW + 30),
        ({"ratelimit-remaining": "5"}, 5, NOW + 60),
        ({"ratelimit-remaining": "5", "ratelimit-reset": "99999999999"}, 5, NOW + 86_400),  # a network that is mad
    ],
)  # fmt: skip
def test_headers_are_read_as_networks_write_them(headers, left, until):
    assert remaining(headers, NOW) == (left, pytest.approx(until))


@pytest.mark.parametrize("headers", [{}, {"ratelimit-remaining": "many"}, {"ratelimit-remaining": "٥"}, {"ratelimit": "q=1"}])  # fmt: skip
def test_headers_that_say_nothing_are_passed_over(headers):
    assert remaining(headers, NOW) is None


@pytest.mark.parametrize(("text", "seconds"), [("7", 7), ("0", 0), ("Mon, 21 Sep 2026 14:13:50 GMT", 30), ("1e9999", None), ("soon", None), ("-5", None), ("nan", None)])  # fmt: skip
def test_retry_after_is_read_in_both_forms(text, seconds):
    assert patience({"retry-after": text}, NOW) == seconds


def test_a_moment_may_be_told_in_seconds_from_now():
    assert moment("90", NOW) == NOW + 90


def test_looks_come_often_where_they_tell_much_and_seldom_where_they_tell_nothing():
    limits = {"default": Budget(Limit(calls=300, seconds=300))}
    busy, quiet = Plan(streams=False), Plan(streams=False)
    for _ in range(20):
        busy.told(calls=3, facts=5, limits=limits)
        quiet.told(calls=3, facts=0, limits=limits)

    assert busy.pause() == SOONEST
    assert quiet.pause() == LATEST


def test_looks_never_take_more_than_half_of_a_budget():
    limits = {"default": Budget(Limit(calls=300, seconds=300))}
    plan = Plan(streams=False)

    plan.told(calls=100, facts=50, limits=limits)

    assert 100 / plan.pause() <= 0.5 * 300 / 300
