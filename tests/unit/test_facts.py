"""Conditions on people: what may be said of them, and how errors point at the place."""

from __future__ import annotations

import pytest

from plait.catalog import Catalog, Item
from plait.errors import Rejected
from plait.events import DAY
from plait.profiles.facts import Facts, Meanings, condition
from plait.profiles.profile import Entry, Profile

NOW = 1_780_000_000_000
US = "bluesky:did:plc:shop"
OURS = {"": {US}, "bluesky": {US}, "bluesky:shop.example": {US}}
SHELF = Catalog(
    [
        Item(id="tent-2", topics=("tents",)),
        Item(id="boat", topics=("boats",)),
        Item(id="77", kind="post", for_=("tent-2",)),
    ]
)


def entry(signal, kind, id, *, count=1, weight=1.0, days=0.0, section="", source="web"):
    return Entry(source, signal, kind, id, section, count, weight, NOW - round(days * DAY), False)


def somebody(*entries, **told):
    consents = told.pop("consents", {"personalize": True, "social": True})
    profile = Profile(
        told.pop("identifiers", ["user:42", "anonymous:a1"]), list(entries), consents=consents, **told
    )
    return Facts(profile, Meanings(SHELF), now=NOW, ours=OURS)


ANNA = somebody(
    entry("view", "item", "tent-2", count=3, weight=2.5, days=1),
    entry("view", "topic", "tents", count=2, weight=0.2, days=3),
    entry("dwell", "item", "tent-2", section="specs"),
    entry("purchase", "item", "boat", days=10, weight=0.6),
    entry("like", "post", "77", source="bluesky:shop.example", days=2),
    entry("follow", "account", US, source="bluesky:shop.example", days=5),
    entry("mention", "complaint", "", source="bluesky:shop.example", days=4),
    counts={"view": 5, "purchase": 1, "like": 9},
    traits={
        "plan": "pro",
        "age": 33,
        "vip": True,
        "tags": ["a", 1],
        "address": {"city": "Rome"},
        "a.b": "dotted",
    },
    devices=[
        {"device": "desktop", "os": "Linux", "browser": "Firefox", "count": 9, "last_at": NOW - DAY},
        {"device": "mobile", "os": "Android", "browser": "Chrome", "count": 1, "last_at": NOW},
    ],
    first_at=NOW - 30 * DAY,
    last_at=NOW - DAY // 2,
)


@pytest.mark.parametrize("text", [
    "follows()", "follows('bluesky')", "follows('bluesky:shop.example')", "follows('bluesky:did:plc:shop')",
    "bought()", "bought('boat')", "bought('boats')", "bought('topic:boats')", "not bought('tents')",
    "count('view') = 5", "count('view', 'tent-2') = 3", "count('view', 'tents') = 3", "count('like') = 1",
    "count('like', 'tents') = 1", "count('like', 'post:77') = 1", "count('dwell', 'tent-2#specs') = 1",
    "count('search') = 0", "count('complaint') = 1", "count('follow') = 1", "COUNT('view') between 4 and 6",
    "days_since('purchase') >= 10", "days_since('purchase', 'boats') < 11", "days_since('purchase', 'tents') is null",
    "days_since('complaint') < 7", "interest('tents') > 3", "interest('topic:tents') > 3", "interest('nothing') = 0",
    "interest('tents') > interest('boats')", "'tents' in interests", "'item:boat' in interests", "'x' not in interests",
    "device = 'mobile'", "'desktop' in devices", "os = 'Android'", "browser in ('Chrome', 'Edge')", "os like 'And%'",
    "'user' in identifiers", "'bluesky' not in identifiers", "days_known > 29", "days_away < 1", "0.4 < days_away",
    "traits.plan = 'pro'", "traits.age between 30 and 40", "traits.vip", "'a' in traits.tags", "traits.address.city = 'Rome'",
    "traits.none is null", 'traits."a.b" = \'dotted\'', "follows('bluesky') and (not bought('tents') or traits.plan = 'free')",
    "bought() is true", "bought() = true", "not (bought() = false)",
])  # fmt: skip
def test_it_holds_for_anna(text):
    assert ANNA.fulfil(condition(text))


@pytest.mark.parametrize("text", [
    "follows('mastodon')", "follows('bluesky:did:plc:other')", "follows('mastodon:@shop@social.example')", "not follows()",
    "bought('tents')", "count('view') > 5", "traits.plan = 3", "traits.none = 'x'", "not traits.none = 'x'", "traits.address = 'Rome'",
    "days_since('search') > 3", "not days_since('search') > 3", "traits.plan", "traits.address.city.street = 'x'", "device = 'tablet'",
])  # fmt: skip
def test_it_does_not_hold_for_anna(text):
    assert not ANNA.fulfil(condition(text))


@pytest.mark.parametrize(("text", "why", "place"), [
    ("folows('bluesky')", "there is no function folows; did you mean follows?", 0),
    ("bought() and lower('x') = 'x'", "there is no function lower; there are follows, bought, count, days_since, interest", 13),
    ("count('veiw') > 3", "'veiw' is not something people do; there are add, checkout", 6),
    ("count() > 3", "name a signal, and if you like what it is about", 0),
    ("count('view', 'a', 'b') > 3", "name a signal", 19),
    ("bought('')", "'' is nothing; name one item or topic", 7),
    ("bought(tents)", "bought takes texts in 'single quotes'", 0),
    ("bought(3)", "bought takes texts in 'single quotes'", 0),
    ("bought(bought())", "bought takes texts in 'single quotes'", 0),
    ("count(*) > 1", "count takes texts in 'single quotes'", 0),
    ("count(distinct 'view') > 1", "count takes texts in 'single quotes'", 0),
    ("count('view') over () > 1", "window", 0),
    ("follows('blusky')", "'blusky' is no network; there are", 8),
    ("follows('bluesky:')", "must look like type:value", 8),
    ("plan = 'pro'", "people have no field plan", 0),
    ("pirce < 3", "people have no field pirce", 0),
    ("devise = 'x'", "people have no field devise; did you mean device?", 0),
    ("price < 3", "people have no field price", 0),
    ("count('view')", "count(…) is a number; compare it with something", 0),
    ("bought() = 3", "bought(…) is true or false", 0),
    ("count('view') = 'many'", "count(…) is a number; compare it with a number", 16),
    ("interests = 'tents'", "interests is a list; ask it as 'this' in interests", 0),
    ("'x' in count('view')", "count(…) is a number, not a list", 0),
    ("(bought() and bought()) = 3", "is not part of the language", 1),
    ("cast('x' as int) = 3", "function", 0),
    ("case when bought() then 1 end = 1", "function", 0),
    ("exists(select 1)", "", 0),
    ("bought() in (select 1)", "in wants values", 0),
    ("", "it is empty", 0),
    ("traits = 'x'", "people have no field traits", 0),
])  # fmt: skip
def test_what_cannot_be_said_is_refused_at_its_place(text, why, place):
    with pytest.raises(Rejected) as refused:
        condition(text, field="audience.where")

    assert refused.value.code == "invalid_expression"
    assert refused.value.field == "audience.where"
    sentence, *shown = refused.value.message.split("\n")
    assert why in sentence
    if place:
        assert shown[-1].index("^") - 2 == place


@pytest.mark.parametrize("text", ["(" * 40 + "bought()" + ")" * 40, "not " * 40 + "bought()", " or ".join(["bought('x')"] * 200), "bought('" + "x" * 5_000 + "')"])  # fmt: skip
def test_what_is_too_large_is_refused(text):
    with pytest.raises(Rejected, match=r"deep|longer|more than"):
        condition(text)


# Consent.


@pytest.mark.parametrize("text", ["follows()", "not follows()", "count('like') = 0", "count('complaint') = 0", "days_since('like') is not null"])  # fmt: skip
def test_what_is_not_known_of_the_social_side_is_neither_so_nor_not_so(text):
    bea = somebody(entry("view", "item", "boat"), consents={"personalize": True, "social": False})

    assert not bea.fulfil(condition(text))


def test_not_known_to_follow_can_be_said():
    bea = somebody(consents={"personalize": True, "social": False})

    assert bea.fulfil(condition("follows() is not true"))


def test_who_may_not_be_personalized_for_is_in_no_audience():
    assert not somebody(consents={"personalize": False, "social": True}).fulfil(condition("true"))


def test_what_one_source_keeps_back_makes_nobody_a_stranger():
    cleo = somebody(consents={"personalize": True, "personalize@web": False, "social": True})

    assert not cleo.fulfil(condition("not bought()"))
    assert cleo.fulfil(condition("bought() is not true"))


# What is missing.


@pytest.mark.parametrize("text", ["not bought()", "count('view') = 0", "days_since('view') is null", "device is null", "days_known is null", "interest('tents') = 0", "'tents' not in interests", "traits.plan is null"])  # fmt: skip
def test_of_somebody_new_nothing_is_known_and_that_can_be_said(text):
    assert somebody(identifiers=["anonymous:new"]).fulfil(condition(text))


def test_an_act_about_an_item_and_its_topic_counts_once():
    both = somebody(entry("view", "item", "tent-2", count=4), entry("view", "topic", "tents", count=4))

    assert both["count\x1fview\x1ftents"] == 4


def test_a_robot_has_done_nothing():
    assert somebody(counts={"view": 900}, bots=900).fulfil(condition("count('view') = 0"))


def test_what_was_removed_counts_against_an_interest():
    dan = somebody(entry("view", "item", "tent-2"), entry("remove", "item", "tent-2"))

    assert not dan.fulfil(condition("'tents' in interests"))


def test_an_interest_means_what_the_catalog_says_now():
    shelf = Catalog([Item(id="x", topics=("old",))])
    meanings = Meanings(shelf)
    profile = Profile(["user:1"], [entry("view", "item", "x")])
    assert Facts(profile, meanings, now=NOW).fulfil(condition("'old' in interests"))

    shelf.upsert([Item(id="x", topics=("new",))])

    assert not Facts(profile, meanings, now=NOW).fulfil(condition("'old' in interests"))


def test_an_account_that_is_not_connected_goes_by_its_identifier():
    eve = Facts(
        Profile(["user:1"], [entry("follow", "account", "bluesky:did:plc:x", source="bluesky:x.example")]),
        Meanings(SHELF),
        now=NOW,
    )

    assert eve.fulfil(
        condition("follows('bluesky:did:plc:x') and not follows('bluesky:x.example') and not follows()")
    )
