"""The Python client through a proxy that makes trouble: nothing lost, nothing twice, whatever it does."""

from __future__ import annotations

import asyncio
import re
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.conftest import Server
from tests.peers.chaos import ChaosProxy

from plait.client import AsyncClient, Client, event

pytestmark = pytest.mark.peers

VIEWED = 400
_ID = re.compile(rb'"id":"([^"]+)"')


def chaos(server: Server, seed: int, most: int = 3) -> ChaosProxy:
    return ChaosProxy(server.url, seed=seed, most=most, ids=_ID)


def views(server: Server, who: str) -> Counter[str]:
    profile = server.profile(who, include="events", events="1000") or {"events": [], "counts": {}}
    found = Counter(one["about"]["item"] for one in profile["events"] if one["signal"] == "view")
    assert profile["counts"].get("view", 0) == found.total()
    return found


ONCE = Counter(f"tent-{n}" for n in range(VIEWED))


@pytest.mark.parametrize("seed", range(3))
def test_trouble_on_the_line_loses_nothing_and_counts_nothing_twice(server: Server, seed: int) -> None:
    who, lost = f"user:sync-{seed}", []

    def visit(first: int) -> None:
        for n in range(first, VIEWED, 4):
            client.view(who, item=f"tent-{n}")
            if n % 40 == first:  # many small requests: each has its own trouble
                client.flush(60)

    with chaos(server, seed) as proxy:
        client = Client(proxy.url, server.secret, on_lost=lambda events, error: lost.append(error))
        threads = [threading.Thread(target=visit, args=(first,)) for first in range(4)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        client.close(60)

    assert lost == []
    server.eventually(lambda: views(server, who).total() >= VIEWED)
    assert views(server, who) == ONCE
    assert set(proxy.done) >= {"lost", "cut", "503", "429", "slow", "passed"}


@pytest.mark.parametrize("seed", range(3))
def test_the_async_client_keeps_the_same_promise(server: Server, seed: int) -> None:
    who, lost = f"user:async-{seed}", []

    async def visit() -> None:
        async with AsyncClient(
            proxy.url, server.secret, on_lost=lambda events, error: lost.append(error)
        ) as client:
            for n in range(VIEWED):
                await client.view(who, item=f"tent-{n}")
                if n % 20 == 0:
                    await client.flush(60)
            await client.flush(60)

    with chaos(server, 10 + seed) as proxy, ThreadPoolExecutor(1) as thread:
        # A thread of its own: the driver of the browser keeps an event loop running in the main one.
        thread.submit(asyncio.run, visit()).result()

    assert lost == []
    server.eventually(lambda: views(server, who).total() >= VIEWED)
    assert views(server, who) == ONCE
    assert set(proxy.done) >= {"lost", "cut", "503", "429", "slow", "passed"}


def test_what_is_sent_now_is_there_once_through_trouble(server: Server) -> None:
    who = "user:now"
    with chaos(server, 20) as proxy, Client(proxy.url, server.secret, timeout=60) as client:
        for start in range(0, VIEWED, 20):
            told = client.send([event("view", who, item=f"tent-{n}") for n in range(start, start + 20)])
            assert told == {"accepted": 20, "refused": []}

    server.eventually(lambda: views(server, who).total() >= VIEWED)
    assert views(server, who) == ONCE


def test_a_page_that_is_asked_again_counts_its_events_once(server: Server) -> None:
    who = "user:pages"
    with chaos(server, 30) as proxy, Client(proxy.url, server.secret, timeout=60) as client:
        for n in range(40):
            client.personalize("home.grid", who, events=[event("view", item=f"tent-{n}")])

    server.eventually(lambda: views(server, who).total() >= 40)
    assert views(server, who) == Counter(f"tent-{n}" for n in range(40))
    assert proxy.done["lost"] >= 1


def test_a_server_that_is_killed_in_between_has_it_all_once(own_server: Server) -> None:
    own_server.start()
    port = own_server.url.rpartition(":")[2]
    client = Client(own_server.url, own_server.secret)
    for n in range(VIEWED):
        client.view("user:killed", item=f"tent-{n}")
        if n % 100 == 50:
            own_server.kill()
            own_server.start("--port", port)
    client.flush(60)
    client.close()

    own_server.eventually(lambda: views(own_server, "user:killed").total() >= VIEWED)
    assert views(own_server, "user:killed") == ONCE
