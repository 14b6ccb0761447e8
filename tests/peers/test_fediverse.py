"""Real fediverse servers: what they hold to be so is what was told to us, whatever happens meanwhile.

Two servers of snac2 follow, like and boost each other. The shop is on one, the people are on the other; what the one
delivers to the other is signed by it, and we read a copy of it, as well as the shop's side by Mastodon's API.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.peers.fediverse import Delivery, Held, Passing, Pump, Snac, free_port, serving, until

from plait.connectors import Account, Session
from plait.connectors._inbox import Known
from plait.connectors.activitypub import Connector as Own
from plait.connectors.mastodon import Connector
from plait.errors import Rejected

pytestmark = [pytest.mark.peers, pytest.mark.timeout(300)]

SEED = 4
PEOPLE = ("ann", "bob", "cat")


def now() -> int:
    return time.time_ns() // 1_000_000


class Town:
    """Two servers: the shop's, behind a web server that passes deliveries on, and one with people."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.home, self.away = Snac(folder / "home", public=port), Snac(folder / "away")
        self.passing = Passing(lambda: f"http://127.0.0.1:{self.home.port}")
        self.port, self.folder = port, folder
        self.home.add("shop")
        for name in PEOPLE:
            self.away.add(name)
        self.home.start()
        self.away.start()

    def meet(self) -> None:
        """Sign everybody in, and let each person follow the shop, so that its posts reach them."""
        self.shop = self.home.client("shop")
        self.apps = {name: self.away.client(name) for name in PEOPLE}
        self.me = self.shop.get("/api/v1/accounts/verify_credentials").json()["id"]
        for name in PEOPLE:
            self.follow(name)
        until(lambda: len(self.followers()) == len(PEOPLE), seconds=60, why="everybody follows")

    def follow(self, name: str) -> None:
        app = self.apps[name]
        found = app.get("/api/v2/search", params={"q": f"@shop@{self.home.host}", "resolve": "true"}).json()
        app.post(f"/api/v1/accounts/{found['accounts'][0]['id']}/follow").raise_for_status()

    def followers(self) -> set[str]:
        """As the shop's server holds them; its API shows them to nobody."""
        files = (self.folder / "home" / "user" / "shop" / "followers").glob("*.json")
        return {self.account(json.loads(one.read_text())["id"].rpartition("/")[2]) for one in files}

    def account(self, name: str) -> str:
        return f"mastodon:{name}@{self.away.host}"

    def publish(self, text: str) -> dict[str, Any]:
        """A post that everybody has seen."""
        post: dict[str, Any] = self.shop.post("/api/v1/statuses", data={"status": text}).json()
        for name in PEOPLE:
            until(lambda name=name: self.number(name, post["uri"]), seconds=60, why=f"{name} sees it")
        return post

    def number(self, name: str, uri: str) -> str | None:
        """The number of a post on somebody's own server."""
        home = self.apps[name].get("/api/v1/timelines/home", params={"limit": 40}).json()
        return next(
            (one["id"] for one in home if uri in (one["uri"], (one["reblog"] or {}).get("uri"))), None
        )

    def says(self, post: dict[str, Any], what: str) -> set[str]:
        """Who, as the shop's server answers."""
        return {
            f"mastodon:{one['acct']}" for one in self.shop.get(f"/api/v1/statuses/{post['id']}/{what}").json()
        }

    def replies(self, post: dict[str, Any]) -> set[str]:
        found = self.shop.get(f"/api/v1/statuses/{post['id']}/context").json()["descendants"]
        return {one["uri"] for one in found}

    def settled(self) -> None:
        """Wait until nothing is delivered any more."""
        quiet, seen = 0, -1
        while quiet < 3:  # both look at their queues every second or two, on a busy machine more slowly
            quiet = quiet + 1 if seen == len(self.passing.deliveries) else 0
            seen = len(self.passing.deliveries)
            time.sleep(2)

    def sign_in(self, held: Held) -> Pump:
        token = self.shop.headers["authorization"].split()[1]
        account = Account(source="", host=self.home.url)
        pump = Pump(Session(account=account, headers={}), held)
        pump.session = pump.run(Connector.sign_in({"access_token": token}, self.home.url, now()))
        return pump


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    one = Town(tmp_path_factory.mktemp("snac"))
    try:
        with serving(one.port, one.passing):
            one.meet()
            yield one
    finally:
        one.home.stop()
        one.away.stop()


def connector(pump: Pump) -> Connector:
    """A connector as after a restart: it knows nothing but what rests."""
    one = Connector(pump.session.account, watched=lambda _: False, now=now)
    one._inbox._known = Known()
    return one


def delivered(one: Connector, pump: Pump, deliveries: list[Delivery]) -> None:
    for headers, body in deliveries:
        pump.held.take(pump.run(one.receive(headers, body), lane=False).page)


def mixed_up(deliveries: list[Delivery], chance: random.Random) -> list[Delivery]:
    """Out of order, but for those that were signed in one second; and a third of them once more at the end."""
    seconds: dict[str, list[Delivery]] = {}
    for one in deliveries:
        seconds.setdefault(one[0]["date"], []).append(one)
    order = list(seconds.values())
    chance.shuffle(order)
    return [one for second in order for one in second] + chance.sample(deliveries, len(deliveries) // 3)


class Life:
    """What people do, drawn by a seed."""

    def __init__(self, town: Town, seed: int) -> None:
        self.town, self.random = town, random.Random(seed)
        self.posts = [
            town.publish(f"Post {n}, with a tent: https://shop.example/tarn-{n} #tent") for n in range(3)
        ]
        self.written: list[tuple[str, str]] = []  # (who, URI)
        self.following = set(PEOPLE)
        self.boosted: set[tuple[str, str]] = set()
        self.changed: dict[
            tuple[str, str, str], float
        ] = {}  # when somebody last liked or boosted, or no longer
        self.done: dict[str, int] = {}

    def act(self) -> None:
        who = self.random.choice(PEOPLE)
        post = self.random.choice(self.posts)
        number = self.town.number(who, post["uri"])
        what = self.random.choice(
            ["favourite", "unfavourite", "reblog", "unreblog", "reply", "delete", "follow"]
        )
        app = self.town.apps[who]
        if what == "reply":
            text = {
                "status": f"@shop@{self.town.home.host} nice {len(self.written)}",
                "in_reply_to_id": number,
            }
            self.written.append((who, app.post("/api/v1/statuses", data=text).json()["uri"]))
        elif what == "delete":
            if not self.written:
                return
            self.town.away.delete(*self.written.pop(self.random.randrange(len(self.written))))
        elif what == "follow":
            what = "unfollow" if who in self.following else "follow"
            self.following ^= {who}
            shop = app.get("/api/v2/search", params={"q": f"@shop@{self.town.home.host}"}).json()["accounts"][
                0
            ]
            app.post(f"/api/v1/accounts/{shop['id']}/{what}").raise_for_status()
        else:
            # Both servers work in parallel: who changes their mind within seconds ends up either way, on each its own.
            pair = (who, what.removeprefix("un"), post["uri"])
            if time.monotonic() - self.changed.get(pair, 0.0) < 6.0:
                return
            self.changed[pair] = time.monotonic()
            app.post(f"/api/v1/statuses/{number}/{what}")
        self.done[what] = self.done.get(what, 0) + 1

    def decide(self) -> None:
        """Let each person like and boost each post or not, for good. Servers deliver in parallel and work off what was
        delivered in parallel: who changed their mind within a second may have ended up either way, on each server its own.
        """
        for whats in (("unfavourite", "unreblog"), ("favourite", "reblog")):
            for who in PEOPLE:
                for post in self.posts:
                    for what in whats:
                        if what.startswith("un") or self.random.random() < 0.5:
                            number = self.town.number(who, post["uri"])
                            done = self.town.apps[who].post(f"/api/v1/statuses/{number}/{what}")
                            if what == "reblog" and done.status_code == 200:
                                self.boosted.add((self.town.account(who), post["uri"]))
            self.town.settled()


def differences(town: Town, life: Life, held: Held, *, api: bool, inbox: bool) -> dict[str, Any]:
    """What is held and not so, or so and not held: as the shop's server answers, but for two things.

    snac2 2.75 acknowledges an un-boost that is delivered ("Unboost … 200" in its log) and goes on listing the booster. So by
    the inbox alone a boost is held as its author left it; and its API shows followers to nobody, so they are read from its files.
    """
    found: dict[str, Any] = {}
    for post in life.posts:
        for signal, what in (("like", "favourited_by"), ("share", "reblogged_by")):
            ours, theirs = held.edges(signal, post["uri"]), town.says(post, what)
            if signal == "share" and not api:
                theirs = {who for who, uri in life.boosted if uri == post["uri"]}
            if ours != theirs:
                found[f"{signal} {post['uri']}"] = (ours, theirs)
    theirs = {uri for post in life.posts for uri in town.replies(post)}
    if set(held.standing("reply", "comment")) != theirs:
        found["replies"] = (held.standing("reply", "comment"), theirs)
    if inbox and held.edges("follow", f"mastodon:shop@{town.home.host}") != town.followers():
        found["follows"] = (held.edges("follow", f"mastodon:shop@{town.home.host}"), town.followers())
    return found


def test_after_a_random_history_we_hold_what_the_server_holds(town: Town):
    """Both ways at once, the API's connector killed and begun anew six times, deliveries late, twice and out of order."""
    life, chance = Life(town, SEED), random.Random(SEED)
    by_api, by_inbox, by_both = Held(), Held(), Held()
    pump = town.sign_in(by_api)
    api = connector(pump)
    for number in range(200):
        life.act()
        if number % 10 == 9:
            pump.run(api.poll(pump.cursor), pages=chance.choice([1, 2, None]))  # killed after so many pages
        if number % 30 == 29:
            api = connector(pump)  # begun anew
    town.settled()
    life.decide()
    pump.run(api.poll(pump.cursor))

    deliveries = list(town.passing.deliveries)
    again = mixed_up(deliveries, chance)
    inbox = Pump(pump.session, by_inbox)
    delivered(connector(pump), inbox, again)

    both = Pump(pump.session, by_both)
    mixed = connector(pump)
    both.run(mixed.poll(None))
    delivered(mixed, both, deliveries)
    both.run(mixed.poll(both.cursor))

    assert sum(life.done.values()) >= 60
    assert set(life.done) == {
        "favourite",
        "unfavourite",
        "reblog",
        "unreblog",
        "reply",
        "delete",
        "follow",
        "unfollow",
    }
    assert differences(town, life, by_api, api=True, inbox=False) == {}
    assert differences(town, life, by_inbox, api=False, inbox=True) == {}
    assert differences(town, life, by_both, api=False, inbox=True) == {}
    assert by_api.posts >= {post["uri"] for post in life.posts}
    same = by_api.notes.keys() & by_inbox.notes.keys()
    assert same
    assert {by_api.notes[one].id for one in same} == {
        by_inbox.notes[one].id for one in same
    }  # told twice, it counts once


def test_people_on_a_real_server_follow_our_own_actor_and_leave_it(town: Town):
    """They find it by its name, their server takes our signed Accept, and delivers what it signs to our inbox."""
    port, held = free_port(), Held()
    host = f"http://127.0.0.1:{port}"
    session = Pump(Session(account=Account(source="", host=host), headers={}), held).run(
        Own.sign_in({"name": "tents"}, host, now())
    )
    own = Own(session.account, watched=lambda _: False, now=now, secrets=session.secrets)

    def answered(method: str, path: str, headers: Any, body: bytes) -> tuple[int, Any, bytes]:
        pump = Pump(session, held)
        try:
            steps = (
                own.serve(path, headers) if method == "GET" else own.receive({**headers, ":path": path}, body)
            )
            found = pump.run(steps)
        except Rejected as error:
            return error.status, {}, b""
        if found is None:
            return 404, {}, b""
        held.take(found.page)
        return found.status, found.headers, found.body

    ann, me = town.account("ann"), f"mastodon:tents@127.0.0.1:{port}"
    with serving(port, answered):
        found = (
            town.apps["ann"]
            .get("/api/v2/search", params={"q": f"@tents@127.0.0.1:{port}", "resolve": "true"})
            .json()
        )
        number = found["accounts"][0]["id"]
        town.apps["ann"].post(f"/api/v1/accounts/{number}/follow").raise_for_status()
        until(lambda: held.edges("follow", me) == {ann}, seconds=60, why="the follow is delivered")
        log = town.folder / "away" / "log"
        until(
            lambda: f"confirmed follow from {session.account.settings['actor']}" in log.read_text(),
            seconds=60,
            why="our Accept",
        )

        town.apps["ann"].post(f"/api/v1/accounts/{number}/unfollow").raise_for_status()
        until(lambda: held.edges("follow", me) == set(), seconds=60, why="the undo is delivered")
