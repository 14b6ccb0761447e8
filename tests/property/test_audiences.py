"""Who is in an audience is a function of what is so, in whatever order it was told, and whatever was told and taken back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.property.facts import NOW, OPEN, acts, folded, histories, numbered

from plait.catalog import Audience, Catalog, Item
from plait.members import everybody
from plait.profiles.facts import Facts, Meanings, belongs, condition
from plait.profiles.people import interests
from plait.settings import Settings

SHELF = Catalog(
    [
        Item(id="tent", topics=("camping",)),
        Item(id="stove", topics=("kitchen",)),
        Item(id="77", kind="post", for_=("tent",)),
    ]
)
MEANINGS = Meanings(SHELF)
OURS = {"": {"bluesky:y"}, "bluesky": {"bluesky:y"}}
SOCIAL_OFF = Settings(half_life_days=1.0)

flags = st.sampled_from([
    "follows()", "follows('bluesky:x')", "bought()", "bought('camping')", "count('view') > 1", "count('like') > 0",
    "count('like', 'camping') = 1", "count('comment') <= 1", "count('complaint') = 0", "days_since('view') < 2", "days_since('like', '77') > 1",
    "interest('camping') > 1", "'tent' in interests", "traits.size = 1", "traits.city is null", "'user' in identifiers", "days_known > 30",
])  # fmt: skip
conditions = st.recursive(
    flags,
    lambda inner: st.one_of(
        inner.map(lambda one: f"not ({one})"),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(
            lambda both: f"({both[0]} {both[1]} {both[2]})"
        ),
    ),
    max_leaves=5,
)


def is_in(store, who, where, *, settings=OPEN, inline=()):
    known = interests(store.snapshot(), who, now=NOW, settings=settings, inline=inline, usable=True)
    return known is not None and Facts(known, MEANINGS, now=NOW, ours=OURS).fulfil(condition(where))


who = st.sampled_from(["user:u", "email:e", "bluesky:x", "anonymous:a"])


@given(histories, st.randoms(), who, conditions)
def test_the_order_of_arrival_does_not_matter(history, chance, who, where):
    shuffled = list(history)
    chance.shuffle(shuffled)

    assert is_in(folded(history), who, where) == is_in(folded(shuffled), who, where)


@given(st.lists(acts(), max_size=8).map(numbered), who, conditions, st.sampled_from(["like", "follow"]))
def test_what_was_told_and_taken_back_leaves_nobody_in_or_out(history, who, where, signal):
    about = {"account": "bluesky:y"} if signal == "follow" else {"post": "78"}
    # Under the name of its record, as networks tell it, beside something else of the same time that stays.
    stays = {"id": "stays", "signal": "view", "who": [who], "about": {"item": "stove"}, "at": NOW}
    said = {"signal": signal, "who": [who], "source": "bluesky", "record": "r", "at": NOW}
    done = {**said, "id": "done", "about": about}
    undone = {**said, "id": "undone", "op": "retract", "about": about}

    assert is_in(folded([*history, stays, done, undone]), who, where) == is_in(
        folded([*history, stays]), who, where
    )


@given(histories, who, conditions)
def test_a_condition_and_its_contrary_never_both_hold(history, who, where):
    store = folded(history)

    assert not (is_in(store, who, where) and is_in(store, who, f"not ({where})"))


@given(
    histories,
    who,
    st.sampled_from(
        ["follows()", "count('like') = 0", "count('complaint') = 0", "days_since('follow') >= 0"]
    ),
)
def test_the_social_side_decides_nothing_without_consent(history, who, where):
    history = [{name: told for name, told in fact.items() if name != "consent"} for fact in history]
    store = folded(history, settings=SOCIAL_OFF)

    assert not is_in(store, who, where, settings=SOCIAL_OFF)
    assert not is_in(store, who, f"not ({where})", settings=SOCIAL_OFF)


@given(histories, conditions)
def test_who_is_counted_is_who_would_be_shown_it(history, where):
    store = folded(history)
    audience = Audience(id="a", where=where)

    for known, inside in everybody(store, OPEN, audience, SHELF, now=NOW, ours=OURS):
        assert inside == is_in(store, known.identifiers[0], where)


def test_that_somebody_is_on_a_network_is_social_too():
    follow = {
        "id": "1",
        "signal": "follow",
        "who": ["bluesky:x"],
        "about": {"account": "bluesky:y"},
        "at": NOW,
    }
    store = folded([follow], settings=SOCIAL_OFF)

    for where in ("'bluesky' in identifiers", "days_known >= 0", "days_away >= 0"):
        assert is_in(folded([follow]), "bluesky:x", where)
        assert not is_in(store, "bluesky:x", where, settings=SOCIAL_OFF)


def test_an_audience_that_can_be_read_no_more_holds_nobody():
    known = interests(
        folded([{"id": "1", "signal": "view", "who": ["user:u"], "at": NOW}]).snapshot(),
        "user:u",
        now=NOW,
        settings=OPEN,
        usable=True,
    )

    assert not belongs(Facts(known, MEANINGS, now=NOW), Audience(id="old", where="once() and upon('a time')"))
