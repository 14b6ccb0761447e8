"""Two real fediverse servers (snac2): the shop is on one, people are on the other, and what they do is what the servers hold.

What snac2 2.75 answers, and what it does not, was read in its source: who judges what follows from it.

- An un-boost that is delivered is acknowledged and nothing else: `object_unadmire` is commented out for ``Undo`` of
  ``Announce`` (activitypub.c, ``process_input_message``). So the shop's server lists whoever ever boosted; the *author's own
  server* forgets the boost at once (``msg_repulsion``), and is asked.
- It shows followers to nobody, not to the account itself (mastoapi.c: ``followers`` is an empty list), but counts them. The
  people's own server tells whom each of them follows, once the other side has accepted.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.peers.fediverse import Passing, Snac
from tests.peers.product import Acts
from tests.peers.waits import free_port, until

PEOPLE = ("ann", "bob", "cat")
SECONDS = 6.0  # between two minds about one thing: servers deliver in parallel, and each may take the last for the first
# What the API tells later too, if nobody listened when it happened.
TOLD_LATER = frozenset({"favourite", "unfavourite", "reblog", "reply"})


class Town:
    """The shop's server, behind a web server that passes deliveries on, and the people's."""

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

    def stop(self) -> None:
        self.home.stop()
        self.away.stop()

    def meet(self) -> None:
        """Sign everybody in, and let each person follow the shop, so that its posts reach them."""
        self.shop = self.home.client("shop")
        self.apps = {name: self.away.client(name) for name in PEOPLE}
        self.me = f"mastodon:shop@{self.home.host}"
        for name in PEOPLE:
            self.follow(name, f"shop@{self.home.host}")
        until(
            lambda: all(self.me in self.follows(name) for name in PEOPLE), seconds=60, why="everybody follows"
        )

    @property
    def token(self) -> str:
        """The shop's access token."""
        return self.shop.headers["authorization"].split()[1]

    def account(self, name: str) -> str:
        return f"mastodon:{name}@{self.away.host}"

    def follow(self, name: str, whom: str, what: str = "follow") -> None:
        app = self.apps[name]
        found = app.get("/api/v2/search", params={"q": f"@{whom}", "resolve": "true"}).json()["accounts"]
        app.post(f"/api/v1/accounts/{found[0]['id']}/{what}").raise_for_status()

    def follows(self, name: str) -> set[str]:
        """Whom somebody follows, as their own server answers."""
        app = self.apps[name]
        mine = app.get("/api/v1/accounts/verify_credentials").json()["id"]
        return {f"mastodon:{one['acct']}" for one in app.get(f"/api/v1/accounts/{mine}/following").json()}

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
        found = self.shop.get(f"/api/v1/statuses/{post['id']}/{what}").json()
        return {f"mastodon:{one['acct']}" for one in found}

    def boosts(self, uri: str) -> set[str]:
        """Who boosts a post, as the servers of those who may say."""
        found = self.apps["ann"].get(f"/api/v1/statuses/{self.number('ann', uri)}/reblogged_by").json()
        return {self.account(one["username"]) for one in found} & {self.account(name) for name in PEOPLE}

    def settled(self) -> None:
        """Wait until nothing is delivered any more, and nothing waits for it."""
        quiet, seen, end = 0, -1, time.monotonic() + 180
        while quiet < 3 and time.monotonic() < end:
            still = seen == len(self.passing.deliveries) and not (self.home.waits() or self.away.waits())
            quiet = quiet + 1 if still else 0
            seen = len(self.passing.deliveries)
            time.sleep(2)  # what was taken out of a queue is on its way


class Life:
    """What people do, drawn by a seed.

    Args:
        town: where.
        seed: of all chance.
        kinds: of acts that are done at all.
    """

    KINDS = ("favourite", "unfavourite", "reblog", "unreblog", "reply", "delete", "follow", "unfollow")

    def __init__(self, town: Town, seed: int, kinds: frozenset[str] = frozenset(KINDS)) -> None:
        self.town, self.random, self._kinds = town, random.Random(seed), kinds
        texts = [f"Post {seed}.{n}, with a tent: https://shop.example/tarn-{n} #tent" for n in range(3)]
        self.posts = [town.publish(one) for one in texts]
        self.written: list[tuple[str, str]] = []  # (who, URI)
        self.following = set(PEOPLE)
        self.changed: dict[tuple[str, str, str], float] = {}  # when somebody's mind changed last
        self.done: Counter[str] = Counter()

    def act(self, *, unheard: bool = False) -> None:
        """One act, if it may be done now; ``unheard`` while nobody takes deliveries in: then only what is told later, too."""
        who, post = self.random.choice(PEOPLE), self.random.choice(self.posts)
        what = self.random.choice(self.KINDS)
        if what in ("follow", "unfollow"):
            what = "unfollow" if who in self.following else "follow"
        pair = (who, what.removeprefix("un"), "" if "follow" in what else post["uri"])
        if what not in self._kinds or (unheard and what not in TOLD_LATER):
            return
        if what in ("reply", "delete"):
            done = getattr(self, f"_{what}")(who, post)
        elif time.monotonic() - self.changed.get(pair, 0.0) < SECONDS:
            return
        else:
            self.changed[pair] = time.monotonic()
            done = self._decide(who, what, post)
        self.done[what] += done

    def _reply(self, who: str, post: dict[str, Any]) -> bool:
        text = f"@shop@{self.town.home.host} nice {len(self.written)}"
        told = {"status": text, "in_reply_to_id": self.town.number(who, post["uri"])}
        found = self.town.apps[who].post("/api/v1/statuses", data=told).json()
        self.written.append((who, found["uri"]))
        return True

    def _delete(self, _: str, __: dict[str, Any]) -> bool:
        if not self.written:
            return False
        self.town.away.delete(*self.written.pop(self.random.randrange(len(self.written))))
        return True

    def _decide(self, who: str, what: str, post: dict[str, Any]) -> bool:
        if what in ("follow", "unfollow"):
            self.following ^= {who}
            self.town.follow(who, f"shop@{self.town.home.host}", what)
            return True
        number = self.town.number(who, post["uri"])
        done = self.town.apps[who].post(f"/api/v1/statuses/{number}/{what}")
        return done.status_code == 200


def judged(town: Town, life: Life, *, passed_on: bool) -> tuple[Acts, Acts]:
    """What has to be held at least, and at most: both are what servers answer, and they differ in boosts alone.

    Args:
        town: whose servers are asked.
        life: whose posts.
        passed_on: whether we are told of un-boosts, which the shop's server does not take in.
    """

    def following() -> list[str]:
        return [name for name in PEOPLE if town.me in town.follows(name)]

    def counted() -> int:
        mine = town.shop.get("/api/v1/accounts/verify_credentials").json()
        return int(mine["followers_count"])

    # Two servers: what one did a moment ago the other hears when it has time.
    until(lambda: counted() == len(following()), seconds=120, why="both servers agree who follows")
    least: Acts = Counter()
    most: Acts = Counter()
    for post in life.posts:
        uri = post["uri"]
        listed = town.says(post, "reblogged_by")
        for acts, boosts in ((least, town.boosts(uri) if passed_on else listed), (most, listed)):
            acts.update(("share", uri, who) for who in boosts)
            acts.update(("like", uri, who) for who in town.says(post, "favourited_by"))
            thread = town.shop.get(f"/api/v1/statuses/{post['id']}/context").json()["descendants"]
            acts.update(("reply", uri, f"mastodon:{one['account']['acct']}") for one in thread)
    for name in following():
        least["follow", town.me, town.account(name)] += 1
        most["follow", town.me, town.account(name)] += 1
    return least, most
