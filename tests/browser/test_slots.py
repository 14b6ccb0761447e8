"""Slots that the shop's server filled: seen before any script ran, left as they came, and told like all others."""

from __future__ import annotations

import time
from typing import Any

import pytest
from tests.browser.chromium import Tab
from tests.browser.conftest import Shop, ids
from tests.browser.test_acts import visits

ASKS = "<script>window.asked = 0; const plain = fetch; window.fetch = (url, more) => { asked += /personalize/.test(url); return plain(url, more) }</script>"
MARK = "<script>addEventListener('DOMContentLoaded', () => document.querySelectorAll('article').forEach((one) => one.mine = true))</script>"
SLOW = "<script>const plain = fetch; window.fetch = (url, more) => /personalize/.test(url) ? new Promise((done) => window.go = done).then(() => plain(url, more)) : plain(url, more)</script>"
LOOK = '<article><b data-field="title"></b><i data-field="why"></i></article>'


@pytest.fixture(scope="module")
def stocked(shop: Shop) -> Shop:
    items = [{"id": f"s-{n}", "title": f"S {n}", "topics": ["slots"]} for n in range(6)]
    assert shop.server.ask("POST", "/v1/items", {"items": items}).status_code == 200
    return shop


def answer(shop: Shop, anonymous: str = "") -> dict[str, Any]:
    """What the shop's server is told for a slot of three; ``{"decision", "items"}``."""
    question = {
        "identifiers": [f"anonymous:{anonymous}"] if anonymous else [],
        "placements": [{"id": "home.grid", "n": 3}],
    }
    told = shop.server.ask("POST", "/v1/personalize", question).json()
    return {
        "decision": told["decision"],
        "items": [one["item"] for one in told["placements"]["home.grid"]["items"]],
    }


def slot(items: list[str], decision: str) -> str:
    cards = "".join(
        f'<article data-plait-item="{one}" data-plait-shown="{decision}"><b>the server’s {one}</b><i data-field="why"></i></article>'
        for one in items
    )
    return f'<body><plait-placement id="home.grid" n="3"><template>{LOOK}</template>{cards}</plait-placement>'


def shown(shop: Shop, anonymous: str) -> list[dict[str, Any]]:
    return [one for one in shop.told(anonymous) if one["signal"] == "shown"]


def test_what_was_decided_is_not_asked_again_and_told_when_it_was_seen(stocked: Shop, tab: Tab) -> None:
    known = answer(stocked)
    visits(stocked, tab, slot(known["items"], known["decision"]), head=ASKS + MARK, path="/filled")
    anonymous, _ = ids(tab)
    time.sleep(0.5)
    assert shown(stocked, anonymous) == []  # not for a second yet
    time.sleep(1.5)
    tab.run("plait.flush()")

    stocked.server.eventually(lambda: len(shown(stocked, anonymous)) == 3)
    assert {one["decision"] for one in shown(stocked, anonymous)} == {known["decision"]}
    assert tab.run("asked") == 0
    assert tab.run("[...document.querySelectorAll('article')].every((one) => one.mine)")
    tab.click("article b")
    tab.run("plait.flush()")
    stocked.server.eventually(lambda: "click" in {one["signal"] for one in stocked.told(anonymous)})
    (click,) = [one for one in stocked.told(anonymous) if one["signal"] == "click"]
    assert (click["about"]["item"], click["decision"]) == (known["items"][0], known["decision"])


def test_a_slot_from_the_server_is_asked_for_when_the_page_says_so(stocked: Shop, tab: Tab) -> None:
    visits(stocked, tab, slot(["s-1", "gone", "s-2"], "d_old"), head=ASKS, path="/asks-again")
    time.sleep(0.3)
    assert tab.run("asked") == 0

    tab.run("document.querySelector('plait-placement').refresh()")

    tab.until("!document.querySelector('[data-plait-item=gone]')")
    assert tab.run("document.querySelectorAll('[data-plait-shown^=d_]').length") == 3
    assert tab.run("asked") == 1


def test_what_holds_the_place_stays_where_it_was_right(stocked: Shop, tab: Tab) -> None:
    visits(stocked, tab, slot(answer(stocked)["items"], ""), head=ASKS + MARK, path="/guessed")
    tab.until("document.querySelectorAll('[data-plait-shown^=d_]').length === 3")

    assert tab.run("asked") == 1
    assert tab.run("[...document.querySelectorAll('article')].every((one) => one.mine)")
    assert tab.run("document.querySelector('article b').textContent").startswith("the server’s")
    assert tab.run("document.querySelector('article i').textContent") == "popular now"


def test_what_holds_the_place_goes_where_it_was_wrong_and_a_click_on_it_names_no_decision(
    stocked: Shop, tab: Tab
) -> None:
    visits(stocked, tab, slot(["s-5", "s-4", "gone"], ""), head=SLOW + MARK, path="/guessed-wrong")
    anonymous, _ = ids(tab)
    tab.until("!!window.go")
    tab.run("document.querySelector('article b').click(); go()")
    tab.until("document.querySelectorAll('[data-plait-shown^=d_]').length === 3")

    assert tab.run("document.querySelectorAll('[data-plait-item=gone]').length") == 0
    assert not tab.run("[...document.querySelectorAll('article')].some((one) => one.mine)")
    tab.run("plait.flush()")
    stocked.server.eventually(lambda: "click" in {one["signal"] for one in stocked.told(anonymous)})
    (click,) = [one for one in stocked.told(anonymous) if one["signal"] == "click"]
    assert (click["about"]["item"], click.get("decision")) == ("s-5", None)
