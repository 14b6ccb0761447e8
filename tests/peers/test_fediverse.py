"""Real fediverse servers: what they hold to be so is what Plait holds, whatever happens meanwhile and whoever is killed.

The shop's account is connected from a terminal and served, as an operator does it. What each server is asked, and why, is
told in ``tests/peers/town.py``.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from urllib.parse import quote

import httpx
import pytest
from tests.conftest import Server
from tests.peers.fediverse import Delivery, Held, Pump, Serve, serving
from tests.peers.product import Acts, connected, kill, looked, standing
from tests.peers.town import PEOPLE, Life, Town, judged
from tests.peers.waits import free_port, until

from plait.connectors import Account, Session
from plait.connectors._inbox import Known
from plait.connectors.mastodon import Connector

pytestmark = [pytest.mark.peers, pytest.mark.timeout(600)]

VICTIMS = ("drive", "fold", "server")


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    one = Town(tmp_path_factory.mktemp("snac"))
    try:
        with serving(one.port, one.passing):
            one.meet()
            yield one
    finally:
        one.stop()


@pytest.fixture
def server(own_server: Server) -> Server:
    own_server.env |= {"PLAIT_CONSENT__SOCIAL": "true", "PLAIT_PRIVATE_HOSTS": "127.0.0.1"}
    return own_server


def held(server: Server, town: Town, life: Life) -> Acts:
    """What our state says; an answer is one whether its parent was known or not."""
    ours = {post["uri"] for post in life.posts} | {town.me}
    found: Acts = Counter()
    for (signal, what, who), n in standing(server, "mastodon:", ours.__contains__).items():
        if (signal, what) != ("mention", town.me):
            found["reply" if signal == "comment" else signal, what, who] += n
    return found


def agreed(server: Server, town: Town, life: Life, *, passed_on: bool, seconds: float = 180) -> None:
    """Wait until what is held lies between what the servers say at least and at most."""
    town.settled()
    least, most = judged(town, life, passed_on=passed_on)
    assert sum(least.values()) > 10, "it proves nothing"
    end = time.monotonic() + seconds
    ours = held(server, town, life)
    while (least - ours or ours - most) and time.monotonic() < end:
        time.sleep(0.5)
        ours = held(server, town, life)
    assert ours - most == {}, "we hold what is not so, or twice"
    assert least - ours == {}, "we lost what is so"


def noticed(server: Server, life: Life) -> bool:
    """Whether no answer is held that the shop's server does not have any more."""
    _, most = judged(life.town, life, passed_on=False)
    return not any(what == "reply" for what, *_ in held(server, life.town, life) - most)


def lived(server: Server, source: str, life: Life, chance: random.Random, acts: int = 200) -> None:
    """A history with three kills in it."""
    victims = dict(zip(chance.sample(range(20, acts - 20), 3), VICTIMS, strict=True))
    for number in range(acts):
        life.act()
        if number in victims:
            if (
                victims[number] != "fold"
            ):  # what is deleted and not noticed when a driver dies, stays (decision 0166)
                life.town.settled()
                until(lambda: noticed(server, life), seconds=120, why="deletions are noticed")
            killed = time.time()
            kill(server, victims[number])
            for _ in range(chance.randrange(10)):  # what happens while nobody listens
                life.act(unheard=True)
            life.town.settled()
            if victims[number] == "server":
                server.start()
            if (
                victims[number] != "fold"
            ):  # what is deleted before the first look is not missed (decision 0166)
                looked(server, source, after=killed)


def test_by_the_api_alone_we_hold_what_the_shops_server_answers(town: Town, server: Server):
    """Nobody tells of an un-like: it is found by looking. snac2 tells no end of a follow at all, so nobody leaves here."""
    life = Life(town, 4, frozenset(Life.KINDS) - {"follow", "unfollow"})
    server.start()
    source = connected(server, "mastodon", "--with", f"host={town.home.url}", access_token=town.token)
    assert source == town.me

    lived(server, source, life, random.Random(4), acts=150)

    assert {"favourite", "unfavourite", "reblog", "reply", "delete"} <= set(life.done)
    agreed(server, town, life, passed_on=False)


def test_with_the_inbox_passed_on_we_hold_what_all_servers_answer(town: Town, server: Server):
    life, chance = Life(town, 5), random.Random(5)
    server.start()
    source = connected(server, "mastodon", "--with", f"host={town.home.url}", access_token=town.token)
    before = len(town.passing.deliveries)
    town.passing.mirror = lambda: f"{server.url}/webhooks/mastodon/{quote(source, safe=':@')}"
    try:
        lived(server, source, life, chance)
        agreed(server, town, life, passed_on=True)
    finally:
        town.passing.mirror = None
    assert set(town.passing.mirrored) <= {200, 202}
    assert set(life.done) == set(Life.KINDS)

    # The same deliveries late, twice and out of order, and nothing else: by them alone it is the same.
    only = by_deliveries(town, mixed_up(town.passing.deliveries[before:], chance))
    least, _ = judged(town, life, passed_on=True)
    for post in life.posts:
        for signal in ("like", "share"):
            told = {who for what, uri, who in least if (what, uri) == (signal, post["uri"])}
            assert only.edges(signal, post["uri"]) == told
    replies = sum(n for (what, *_), n in least.items() if what == "reply")
    assert len(only.standing("reply", "comment")) == replies


def by_deliveries(town: Town, deliveries: list[Delivery]) -> Held:
    """What is held when a connector that knows nothing reads these."""
    session = Session(account=Account(source="", host=town.home.url), headers={})
    pump = Pump(session, Held())
    steps = Connector.sign_in({"access_token": town.token}, town.home.url, now())
    pump.session = pump.run(steps)
    one = Connector(pump.session.account, watched=lambda _: False, now=now)
    one._inbox._known = Known()
    for headers, body in deliveries:
        pump.held.take(pump.run(one.receive(headers, body), lane=False).page)
    return pump.held


def mixed_up(deliveries: list[Delivery], chance: random.Random) -> list[Delivery]:
    """Out of order, but for those that were signed in one second; and a third of them once more at the end."""
    seconds: dict[str, list[Delivery]] = {}
    for one in deliveries:
        seconds.setdefault(one[0]["date"], []).append(one)
    order = list(seconds.values())
    chance.shuffle(order)
    return [one for second in order for one in second] + chance.sample(deliveries, len(deliveries) // 3)


def now() -> int:
    return time.time_ns() // 1_000_000


def test_people_on_a_real_server_follow_our_own_actor_and_leave_it_while_we_are_killed(
    town: Town, server: Server
):
    """They find it by its name, their server takes our signed Accept, and delivers again what we were not there to take."""
    port = free_port()
    me = f"mastodon:tents@127.0.0.1:{port}"

    def follows() -> set[str]:
        found = standing(server, "mastodon:", me.__eq__)
        return {who for what, _, who in found if what == "follow"}

    server.start()
    with serving(port, in_front_of(server)):
        source = connected(
            server, "activitypub", "--with", f"host=http://127.0.0.1:{port}", "--with", "name=tents"
        )
        assert source == f"activitypub:tents@127.0.0.1:{port}"
        for name in PEOPLE:
            town.follow(name, me.partition(":")[2])
        until(lambda: all(me in town.follows(name) for name in PEOPLE), seconds=90, why="our Accept is taken")
        until(lambda: follows() == {town.account(name) for name in PEOPLE}, seconds=90, why="three follow")

        kill(server, "server")
        town.follow("ann", me.partition(":")[2], "unfollow")
        time.sleep(2)  # their server tries, and nobody is there
        server.start()
        kill(server, "fold")

        until(
            lambda: follows() == {town.account("bob"), town.account("cat")}, seconds=120, why="ann has left"
        )
    # snac2 cannot name an account whose server has a port (its pattern of a name, in activitypub.c), so nobody writes.


def in_front_of(server: Server) -> Serve:
    """A web server as it stands before Plait: it says 502 while Plait does not answer, and who delivers comes again.

    Without one snac2 gives a delivery up when the connection is refused (activitypub.c: "explicit error: discard").
    """

    def passed(
        method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Mapping[str, str], bytes]:
        try:
            found = httpx.request(method, server.url + path, headers=dict(headers), content=body, timeout=60)
        except httpx.TransportError:
            return 502, {}, b""
        kept = {name: value for name, value in found.headers.items() if name == "content-type"}
        return found.status_code, kept, found.content

    return passed
