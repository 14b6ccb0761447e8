"""Interests: what somebody did, told as items and topics, with the evidence."""

from __future__ import annotations

import pytest

from plait.catalog import Catalog
from plait.catalog.items import Item, Tie
from plait.profiles.interests import interests
from plait.profiles.profile import Entry, Profile

CATALOG = Catalog(
    [
        Item(id="tent", topics=("camping", "tents")),
        Item(id="lamp", topics=("camping",)),
        Item(id="post-7", kind="post", for_=("tent",)),
    ]
)


def did(
    signal: str, kind: str, id: str, weight: float = 1.0, *, source: str = "web", section: str = ""
) -> Entry:
    return Entry(source, signal, kind, id, section, 1, weight, 0, False)


def found(*entries: Entry, limit: int = 50) -> dict[str, float]:
    told = interests(Profile(["user:ann"], list(entries)), CATALOG, limit=limit)
    return {one.get("item") or f"topic:{one['topic']}": one["weight"] for one in told}


def test_an_item_speaks_for_its_topics():
    assert found(did("view", "item", "tent")) == {"tent": 1.0, "topic:camping": 1.0, "topic:tents": 1.0}


def test_a_liked_post_speaks_for_the_item_it_is_about():
    assert found(did("like", "post", "post-7"))["tent"] == 1.0


def test_liking_the_post_and_viewing_the_page_add_up():
    assert found(did("like", "post", "post-7", source="bluesky"), did("view", "item", "tent"))["tent"] == 2.0


def test_the_evidence_names_source_signal_and_section():
    told = interests(
        Profile(
            ["user:ann"], [did("dwell", "item", "tent", 3.0, section="specs"), did("view", "item", "tent")]
        ),
        CATALOG,
        limit=1,
    )

    assert told[0]["because"] == [
        {"source": "web", "signal": "dwell", "about": "tent#specs", "weight": 3.0, "share": 0.75},
        {"source": "web", "signal": "view", "about": "tent", "weight": 1.0, "share": 0.25},
    ]


def test_what_was_taken_out_of_the_cart_counts_against_it():
    assert found(did("add", "item", "lamp"), did("remove", "item", "lamp"))["lamp"] == 0.0


def test_the_shares_absolute_values_sum_to_one():
    (lamp, _) = interests(
        Profile(["user:ann"], [did("view", "item", "lamp", 3.0), did("remove", "item", "lamp", 1.0)]),
        CATALOG,
        limit=2,
    )

    assert sum(abs(one["share"]) for one in lamp["because"]) == pytest.approx(1)


@pytest.mark.parametrize("signal", ["shown", "decided", "session", "form_submit", "identify"])
def test_what_says_nothing_about_taste_is_no_interest(signal):
    assert found(did(signal, "item", "tent")) == {}


def test_an_item_that_is_not_in_the_catalog_is_an_interest_all_the_same():
    assert found(did("view", "item", "gone")) == {"gone": 1.0}


def test_only_the_answer_is_cut_and_the_strongest_stay():
    assert list(found(did("view", "item", "lamp"), did("view", "topic", "shoes", 5.0), limit=1)) == [
        "topic:shoes"
    ]


def test_what_a_post_is_only_perhaps_about_is_so_much_less_of_an_interest():
    shelf = Catalog(
        [Item(id="tent", topics=("tents",)), Item(id="p", kind="post", ties=(Tie("item:tent", 0.5, "name"),))]
    )
    told = interests(
        Profile(["a"], [Entry("bluesky", "like", "post", "p", "", 1, 1.0, 0, False)]), shelf, limit=9
    )

    assert {one.get("item") or one.get("topic"): one["weight"] for one in told} == {"tent": 0.5, "tents": 0.5}
