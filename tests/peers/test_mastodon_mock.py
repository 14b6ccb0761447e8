"""A server with Mastodon's API and streams that can be told to fail: what it holds is what was told, whatever it was told to do."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.peers.fediverse import NO_KEEPING, Held, Pump, free_port, until

from plait.connectors import Account, Session
from plait.connectors.mastodon import Connector
from plait.errors import PlaitError

pytestmark = [pytest.mark.peers, pytest.mark.timeout(200)]

SEED = 4


def now() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def url() -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "mastodon_mock", "serve", "--in-memory", "--demo", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found = f"http://127.0.0.1:{port}"
    try:
        until(lambda: _stands(found), seconds=60, why="mastodon-mock listens")
        yield found
    finally:
        process.kill()
        process.wait()


def _stands(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/v1/instance", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def app(url: str, token: str) -> httpx.Client:
    return httpx.Client(
        base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=60, limits=NO_KEEPING
    )


def signed_in(url: str, held: Held) -> Pump:
    pump = Pump(Session(account=Account(source="", host=url), headers={}), held)
    pump.session = pump.run(Connector.sign_in({"access_token": "ada_token"}, url, now()))
    return pump


def connector(pump: Pump) -> Connector:
    return Connector(pump.session.account, watched=lambda _: False, now=now)


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

    def act(self) -> None:
        who, post = self.random.choice(self.people), self.random.choice(self.posts)
        what = self.random.choice(
            [
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
            ]
        )
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

    def differences(self, held: Held, domain: str) -> dict[str, Any]:
        found: dict[str, Any] = {}

        def says(path: str) -> set[str]:
            rows = self.shop.get(path, params={"limit": 80}).json()
            return {
                f"mastodon:{one['acct'] if '@' in one['acct'] else one['acct'] + '@' + domain}".lower()
                for one in rows
            }

        for post in self.posts:
            for signal, what in (("like", "favourited_by"), ("share", "reblogged_by")):
                ours, theirs = held.edges(signal, post["uri"]), says(f"/api/v1/statuses/{post['id']}/{what}")
                if ours != theirs:
                    found[f"{signal} {post['uri']}"] = (ours, theirs)
        ours = held.edges("follow", f"mastodon:{self.me['acct']}@{domain}")
        if ours != (theirs := says(f"/api/v1/accounts/{self.me['id']}/followers")):
            found["follows"] = (ours, theirs)
        context = [
            self.shop.get(f"/api/v1/statuses/{post['id']}/context").json()["descendants"]
            for post in self.posts
        ]
        theirs = {one["uri"] for thread in context for one in thread}
        if set(held.standing("reply", "comment")) != theirs:
            found["replies"] = (held.standing("reply", "comment"), theirs)
        return found


def fault(url: str, chance: random.Random) -> None:
    effect = chance.choice(
        [
            {"type": "status", "status": 503}, {"type": "ratelimit", "headers": {"Retry-After": "1"}},
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


def test_after_two_hundred_acts_and_many_faults_we_hold_what_the_server_holds(url: str):
    """The connector is killed within pages, begun anew, answered with errors, cut JSON and pleas for patience."""
    people, chance, held = people_of(url), random.Random(SEED), Held()
    assert people
    life = Life(url, people)
    pump = signed_in(url, held)
    one, failures = connector(pump), 0
    for number in range(200):
        life.act()
        if number % 10 == 9:
            fault(url, chance)
            try:
                pump.run(one.poll(pump.cursor), pages=chance.choice([1, 2, None]))
            except PlaitError:
                failures += 1
            httpx.delete(f"{url}/api/v1/_mock/faults", timeout=30)
        if number % 40 == 39:
            one = connector(pump)
    for _ in range(2):  # the first may find that what was killed had been half told
        pump.run(one.poll(pump.cursor))

    assert failures > 0
    assert sum(life.done.values()) >= 180
    assert life.differences(held, pump.session.account.settings["domain"]) == {}


def test_what_happens_is_streamed_as_it_happens(url: str):
    people, held = people_of(url), Held()
    life = Life(url, people)
    pump = signed_in(url, held)
    assert pump.session.account.settings["streams"] == "sse"
    stream = threading.Thread(target=lambda: _quietly(pump, connector(pump)), daemon=True)
    stream.start()
    post = life.posts[0]
    until(lambda: _liked(people[0], post, held), seconds=40, why="the stream stands and tells of a like")

    answer = (
        people[0]
        .post(
            "/api/v1/statuses",
            json={"status": f"@{life.me['acct']} how heavy?", "in_reply_to_id": post["id"]},
        )
        .json()
    )
    until(lambda: held.standing("reply").get(answer["uri"]), why="the answer is told")


def _liked(who: httpx.Client, post: dict[str, Any], held: Held) -> set[str]:
    who.post(f"/api/v1/statuses/{post['id']}/unfavourite")
    who.post(f"/api/v1/statuses/{post['id']}/favourite")
    return held.edges("like", post["uri"])


def _quietly(pump: Pump, one: Connector) -> None:
    try:
        pump.run(one.stream(None))
    except Exception:  # the server is killed when the test ends
        return
