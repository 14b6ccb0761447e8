"""The Python client and a real server, kept from start to end."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator

import pytest
from tests.conftest import Server

from plait.client import AsyncClient, Client, Rejected, Unavailable, event

ITEMS = [
    {"id": "k-tent-1", "title": "Dome", "topics": ["k-tents"], "price": 189.0},
    {"id": "k-tent-2", "title": "Tunnel", "topics": ["k-tents"], "price": 349.0},
    {"id": "k-stove-1", "title": "Stove", "topics": ["k-cooking"], "price": 49.0},
]


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Client]:
    with Client(server.url, server.secret) as one:
        one.put_items(ITEMS)
        yield one


def counts(server: Server, who: str) -> dict[str, int]:
    return (server.profile(who) or {"counts": {}})["counts"]


def test_what_is_tracked_stands_in_the_profile(server, client):
    client.view("user:k-ann", "https://shop.example/tents")
    client.view(
        "user:k-ann",
        item="k-tent-1",
        context={
            "userAgent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1"
        },
    )
    client.track("dwell", "user:k-ann", item="k-tent-1", section="specs", value=42.0)
    client.track("like", "user:k-ann", topic="k-tents", source="bluesky")
    client.flush()

    server.eventually(lambda: counts(server, "user:k-ann") == {"view": 2, "dwell": 1, "like": 1})
    found = client.profile("user:k-ann", events=10)
    assert found["interests"][0]["id" if "id" in found["interests"][0] else "item"]
    assert any(one.startswith("mobile") for one in map(str, found["devices"])) or "mobile" in str(
        found["devices"]
    )
    assert found["bots"] == 0
    assert len(found["events"]) == 4


def test_what_a_device_did_is_read_by_whom_the_shop_says_it_is(server, client):
    device = "anonymous:k-3f2e1d0c-9b8a-7766"
    client.view(device, item="k-stove-1")
    client.identify(["user:k-bob", device], {"plan": "gold"}, consent={"link": True})
    client.flush()

    server.eventually(lambda: counts(server, "user:k-bob").get("view") == 1)
    assert client.profile("user:k-bob")["traits"] == {"plan": "gold"}


def test_an_event_sent_twice_counts_once(server, client):
    one = event("purchase", "user:k-cid", item="k-tent-1", value=189.0, id="k-order-1")

    assert client.send([one, one]) == {"accepted": 2, "refused": []}
    assert client.send([one])["accepted"] == 1

    server.eventually(lambda: counts(server, "user:k-cid") == {"purchase": 1})


def test_of_what_is_sent_the_wrong_is_named_and_the_rest_is_taken(client):
    told = client.send(
        [event("view", "user:k-dan", item=str(n)) for n in range(700)]
        + [{"signal": "stare", "who": ["user:k-dan"]}]
    )

    assert told["accepted"] == 700
    assert [(one["index"], one["code"]) for one in told["refused"]] == [(700, "invalid_field")]


def test_a_wrong_event_alone_is_told_and_not_raised(client):
    told = client.send([{"signal": "stare", "who": ["user:k-dan"]}])

    assert (told["accepted"], told["refused"][0]["index"]) == (0, 0)


def test_a_page_counts_what_was_done_a_moment_ago(client):
    page = client.personalize(
        [{"id": "item.related", "n": 1}, {"id": "home.grid", "n": 2, "where": "price < 400"}],
        "user:k-eve",
        events=[event("dwell", item="k-tent-2", section="specs", value=40.0)],
        item="k-tent-1",
        explain=True,
    )

    first = page["placements"]["home.grid"]["items"][0]
    assert page["placements"]["home.grid"]["arm"] == "combined"
    assert first["because"]


def test_one_placement_can_be_asked(client):
    found = client.items_for("home.grid", "user:k-fay", n=2, where="price < 200", exclude=["k-stove-1"])

    assert [one["item"] for one in found] == ["k-tent-1"]


def test_a_token_lets_a_browser_ask_as_a_known_person(server, client):
    with Client(server.url, server.write) as browser:
        page = browser.personalize("home.grid", token=client.token("user:k-eve"))
        with pytest.raises(Rejected) as caught:
            browser.personalize("home.grid", "user:k-eve")

    assert page["placements"]["home.grid"]["items"]
    assert caught.value.code == "token_needed"


def test_the_catalog_can_be_kept(client):
    told = client.put_items([{"id": "k-mat", "price": 79.0}, {"id": "k-bad", "price": "much"}])

    assert told["accepted"] == 1
    assert [(one["index"], one["field"]) for one in told["refused"]] == [(1, "items[1].price")]
    assert client.item("k-mat")["price"] == 79.0
    assert client.delete_items(["k-mat", "k-never"]) == 1
    assert client.item("k-mat") is None


def test_items_that_are_all_wrong_are_all_named(client):
    told = client.put_items([{"id": "k-bad", "price": "much"}] * 3)

    assert [one["index"] for one in told["refused"]] == [0, 1, 2]


def test_placements_can_be_kept(client):
    assert client.put_placements([{"id": "k.side", "n": 3}]) == 1
    assert "k.side" in [one["id"] for one in client.placements()]


def test_audiences_can_be_kept(client):
    client.put_audience("k-new", "not bought()", title="New")

    assert {"id": "k-new", "title": "New", "where": "not bought()"} in client.audiences()
    assert client.audience_size("k-new")["people"] >= 0
    assert client.delete_audience("k-new") == 1


def test_people_can_be_linked_and_forgotten(server, client):
    client.send([event("view", "user:k-gil", item="k-tent-1")])
    client.link("user:k-gil", "email:gil@shop.example", consent=True)
    assert "email:gil@shop.example" in client.profile("user:k-gil")["identifiers"]
    client.unlink("user:k-gil", "email:gil@shop.example")
    assert client.profile("user:k-gil")["identifiers"] == ["user:k-gil"]
    assert client.export("user:k-gil")

    client.forget("user:k-gil")

    assert client.profile("user:k-gil") is None


def test_who_said_no_costs_nothing(server):
    lost = []
    with Client(server.url, server.secret, on_lost=lambda events, error: lost.append(error)) as client:
        client.consent("user:k-hal", {"collect": False})
        client.flush()
        client.view("user:k-hal", item="k-tent-1")
        client.flush()

    assert (lost, client.lost) == ([], 0)


def test_a_wrong_key_is_told(server):
    lost = []
    with Client(
        server.url, "sk_of_nobody", on_lost=lambda events, error: lost.append((events, error))
    ) as client:
        id = client.view("user:k-ida", item="k-tent-1")
        client.flush()
        with pytest.raises(Rejected, match="key"):
            client.send([event("view", "user:k-ida")])

    ((events, error),) = lost
    assert ([one["id"] for one in events], error.code) == ([id], "unknown_key")


def test_a_closed_client_says_so(server):
    client = Client(server.url, server.secret)
    client.close()
    client.close()

    for ask in (lambda: client.view("user:k-ida"), lambda: client.placements()):
        with pytest.raises(Rejected, match="closed"):
            ask()


@pytest.fixture
def nobody() -> Iterator[str]:
    """The address of a port that nobody listens at."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"


def test_a_server_that_is_down_delays_no_page(nobody):
    lost = []
    client = Client(nobody, "sk", room=2_000, on_lost=lambda events, error: lost.extend(events))
    began = time.monotonic()
    with pytest.raises(Unavailable):
        client.personalize("home.grid", timeout=0.3)
    tracked = [client.view("user:ann", item=f"tent-{n}") for n in range(200)]
    took = time.monotonic() - began
    assert took < 5.0  # 200 of them wait for the first failure together, not each

    client.close(timeout=0.1)

    assert sorted(one["id"] for one in lost) == sorted(tracked), "each is either taken or told"


def test_flush_says_what_still_waits(nobody):
    client = Client(nobody, "sk", on_lost=lambda events, error: None)
    client.view("user:ann")

    with pytest.raises(Unavailable, match="1 events are still on their way"):
        client.flush(timeout=0.3)
    client.close(timeout=0.1)


def test_events_tracked_before_the_server_starts_arrive(own_server):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    client = Client(f"http://127.0.0.1:{port}", own_server.secret)
    client.view("user:early", item="tent-1")
    time.sleep(0.5)

    own_server.start("--port", str(port))
    client.flush(60)
    client.close()

    own_server.eventually(lambda: counts(own_server, "user:early") == {"view": 1})


@pytest.mark.parametrize(
    ("name", "program"),
    [
        ("script", "client = Client(url, key)\nfor n in range(50): client.view(who, item=f'tent-{n}')"),
        (
            "async-script",
            """
            async def main():
                client = AsyncClient(url, key)
                for n in range(50): await client.view(who, item=f'tent-{n}')
            asyncio.run(main())
            """,
        ),
        (
            "forked",
            """
            client = Client(url, key)
            for n in range(25): client.view(who, item=f'tent-{n}')
            child = os.fork()
            for n in range(25) if child == 0 else (): client.view(who, item=f'tent-{25 + n}')
            if child: os.waitpid(child, 0)
            """,
        ),
        (
            "error",
            """
            client = Client(url, key)
            for n in range(50): client.view(who, item=f'tent-{n}')
            raise SystemExit(0)
            """,
        ),
    ],
)
def test_a_program_that_just_ends_loses_nothing(server, name, program):
    head = "import asyncio, os, sys\nfrom plait.client import *\nurl, key, who = sys.argv[1:]\n"
    who = f"user:k-ends-{name}"

    done = subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(program), server.url, server.secret, who],
        capture_output=True, text=True, timeout=60, env={**os.environ},
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    server.eventually(lambda: counts(server, who) == {"view": 50})


def test_a_fast_producer_waits_for_the_server_and_loses_nothing(server):
    client = Client(server.url, server.secret, room=50_000)
    for n in range(3_000):
        client.view("user:k-fast", item=f"tent-{n % 50}")
    client.close()

    assert client.lost == 0
    server.eventually(lambda: counts(server, "user:k-fast") == {"view": 3_000})


def test_the_async_client_does_the_same(server):
    async def visit() -> dict:
        async with AsyncClient(server.url, server.secret, room=20_000) as client:
            for n in range(500):
                await client.view("user:k-async", item=f"tent-{n}")
            page, again = await asyncio.gather(
                client.personalize("home.grid", "user:k-async"),
                client.personalize("home.grid", "user:k-async"),
            )
            assert again["decision"] != page["decision"]
            await client.flush()
            assert client.waiting == 0
            return page

    page = asyncio.run(visit())

    assert page["placements"]["home.grid"]
    server.eventually(lambda: counts(server, "user:k-async").get("view") == 500)


def test_an_async_client_is_closed_in_another_loop_than_it_asked_in(server):
    client = AsyncClient(server.url, server.secret)

    async def ask() -> None:
        await client.placements()

    asyncio.run(ask())
    asyncio.run(client.close())

    assert (client.waiting, client.lost) == (0, 0)


def test_an_async_client_outlives_a_loop(server):
    client = AsyncClient(server.url, server.secret)

    async def visit(item: str) -> None:
        await client.view("user:k-loops", item=item)
        await client.placements()

    async def end() -> None:
        await client.close()

    asyncio.run(visit("tent-1"))
    asyncio.run(visit("tent-2"))
    asyncio.run(end())

    server.eventually(lambda: counts(server, "user:k-loops") == {"view": 2})
