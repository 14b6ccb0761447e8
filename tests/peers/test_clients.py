"""Unmodified clients of three vendors against a real server: alone, and through a proxy that makes trouble."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.conftest import Server
from tests.peers.chaos import EVERY, TAKEN, ChaosProxy
from tests.peers.conftest import browser_client, run_server_client

pytestmark = pytest.mark.peers

# client -> (its script or page, what it is told besides, the faults it can live through). Two of them never look at an
# answer: sendBeacon cannot, and Jitsu's client logs an error and goes on; what a proxy refuses them is gone before us.
CASES: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "segment-python": ("segment_python.py", {}, EVERY),
    "segment-python-gzip": ("segment_python.py", {"gzip": True}, EVERY),
    "rudder-python": ("rudder_python.py", {}, EVERY),
    "segment-node": ("segment_node.mjs", {}, EVERY),
    "rudder-node": ("rudder_node.mjs", {}, EVERY),
    "segment-browser": ("segment_browser.html", {}, EVERY),
    "segment-browser-batching": ("segment_browser.html", {"batching": True}, EVERY),
    "rudder-browser": ("rudder_browser.html", {}, EVERY),
    "rudder-browser-beacon": ("rudder_browser.html", {"beacon": True}, TAKEN),
    "jitsu-browser": ("jitsu_browser.html", {}, TAKEN),
}
VIEWED = 12


def visit(user: str) -> list[dict[str, Any]]:
    """The calls of a visit whose right profile is obvious."""
    calls: list[dict[str, Any]] = [
        {"call": "identify", "traits": {"plan": "gold"}},
        {"call": "page", "name": "Home", "properties": {"path": "/"}},
        *(
            {
                "call": "track",
                "event": "Product Viewed",
                "properties": {"product_id": f"tent-{i}", "price": 10 + i},
            }
            for i in range(VIEWED)
        ),
        {"call": "track", "event": "Product Added", "properties": {"product_id": "tent-0", "price": 10}},
        {"call": "track", "event": "Product Removed", "properties": {"product_id": "tent-1", "price": 11}},
        {"call": "track", "event": "Products Searched", "properties": {"query": "two person tent"}},
        {
            "call": "track",
            "event": "Order Completed",
            "properties": {
                "order_id": "o-1",
                "products": [{"product_id": "tent-0", "price": 10}, {"product_id": "tent-2", "price": 12}],
            },
        },
        {"call": "track", "event": "Made A Wish", "properties": {"for": "snow"}},
    ]
    return [{"userId": user, **call} for call in calls]


# What the visit must have become, as (signal, what it is about), each exactly once.
UNDERSTOOD = Counter(
    [
        ("identify", ""),
        ("view", ""),  # the page
        *(("view", f"tent-{i}") for i in range(VIEWED)),
        ("add", "tent-0"),
        ("remove", "tent-1"),
        ("search", "two person tent"),
        ("purchase", "tent-0"),
        ("purchase", "tent-2"),
        ("other", ""),
    ]
)


@pytest.mark.parametrize("client", CASES)
def test_an_unmodified_client_is_understood(server: Server, client: str, request: Any) -> None:
    user = f"calm-{client}"

    with _visiting(client, server.url, server.write, user, request):
        server.eventually(lambda: sum(_understood(server, user).values()) >= UNDERSTOOD.total(), seconds=45)

    assert _understood(server, user) == UNDERSTOOD


@pytest.mark.parametrize("client", CASES)
def test_trouble_on_the_line_loses_nothing_and_counts_nothing_twice(
    server: Server, client: str, request: Any
) -> None:
    user, kinds = f"troubled-{client}", CASES[client][2]

    with (
        ChaosProxy(server.url, seed=len(client), kinds=kinds) as proxy,
        _visiting(client, proxy.url, server.write, user, request),
    ):
        server.eventually(lambda: sum(_understood(server, user).values()) >= UNDERSTOOD.total(), seconds=60)
        # A message that was taken and whose sender was not told comes again; wait until none does.
        server.eventually(lambda: time.monotonic() - proxy.last > 2.5, seconds=60)

    assert _understood(server, user) == UNDERSTOOD
    assert _counts(server, user) == Counter(signal for signal, _ in UNDERSTOOD.elements())
    assert proxy.done["lost"] >= 1, "the fault that only dedupe survives was never done"


@contextmanager
def _visiting(client: str, url: str, key: str, user: str, request: Any) -> Iterator[None]:
    """A client's calls are made; for as long as this is entered, its tab is open."""
    script, more, _ = CASES[client]
    told = {**more, "host": url, "key": key, "calls": visit(user)}
    if not script.endswith(".html"):
        run_server_client(script, told)
        yield
        return
    browser, site = request.getfixturevalue("browser"), request.getfixturevalue("site")
    with browser_client(browser, site, script, told):
        yield


def _understood(server: Server, user: str) -> Counter[tuple[str, str]]:
    profile = server.profile(f"user:{user}", include="events", events="1000") or {"events": []}
    abouts = ((event["signal"], event.get("about", {})) for event in profile["events"])
    return Counter((signal, about.get("item") or about.get("query") or "") for signal, about in abouts)


def _counts(server: Server, user: str) -> Counter[str]:
    profile = server.profile(f"user:{user}")
    assert profile is not None
    return Counter(profile["counts"])
