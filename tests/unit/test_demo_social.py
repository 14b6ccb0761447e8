"""The recorded day of the demo shop's account, told by the connector."""

from __future__ import annotations

from collections import Counter

from plait.demo.shelf import shelf
from plait.demo.social import Recorded
from plait.demo.visitors import FRIENDS, GUESTS, account_of

NOW = 1_900_000_000_000
DAY = Recorded()
FACTS = [fact for facts in DAY.pages((message for _, message in DAY.messages), lambda: NOW) for fact in facts]


def test_the_day_brings_every_kind_of_act_and_some_are_taken_back():
    told = {(fact.signal.value, fact.op) for fact in FACTS}

    assert told >= {(one, "assert") for one in ("like", "share", "reply", "quote", "follow")}
    assert ("like", "retract") in told


def test_the_day_is_about_posts_that_stand_on_the_shelf():
    posts = {one.id for one in shelf().posts}

    assert {fact.about.post for fact in FACTS if fact.about.post} <= posts


def test_some_of_the_people_are_guests_of_the_demo():
    assert {account_of("bluesky", one) for one in ("mara", "aylin", "noor")} <= {
        fact.actor.removeprefix("bluesky:") for fact in FACTS
    }


def test_customers_follow_each_other_and_all_of_them_are_the_demos():
    """Strangers do, too, and that is nobody's business."""
    ours = {f"bluesky:{account_of('bluesky', one.user)}" for one in (*GUESTS, *FRIENDS)}
    pairs = {
        (fact.actor, fact.about.account)
        for fact in FACTS
        if fact.signal == "follow" and fact.op == "assert" and fact.about.account != f"bluesky:{DAY.me}"
    }

    assert {one for pair in pairs for one in pair} <= ours
    mara = f"bluesky:{account_of('bluesky', 'mara')}"
    assert sum(who == mara for who, _ in pairs) >= 5


def test_several_whom_a_guest_follows_like_the_same_post():
    mara = f"bluesky:{account_of('bluesky', 'mara')}"
    followed = {fact.about.account for fact in FACTS if fact.actor == mara and fact.signal == "follow"}
    likes = Counter(
        fact.about.post
        for fact in FACTS
        if fact.signal == "like" and fact.op == "assert" and fact.actor in followed
    )

    assert max(likes.values()) >= 3


def test_what_is_taken_back_was_told_before_it():
    records = [fact.record for fact in FACTS if fact.op == "assert"]

    assert all(fact.record in records for fact in FACTS if fact.op == "retract")


def test_it_happens_when_it_is_told():
    assert {fact.at for fact in FACTS} == {NOW}
