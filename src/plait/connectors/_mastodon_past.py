"""What a Mastodon server still knows of the past: own posts and who acted on them, notifications, ties in two hops."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any

import msgspec

from plait.connectors import Fact, Page, Post, Steps
from plait.connectors._fediverse import Ignored, edge
from plait.connectors._hops import Hops
from plait.connectors._mastodon import actor_of, count_of, is_mine, newer, post_of, rows, unwrapped
from plait.connectors._mastodon_view import View
from plait.events import About, Signal

MOST_POSTS = 2_000  # own posts that a backfill reads
MOST_NOTIFICATIONS = 20_000
MOST_TIES = 50  # pages of 80 followers, and of accounts followed
SECOND_HOP = 40  # pages of whom those follow, customers first


class Place(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Where a backfill goes on: in which part, below which id, how many of it were read, and how many of all."""

    part: str = "posts"
    below: str = ""
    read: int = 0
    done: int = 0


def backfill(view: View, watched: Callable[[str], bool], place: Place) -> Steps:
    """Tell the past in pages, newest first, from a place on."""
    parts: dict[str, Callable[[], Generator[Any, Any, None]]] = {
        "posts": lambda: _backwards(
            f"/api/v1/accounts/{view.me.id}/statuses", MOST_POSTS, view, place, _posts
        ),
        "notifications": lambda: _backwards(
            "/api/v1/notifications", MOST_NOTIFICATIONS, view, place, _notifications
        ),
        "ties": lambda: _ties(view, watched, place),
    }
    names = [*parts, "end"]
    while place.part in parts:
        yield from parts[place.part]()
        place = msgspec.structs.replace(place, part=names[names.index(place.part) + 1], below="", read=0)
        yield Page(cursor=_encoded(place), done=place.done, total=place.done)


Read = Callable[[View, list[Mapping[str, Any]]], Generator[Any, Any, tuple[list[Fact], list[Post]]]]


def _backwards(path: str, most: int, view: View, place: Place, read: Read) -> Steps:
    """A list from its newest entry down; each page must go further down, or the server leads in a circle."""
    while place.read < most:
        answer = yield from view.get(path, {"limit": 40, "max_id": place.below or None})
        if not answer.ok:
            return
        found = [
            one
            for one in rows(answer)
            if one.get("id") and (not place.below or newer(place.below, str(one["id"])))
        ]
        if not found:
            return
        facts, posts = yield from read(view, found)
        for one in found:
            number = str(one["id"])
            place.below = number if not place.below or newer(place.below, number) else place.below
        place.read += len(found)
        place.done += len(found)
        yield Page(
            facts=facts, posts=posts, cursor=_encoded(place), done=place.done, total=max(place.done, 1)
        )


def _posts(view: View, found: list[Mapping[str, Any]]) -> Generator[Any, Any, tuple[list[Fact], list[Post]]]:
    facts: list[Fact] = []
    posts: list[Post] = []
    for status in map(unwrapped, found):
        if not is_mine(status, view.me):
            continue
        try:
            post = post_of(status)
        except Ignored as exc:
            view.ignore(exc)
            continue
        posts.append(post)
        view.know(str(status["id"]), post.id)
        if any(count_of(status, name) for name in ("favourites_count", "reblogs_count", "replies_count")):
            # When somebody liked it is not told: some time after it was written.
            facts += yield from view.acts(status, post.id, post.at)
    return facts, posts


def _notifications(
    view: View, found: list[Mapping[str, Any]]
) -> Generator[Any, Any, tuple[list[Fact], list[Post]]]:
    facts = yield from view.facts(reversed(found))
    return facts, []


def _ties(view: View, watched: Callable[[str], bool], place: Place) -> Steps:
    """Who follows us, whom we follow, and whom those follow who matter most: customers first, within a budget."""
    me, now = view.me.account, view.now()
    near: list[tuple[str, str]] = []  # (number, account)
    for name in ("followers", "following"):
        following: str | None = f"/api/v1/accounts/{view.me.id}/{name}"
        asked: set[str] = set()
        while following and following not in asked and len(asked) < MOST_TIES:
            asked.add(following)
            answer = yield from view.get(following, {"limit": 80} if len(asked) == 1 else None)
            people = _people(view, answer)
            near += people
            place.done += len(people)
            yield Page(
                facts=[
                    edge(Signal.FOLLOW, one, About(account=me), now, on=True, dated=False)
                    if name == "followers"
                    else edge(Signal.FOLLOW, me, About(account=one), now, on=True, dated=False)
                    for _, one in people
                ],
                done=place.done, total=place.done,
            )  # fmt: skip
            following = view.after(answer) if people else None
    numbers = {account: number for number, account in near}
    hops = Hops({one: 1.0 + watched(one) for one in numbers}, hops=1, calls=SECOND_HOP)
    while (turn := hops.next()) is not None:
        account, onwards = turn
        first = f"/api/v1/accounts/{numbers[account]}/following"
        answer = yield from view.get(onwards or first, None if onwards else {"limit": 80})
        people = _people(view, answer)
        hops.told(account, (), view.after(answer) if people else None)
        place.done += len(people)
        yield Page(
            facts=[edge(Signal.FOLLOW, account, About(account=one), now, on=True, dated=False) for _, one in people],
            done=place.done, total=place.done,
        )  # fmt: skip


def _people(view: View, answer: Any) -> list[tuple[str, str]]:
    found = []
    for one in rows(answer) if answer.ok else []:
        try:
            number = str(one.get("id"))
            found.append((number, actor_of(one, view.me)))
        except Ignored as exc:
            view.ignore(exc)
    return [one for one in found if one[0].isalnum()]


def _encoded(place: Place) -> str:
    return msgspec.json.encode(place).decode()
