"""Lists of Bluesky's API, page by page, with a host that may lie about where they end; and what their entries say."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any

import structlog

from plait.connectors import Account, Answer, Ask, Fact
from plait.connectors._atproto import FOLLOW, POST, Interest, split, tid_ms
from plait.connectors._bsky_records import Origin, facts_of, named
from plait.errors import Rejected
from plait.events import About, Op, Signal

_log = structlog.get_logger()

Asking = Generator[Ask, Answer, Any]
MOST_PAGES = 1_000  # of one list: what goes on after that is a circle, or more than a look may cost
# Who is behind a post's numbers: the signal, the question, the name of its list, and the count that getPosts has.
BEHIND = (
    (Signal.LIKE, "app.bsky.feed.getLikes", "likes", "likeCount"),
    (Signal.SHARE, "app.bsky.feed.getRepostedBy", "repostedBy", "repostCount"),
    (Signal.QUOTE, "app.bsky.feed.getQuotes", "posts", "quoteCount"),
)


def names_no_record(account: Account, signal: Signal) -> bool:
    """Whether a list of who did this is no use: it names no records, and a stream will tell of the undoing by its record.

    Only where there is no stream do looks, which told the act, also tell that it is gone.
    """
    return signal in (Signal.LIKE, Signal.SHARE) and account.settings.get("stream") != "none"


class Refused(Exception):
    """The host does not answer a question: ``status`` and its own name for why."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(f"{status} {error}")
        self.status, self.error = status, error


def get(method: str, params: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Asking:
    """One question to the account's host.

    Raises:
        Refused: it answers with an error.
        Rejected: it answers something that is no JSON object.
    """
    answer = yield Ask(url=f"/xrpc/{method}", params=params, headers=headers or {})
    if not answer.ok:
        told = answer.json() if answer.body[:1] == b"{" else {}
        raise Refused(answer.status, str(told.get("error", ""))[:80])
    told = answer.json()
    if not isinstance(told, dict):
        raise Rejected(f"{method} answers no object", code="invalid_answer")
    return told


def page(method: str, of: str, cursor: str | None, **params: Any) -> Asking:
    """``(entries, cursor)`` of one page; the cursor is ``None`` at the end."""
    told = yield from get(method, {"limit": 100, **params, "cursor": cursor})
    entries, after = told.get(of), told.get("cursor")
    if not isinstance(entries, list):
        raise Rejected(f"{method} answers no list of {of}", code="invalid_answer")
    # An empty page with a cursor is the end as well: there are hosts that would send us round for ever.
    return entries, after if entries and isinstance(after, str) and after != cursor else None


class Paging:
    """A list, page by page, for ``most`` pages at most; ends where a host would send us round in circles.

    Attributes:
        cursor: of the page after the last one, ``None`` behind the end.
        whole: whether the list came to its end.
    """

    def __init__(
        self, method: str, of: str, cursor: str | None = None, *, most: int = MOST_PAGES, **params: Any
    ) -> None:
        self._method, self._of, self._params = method, of, params
        self._left, self._seen = most, set[str]()
        self.cursor, self.whole = cursor, False

    def next(self) -> Asking:
        """The entries of the next page, ``None`` when there is none."""
        if not self._left:
            return None
        self._left -= 1
        entries, self.cursor = yield from page(self._method, self._of, self.cursor, **self._params)
        if self.cursor is None:
            self.whole, self._left = True, 0
        elif self.cursor in self._seen:
            lied(self._method)
            self._left = 0
        else:
            self._seen.add(self.cursor)
        return entries


def every(method: str, of: str, *, most: int = MOST_PAGES, **params: Any) -> Asking:
    """All entries of a list, and whether it was read to its end."""
    found: list[Any] = []
    pages = Paging(method, of, most=most, **params)
    while (entries := (yield from pages.next())) is not None:
        found += entries
    return found, pages.whole


def lied(method: str) -> None:
    """A host's paging goes round in circles."""
    _log.warning("paging_goes_round", network="bluesky", method=method)


def dropped(reason: str) -> None:
    """Something that the network told was left out."""
    _log.warning("fact_dropped", network="bluesky", reason=reason)


def notified(entry: Any, interest: Interest, now: int) -> list[Fact]:
    """The acts that a notification tells; empty, and told so, when it cannot be read."""
    try:
        did, collection, rkey = split(entry["uri"])
        if did == interest.me:
            return []
        at = made_at(rkey, entry.get("indexedAt"), now)
        origin = Origin(did, collection, rkey, _text(entry["cid"]), at)
        if collection not in ("app.bsky.feed.like", "app.bsky.feed.repost", POST, FOLLOW):
            return []
        return facts_of(origin, entry["record"], me=interest.me, watched=interest.watched)
    except Rejected as error:
        dropped(error.code)
    except (KeyError, TypeError, ValueError, AttributeError):
        dropped("invalid_notification")
    return []


def made_at(rkey: str, indexed: Any, now: int) -> int:
    """When a record was made, as well as can be told without its commit: never after it was, or a delete that followed
    would seem to come first.
    """
    made = tid_ms(rkey)
    if made is not None and 0 < made <= now:
        return made
    return min(moment(indexed) or now, now)


def moment(text: Any) -> int | None:
    """RFC 3339 as ms since the epoch."""
    try:
        found = datetime.fromisoformat(text)
        return int(found.timestamp() * 1000) if found.tzinfo else None
    except (TypeError, ValueError, OverflowError):
        return None


def act_of(
    signal: Signal, entry: Any, about: About, *, op: Op, at: int, inferred: bool = True, dated: bool = False
) -> Fact:
    """Somebody who is in a list now (``assert``) or no longer (``retract``), without the record that says so.

    One that is ``inferred`` is the difference of two looks and happens each time; others are told once.

    Raises:
        KeyError, TypeError, ValueError: the entry names nobody.
    """
    did = entry if isinstance(entry, str) else who(entry)
    what = about.post or about.account
    return Fact(
        id=_digest(signal, op, did, what or "", str(at) if inferred else ""), signal=signal, op=op, at=at, actor=named(did), about=about,
        completeness="inferred" if inferred else "identified", dated=dated,
    )  # fmt: skip


def who(entry: Any) -> str:
    """The DID of a list's entry: a like has an ``actor``, a post an ``author``, others are profiles."""
    return _text((entry.get("actor") or entry.get("author") or entry)["did"])


def _digest(*parts: str) -> str:
    return "seen:" + blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value
