"""A server with Mastodon's API and streams that can be told to fail: what it answers is what Plait holds, whatever it was told.

The account is connected from a terminal and served; the line to it is cut, it fails on purpose, and parts of Plait are killed.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.conftest import Server
from tests.peers.fediverse import Wire, app, mastodon_mock
from tests.peers.product import Acts, connected, kill, looked, standing, state_of
from tests.peers.waits import until

from plait.events import decode_record
from plait.intake.told import page_decoder
from plait.log import open_log

pytestmark = [pytest.mark.peers, pytest.mark.timeout(400)]

SEED = 4
VICTIMS = ("drive", "fold", "server")
KINDS = (
    "favourite",
    "unfavourite",
    "reblog",
    "unreblog",
    "reply",
    "direct",
    "delete",
    "follow",
    "unfollow",
    "post",
)


@pytest.fixture
def url() -> Iterator[str]:
    with mastodon_mock() as one:
        yield one


class Life:
    """What people do to the shop's posts, drawn by a seed."""

    def __init__(self, url: str, people: list[httpx.Client]) -> None:
        self.shop, self.people, self.random = app(url, "ada_token"), people, random.Random(SEED)
        self.me = self.shop.get("/api/v1/accounts/verify_credentials").json()
        self.posts = [self.publish(n) for n in range(3)]
        self.written: list[tuple[httpx.Client, str]] = []
        self.done: dict[str, int] = {}

    def publish(self, n: int) -> dict[str, Any]:
        found: dict[str, Any] = self.shop.post("/api/v1/statuses", json={"status": f"Post {n} #tent"}).json()
        return found

    def act(self, *, unheard: bool = False) -> None:
        who, post = self.random.choice(self.people), self.random.choice(self.posts)
        what = self.random.choice(KINDS)
        if (
            unheard and what == "delete"
        ):  # before the first look of a new driver nobody knows what was deleted (decision 0166)
            return
        if (
            what == "post" and len(self.posts) > 4
        ):  # each is three calls of a look, of 300 that there are in five minutes
            return
        if what in ("reply", "direct"):
            more = {"in_reply_to_id": post["id"]} if what == "reply" else {"visibility": "direct"}
            text = {"status": f"@{self.me['acct']} {what} {len(self.written)}", **more}
            self.written.append((who, who.post("/api/v1/statuses", json=text).json()["id"]))
        elif what == "delete":
            if not self.written:
                return
            who, mine = self.written.pop(self.random.randrange(len(self.written)))
            who.delete(f"/api/v1/statuses/{mine}").raise_for_status()
        elif what in ("follow", "unfollow"):
            who.post(f"/api/v1/accounts/{self.me['id']}/{what}").raise_for_status()
        elif what == "post":
            self.posts.append(self.publish(len(self.posts)))
        else:
            who.post(f"/api/v1/statuses/{post['id']}/{what}").raise_for_status()
        self.done[what] = self.done.get(what, 0) + 1

    @property
    def domain(self) -> str:
        told = self.shop.get("/api/v2/instance").json()
        return str(told["domain"]).lower()

    def name(self, account: dict[str, Any]) -> str:
        acct = account["acct"]
        return f"mastodon:{acct if '@' in acct else acct + '@' + self.domain}".lower()

    def judged(self) -> Acts:
        """Who does what, as the server answers."""
        found: Acts = Counter()
        for post in self.posts:
            path, uri = f"/api/v1/statuses/{post['id']}", post["uri"]
            for signal, what in (("like", "favourited_by"), ("share", "reblogged_by")):
                rows = self.shop.get(f"{path}/{what}", params={"limit": 80}).json()
                found.update((signal, uri, self.name(one)) for one in rows)
            thread = self.shop.get(f"{path}/context").json()["descendants"]
            found.update(("reply", uri, self.name(one["account"])) for one in thread)
        path = f"/api/v1/accounts/{self.me['id']}/followers"
        rows = self.shop.get(path, params={"limit": 80}).json()
        found.update(("follow", self.name(self.me), self.name(one)) for one in rows)
        return found

    def replies(self, acts: Acts) -> Acts:
        return Counter({name: n for name, n in acts.items() if name[0] == "reply"})

    def held(self, server: Server) -> Acts:
        """The same, as our state has it."""
        ours = {post["uri"] for post in self.posts} | {self.name(self.me)}
        found: Acts = Counter()
        for (signal, what, who), n in standing(server, "mastodon:", ours.__contains__).items():
            if signal not in ("mention", "message"):
                found["reply" if signal == "comment" else signal, what, who] += n
        return found


def fault(url: str, chance: random.Random) -> None:
    soon = {
        "Retry-After": "1",
        "X-RateLimit-Reset": str(int(time.time()) + 2),
    }  # it would ask for five minutes else
    effect = chance.choice(
        [
            {"type": "status", "status": 503}, {"type": "ratelimit", "headers": soon},
            {"type": "malformed", "truncate": True}, {"type": "status", "status": 500}, {"type": "latency", "delay_ms": 200},
        ]
    )  # fmt: skip
    rule = {
        "match": {"path": "/api/v1/*", "methods": ["GET"]},
        "effect": effect,
        "count": chance.randint(1, 3),
    }
    httpx.post(f"{url}/api/v1/_mock/faults", json=rule, timeout=30).raise_for_status()


def people_of(url: str) -> list[httpx.Client]:
    found = []
    for name in ("grace", "alan", "katherine"):
        one = app(url, f"{name}_token")
        if one.get("/api/v1/accounts/verify_credentials").status_code == 200:
            found.append(one)
    return found


@pytest.fixture
def server(own_server: Server) -> Server:
    own_server.env["PLAIT_CONSENT__SOCIAL"] = "true"
    return own_server.start()


@pytest.fixture
def wire(url: str) -> Iterator[Wire]:
    one = Wire(int(url.rpartition(":")[2]))
    yield one
    one.close()


def test_after_two_hundred_acts_three_kills_and_many_faults_we_hold_what_the_server_answers(
    url: str, wire: Wire, server: Server
):
    """It answers with errors, with half of its JSON, and with pleas for patience, and its line is cut again and again."""
    life, chance = Life(url, people_of(url)), random.Random(SEED)
    source = connected(server, "mastodon", "--with", f"host={wire.url}", access_token="ada_token")
    assert source == life.name(life.me)
    until(lambda: state_of(server, source).get("streams"), seconds=40, why="it streams")
    victims = dict(zip(chance.sample(range(20, 180), 3), VICTIMS, strict=True))
    errors = 0
    for number in range(200):
        life.act()
        time.sleep(0.05)
        if number % 10 == 9:
            fault(url, chance)
        if number % 40 == 39:
            wire.cut()
        if number in victims:
            errors += state_of(server, source).get("errors", 0)
            if (
                victims[number] != "fold"
            ):  # what is deleted and not noticed when a driver dies, stays (decision 0166)
                httpx.delete(f"{url}/api/v1/_mock/faults", timeout=30)  # the judge is asked now
                wire.cut()
                until(lambda: not life.replies(life.held(server)) - life.replies(life.judged()), seconds=90)
            killed = time.time()
            kill(server, victims[number])
            for _ in range(chance.randrange(10)):  # what happens while nobody listens
                life.act(unheard=True)
            if victims[number] == "server":
                server.start()
            if victims[number] != "fold":
                looked(server, source, after=killed)
    httpx.delete(f"{url}/api/v1/_mock/faults", timeout=30)
    wire.cut()  # whose stream is cut looks at once

    right = life.judged()
    end = time.monotonic() + 170
    while life.held(server) != right and time.monotonic() < end:
        time.sleep(0.5)
    ours = life.held(server)

    assert errors + state_of(server, source)["errors"] > 0
    assert set(life.done) == set(KINDS)
    assert sum(right.values()) > 10  # or it proves nothing
    assert ours - right == {}, "we hold what is not so, or twice"
    assert right - ours == {}, "we lost what is so"


def test_what_happens_is_streamed_as_it_happens(url: str, server: Server):
    life = Life(url, people_of(url))
    source = connected(server, "mastodon", "--with", f"host={url}", access_token="ada_token")
    until(lambda: state_of(server, source).get("streams"), seconds=40, why="it streams")
    who, post = life.people[0], life.posts[0]

    answer = {"status": f"@{life.me['acct']} how heavy?", "in_reply_to_id": post["id"]}
    who.post("/api/v1/statuses", json=answer).raise_for_status()
    who.post(f"/api/v1/statuses/{post['id']}/favourite").raise_for_status()

    # Looks tell the same: what counts is that the stream did.
    until(lambda: streamed(server, source) >= {"reply", "like"}, seconds=60, why="both are streamed")
    until(lambda: {one[0] for one in life.held(server)} >= {"reply", "like"}, seconds=60, why="both are held")


def streamed(server: Server, source: str) -> set[str]:
    """Signals of what the log says the stream told."""
    found: set[str] = set()
    log = open_log(f"lmdb://{server.data / 'log'}")
    try:
        for _, raw in log.scan():
            record = decode_record(raw)
            if record.kind == "page" and record.source == source:
                page = page_decoder.decode(record.body)
                found |= {
                    one.signal.value for one in page.events if one is not None and page.lane == "stream"
                }
    finally:
        log.close()
    return found
