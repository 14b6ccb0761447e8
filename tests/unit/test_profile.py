"""What a person likes now: sums that decay, and edges that hold or do not."""

import math

import pytest

from plait.events import DAY, About, Counter, Event, Signal
from plait.profiles.fragment import (
    MOST_THINGS,
    Fragment,
    Visit,
    attention,
    decode_fragment,
    encode_fragment,
    half_life_ms,
)
from plait.profiles.profile import entries_of, profile_of

NOW = 1_780_000_000_000
HALF_LIFE = half_life_ms(14)


def event(signal="view", **more):
    told = {
        "id": f"{signal}-{more.get('at', NOW)}",
        "source": "web",
        "at": NOW,
        "received_at": NOW,
        "who": ("user:u",),
        "about": About(item="tent"),
    }
    return Event(signal=Signal(signal), **(told | more))


def fragment(*events, before=None):
    made = Fragment()
    for one in events:
        made.add(one, half_life=HALF_LIFE, before=before)
    return made


def weights(*events, now=NOW):
    found = entries_of({"user:u": fragment(*events)}, now=now, half_life=HALF_LIFE)
    return {(one.signal, one.kind, one.id, one.section): pytest.approx(one.weight) for one in found}


def test_a_view_weighs_one_when_it_happens():
    assert weights(event()) == {("view", "item", "tent", ""): 1.0}


def test_a_view_weighs_half_after_one_half_life():
    assert weights(event(at=NOW - 14 * DAY)) == {("view", "item", "tent", ""): 0.5}


def test_views_add_up():
    assert weights(event(), event(id="2", at=NOW - 14 * DAY)) == {("view", "item", "tent", ""): 1.5}


def test_an_act_about_a_post_and_a_topic_counts_for_both():
    told = weights(event("comment", about=About(post="77", topic="tents")))

    assert told == {("comment", "post", "77", ""): 1.0, ("comment", "topic", "tents", ""): 1.0}


def test_a_page_is_remembered_by_its_address_only_where_nothing_better_is_known():
    assert weights(event(about=About(item="tent", url="/tent"))) == {("view", "item", "tent", ""): 1.0}
    assert weights(event(about=About(url="/tent", section="top"))) == {("view", "url", "/tent", "top"): 1.0}


def test_a_section_is_kept_apart_from_its_item():
    told = weights(event(), event("dwell", about=About(item="tent", section="specs"), value=30.0))

    assert told == {
        ("view", "item", "tent", ""): 1.0,
        ("dwell", "item", "tent", "specs"): 1 - math.exp(-1),
    }


@pytest.mark.parametrize("seconds", [-5.0, 0.0])
def test_no_time_is_no_attention(seconds):
    assert attention(seconds) == 0.0


def test_of_a_counter_the_largest_value_counts():
    counter = Counter(view="p1", started_at=NOW)
    made = Fragment()
    made.add(event("dwell", value=10.0, counter=counter), half_life=HALF_LIFE, before=None)
    made.add(event("dwell", id="2", value=40.0, counter=counter), half_life=HALF_LIFE, before=10.0)
    made.add(event("dwell", id="3", value=25.0, counter=counter), half_life=HALF_LIFE, before=40.0)

    (entry,) = entries_of({"user:u": made}, now=NOW, half_life=HALF_LIFE)

    assert (entry.count, entry.weight) == (1, pytest.approx(attention(40.0)))
    assert made.counts == {"web\x1fdwell": 3}


def test_dwell_of_a_counter_decays_from_the_start_of_its_page_view():
    counter = Counter(view="p1", started_at=NOW - 14 * DAY)

    told = weights(event("dwell", value=30.0, counter=counter))

    assert told == {("dwell", "item", "tent", ""): 0.5 * attention(30.0)}


def test_a_like_that_was_taken_back_is_gone():
    assert weights(event("like", at=NOW - 2), event("like", op="retract", at=NOW - 1)) == {}


def test_a_like_after_it_was_taken_back_holds():
    assert weights(event("like", op="retract", at=NOW - 2), event("like", at=NOW)) == {
        ("like", "item", "tent", ""): 1.0
    }


def test_liking_twice_is_liking_once():
    assert weights(event("like", id="1", at=NOW - 5), event("like", id="2")) == {
        ("like", "item", "tent", ""): 1.0
    }


@pytest.mark.parametrize(("stars", "weight"), [(1.0, 0.5), (0.5, 0.0), (0.0, -0.5)])
def test_a_bad_rating_weighs_below_zero(stars, weight):
    assert weights(event("rate", value=stars)) == {("rate", "item", "tent", ""): weight}


def test_a_deleted_comment_takes_its_share_along():
    comments = [event("comment", id=str(n)) for n in range(4)]

    told = weights(*comments, event("comment", op="retract", id="5"))

    assert told == {("comment", "item", "tent", ""): 3.0}


def test_a_comment_that_was_deleted_before_we_heard_of_it_counts_nothing():
    assert weights(event("comment", op="retract", id="2"), event("comment", id="1")) == {}


def test_counts_are_what_was_told_less_what_was_taken_back():
    made = fragment(event("like"), event("like", id="2", op="retract"), event(), event(id="3"))

    assert profile_of({"user:u": made}, now=NOW, half_life=HALF_LIFE).counts == {"view": 2}


def test_a_robot_is_counted_and_learned_from_never():
    made = fragment(event(context={"bot": True, "device": "desktop"}))

    assert (made.bots, made.weights, made.devices, sum(made.counts.values())) == (1, {}, {}, 1)


@pytest.mark.parametrize("signal", ["identify", "link", "trait", "consent", "other", "decided"])
def test_what_the_system_notes_is_no_interest(signal):
    assert weights(event(signal, about=About())) == {}


def test_what_was_shown_is_counted_per_item_for_caps():
    (entry,) = entries_of(
        {"user:u": fragment(event("shown"), event("shown", id="2"))}, now=NOW, half_life=HALF_LIFE
    )

    assert (entry.signal, entry.id, entry.count) == ("shown", "tent", 2)


def test_a_trait_is_the_last_word_and_null_unsets_it():
    told = [
        event("trait", at=NOW - 5, traits={"size": 42, "city": "Bern"}),
        event("trait", traits={"city": None}),
    ]

    found = profile_of({"user:u": fragment(*reversed(told))}, now=NOW, half_life=HALF_LIFE)

    assert found.traits == {"size": 42}


def test_devices_are_listed_most_used_first():
    seen = [
        {"device": "mobile", "os": "iOS", "browser": "Safari"},
        {"device": "desktop", "os": "", "browser": ""},
    ]
    made = fragment(*[event(id=str(n), context=seen[n % 3 == 0]) for n in range(3)])

    told = [
        (one["device"], one["count"]) for one in profile_of({"u": made}, now=NOW, half_life=HALF_LIFE).devices
    ]

    assert told == [("mobile", 2), ("desktop", 1)]


def test_measured_dwell_replaces_what_was_inferred_of_its_source():
    made = fragment(event("view", at=NOW - 60_000))
    made.linger("web", "item\x1ftent\x1f", at=NOW - 60_000, until=NOW, half_life=HALF_LIFE)
    assert {one.signal for one in entries_of({"u": made}, now=NOW, half_life=HALF_LIFE)} == {"view", "dwell"}

    made.add(event("dwell", value=3.0), half_life=HALF_LIFE)

    (dwell,) = [one for one in entries_of({"u": made}, now=NOW, half_life=HALF_LIFE) if one.signal == "dwell"]
    assert (dwell.inferred, dwell.weight) == (False, pytest.approx(attention(3.0)))


def test_an_event_of_1970_weighs_nothing_and_breaks_nothing():
    made = fragment(event(at=0), event(id="2"))

    (entry,) = entries_of({"u": made}, now=NOW, half_life=HALF_LIFE)

    assert (entry.count, entry.weight) == (2, pytest.approx(1.0))


def test_a_short_half_life_overflows_nothing():
    made = Fragment()
    for n in range(3):
        made.add(event(id=str(n), at=NOW + n * 400 * DAY), half_life=1_000)

    (entry,) = entries_of({"u": made}, now=NOW, half_life=1_000)

    assert math.isfinite(entry.weight)


def test_a_fragment_comes_back_from_its_bytes_as_it_was():
    made = fragment(
        event(context={"device": "mobile"}),
        event("like"),
        event("comment", op="retract"),
        event("trait", traits={"a": [1]}),
    )
    made.visit("web", Visit(NOW, b"12345678", "x"), half_life=HALF_LIFE)
    made.state("link", NOW, "1", True)

    assert decode_fragment(encode_fragment(made)) == made


def test_a_fragment_has_an_end_however_much_somebody_looks_at():
    fragment = Fragment()
    for n in range(3 * MOST_THINGS):
        fragment.add(event(about=About(item=f"i{n}")), half_life=DAY)

    assert MOST_THINGS / 3 < fragment.things <= MOST_THINGS  # halved now and then
    assert len(fragment.weights) == fragment.things
    assert fragment.counts == {"web\x1fview": 3 * MOST_THINGS}
