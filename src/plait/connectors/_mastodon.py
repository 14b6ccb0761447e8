"""Reads what servers with Mastodon's API answer: statuses, notifications, accounts, pages of lists. Pure; trusts nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec

from plait.connectors import Account, Answer, Fact, Post
from plait.connectors._fediverse import (
    Ignored,
    Note,
    account_of,
    edge,
    is_web,
    named,
    text_of,
    told,
)  # fmt: skip
from plait.errors import Rejected, Unavailable
from plait.events import About, Signal

_EDGES = {
    "favourite": Signal.LIKE, "reblog": Signal.SHARE, "follow": Signal.FOLLOW,
    "pleroma:emoji_reaction": Signal.REACT, "reaction": Signal.REACT,
}  # fmt: skip
_NOTES = frozenset({"mention", "quote"})
# Everything else that servers notify of, and why it is no fact of ours.
REASONS = {
    "follow_request": "a request to follow is no follow yet",
    "status": "a post of an account that we asked to hear of is not about us",
    "update": "an edit of a post that we boosted",
    "poll": "a poll ended",
    "quoted_update": "an edit of a post that we quoted",
    "admin.sign_up": "for the server's administrators",
    "admin.report": "for the server's administrators",
    "severed_relationships": "the server cut ties; the next look at the followers finds out which",
    "moderation_warning": "between the server and its user",
    "annual_report": "between the server and its user",
    "added_to_collection": "a list of accounts, not an act towards us",
    "collection_update": "a list of accounts, not an act towards us",
    "move": "an account moved; nobody is linked without their own proof",
}


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """The company's account as its own server numbers it.

    Attributes:
        account: ``mastodon:user@host``.
        id: of the account on its server.
        domain: what handles without a host mean.
    """

    account: str
    id: str
    domain: str

    @classmethod
    def of(cls, account: Account) -> Me:
        """What ``sign_in`` found."""
        settings = account.settings
        return cls(account=account.me, id=settings.get("id", ""), domain=settings.get("domain", ""))


Ours = Callable[[str], str | None]  # the URI of a post of ours by its number on our server, if we know it


# -- entities --------------------------------------------------------------------------------------------------


def ms_of(text: object) -> int:
    """Ms since the epoch of an ISO 8601 time, or a date.

    Raises:
        Ignored: it is none.
    """
    try:
        when = datetime.fromisoformat(str(text))
        return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError) as exc:
        raise Ignored("a time that is none") from exc


def actor_of(account: object, me: Me) -> str:
    """``mastodon:user@host`` of an account.

    Raises:
        Ignored: it is none.
    """
    if not isinstance(account, Mapping):
        raise Ignored("without an account")
    return account_of(str(account.get("acct") or ""), me.domain)


def unwrapped(status: object) -> Mapping[str, Any]:
    """A status, or that which it boosts.

    Raises:
        Ignored: it is none.
    """
    if isinstance(status, Mapping) and isinstance(status.get("reblog"), Mapping):
        status = status["reblog"]
    if not isinstance(status, Mapping):
        raise Ignored("without a status")
    return status


def is_mine(status: Mapping[str, Any], me: Me) -> bool:
    """Whether the company wrote it."""
    account = status.get("account")
    return isinstance(account, Mapping) and str(account.get("id")) == me.id


def answers_me(status: object, me: Me) -> str | None:
    """The number of our post that a status answers."""
    if not isinstance(status, Mapping) or str(status.get("in_reply_to_account_id")) != me.id:
        return None
    parent = status.get("in_reply_to_id")
    return str(parent) if parent else None


def note_of(status: object, me: Me, ours: Ours, *, thread: str | None = None) -> Note:
    """What somebody wrote.

    Args:
        status: of the API.
        me: the company.
        ours: finds a post of ours.
        thread: the post of ours under which it was found.

    Raises:
        Ignored: it is no status, or it is our own.
    """
    if not isinstance(status, Mapping):
        raise Ignored("without a status")
    if is_mine(status, me):
        raise Ignored("our own")
    parent = answers_me(status, me)
    return Note(
        uri=named(status.get("uri")), actor=actor_of(status.get("account"), me), at=ms_of(status.get("created_at")),
        html=_text(status.get("content")), direct=status.get("visibility") == "direct",
        parent=ours(parent) if parent else None, thread=thread, quoted=_quoted(status, me),
        mentions=_mentions(status, me), links=_card(status),
    )  # fmt: skip


def fact_of(notification: object, me: Me, ours: Ours) -> Fact:
    """What a notification tells.

    Raises:
        Ignored: nothing of ours; the message says why.
    """
    if not isinstance(notification, Mapping):
        raise Ignored("no notification")
    kind = str(notification.get("type"))
    if kind in _NOTES:
        return told(note_of(notification.get("status"), me, ours), me.account)
    if kind not in _EDGES:
        raise Ignored(REASONS.get(kind, "a kind of notification that we do not know"))
    actor = actor_of(notification.get("account"), me)
    at = ms_of(notification.get("created_at"))
    if kind == "follow":
        return edge(Signal.FOLLOW, actor, About(account=me.account), at, on=True)
    post = unwrapped(notification.get("status"))
    uri = ours(str(post.get("id"))) or post.get("uri")
    return edge(_EDGES[kind], actor, About(post=named(uri)), at, on=True)


def post_of(status: Mapping[str, Any]) -> Post:
    """A post of the company.

    Raises:
        Ignored: it is none that everybody may read.
    """
    if status.get("visibility") in ("direct", "private"):
        raise Ignored("a post that is not public")
    text, links = text_of(_text(status.get("content")))
    url = status.get("url")
    return Post(
        id=named(status.get("uri")), at=ms_of(status.get("created_at")), text=text,
        url=str(url) if is_web(url) else "", links=tuple(dict.fromkeys((*links, *_card(status)))),
        tags=tuple(str(one.get("name")) for one in _rows(status.get("tags")) if one.get("name")),
    )  # fmt: skip


def count_of(entity: Mapping[str, Any], name: str) -> int:
    """A count that a status or an account tells; 0 when it tells none."""
    told_count = entity.get(name)
    return told_count if isinstance(told_count, int) and told_count > 0 else 0


def _quoted(status: Mapping[str, Any], me: Me) -> str | None:
    quote = status.get("quote")
    if isinstance(quote, Mapping):
        quote = quote.get("quoted_status") if "quoted_status" in quote else quote
    if isinstance(quote, Mapping) and is_mine(quote, me):
        return named(quote.get("uri"))
    return None


def _mentions(status: Mapping[str, Any], me: Me) -> tuple[str, ...]:
    found = []
    for one in _rows(status.get("mentions")):
        try:
            found.append(actor_of(one, me))
        except Ignored:
            continue
    return tuple(found)


def _card(status: Mapping[str, Any]) -> tuple[str, ...]:
    card = status.get("card")
    return (card["url"],) if isinstance(card, Mapping) and is_web(card.get("url")) else ()


def _rows(found: object) -> list[Mapping[str, Any]]:
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def _text(told_text: object) -> str:
    return told_text if isinstance(told_text, str) else ""


# -- answers ---------------------------------------------------------------------------------------------------


def rows(answer: Answer) -> list[Mapping[str, Any]]:
    """The entities of a list.

    Raises:
        Unavailable: it is cut, or something else than a list: a server in trouble says 200, too.
    """
    found = entity(answer, list)
    return _rows(found)


def entity(answer: Answer, kind: type[Any] = dict) -> Any:
    """One entity, or a list.

    Raises:
        Unavailable: it is not what was asked for.
    """
    try:
        found = answer.json()
    except Rejected as exc:
        raise Unavailable(exc.message, code="invalid_answer", retry_after=30) from exc
    if not isinstance(found, kind):
        raise Unavailable(
            f"the network answered something else than a {kind.__name__}", code="invalid_answer"
        )
    return found


_LINK = re.compile(r'<([^<>]{1,2048})>[^,<>"]{0,64}rel="([a-z]{1,16})"')


def link(answer: Answer, rel: str, host: str) -> str | None:
    """The address in a ``Link`` header, if it is on the account's own host: a server may not send us elsewhere."""
    for url, kind in _LINK.findall(answer.headers.get("link", "")[:16_384]):
        if kind == rel:
            return url if urlsplit(url).netloc == urlsplit(host).netloc else None
    return None


def newer(one: str, other: str) -> bool:
    """Whether an id is newer than another: numbers by their value, ULIDs and flake ids by their letters."""
    return (len(one), one) > (len(other), other)
