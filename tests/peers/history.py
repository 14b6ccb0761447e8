"""Random histories of a shop's accounts on Bluesky, and two answers to what holds in the end: ours and the AppView's."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.conftest import Server
from tests.peers.bluesky import Network, Person, stamp
from tests.peers.product import Acts as Held
from tests.peers.product import standing

Ref = dict[str, str]


@dataclass
class History:
    """Acts of people on the posts of a shop, each chosen by chance from those that are possible."""

    network: Network
    shop: Person
    people: list[Person]
    chance: random.Random
    posts: list[Ref] = field(default_factory=list)
    made: list[tuple[Person, Ref]] = field(default_factory=list)  # all that can be taken back
    done: int = 0

    def act(self) -> None:
        """One act."""
        self.done += 1
        kinds: dict[Callable[[], None], float] = {
            self._post: 6, self._like: 30, self._repost: 14, self._follow: 10, self._reply: 8, self._quote: 8,
            self._take_back: 24 if self.made else 0, self._delete_post: 1 if len(self.posts) > 3 else 0,
            self._leave: 0.7 if len(self.people) > 3 else 0,
        }  # fmt: skip
        if not self.posts:
            self._post()
            return
        self.chance.choices(list(kinds), list(kinds.values()))[0]()

    def _who(self) -> Person:
        return self.chance.choice(self.people)

    def _post(self) -> None:
        self.posts.append(self.shop.post(f"tent {self.done}"))

    def _like(self) -> None:  # of what one likes already, too: the PDS makes one delete and one create of it
        self._did(self._who(), "like")

    def _repost(self) -> None:
        self._did(self._who(), "repost")

    def _did(self, who: Person, what: str) -> None:
        ref = getattr(who, what)(self.chance.choice(self.posts))
        self.made.append((who, ref))

    def _follow(self) -> None:
        who = self._who()
        self.made.append((who, who.follow(self.shop.did)))

    def _reply(self) -> None:
        who = self._who()
        self.made.append((who, who.reply(self.chance.choice(self.posts), f"reply {self.done}")))

    def _quote(self) -> None:
        who = self._who()
        self.made.append((who, who.quote(self.chance.choice(self.posts), f"quote {self.done}")))

    def _take_back(self) -> None:
        """Un-like, un-repost, unfollow, delete; sometimes what is gone already, which says nothing."""
        who, ref = self.made.pop(self.chance.randrange(len(self.made)))
        who.delete(ref)

    def _delete_post(self) -> None:
        self.shop.delete(self.posts.pop(self.chance.randrange(len(self.posts))))

    def _leave(self) -> None:
        who = self.people.pop(self.chance.randrange(len(self.people)))
        self.made = [(one, ref) for one, ref in self.made if one is not who]
        who.leave()


def judged(network: Network, shop: Person, posts: Iterable[Ref]) -> Held:
    """What the AppView says holds."""
    network.settle()
    found: Held = Counter()
    for post in posts:
        uri = post["uri"]
        for one in network.every("app.bsky.feed.getLikes", "likes", uri=uri):
            found["like", uri, one["actor"]["did"]] += 1
        for one in network.every("app.bsky.feed.getRepostedBy", "repostedBy", uri=uri):
            found["share", uri, one["did"]] += 1
        for one in network.every("app.bsky.feed.getQuotes", "posts", uri=uri):
            found["quote", uri, one["author"]["did"]] += 1
        thread = network.ask("app.bsky.feed.getPostThread", uri=uri, depth=1)["thread"]
        for one in thread.get("replies", []):
            found["reply", uri, one["post"]["author"]["did"]] += 1
    for one in network.every("app.bsky.graph.getFollowers", "followers", actor=shop.did):
        found["follow", f"bluesky:{shop.did}", one["did"]] += 1
    return found


def held(server: Server, shop: Person, posts: Iterable[Ref]) -> Held:
    """What our state says holds: edges that are so, and acts that were not taken back."""
    live = {post["uri"] for post in posts} | {f"bluesky:{shop.did}"}
    found = standing(server, "bluesky:", live.__contains__)
    return Counter(
        {(what, about, who.removeprefix("bluesky:")): n for (what, about, who), n in found.items()}
    )


LIKE, REPOST, FOLLOW, POST = (
    "app.bsky.feed.like", "app.bsky.feed.repost", "app.bsky.graph.follow", "app.bsky.feed.post"
)  # fmt: skip


@dataclass
class Batches(History):
    """The same by the hundred: one commit of one person holds many acts.

    Nobody has two records of one like: their own server sees to that where records are made one by one, and of three the
    AppView loses count.
    """

    held: dict[tuple[str, str, str], str] = field(
        default_factory=dict
    )  # (who, what, of what) -> URI of its record

    def batch(self, size: int) -> None:
        """Acts of one person in one commit."""
        self.done += size
        who = self._who()
        mine = [ref for one, ref in self.made if one is who]
        self.chance.shuffle(mine)
        taken, writes = [], []
        for number in range(size):
            if mine and self.chance.random() < 0.35:
                ref = mine.pop()
                taken.append(ref["uri"])
                _, _, _, collection, rkey = ref["uri"].split("/")
                writes.append(
                    {"$type": "com.atproto.repo.applyWrites#delete", "collection": collection, "rkey": rkey}
                )
            else:
                collection, value = self._record(number, who)
                value |= {"$type": collection, "createdAt": stamp()}
                writes.append(
                    {"$type": "com.atproto.repo.applyWrites#create", "collection": collection, "value": value}
                )
        told = who.call("com.atproto.repo.applyWrites", repo=who.did, writes=writes)["results"]
        gone = set(taken)
        self.held = {what: uri for what, uri in self.held.items() if uri not in gone}
        for write, one in zip(writes, told, strict=True):
            if "uri" in one:
                self.held[who.did, write["collection"], str(write["value"].get("subject"))] = one["uri"]
        self.made = [(one, ref) for one, ref in self.made if ref["uri"] not in gone]
        self.made += [(who, {"uri": one["uri"], "cid": one["cid"]}) for one in told if "uri" in one]

    def _record(self, number: int, who: Person) -> tuple[str, dict[str, Any]]:
        while True:
            collection, value = self._chosen(number)
            what = (who.did, collection, str(value.get("subject")))
            if collection == POST:
                return collection, value
            if what not in self.held:
                self.held[what] = ""  # until the server has named it
                return collection, value

    def _chosen(self, number: int) -> tuple[str, dict[str, Any]]:
        post = self.chance.choice(self.posts)
        text = f"{self.done} {number}"
        return self.chance.choices(
            [
                (LIKE, {"subject": post}),
                (REPOST, {"subject": post}),
                (FOLLOW, {"subject": self.shop.did}),
                (POST, {"text": text, "reply": {"root": post, "parent": post}}),
                (POST, {"text": text, "embed": {"$type": "app.bsky.embed.record", "record": post}}),
            ],
            [50, 25, 3, 11, 11],
        )[0]
