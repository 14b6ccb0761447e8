"""Mastodon, GoToSocial, Pleroma and their kin, by the API that they share.

Notifications tell who liked, shared, followed, answered and wrote. Nobody tells of an un-like: the servers' lists are
looked at again where their counts have moved, and what was told and is no longer listed is taken back, marked
``inferred``. An inbox of ActivityPub (``receive``) tells it at once, where the company's server passes deliveries on.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any, ClassVar, TypeVar

import msgspec

from plait.connectors import (
    Account,
    Answer,
    Ask,
    Frame,
    Next,
    Open,
    Page,
    Post,
    Received,
    Statement,
    Steps,
)
from plait.connectors._fediverse import Ignored, gone
from plait.connectors._inbox import Inbox
from plait.connectors._mastodon import count_of, entity, is_mine, ms_of, newer, post_of, rows, unwrapped
from plait.connectors._mastodon_account import STATEMENT, sign_in
from plait.connectors._mastodon_oauth import begin, finish, sign_out
from plait.connectors._mastodon_past import Place, backfill
from plait.connectors._mastodon_proof import ask_who, who
from plait.connectors._mastodon_view import MOST_PAGES, View
from plait.errors import Rejected
from plait.events import About, Signal

NEWEST = 40  # own posts whose lists are looked at again
MOST_LOOKS = 30  # posts looked at in one poll
LONGEST_CURSOR = 4_000  # characters; pages take a few more


class _Cursor(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Where a poll goes on. It names no people: it rests in the log, where an erasure would not find them.

    Attributes:
        since: the newest notification that was told.
        base: how the URIs of all these posts begin.
        posts: the newest own posts, the rest of their URIs by their number.
    """

    since: str = ""
    base: str = ""
    posts: dict[str, str] = {}


class Connector:
    """One account on a server with Mastodon's API; see ``plait.connectors.Connector``."""

    statement: ClassVar[Statement] = STATEMENT
    sign_in = staticmethod(sign_in)
    begin = staticmethod(begin)
    finish = staticmethod(finish)
    sign_out = staticmethod(sign_out)
    ask_who = staticmethod(ask_who)
    who = staticmethod(who)

    def __init__(self, account: Account, *, watched: Callable[[str], bool], now: Callable[[], int]) -> None:
        self.view = View(account, now)
        self._account, self._watched, self._now = account, watched, now
        self._counts: dict[str, tuple[int, ...]] = {}  # of posts, at the last look at their lists
        self._followers = -1  # their count, at the last look
        self._placed = False  # the server is known to know where its notifications were left
        self._inbox = Inbox(account, now)

    def forget(self, gone: Callable[[str], bool]) -> None:
        """Let go of what is in mind of those who are gone."""
        self.view.forget(gone)
        self._inbox.forget(gone)

    # -- what happened since ---------------------------------------------------------------------------------

    def poll(self, cursor: str | None) -> Steps:
        """Tell what was notified since ``cursor``, then look for what is never notified."""
        at = self._resumed(cursor)
        yield from self._notified(at)
        yield from self._reconcile_posts(at)
        yield from self._reconcile_followers()

    def _notified(self, at: _Cursor) -> Steps:
        for _ in range(MOST_PAGES):
            answer = yield from self.view.get(
                "/api/v1/notifications", {"limit": 40, "min_id": at.since or None}
            )
            # Ids and not the Link header decide: a header that leads in a circle then leads nowhere.
            found = [one for one in rows(answer) if one.get("id") and newer(str(one["id"]), at.since)]
            if not found:
                yield from self._lost(at)
                return
            first, self._placed = not at.since, True
            facts = yield from self.view.facts(
                sorted(found, key=lambda one: (len(str(one["id"])), str(one["id"])))
            )
            for one in found:
                at.since = str(one["id"]) if newer(str(one["id"]), at.since) else at.since
            yield Page(facts=facts, cursor=_encoded(at))
            if first:  # what is older is for the backfill
                return

    def _lost(self, at: _Cursor) -> Steps:
        """Once: whether the newest notification is of an older kind than the place we go on from, which no server counts
        back to. What came since was not told.
        """
        if not at.since or self._placed:
            return
        self._placed = True
        newest = rows((yield from self.view.get("/api/v1/notifications", {"limit": 1})))
        if newest and 0 < len(str(newest[0].get("id") or "")) < len(at.since):
            at.since = str(newest[0]["id"])
            yield Page(
                cursor=_encoded(at),
                gap="the server does not know the place where its notifications were left",
            )

    def _reconcile_posts(self, at: _Cursor) -> Steps:
        path = f"/api/v1/accounts/{self.view.me.id}/statuses"
        answer = yield from self.view.get(path, {"limit": NEWEST, "exclude_reblogs": "true"})
        newest = {}
        for one in map(unwrapped, rows(answer)):  # snac shows a post that was boosted inside of its boost
            if is_mine(one, self.view.me):
                newest[str(one.get("id"))] = one
        posts = self._new_posts(at, newest)
        posts += yield from self._deleted_posts(at, newest)
        if posts:
            yield Page(posts=posts, cursor=_encoded(at))
        looks = 0
        for number, status in newest.items():
            if number in at.posts and looks < MOST_LOOKS and self._moved(number, status):
                looks += 1
                yield from self._look(status, at.posts[number])

    def _new_posts(self, at: _Cursor, newest: Mapping[str, Mapping[str, Any]]) -> list[Post]:
        found = []
        for number, status in newest.items():
            try:
                post = post_of(status)
            except Ignored as exc:
                self.view.ignore(exc)
                continue
            self.view.know(number, post.id)
            if at.posts.get(number) != post.id:
                at.posts[number] = post.id
                found.append(post)
        return found

    def _deleted_posts(self, at: _Cursor, newest: Mapping[str, Any]) -> Generator[Any, Any, list[Post]]:
        """Posts that were among the newest and are no longer; those that are merely older now are let go."""
        found = []
        oldest = min(newest, key=lambda one: (len(one), one), default="")
        for number in [one for one in at.posts if one not in newest]:
            uri = at.posts.pop(number)
            if not newer(number, oldest):
                continue
            answer = yield from self.view.get(f"/api/v1/statuses/{number}")
            if answer.status in (404, 410):
                self.view.posts.pop(number, None)
                found.append(Post(id=uri, at=self._now(), deleted=True))
        return found

    def _moved(self, number: str, status: Mapping[str, Any]) -> bool:
        return number in self.view.stirred or self._counts.get(number) != _counts(status)

    def _look(self, status: Mapping[str, Any], uri: str) -> Steps:
        number = str(status["id"])
        # What was liked before we ever looked was liked some time after it was written; we know no better.
        since = self._now() if number in self._counts else _written(status, self._now())
        facts = yield from self.view.acts(status, uri, since)
        self._counts[number] = _counts(status)
        if facts:
            yield Page(facts=facts)

    def _reconcile_followers(self) -> Steps:
        answer = yield from self.view.get("/api/v1/accounts/verify_credentials")
        count = count_of(entity(answer), "followers_count")
        about = About(account=self.view.me.account)
        held = yield from self.view.recall(Signal.FOLLOW, about)
        if count == self._followers == len(held):
            return
        found = yield from self.view.accounts(f"/api/v1/accounts/{self.view.me.id}/followers", count=count)
        facts = yield from self.view.differences(Signal.FOLLOW, about, found, self._now())
        self._followers = count
        if facts:
            yield Page(facts=facts)

    # -- as it happens ---------------------------------------------------------------------------------------

    def stream(self, cursor: str | None) -> Steps:  # noqa: ARG002 - of the port
        """Tell what the server streams, from now on: nothing is replayed, so what was missed is for the next poll.

        It opens nothing where the server does not stream.
        """
        kind = self._account.settings.get("streams", "ws")
        base = self._account.settings.get("streaming") or self._account.host
        if kind == "none":
            return  # it is looked at more often instead
        if kind == "sse":
            yield Open(url=f"{base}/api/v1/streaming/user", kind="sse")
        else:
            yield Open(url=f"{base}/api/v1/streaming", kind="ws", params={"stream": "user"})
        while True:
            frame = yield Next()
            if frame is not None:
                yield from self._streamed(frame)

    def _streamed(self, frame: Frame) -> Steps:
        event, payload = _event(frame)
        if event == "delete":
            yield from self._streamed_delete(str(payload))
        elif not isinstance(payload, Mapping):
            self.view.ignore(Ignored("a frame that is none of the network's"))
        elif event in ("update", "status.update"):
            yield from self._streamed_post(payload)
        elif event in ("notification", "conversation"):
            note = (
                payload
                if event == "notification"
                else {"type": "mention", "status": payload.get("last_status")}
            )
            fact = yield from self.view.fact(note)
            if fact is not None:
                yield Page(facts=[fact])

    def _streamed_post(self, status: Mapping[str, Any]) -> Steps:
        if not is_mine(status, self.view.me) or status.get("reblog"):
            return
        try:
            post = post_of(status)
        except Ignored as exc:
            self.view.ignore(exc)
            return
        self.view.know(str(status.get("id")), post.id)
        yield Page(posts=[post])

    def _streamed_delete(self, number: str) -> Steps:
        if number in self.view.posts:
            yield Page(posts=[Post(id=self.view.posts.pop(number), at=self._now(), deleted=True)])
        elif number in self.view.notes:
            uri, actor = self.view.notes[number]
            yield Page(facts=[gone(uri, actor, self._now())])

    # -- the past, and what is delivered ---------------------------------------------------------------------

    def backfill(self, cursor: str | None) -> Steps:
        """Tell own posts with who liked, shared and answered them, older notifications, and ties in two hops."""
        yield from backfill(self.view, self._watched, _decoded(cursor, Place))

    def receive(self, headers: Mapping[str, str], body: bytes) -> Generator[Ask, Answer, Received]:
        """Read a delivery of ActivityPub that the company's server passed on; see ``plait.connectors.activitypub``."""
        received = yield from self._inbox.receive(headers, body)
        return received

    def _resumed(self, cursor: str | None) -> _Cursor:
        at = _decoded(cursor, _Cursor)
        at.posts = {number: at.base + rest for number, rest in at.posts.items()}
        for number, uri in at.posts.items():
            self.view.know(number, uri)
        return at


C = TypeVar("C", _Cursor, Place)


def _decoded(cursor: str | None, kind: type[C]) -> C:
    try:
        return msgspec.json.decode(cursor, type=kind) if cursor else kind()
    except msgspec.DecodeError as exc:
        raise Rejected(f"a cursor of another connector: {exc}", code="invalid_cursor") from exc


def _encoded(at: _Cursor) -> str:
    """A cursor of at most ``LONGEST_CURSOR`` characters; of too many long URIs the oldest are let go."""
    newest = sorted(at.posts, key=lambda one: (len(one), one), reverse=True)
    base = _beginning(list(at.posts.values()))
    while True:
        posts = {number: at.posts[number][len(base) :] for number in newest}
        encoded = msgspec.json.encode(_Cursor(since=at.since, base=base, posts=posts)).decode()
        if len(encoded) <= LONGEST_CURSOR or not newest:
            return encoded
        newest.pop()


def _beginning(uris: list[str]) -> str:
    first, last = min(uris, default=""), max(uris, default="")
    return first[: next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))]


def _counts(status: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(count_of(status, name) for name in ("favourites_count", "reblogs_count", "replies_count"))


def _written(status: Mapping[str, Any], now: int) -> int:
    try:
        return min(now, ms_of(status.get("created_at")))
    except Ignored:
        return now


def _event(frame: Frame) -> tuple[str, Any]:
    """The name and the payload of a frame: server-sent events name it outside, WebSockets inside, payload in a string."""
    try:
        data = frame.data.decode() if isinstance(frame.data, bytes) else frame.data
        if frame.event:
            return frame.event, data.strip() if frame.event == "delete" else msgspec.json.decode(data)
        told = msgspec.json.decode(data)
        if not isinstance(told, Mapping):
            return "", None
        event, payload = str(told.get("event")), told.get("payload")
        return event, payload if event == "delete" or not isinstance(payload, str) else msgspec.json.decode(
            payload
        )
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "", None
