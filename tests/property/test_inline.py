"""Law 9: what you just did counts now, exactly as it will once it is folded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.property.facts import NOW, OPEN, SIGNALS, STRONG, acts, folded, histories, record_of

from plait.catalog import Catalog, Item
from plait.decide import Asked, Decider, Question
from plait.events import decode_record
from plait.intake.records import events_of
from plait.profiles.people import profile

DECIDER = Decider(
    Catalog(
        [
            Item(id="tent", topics=("camping",)),
            Item(id="stove", topics=("camping", "kitchen")),
            Item(id="pot", topics=("kitchen",)),
            Item(id="77", kind="post", for_=("stove",)),
        ]
    )
)
QUESTION = Question(placements=(Asked("home.grid"),), explain=True)
some_of = st.lists(acts(st.just(["user:u"])), max_size=4)


def page(store, who, inline=()):
    events = [event for fact in inline for event in events_of(decode_record(record_of(fact)), SIGNALS)]
    known = profile(store.snapshot(), who, now=NOW, settings=OPEN, inline=events)
    shown = DECIDER.decide(QUESTION, known, now=NOW, id="d").placements["home.grid"]
    return {
        (one.item, why.source, why.signal, why.about): why.contribution
        for one in shown.items
        for why in one.because
        if why.contribution
    }


@given(histories, some_of, st.sampled_from(STRONG))
def test_inline_events_count_as_if_they_were_folded(history, just_now, who):
    just_now = [{**fact, "id": f"now{number}"} for number, fact in enumerate(just_now)]

    at_once = page(folded(history), who, just_now)

    assert at_once == pytest.approx(page(folded([*history, *just_now]), who), abs=1e-9)


@given(histories, some_of)
def test_inline_events_that_were_folded_meanwhile_count_once(history, just_now):
    just_now = [{**fact, "id": f"now{number}"} for number, fact in enumerate(just_now)]
    store = folded([*history, *just_now])

    assert page(store, "user:u", just_now) == pytest.approx(page(store, "user:u"), abs=1e-9)
