"""Where a network asks for it, nobody's account is tied to them without their own express yes, whatever is told in whatever order."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.property.facts import NOW, OPEN, Fact, folded, numbered, times

from plait.profiles.people import profile

NAMES = ["user:u", "email:e", "anonymous:a", "x:1", "x:2", "bluesky:b"]
facts = st.lists(
    st.fixed_dictionaries(
        {
            "who": st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True),
            "signal": st.sampled_from(["view", "identify", "link", "unlink", "consent", "like"]),
            "at": times,
            "trusted": st.booleans(),
            "about": st.just({"item": "tent"}),
            "consent": st.sampled_from([None, {"link": True}, {"link": False}, {"social": True}]),
        }
    ),
    max_size=14,
).map(numbered)


def expressly(facts: list[Fact], account: str, other: str) -> bool:
    """Whether the company ever vouched that this person said yes to exactly this."""
    return any(
        fact["signal"] == "link" and fact["trusted"] and (fact["consent"] or {}).get("link") is True
        and {account, other} <= set(fact["who"])
        for fact in facts
    )  # fmt: skip


@given(facts)
def test_no_profile_reads_an_account_that_nobody_said_yes_for(facts: list[Fact]) -> None:
    state = folded(facts)  # the settings allow linking by default

    for identifier in NAMES:
        found = profile(state.snapshot(), identifier, now=NOW, settings=OPEN, purpose=None)
        if found is None:
            continue
        members = set(found.identifiers)
        for account in ("x:1", "x:2"):
            others = members - {account}
            if account in members and others:
                assert any(expressly(facts, account, other) for other in others)


@given(facts, st.sampled_from(["user:u", "x:1"]))
def test_a_no_that_comes_last_unties(facts: list[Fact], who: str) -> None:
    no: dict[str, Any] = {
        "id": "no",
        "who": [who],
        "signal": "consent",
        "at": NOW,
        "trusted": True,
        "about": {},
    }
    state = folded([*facts, no | {"consent": {"link": False}}])

    found = profile(state.snapshot(), "user:u", now=NOW, settings=OPEN, purpose=None)
    assert found is None or "x:1" not in found.identifiers
