"""Somebody complains on a network, and is shown no promotion for a while: over the API."""

from __future__ import annotations

import time

from plait.bridge import told_of
from plait.catalog.checks import checked_item
from plait.connectors import Fact
from plait.events import About, Signal
from plait.text import Names

ITEMS = [
    {"id": "c-tent", "title": "Tarn 2 Trekking Tent", "topics": ["c-tents"]},
    {"id": "c-offer", "kind": "promotion", "title": "Tents for less", "for": ["c-tent", "c-tents"]},
    {"id": "at://c/post", "kind": "post", "title": "Three nights"},
]


def tell(server, who, text):
    now = time.time_ns() // 1_000_000
    names = Names(checked_item(one, field="item") for one in ITEMS)
    fact = Fact(
        id=f"{who}{text}",
        signal=Signal.COMMENT,
        at=now,
        actor=who,
        about=About(post="at://c/post"),
        text=text,
    )
    events = [
        {"id": one.id, "signal": one.signal, "who": list(one.who), "source": one.source, "at": one.at, "value": one.value,
         "about": {"item": one.about.item} if one.about.item else {"post": one.about.post} if one.about.post else
         {"topic": one.about.topic}, "properties": one.properties}
        for one in told_of(fact, "bluesky:c", names)
    ]  # fmt: skip
    consent = {"id": f"{who}consent", "signal": "consent", "who": [who], "consent": {"social": True}}
    answer = server.ask("POST", "/v1/events", {"events": [consent, *events]})
    assert (answer.status_code, answer.json().get("refused", [])) == (200, []), answer.text


def offers(server, who):
    body = {"identifiers": [who], "placements": [{"id": "home.promotion"}]}
    answer = server.ask("POST", "/v1/personalize", body).json()
    return [
        one["item"] for one in answer["placements"]["home.promotion"]["items"] if one["item"].startswith("c-")
    ]


def soon(ask, wanted):
    until = time.monotonic() + 30
    while ask() != wanted and time.monotonic() < until:
        time.sleep(0.05)
    return ask()


def test_a_complaint_mutes_promotions_and_praise_does_not(server):
    assert server.ask("POST", "/v1/items", {"items": ITEMS}).status_code == 200
    happy, angry = "bluesky:did:c:happy", "bluesky:did:c:angry"
    assert offers(server, angry) == ["c-offer"]

    tell(server, happy, "The Tarn 2 is wonderful!")
    tell(server, angry, "My Tarn 2 leaked on day one, I want a refund.")

    assert soon(lambda: offers(server, angry), []) == []
    assert offers(server, happy) == ["c-offer"]


def test_what_a_complaint_was_about_is_no_interest_of_its_writer(server):
    server.ask("POST", "/v1/items", {"items": ITEMS})
    who = "bluesky:did:c:critic"

    tell(server, who, "My Tarn 2 leaked on day one, I want a refund.")

    def known():
        told = server.ask("GET", f"/v1/profiles/{who}").json()
        return told.get("counts", {}).get("comment"), told.get("interests")

    assert soon(known, (2, [])) == (2, [])


def test_a_person_confirms_and_corrects_what_a_post_is_about(server):
    read = [{"to": "topic:c-tents", "confidence": 0.45, "how": "meaning"}]
    post = {"id": "at://c/post/2", "kind": "post", "title": "Out there", "ties": read}
    server.ask("POST", "/v1/items", {"items": [*ITEMS, post]})
    path = "/v1/posts/at%3A%2F%2Fc%2Fpost%2F2/ties"
    assert server.ask("GET", path).json()["ties"] == read

    put = server.ask("PUT", path, {"ties": {"item:c-tent": True, "topic:c-tents": False}})
    server.ask("POST", "/v1/items", {"items": [post]})  # the connector tells the post again

    said = {"item:c-tent": True, "topic:c-tents": False}
    told = {
        "post": "at://c/post/2",
        "ties": [{"to": "item:c-tent", "confidence": 1.0, "how": "person"}],
        "confirmed": said,
    }
    assert put.json() == told
    assert server.ask("GET", path).json() == told
    assert server.ask("GET", "/v1/items/at%3A%2F%2Fc%2Fpost%2F2").json()["confirmed"] == said

    server.ask("PUT", path, {"ties": {}})
    assert server.ask("GET", path).json()["ties"] == read


def test_ties_that_cannot_be_are_refused(server):
    server.ask("POST", "/v1/items", {"items": ITEMS})
    path = "/v1/posts/at%3A%2F%2Fc%2Fpost/ties"

    def put(told, to=path):
        answer = server.ask("PUT", to, told)
        return answer.status_code, answer.json()["code"], answer.json().get("field")

    assert put({"ties": {"topic:diabetes": True}}) == (400, "special_category", "ties.topic:diabetes")
    assert put({"ties": {"item:none-such": True}}) == (404, "unknown_item", "ties.item:none-such")
    assert put({"ties": {"tent": True}}) == (400, "invalid_item", "ties.tent")
    assert put({"ties": {"item:c-tent": "yes"}}) == (400, "invalid_item", "ties.item:c-tent")
    assert put({"ties": [1]}) == (400, "invalid_item", "ties")
    assert put({"for": {}}) == (400, "invalid_body", "for")
    assert put({"ties": {}}, "/v1/posts/c-tent/ties")[:2] == (404, "unknown_post")
    bad = {"items": [{"id": "p", "kind": "post", "topics": ["religion"]}]}
    assert server.ask("POST", "/v1/items", bad).json()["code"] == "special_category"
