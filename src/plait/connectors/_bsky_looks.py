"""A look at what is there now: notifications since the last one, messages, and who is no longer behind a post's numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import structlog

from plait.connectors import Account, Fact, Page, Post, Steps
from plait.connectors._atproto import POST, Interest, split, tid_ms
from plait.connectors._bsky_lists import (
    BEHIND,
    Asking,
    Paging,
    Refused,
    act_of,
    dropped,
    every,
    get,
    made_at,
    moment,
    notified,
    page,
    who,
)
from plait.connectors._bsky_records import NETWORK, Origin, named, post_of
from plait.errors import Rejected
from plait.events import About, Signal, author_of

_log = structlog.get_logger()

RECENT = 25  # posts whose numbers are looked at: as many as one getPosts takes
_FULL = 10  # looks between two that do not trust the numbers: one who comes and one who goes leave them as they are
_AT_ONCE = 500  # facts of one page
MOST_FOLLOWERS = 10_000  # of whom those who left are looked for: a hundred calls
_MOST_HEARD = 200_000
_AHEAD = 300_000  # ms that the network's clock may be ahead of ours
_LONGEST_PLACE = 200  # characters of a place in the log of messages; it rests in our cursor
CHAT = "did:web:api.bsky.chat#bsky_chat"


class _Place(msgspec.Struct, omit_defaults=True):
    """The cursor: the newest notification's time, and the place in the log of messages."""

    seen: str = ""
    chat: str = ""


class _Look(msgspec.Struct):
    """What a list held: its count as the network tells it, and who was in it (DID, or a quote's URI -> DID)."""

    count: int
    there: dict[str, str]

    def is_short(self, count: int, listed: int) -> bool:
        """Whether a list lacks more of its count now than it did then: some are hidden from us for good, but nobody
        who is counted and not listed has left.
        """
        hidden = max(0, self.count - len(self.there))
        return count - listed > hidden + max(1, count // 20)


class Heard:
    """What was told since the connector began, by whatever way: a look adds nothing to it."""

    def __init__(self) -> None:
        self._acts: dict[tuple[str, Signal, About], None] = {}
        self._actors: dict[str, None] = {}

    def hear(self, facts: Iterable[Fact]) -> None:
        """Remember what was told, and whom of."""
        for fact in facts:
            if fact.op == "assert":
                self._acts[fact.actor, fact.signal, fact.about] = None
                self._actors[fact.actor] = None
        for kept in (self._acts, self._actors):
            if len(kept) > _MOST_HEARD:
                kept.clear()

    def forget(self, gone: Callable[[str], bool]) -> None:
        """Let go of those who are gone, and of what others did to them or with what they posted."""
        self._actors = {one: None for one in self._actors if not gone(one)}
        self._acts = {
            act: None
            for act in self._acts
            if not any(one and gone(one) for one in (act[0], act[2].account, author_of(act[2].post)))
        }

    def of(self, did: str, signal: Signal, about: About) -> bool:
        """Whether this act was told."""
        return (NETWORK + did, signal, about) in self._acts

    def actor(self, did: str) -> bool:
        """Whether anything of this account was told."""
        return NETWORK + did in self._actors


class Looks:
    """Looks of one account. What the last one saw is in memory: after a restart the first look only sees."""

    def __init__(self, account: Account, interest: Interest, now: Callable[[], int], heard: Heard) -> None:
        self._account, self._interest, self._now, self._heard = account, interest, now, heard
        self._seen: dict[tuple[str, Signal], _Look] = {}
        self._number = 0

    def poll(self, cursor: str | None) -> Steps:
        """One look."""
        try:
            place = msgspec.json.decode(cursor or "{}", type=_Place)
        except msgspec.DecodeError:
            place = _Place()
        told, newest = yield from self._notifications(place.seen)
        self._heard.hear(told)
        for start in range(0, len(told), _AT_ONCE):
            yield Page(facts=tuple(told[start : start + _AT_ONCE]))
        place.seen = newest
        if self._account.settings.get("messages") == "yes":
            messages, place.chat = yield from self._messages(place.chat)
            yield Page(facts=tuple(messages))
        yield Page(cursor=msgspec.json.encode(place).decode())
        posts = yield from self._posts()
        yield Page(posts=tuple(posts))
        yield from self._differences([post.id for post in posts])
        self._number += 1

    def forget(self, gone: Callable[[str], bool]) -> None:
        """Let go of those who are gone; a list that the network still shows them in is looked at anew all the same."""
        for look in self._seen.values():
            look.there = {name: did for name, did in look.there.items() if not gone(NETWORK + did)}

    # -- what was told -----------------------------------------------------------------------------------------

    def _notifications(self, seen: str) -> Asking:
        """Facts newer than ``seen``, oldest first, and the newest time."""
        pages, newest = Paging("app.bsky.notification.listNotifications", "notifications", most=1_000), seen
        found: list[Fact] = []
        since, latest = moment(seen) or 0, self._now() + _AHEAD
        if since > latest:  # to look for what is newer still would be to see nothing until then
            since, newest = 0, ""
        while (entries := (yield from pages.next())) is not None:
            fresh = [one for one in entries if _time(one) >= since]
            for one in fresh:
                found += reversed(notified(one, self._interest, self._now()))
                if (moment(newest) or 0) < _time(one) <= latest:
                    newest = one["indexedAt"]
            if len(fresh) < len(entries):
                break
        return found[::-1], newest

    def _messages(self, cursor: str) -> Asking:
        """Messages since ``cursor``, and where to go on; without the right to read them, none."""
        service = self._account.settings.get("chat", CHAT)
        found: list[Fact] = []
        for _ in range(100):
            try:
                told = yield from get(
                    "chat.bsky.convo.getLog", {"cursor": cursor or None}, {"atproto-proxy": service}
                )
            except Refused as error:
                _log.warning("messages_refused", network="bluesky", status=error.status, error=error.error)
                break
            logs, after = told.get("logs"), told.get("cursor")
            if not isinstance(logs, list):
                raise Rejected("chat.bsky.convo.getLog answers no logs", code="invalid_answer")
            for one in logs:
                found += self._message(one)
            if not logs or not isinstance(after, str) or after == cursor or len(after) > _LONGEST_PLACE:
                break
            cursor = after
        return found, cursor

    def _message(self, log: Any) -> list[Fact]:
        try:
            kind, message = log["$type"], log.get("message")
            if kind not in ("chat.bsky.convo.defs#logCreateMessage", "chat.bsky.convo.defs#logDeleteMessage"):
                return []
            sender = message["sender"]["did"]
            if sender == self._interest.me:
                return []
            name = f"chat:{log['convoId']}:{message['id']}"
            # Of the log, not of the message: it tells the order in which they are to be heard.
            at = min(tid_ms(log["rev"]) or moment(message.get("sentAt")) or self._now(), self._now())
            if kind.endswith("#logDeleteMessage"):
                return [
                    Fact(
                        id=f"{name}#gone",
                        signal=Signal.MESSAGE,
                        op="retract",
                        at=at,
                        actor=named(sender),
                        record=name,
                    )
                ]
            return [
                Fact(
                    id=name, signal=Signal.MESSAGE, at=at, actor=named(sender), record=name, text=str(message["text"]),
                    about=About(account=named(self._interest.me)),
                )
            ]  # fmt: skip
        except (KeyError, TypeError, ValueError, AttributeError):
            dropped("invalid_message")
            return []

    # -- what is not there any more ----------------------------------------------------------------------------

    def _posts(self) -> Asking:
        """The newest posts of the account's own repo."""
        entries, _ = yield from page(
            "com.atproto.repo.listRecords", "records", None, repo=self._interest.me, collection=POST
        )
        return posts_of(entries[:RECENT], self._interest.me, self._now())

    def _differences(self, posts: list[str]) -> Steps:
        counts: dict[str, Any] = {}
        if posts:
            answer = yield from get("app.bsky.feed.getPosts", {"uris": posts})
            counts = {
                one["uri"]: one for one in answer.get("posts", ()) if isinstance(one, dict) and "uri" in one
            }
        for post in posts:
            for signal, method, of, name in BEHIND:
                count = counts.get(post, {}).get(name)
                if post in counts and isinstance(count, int):
                    facts = yield from self._list(signal, About(post=post), count, method, of, uri=post)
                    yield Page(facts=tuple(facts))
        profile = yield from get("app.bsky.actor.getProfile", {"actor": self._interest.me})
        count = profile.get("followersCount")
        if isinstance(count, int) and count <= MOST_FOLLOWERS:
            me = self._interest.me
            facts = yield from self._list(
                Signal.FOLLOW,
                About(account=NETWORK + me),
                count,
                "app.bsky.graph.getFollowers",
                "followers",
                actor=me,
            )
            yield Page(facts=tuple(facts))
        self._seen = {
            key: look for key, look in self._seen.items() if key[0] in posts or key[1] == Signal.FOLLOW
        }

    def _list(self, signal: Signal, about: About, count: int, method: str, of: str, **params: Any) -> Asking:
        """Who came, without our hearing of it, and who left, since the last look at this list."""
        key = (about.post or "", signal)
        before = self._seen.get(key)
        if before is not None and before.count == count and self._number % _FULL:
            return []
        began = self._now()
        entries, whole = yield from every(method, of, **params)
        there: dict[str, str] = {}
        for one in entries:
            try:
                # Somebody may quote a post twice: each quote is an act of its own, with a record that names it.
                there[one["uri"] if signal == Signal.QUOTE else who(one)] = who(one)
            except (KeyError, TypeError, AttributeError):
                dropped("invalid_entry")
        if not whole or (before is not None and before.is_short(count, len(entries))):
            dropped("list_not_read_whole")
            return []
        self._seen[key] = _Look(count, there)
        if before is None:
            return []
        streams = self._account.settings.get("stream") != "none"  # then whoever comes is told, with a record
        gone = [
            self._left(signal, name, did, about, began)
            for name, did in before.there.items()
            if name not in there
        ]
        came = [
            act_of(signal, did, about, op="assert", at=began)
            for name, did in there.items()
            if not streams and name not in before.there and signal != Signal.QUOTE and did != self._interest.me
            and not self._heard.of(did, signal, about)
        ]  # fmt: skip
        return gone + came

    def _left(self, signal: Signal, name: str, did: str, about: About, at: int) -> Fact:
        fact = act_of(signal, did, about, op="retract", at=at)
        if signal != Signal.QUOTE:
            return fact
        return msgspec.structs.replace(fact, id=f"{fact.id}:{name[-13:]}", record=name, about=About())


def posts_of(entries: list[Any], me: str, now: int) -> list[Post]:
    """Records of the account's own repo as posts."""
    found = []
    for one in entries:
        try:
            did, collection, rkey = split(one["uri"])
            origin = Origin(did, collection, rkey, str(one["cid"]), made_at(rkey, None, now))
            if (did, collection) == (me, POST):
                found.append(post_of(origin, one["value"]))
        except Rejected as error:
            dropped(error.code)
        except (KeyError, TypeError, ValueError, AttributeError):
            dropped("invalid_record")
    return found


def _time(entry: Any) -> int:
    return (moment(entry.get("indexedAt")) or 0) if isinstance(entry, dict) else 0
