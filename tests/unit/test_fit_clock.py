"""When a model is fitted, and when only its rows are learned anew."""

from __future__ import annotations

from itertools import pairwise

import pytest

from plait.models.clock import FitClock
from plait.settings import Settings

MINUTE = 60.0
MANY = 1_000_000  # positions; the log does not double


def clock(*, position: int = MANY, **minutes: float) -> FitClock:
    return FitClock(Settings(**minutes), position=position, now=0.0)


def days_work(of: FitClock, *, hours: float, grows: int = 1, took: float = 5.0) -> list[tuple[float, str]]:
    """What is done at which minute, looking every ten seconds; the log grows by so much between two looks."""
    now, last, found = 0.0, MANY, []
    while now < hours * 60 * MINUTE:
        now, last = now + 10.0, last + grows
        due = of.due(last, now=now)
        if due:
            found.append((round(now / MINUTE), due))
            now += took
            of.done(due, now=now)
    return found


def test_rows_are_learned_anew_between_fits():
    told = [what for _, what in days_work(clock(), hours=2.05)]

    assert told == ["refit"] * 5 + ["fit"] + ["refit"] * 5 + ["fit"]


def test_nothing_is_done_without_news():
    quiet = clock()
    assert [quiet.due(MANY, now=hour * 3_600.0) for hour in range(1, 9)] == [""] * 8


def test_one_act_is_learned_from_once_and_decided_on_once():
    one = clock()
    told = [one.due(MANY + 1, now=minute * MINUTE) for minute in range(1, 300)]

    assert [what for what in told if what] == ["refit", "fit"]


def test_where_rows_take_long_they_take_a_tenth_of_the_time_at_most():
    told = days_work(clock(fit_every_minutes=10_000), hours=20, took=20 * MINUTE)

    gaps = [after - before for (before, _), (after, _) in pairwise(told)]
    assert min(gaps) >= 219  # ten times twenty minutes of rest, and the twenty


def test_a_log_that_doubled_is_fitted_but_not_more_often_than_each_minute():
    young = clock(position=0)

    assert young.due(5, now=30.0) == ""
    assert young.due(5, now=61.0) == "fit"
    young.done("fit", now=62.0)
    assert young.due(9, now=200.0) == ""
    assert young.due(11, now=200.0) == "fit"


@pytest.mark.parametrize("last", [MANY, 5 * MANY])
def test_nought_leaves_it_to_the_operator(last: int):
    assert clock(fit_every_minutes=0).due(last, now=1e6) == ""


def test_nought_between_leaves_only_fits():
    told = days_work(clock(refit_every_minutes=0), hours=2.2)

    assert [what for _, what in told] == ["fit", "fit"]
