"""What is for an audience is shown to who is in it: one sentence a rule."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from bench.plain import PlainStore
from tests.property.facts import NOW, OPEN, folded

from plait import supervise
from plait.accounts import Connected, ours
from plait.catalog import Audience, Catalog, Item, Placement, fold_items
from plait.catalog.checks import checked_audience
from plait.connectors import Account
from plait.decide import Asked, Decider, Question
from plait.errors import Rejected, Unavailable
from plait.events import Record
from plait.members import everybody, tellable
from plait.profiles.facts import Facts, Meanings
from plait.profiles.profile import Entry, Profile

VIEWER = Audience(id="viewers", where="count('view', 'tent') > 0")
NOBODY = Audience(id="nobody", where="false")


def shop(*more, audiences=(VIEWER, NOBODY), placements=()):
    offers = [
        Item(id="for-all", kind="promotion", for_=("tent",)),
        Item(id="for-viewers", kind="promotion", for_=("tent",), audience="viewers"),
        Item(id="for-nobody", kind="promotion", for_=("tent",), audience="nobody"),
        Item(id="for-the-lost", kind="promotion", for_=("tent",), audience="there is none"),
    ]
    return Catalog([Item(id="tent"), Item(id="boat"), *offers, *more], placements, audiences)


def page(shelf, *viewed, known=True, ids=("home.promotion",), n=10):
    entries = [Entry("web", "view", "item", one, "", 1, 1.0, NOW, False) for one in viewed]
    profile = Profile(["user:1"], entries)
    facts = Facts(profile, Meanings(shelf), now=NOW) if known else None
    question = Question(placements=tuple(Asked(id, n) for id in ids), explain=True)
    answer = Decider(shelf).decide(question, profile if viewed else None, now=NOW, id="d", facts=facts)
    return {name: sorted(one.item for one in shown.items) for name, shown in answer.placements.items()}


def test_a_promotion_is_shown_to_its_audience_and_one_without_to_all():
    assert page(shop(), "tent") == {"home.promotion": ["for-all", "for-viewers"]}
    assert page(shop(), "boat") == {"home.promotion": ["for-all"]}


def test_who_is_nobody_in_particular_is_in_no_audience():
    everyone = Audience(id="viewers", where="true")

    assert page(shop(audiences=[everyone]), known=False) == {"home.promotion": ["for-all"]}
    assert page(shop(audiences=[everyone])) == {"home.promotion": ["for-all", "for-viewers"]}


def test_what_is_not_for_somebody_takes_no_place_from_what_is():
    many = [
        Item(id=f"x{n}", kind="promotion", for_=("tent",), audience="nobody", published=NOW)
        for n in range(600)
    ]

    assert page(shop(*many), "tent", n=1)["home.promotion"] in (["for-all"], ["for-viewers"])


def test_an_empty_placement_leaves_its_items_to_the_next():
    slots = [Placement(id="first", audience="nobody"), Placement(id="mine", audience="viewers", n=1)]

    found = page(shop(placements=slots), "tent", ids=("first", "mine", "home.grid"), n=1)

    assert found["first"] == []
    assert found["mine"] + found["home.grid"] == ["tent", "boat"]


def test_a_changed_audience_holds_with_the_next_page():
    shelf = shop()
    decider_sees = page(shelf, "boat")
    told = {"put": [Audience(id="viewers", where="count('view', 'boat') > 0")]}
    shelf.apply(Record(kind="audiences", source="web", received_at=NOW, body=msgspec.json.encode(told)))

    assert "for-viewers" not in decider_sees["home.promotion"]
    assert "for-viewers" in page(shelf, "boat")["home.promotion"]


def test_what_the_log_says_of_audiences_is_what_the_state_holds():
    store = PlainStore()

    def fold(**told):
        record = Record(kind="audiences", source="web", received_at=NOW, body=msgspec.json.encode(told))
        changes = fold_items(record, store.get)
        store.commit(changes, position=store.position + 1, expected=store.position)

    fold(put=[VIEWER, NOBODY])
    fold(put=[Audience(id="viewers", where="bought()")], delete=["nobody"])

    assert Catalog.load(store).audiences == {"viewers": Audience(id="viewers", where="bought()")}


def test_what_an_audience_is_used_by_is_known():
    shelf = shop(placements=[Placement(id="slot", audience="viewers")])
    assert shelf.users_of("viewers") == (["for-viewers"], ["slot"])

    shelf.delete(["for-viewers"])

    assert shelf.users_of("viewers") == ([], ["slot"])


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (7, "a"), ({}, "a.id"), ({"id": "x"}, "a.where"), ({"id": "x/y", "where": "true"}, "a.id"),
        ({"id": "x", "where": "true", "kind": "y"}, "a.kind"), ({"id": "x", "where": 1}, "a.where"),
        ({"id": "\x00", "where": "true"}, "a.id"), ({"id": "x", "where": "'\ud800' in interests"}, "a.where"),
        ({"id": "x" * 300, "where": "true"}, "a.id"), ({"id": "x", "where": "true", "title": []}, "a.title"),
    ],
)  # fmt: skip
def test_what_is_no_audience_is_refused_by_its_field(raw, field):
    with pytest.raises(Rejected) as refused:
        checked_audience(raw, field="a")

    assert (refused.value.code, refused.value.field) == ("invalid_audience", field)


def test_everybody_is_asked_once_however_many_slices_it_takes(monkeypatch):
    monkeypatch.setattr("plait.members.SLICE", 3)
    views = [
        {"id": f"v{n}", "signal": "view", "who": [f"user:p{n}"], "at": NOW, "about": {"item": "tent"}}
        for n in range(10)
    ]
    tie = {"id": "tie", "signal": "link", "who": ["user:p3", "email:p3@x.example"], "at": NOW}
    store = folded([*views, tie])

    found = list(everybody(store, OPEN, VIEWER, shop(), now=NOW))

    assert len(found) == 10
    assert all(inside for _, inside in found)
    assert ["user:p3", "email:p3@x.example"] in [known.identifiers for known, _ in found]


def test_an_account_on_a_network_is_handed_on_only_where_the_social_side_may_be_used():
    names = ["user:1", "bluesky:did:plc:x", "email:a@b.example"]

    assert tellable(Profile(names, [], consents={"social": True})) == names
    assert tellable(Profile(names, [], consents={"social": False})) == ["user:1", "email:a@b.example"]
    assert tellable(Profile(["bluesky:did:plc:x"], [], consents={"social": False})) == []


def test_our_accounts_go_by_source_network_and_all_together():
    def connected(source, me, network):
        return Connected(
            network=network, account=Account(source=source, host="https://x.example", me=me), connected_at=0
        )

    found = ours([
        connected("bluesky:shop.example", "bluesky:did:plc:a", "bluesky"), connected("bluesky:two.example", "bluesky:did:plc:b", "bluesky"),
        connected("hook:none", "", "hook"),
    ])  # fmt: skip

    assert found == {
        "": {"bluesky:did:plc:a", "bluesky:did:plc:b"}, "bluesky": {"bluesky:did:plc:a", "bluesky:did:plc:b"},
        "bluesky:shop.example": {"bluesky:did:plc:a"}, "bluesky:two.example": {"bluesky:did:plc:b"},
    }  # fmt: skip


def test_a_child_that_fails_tells_why_and_its_error_is_no_member(tmp_path):
    settings = msgspec.structs.replace(OPEN, data=str(tmp_path))
    blocks = []

    async def read():
        async for one in supervise.blocks("members", settings, {"audience": "x", "now": NOW}):
            blocks.append(one)

    with pytest.raises(Unavailable):
        asyncio.run(read())

    assert blocks == []
