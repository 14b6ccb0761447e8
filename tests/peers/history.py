"""Random histories of a shop's accounts on Bluesky, and two answers to what holds in the end: ours and the AppView's."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tests.peers.bluesky import Network, Person

from plait.connectors import Fact, Page

Held = set[tuple[str, str, str]]  # (signal, post or "me", who: a DID, or the URI of a quote or reply)
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
    found: Held = set()
    for post in posts:
        uri = post["uri"]
        for one in network.every("app.bsky.feed.getLikes", "likes", uri=uri):
            found.add(("like", uri, one["actor"]["did"]))
        for one in network.every("app.bsky.feed.getRepostedBy", "repostedBy", uri=uri):
            found.add(("share", uri, one["did"]))
        for one in network.every("app.bsky.feed.getQuotes", "posts", uri=uri):
            found.add(("quote", uri, one["uri"]))
        thread = network.ask("app.bsky.feed.getPostThread", uri=uri, depth=1)["thread"]
        for one in thread.get("replies", []):
            found.add(("reply", uri, one["post"]["uri"]))
    for one in network.every("app.bsky.graph.getFollowers", "followers", actor=shop.did):
        found.add(("follow", "me", one["did"]))
    return found


def told(pages: Iterable[Page], posts: Iterable[Ref]) -> tuple[Held, list[str]]:
    """What the pages say holds, folded by the plainest rule there is; and acts that were told under two ids."""
    facts: dict[str, Fact] = {}
    gone: set[str] = set()
    for page in pages:
        for fact in page.facts:
            facts.setdefault(fact.id, fact)
        gone.update(page.gone)
    names: dict[str, set[tuple[str, str]]] = {}
    last: dict[str, tuple[int, str, Fact]] = {}
    for fact in facts.values():
        assert fact.record is not None
        if fact.op == "assert":
            names.setdefault(f"{fact.record} {fact.signal}", set()).add((fact.actor, fact.id))
        # One record may be two acts; what takes it back takes both.
        for key in [f"{fact.record} {fact.signal}"] if fact.op == "assert" else [
            f"{fact.record} {signal}" for signal in ("like", "share", "follow", "reply", "quote", "mention")
        ]:  # fmt: skip
            last[key] = max(last.get(key, (0, "", fact)), (fact.at, fact.id, fact), key=lambda one: one[:2])
    live = {post["uri"] for post in posts}
    held: Held = set()
    for _, _, fact in last.values():
        about = "me" if fact.signal == "follow" else fact.about.post
        if fact.op == "retract" or fact.actor in gone or (about != "me" and about not in live):
            continue
        by_record = fact.signal in ("quote", "reply")
        held.add(
            (
                fact.signal.value,
                about or "",
                fact.record if by_record else fact.actor.removeprefix("bluesky:"),
            )
        )
    return held, [name for name, ids in names.items() if len(ids) > 1]
