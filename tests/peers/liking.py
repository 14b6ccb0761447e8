"""How long a like on the real network takes to change what its author is shown, and an un-like to change it back."""

from __future__ import annotations

import time
from functools import partial

import httpx
from tests.peers.bluesky import Network, Person
from tests.peers.waits import until

ITEMS = [{"id": f"i{n}", "title": f"Item {n}", "topics": [f"t{n % 20}"], "price": n % 90} for n in range(200)]


def connect(http: httpx.Client, network: Network, shop: Person) -> str:
    """Connect the shop's account by its firehose, and wait until the stream stands; returns the source."""
    told = http.post(
        "/v1/sources",
        json={
            "network": "bluesky",
            "credentials": {
                "host": network.pds, "identifier": shop.handle, "password": shop.password, "stream": "firehose",
                "relay": network.pds.replace("http", "ws") + "/xrpc/com.atproto.sync.subscribeRepos",
            },
        },
    )  # fmt: skip
    assert told.status_code == 200, told.text
    source: str = told.json()["source"]

    def status() -> dict:
        return http.get(f"/v1/sources/{source}").json()

    until(lambda: status()["state"].get("streams"), seconds=60, every=0.02)
    shop.post("hello")  # so that there is a place to begin again from
    until(lambda: "stream" in status()["cursors"], seconds=60, every=0.02)
    return source


def liked(
    http: httpx.Client, network: Network, shop: Person, people: list[Person]
) -> tuple[list[float], list[float]]:
    """Seconds from each person's like, and un-like, to the first home grid that is another because of it.

    The clock runs from before the request to the PDS until after the answer that shows it.
    """
    assert http.post("/v1/items", json={"items": ITEMS}).status_code == 200
    likes, unlikes = [], []
    for number, who in enumerate(people):
        item = f"i{number * 37 % 200}"
        post = shop.post(f"Look at {item}")
        until(partial(_put, http, post["uri"], item), seconds=60, every=0.02)
        shown = partial(_shown, http, f"bluesky:{who.did}", post["uri"])
        before, _ = shown()
        began = time.perf_counter()
        like = who.like(post)
        until(lambda: shown()[1], seconds=60, every=0.005)  # noqa: B023 - called at once
        likes.append(time.perf_counter() - began)
        assert shown()[0] != before
        began = time.perf_counter()
        who.delete(like)
        until(lambda: not shown()[1], seconds=60, every=0.005)  # noqa: B023
        unlikes.append(time.perf_counter() - began)
    return likes, unlikes


def _shown(http: httpx.Client, me: str, uri: str) -> tuple[list[str], bool]:
    """A home grid, and whether the post that somebody liked is a reason in it."""
    asked = {"identifiers": [me], "placements": [{"id": "home.grid", "n": 12}], "explain": True}
    answer = http.post("/v1/personalize", json=asked)
    assert answer.status_code == 200, answer.text
    items = answer.json()["placements"]["home.grid"]["items"]
    because = any(
        one["signal"] == "like" and uri in one["about"] for each in items for one in each["because"]
    )
    return [one["item"] for one in items], because


def _put(http: httpx.Client, uri: str, item: str) -> bool:
    """Tie the post to an item by hand, once the stream has told it; whether it has."""
    if http.get("/v1/items/" + uri.replace("/", "%2F")).status_code != 200:
        return False
    put = {"id": uri, "kind": "post", "title": "a post", "for": [item]}
    return http.post("/v1/items", json={"items": [put]}).status_code == 200
