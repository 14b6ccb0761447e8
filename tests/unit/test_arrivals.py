"""What never arrived, by the numbers that browsers give; and what of a browser's events may rest."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from plait.events import DAY, Record, Signal
from plait.http.arrivals import Arrivals
from plait.intake.clean import Cleaner
from plait.intake.records import events_of
from plait.intake.signals import load_signals
from plait.settings import Settings

NOW = 1_800_000_000_000


@given(st.sets(st.integers(2, 60)), st.randoms(use_true_random=False))
def test_in_whatever_order_and_however_often_numbers_come_what_is_missing_is_what_stayed_out(
    lost: set[int], chance: random.Random
) -> None:
    came = [1, *(n for n in range(2, 61) if n not in lost), 61]
    rest = came[1:] * 2
    chance.shuffle(rest)
    arrivals = Arrivals()

    for number in [1, *rest]:
        arrivals.tell("anonymous:a", number)

    assert (arrivals.numbered, arrivals.missing) == (61, len(lost))


def test_a_device_that_lost_its_count_begins_anew() -> None:
    arrivals = Arrivals()

    for number in (5_000_000, 5_000_001, 1, 2):
        arrivals.tell("anonymous:a", number)

    assert arrivals.missing == 0


def test_a_body_that_is_none_changes_nothing() -> None:
    arrivals = Arrivals()

    for body in (
        b"",
        b'{"seq": [',
        b'{"events": [{"context": {"seq": "x"}}]}',
        b'{"events": [{"who": [], "context": {"seq": 3}}]}',
    ):
        arrivals.hear(body)

    assert arrivals.numbered == 0


def test_of_a_form_the_names_of_fields_rest_and_nothing_that_may_be_a_value() -> None:
    said = {
        "form": "order",
        "field_names": ["name", "user[mail]"],
        "invalid_fields": ["ada@shop.example"],
        "name2": "Ada",
    }

    kept = Cleaner(Settings()).properties(Signal.FORM_SUBMIT, said)

    assert kept == {"form": "order", "field_names": ["name", "user[mail]"]}


def test_all_reports_of_a_counter_keep_its_name_and_weigh_from_now_whatever_the_clock(tmp_path) -> None:  # type: ignore[no-untyped-def]
    year = 366 * DAY
    found = set()
    for later in (0, 5_000, 61_000):
        body = (
            b'[{"id": "e%d", "signal": "dwell", "who": ["anonymous:a"], "sent_at": %d, "value": 3, "about": {"item": "t"},'
            b' "counter": {"view": "v", "started_at": %d}}]' % (later, NOW + year + later, NOW + year)
        )
        record = Record(kind="events", source="web", received_at=NOW + later + 40, body=body)
        (event,) = events_of(record, load_signals(tmp_path))
        assert event.counter is not None
        found.add(event.counter.started_at)

    assert len(found) == 1
    assert abs(found.pop() - NOW) <= 10 * 60_000


def test_an_address_rests_without_what_tells_a_visit_apart(tmp_path) -> None:  # type: ignore[no-untyped-def]
    body = b'[{"id": "e", "signal": "view", "who": ["anonymous:a"], "about": {"url": "https://shop.example/p?color=red&token=s3cret#x"}}]'

    (event,) = events_of(
        Record(kind="events", source="web", received_at=NOW, body=body), load_signals(tmp_path)
    )

    assert event.about.url == "https://shop.example/p?color=red"
