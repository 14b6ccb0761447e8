"""From records of Bluesky to facts: likes, reposts, follows, replies, quotes, mentions, and the company's own posts.

Every way in (firehose, Jetstream, notifications, repos) ends here, so that one act is one fact whichever way it came: its id
is the record's URI and CID.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from plait.connectors import Fact, Post
from plait.connectors._atproto import FOLLOW, LIKE, POST, REPOST, split, uri
from plait.errors import Rejected
from plait.events import MAX_IDENTIFIER, About, Signal

NETWORK = "bluesky:"
LONGEST = 256  # characters of an id or of a post's name, as events have it
MOST_TEXT = 3_000  # bytes; the network's own limit
SIGNALS = {LIKE: Signal.LIKE, REPOST: Signal.SHARE, FOLLOW: Signal.FOLLOW, POST: Signal.REPLY}


class _Ref(msgspec.Struct):
    uri: str


class _Subject(msgspec.Struct):
    """A like or a repost."""

    subject: _Ref


class _Follow(msgspec.Struct):
    subject: str


class _Thread(msgspec.Struct):
    root: _Ref
    parent: _Ref


class _Facet(msgspec.Struct):
    features: list[dict[str, Any]]


class _Post(msgspec.Struct):
    text: str = ""
    reply: _Thread | None = None
    embed: dict[str, Any] | None = None
    facets: list[_Facet] = []
    tags: list[str] = []


class Origin(NamedTuple):
    """Where a record is: whose, its name, its CID, and when it came to be (ms)."""

    did: str
    collection: str
    rkey: str
    cid: str
    at: int


def facts_of(origin: Origin, record: Any, *, me: str, watched: Callable[[str], bool]) -> list[Fact]:
    """The acts that a record is; none when it is about nobody and nothing of ours.

    Raises:
        Rejected: the record is not what the network's lexicon says; nothing of it is kept, as on the network itself.
    """
    try:
        if origin.collection == POST:
            return _of_post(origin, msgspec.convert(record, _Post), me, watched)
        if origin.collection == FOLLOW:
            whom = msgspec.convert(record, _Follow).subject
            wanted = whom == me or watched(origin.did)
            return [_fact(origin, Signal.FOLLOW, About(account=named(whom)))] if wanted else []
        post = msgspec.convert(record, _Subject).subject.uri
        wanted = is_of(me, post) or watched(origin.did)
        return [_fact(origin, SIGNALS[origin.collection], _about(post))] if wanted else []
    except (msgspec.ValidationError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        # Not the message: it may hold what somebody wrote.
        raise Rejected(f"a record cannot be read: {type(exc).__name__}", code="invalid_record") from exc


def _of_post(origin: Origin, post: _Post, me: str, watched: Callable[[str], bool]) -> list[Fact]:
    links, mentions, _ = _facets(post)
    quoted = _quoted(post.embed)
    parent, root = (post.reply.parent.uri, post.reply.root.uri) if post.reply else ("", "")
    all_of_them = watched(origin.did)
    # Whoever answers deep in a thread below our post answers us.
    answered = next((one for one in (parent, root) if is_of(me, one)), parent if all_of_them else "")
    found: list[tuple[Signal, About]] = []
    if answered:
        found.append((Signal.REPLY, _about(answered)))
    if quoted and (is_of(me, quoted) or all_of_them):
        found.append((Signal.QUOTE, _about(quoted)))
    if me in mentions and not any(is_of(me, about.post or "") for _, about in found):
        found.append((Signal.MENTION, About(account=named(me))))
    # What our people write to others is not ours to read.
    ours = me in mentions or any(is_of(me, one) for one in (parent, root, quoted))
    text = post.text if ours else None
    if text is not None and len(text.encode()) > MOST_TEXT:
        raise ValueError("a text longer than the network takes")
    if ours:
        links += _cards(post.embed)
    else:
        links, mentions = [], []
    return [
        _fact(
            origin, signal, about, part=number, text=text, links=tuple(links),
            mentions=tuple(map(named, mentions)),
        )
        for number, (signal, about) in enumerate(found)
    ]  # fmt: skip


def post_of(origin: Origin, record: Any) -> Post:
    """A post of the company's.

    Raises:
        Rejected: it is none.
    """
    try:
        post = msgspec.convert(record, _Post)
        links, _, tags = _facets(post)
        return Post(
            id=_about(uri(*origin[:3])).post or "",
            at=origin.at,
            text=post.text,
            url=f"https://bsky.app/profile/{origin.did}/post/{origin.rkey}",
            links=tuple(links + _cards(post.embed)),
            tags=tuple(dict.fromkeys(tags + post.tags)),
        )
    except (msgspec.ValidationError, ValueError, TypeError, AttributeError, RecursionError) as exc:
        raise Rejected(f"a post cannot be read: {type(exc).__name__}", code="invalid_record") from exc


def undone(did: str, collection: str, rkey: str, *, rev: str, at: int) -> Fact:
    """A record is gone: a delete names nothing else."""
    name = uri(did, collection, rkey)
    return Fact(
        id=_short(f"{name}#{rev}"), signal=SIGNALS[collection], op="retract", at=at, actor=named(did),
        record=_short(name),
    )  # fmt: skip


def named(did: str) -> str:
    """The identifier of an account.

    Raises:
        ValueError: it is none.
    """
    if not did.startswith("did:") or len(did) + len(NETWORK) > MAX_IDENTIFIER or not did.isascii():
        raise ValueError("no DID")
    return NETWORK + did


def is_of(did: str, name: str) -> bool:
    """Whether a record is one of this account's."""
    return name.startswith(f"at://{did}/")


def _fact(origin: Origin, signal: Signal, about: About, *, part: int = 0, **more: Any) -> Fact:
    name = uri(*origin[:3])
    # A reply that is a quote, too, is two acts in one record, and both go with it.
    suffix = f"#{part}" if part else ""
    return Fact(
        id=_short(f"{name}#{origin.cid}{suffix}"), signal=signal, at=origin.at, actor=named(origin.did),
        about=about, record=_short(name), **more,
    )  # fmt: skip


def _about(post: str) -> About:
    named(split(post)[0])  # a handle would name an author whom nobody finds again to forget
    if len(post) > LONGEST:
        raise ValueError("the name of a post is too long")
    return About(post=post)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else blake2b(name.encode(), digest_size=32).hexdigest()


def _facets(post: _Post) -> tuple[list[str], list[str], list[str]]:
    """Links, mentioned DIDs and tags; kinds of facets that we do not know are left alone."""
    links, mentions, tags = [], [], []
    for facet in post.facets:
        for feature in facet.features:
            match feature:
                case {"$type": "app.bsky.richtext.facet#link", "uri": str(found)}:
                    links.append(found)
                case {"$type": "app.bsky.richtext.facet#mention", "did": str(found)}:
                    mentions.append(found)
                case {"$type": "app.bsky.richtext.facet#tag", "tag": str(found)}:
                    tags.append(found)
    return links, list(dict.fromkeys(mentions)), tags


def _quoted(embed: dict[str, Any] | None) -> str:
    match embed:
        case {"$type": "app.bsky.embed.record", "record": {"uri": str(found)}}:
            return found
        case {"$type": "app.bsky.embed.recordWithMedia", "record": {"record": {"uri": str(found)}}}:
            return found
    return ""


def _cards(embed: dict[str, Any] | None) -> list[str]:
    match embed:
        case {"external": {"uri": str(found)}} | {"media": {"external": {"uri": str(found)}}}:
            return [found]
    return []
