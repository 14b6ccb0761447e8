"""What the network still knows of the past, told once: own posts, who did what with them, followers, whom people follow.

Notifications come first: they name the records of acts, so that their undoing can be understood later. Lists of who
likes and reposts do not; where there is no stream they add those whom no notification told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from plait.connectors import Account, Fact, Page, Post, Steps
from plait.connectors._atproto import FOLLOW, POST, Interest, split
from plait.connectors._bsky_lists import (
    BEHIND,
    Paging,
    Refused,
    act_of,
    dropped,
    every,
    made_at,
    moment,
    names_no_record,
    notified,
    page,
    who,
)
from plait.connectors._bsky_looks import posts_of
from plait.connectors._bsky_records import NETWORK, named
from plait.connectors._hops import Hops
from plait.events import About, Signal

_MOST_PAGES = 10_000  # of one list; what goes on longer is a circle
_CALLS = 1_000  # questions about whom people follow: a third of what the network takes in five minutes


class _Place(msgspec.Struct, omit_defaults=True):
    """The cursor. Notifications are read again after a restart: what they told is known by its ids."""

    posts: int = 0  # whose numbers were read
    listed: bool = False  # the posts were told
    followers: str = ""
    followed: bool = False


def backfill(
    cursor: str | None,
    account: Account,
    interest: Interest,
    now: Callable[[], int],
    hear: Callable[[Iterable[Fact]], None] = lambda _: None,
) -> Steps:
    """Tell the past, in pages that can be resumed.

    Args:
        cursor: where to go on.
        account: whose past.
        interest: who matters.
        now: ms since the epoch.
        hear: is given what is about to be told. Until it is kept nobody knows its authors, and what strangers delete is not told: a
            like that is taken back meanwhile would stay for good.
    """
    try:
        place = msgspec.json.decode(cursor or "{}", type=_Place)
    except msgspec.DecodeError:
        place = _Place()
    past = _Past(place, account, interest, now, hear)
    yield from past.posts()
    yield from past.notifications()
    yield from past.numbers()
    yield from past.followers()
    yield from past.follows()


class _Past:
    def __init__(
        self,
        place: _Place,
        account: Account,
        interest: Interest,
        now: Callable[[], int],
        hear: Callable[[Iterable[Fact]], None],
    ) -> None:
        self._hear = hear
        self._place, self._account, self._interest, self._now = place, account, interest, now
        self._me = interest.me
        self._posts: list[Post] = []
        self._told: set[tuple[str, Signal, str]] = set()  # actor, signal, post
        self._people: dict[str, int] = {}  # DIDs of watched people, and how often they were met

    def posts(self) -> Steps:
        """The company's own posts, newest first."""
        pages = Paging(
            "com.atproto.repo.listRecords", "records", most=_MOST_PAGES, repo=self._me, collection=POST
        )
        while (entries := (yield from pages.next())) is not None:
            found = posts_of(entries, self._me, self._now())
            self._posts += found
            if not self._place.listed:
                yield Page(posts=tuple(found), done=0, total=len(self._posts))
        self._place.listed = True
        yield self._page(())

    def notifications(self) -> Steps:
        """All that the network remembers having told the account."""
        pages = Paging("app.bsky.notification.listNotifications", "notifications", most=_MOST_PAGES)
        while (entries := (yield from pages.next())) is not None:
            facts = [fact for one in entries for fact in notified(one, self._interest, self._now())]
            for fact in facts:
                self._told.add((fact.actor, fact.signal, fact.about.post or ""))
                self._meet(fact.actor)
            yield self._page(facts)

    def numbers(self) -> Steps:
        """Who is behind the numbers of each post, besides those who were told."""
        for number, post in enumerate(self._posts):
            if number < self._place.posts:
                continue
            found: list[Fact] = []
            for signal, method, of, _ in BEHIND:
                if names_no_record(self._account, signal):
                    continue
                try:
                    entries, _whole = yield from every(method, of, uri=post.id)
                except Refused:  # a post that is gone meanwhile, or that the network shows to nobody
                    continue
                found += self._others(signal, post.id, entries)
            self._place.posts = number + 1
            yield self._page(found)

    def _others(self, signal: Signal, post: str, entries: list[Any]) -> list[Fact]:
        found = []
        for one in entries:
            try:
                did = who(one)
                if did == self._me or (NETWORK + did, signal, post) in self._told:
                    continue
                if signal == Signal.QUOTE:
                    found += notified({**one, "indexedAt": one.get("indexedAt")}, self._interest, self._now())
                    continue
                told = moment(one.get("indexedAt"))
                at = min(told or self._now(), self._now())
                found.append(
                    act_of(
                        signal, did, About(post=post), op="assert", at=at, inferred=False, dated=bool(told)
                    )
                )
                self._meet(NETWORK + did)
            except (KeyError, TypeError, ValueError, AttributeError):
                dropped("invalid_entry")
        return found

    def followers(self) -> Steps:
        """Who follows the company; the network names the record of each."""
        if self._place.followed:
            return
        about = About(account=named(self._me))
        pages = Paging(
            "app.bsky.graph.getFollowers",
            "followers",
            self._place.followers or None,
            most=_MOST_PAGES,
            actor=self._me,
        )
        while (entries := (yield from pages.next())) is not None:
            facts = []
            for one in entries:
                try:
                    if (NETWORK + who(one), Signal.FOLLOW, "") not in self._told:
                        facts.append(self._follower(one, about))
                    self._meet(NETWORK + who(one))
                except (KeyError, TypeError, ValueError, AttributeError):
                    dropped("invalid_entry")
            self._place.followers = pages.cursor or ""
            yield self._page(facts)
        self._place.followed = True

    def _follower(self, entry: Any, about: About) -> Fact:
        did = who(entry)
        record = (entry.get("viewer") or {}).get("followedBy")
        fact = act_of(Signal.FOLLOW, did, about, op="assert", at=self._now(), inferred=False)
        if not isinstance(record, str):
            return fact
        owner, collection, rkey = split(record)
        if (owner, collection) != (did, FOLLOW):
            return fact
        return msgspec.structs.replace(fact, record=record, at=made_at(rkey, None, self._now()), dated=True)

    def follows(self) -> Steps:
        """Whom watched people follow, and those again, as far as the settings and the budget go."""
        far = {"0": 0, "2": 2}.get(self._account.settings.get("hops", ""), 1)
        hops = Hops(self._people, hops=far, calls=_CALLS)
        while (turn := hops.next()) is not None:
            did, cursor = turn
            try:
                entries, after = yield from page("app.bsky.graph.getFollows", "follows", cursor, actor=did)
            except Refused:
                hops.told(did, (), None)
                continue
            followed: list[str] = []
            facts = []
            for one in entries:
                try:
                    whom = who(one)
                    about = About(account=named(whom))
                    facts.append(
                        act_of(Signal.FOLLOW, did, about, op="assert", at=self._now(), inferred=False)
                    )
                    followed.append(whom)
                except (KeyError, TypeError, ValueError, AttributeError):
                    dropped("invalid_entry")
            hops.told(did, followed, after)
            yield self._page(facts)

    def _meet(self, actor: str) -> None:
        did = actor.removeprefix(NETWORK)
        if self._interest.watched(did):
            self._people[did] = self._people.get(did, 0) + 1

    def _page(self, facts: Any) -> Page:
        self._hear(facts)
        return Page(
            facts=tuple(facts), cursor=msgspec.json.encode(self._place).decode(), done=self._place.posts,
            total=len(self._posts),
        )  # fmt: skip
