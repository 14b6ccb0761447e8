"""What the driver holds in mind of a source, so that connectors can find an undoing by difference."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from plait.connectors import Fact, Recall
from plait.driver.held import Held
from plait.events import About, Signal

POST = About(post="https://shop.example/1")


def like(actor: str = "ann", at: int = 1, op: Any = "assert") -> Fact:
    return Fact(id=f"{actor}{at}{op}", signal=Signal.LIKE, at=at, actor=actor, op=op, about=POST)


def reply(op: Any = "assert") -> Fact:
    about = POST if op == "assert" else About()  # a deletion often names the record alone
    return Fact(id=op, signal=Signal.REPLY, at=1, actor="ann", op=op, about=about, record="r1")


def held(*facts: Fact, signal: Signal = Signal.LIKE) -> list[tuple[str, str | None]]:
    one = Held("mastodon:shop@shop.example")
    one.take(facts)
    return sorted(one.recall(Recall(signal=signal, about=POST)))


def test_who_likes_is_held_until_they_do_no_longer():
    assert held(like(), like("bob")) == [("ann", None), ("bob", None)]
    assert held(like(), like("bob"), like(at=2, op="retract")) == [("bob", None)]


def test_an_older_undoing_says_nothing_of_a_later_like():
    assert held(like(at=3), like(at=2, op="retract")) == [("ann", None)]


def test_a_record_that_was_taken_back_is_held_no_longer():
    assert held(reply(), signal=Signal.REPLY) == [("ann", "r1")]
    assert held(reply(), reply("retract"), signal=Signal.REPLY) == []


def test_who_is_gone_is_held_no_longer():
    one = Held("mastodon:shop@shop.example")
    one.take([like(), reply(), like("bob")])

    one.forget("ann".__eq__)

    assert one.recall(Recall(signal=Signal.LIKE, about=POST)) == [("bob", None)]
    assert one.recall(Recall(signal=Signal.REPLY, about=POST)) == []
    assert "ann" not in repr(vars(one))


def test_what_others_did_with_what_they_posted_is_held_no_longer_either():
    one = Held("bluesky:shop")
    theirs = About(post="at://did:plc:ann/app.bsky.feed.post/1"), About(account="bluesky:did:plc:ann")
    one.take([msgspec.structs.replace(like("bob"), about=about) for about in theirs])

    one.forget("bluesky:did:plc:ann".__eq__)

    assert "ann" not in repr(vars(one))


@given(st.lists(st.tuples(st.sampled_from("ab"), st.booleans()), max_size=20))
def test_what_is_told_in_its_order_is_held_as_it_last_was(acts: list[tuple[str, bool]]):
    facts = [like(actor, at, "assert" if on else "retract") for at, (actor, on) in enumerate(acts)]

    assert {actor for actor, _ in held(*facts)} == {actor for actor, on in dict(acts).items() if on}
