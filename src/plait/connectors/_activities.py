"""What an activity of ActivityPub says, once it is known who sent it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from plait.connectors import Fact
from plait.connectors._fediverse import (
    Ignored,
    Note,
    account_of,
    edge,
    gone,
    is_web,
    named,
    origin,
    told,
)
from plait.connectors._mastodon import ms_of
from plait.events import About, Signal

PUBLIC = frozenset({"https://www.w3.org/ns/activitystreams#Public", "as:Public", "Public"})
NOTES = frozenset({"Note", "Article", "Question", "Page", "Video", "Image", "Audio", "Event"})
MOST_TAGS = 200


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody whose key signed something.

    Attributes:
        uri: of the actor.
        account: ``mastodon:user@host``.
        pem: the public key.
        followers: the URL of the collection; what is sent to it is for more than those it names.
        inbox: where to answer.
    """

    uri: str
    account: str
    pem: str = ""
    followers: str = ""
    inbox: str = ""


class Us(msgspec.Struct, frozen=True, kw_only=True):
    """The company: its account, and the URI of its actor."""

    account: str
    uri: str

    def owns(self, uri: object) -> bool:
        """Whether an object is surely ours by its address; servers keep a person's things below the person."""
        return isinstance(uri, str) and bool(self.uri) and uri.startswith(f"{self.uri.rstrip('/')}/")


def id_of(thing: object) -> str:
    """The URI of something that is given whole or by its URI; "" when it has none."""
    found = thing.get("id") if isinstance(thing, Mapping) else thing
    return found if isinstance(found, str) and len(found) <= 2_048 and found.isprintable() else ""


def kind_of(thing: object) -> str:
    """Its type; of several the first."""
    found = thing.get("type") if isinstance(thing, Mapping) else None
    if isinstance(found, list):
        found = found[0] if found else None
    return found if isinstance(found, str) else ""


def listed(thing: object) -> list[Any]:
    """One, many or none, as a list."""
    found = thing if isinstance(thing, list) else [] if thing is None else [thing]
    return found[:MOST_TAGS]


def facts_of(
    activity: Mapping[str, Any], who: Actor, us: Us, at: int, owns: Callable[[str], bool]
) -> list[Fact]:
    """What an activity of ``who`` tells.

    Args:
        activity: whose actor was found to be ``who``.
        who: did it.
        us: the company.
        at: when it was signed, ms since the epoch.
        owns: whether an object is ours.

    Raises:
        Ignored: nothing; the message says why.
    """
    kind = kind_of(activity)
    if kind == "Undo":
        return [_undone(activity, who, us, at, owns)]
    if kind == "Create":
        return [told(note_of(activity.get("object"), who, us, at, owns), us.account)]
    if kind == "Delete":
        return [_deleted(activity, who, at)]
    if kind == "Block" and id_of(activity.get("object")) == us.uri:
        # Who blocks us follows us no longer, nor do we follow them; more than that is not ours to keep.
        return [
            edge(Signal.FOLLOW, who.account, About(account=us.account), at, on=False),
            edge(Signal.FOLLOW, us.account, About(account=who.account), at, on=False),
        ]
    signal, about = act_of(activity, us, owns)
    return [edge(signal, who.account, about, at, on=True)]


def act_of(activity: Mapping[str, Any], us: Us, owns: Callable[[str], bool]) -> tuple[Signal, About]:
    """The edge that a Like, an Announce, a reaction or a Follow is.

    Raises:
        Ignored: it is none of these, or not about us.
    """
    kind, target = kind_of(activity), id_of(activity.get("object"))
    if kind == "Follow":
        if target != us.uri:
            raise Ignored("a follow of somebody else")
        return Signal.FOLLOW, About(account=us.account)
    signal = _SIGNALS.get(kind)
    if signal is None:
        raise Ignored(_REASONS.get(kind, "a kind of activity that we do not know"))
    if kind == "Like" and (activity.get("_misskey_reaction") or activity.get("content")):
        signal = Signal.REACT
    if not owns(target):
        raise Ignored("about a post of somebody else")
    return signal, About(post=named(target))


_SIGNALS = {"Like": Signal.LIKE, "Announce": Signal.SHARE, "EmojiReact": Signal.REACT}
_REASONS = {
    "Update": "an edit; the first wording counts",
    "Move": "an account moved; nobody is linked without their own proof",
    "Block": "somebody blocked somebody else",
    "Accept": "an answer to a request of ours",
    "Reject": "an answer to a request of ours",
    "Flag": "a report, for moderators",
    "Add": "a pinned post",
    "Remove": "a post no longer pinned",
    "View": "a count that PeerTube sends",
    "Dislike": "a dislike is not kept",
    "QuoteRequest": "asks for leave to quote; the quote itself tells",
}


def _undone(activity: Mapping[str, Any], who: Actor, us: Us, at: int, owns: Callable[[str], bool]) -> Fact:
    inner = activity.get("object")
    if not isinstance(inner, Mapping):
        raise Ignored("an undo that names its activity and nothing else")
    if id_of(inner.get("actor")) not in ("", who.uri):
        raise Ignored("an undo of somebody else's act")
    if kind_of(inner) == "Block":
        raise Ignored("a block was lifted")
    signal, about = act_of(inner, us, owns)
    return edge(signal, who.account, about, at, on=False)


def _deleted(activity: Mapping[str, Any], who: Actor, at: int) -> Fact:
    uri = id_of(activity.get("object"))
    if not uri or origin(uri) != origin(who.uri):
        raise Ignored("a deletion of what is not theirs")
    return gone(uri, who.account, at)


def note_of(thing: object, who: Actor, us: Us, at: int, owns: Callable[[str], bool]) -> Note:
    """What ``who`` wrote to us or about us.

    Raises:
        Ignored: it is no note of theirs, or not for us.
    """
    if not isinstance(thing, Mapping) or kind_of(thing) not in NOTES:
        raise Ignored("not something written")
    uri = id_of(thing)
    if origin(uri) != origin(who.uri) or who.uri not in map(id_of, listed(thing.get("attributedTo"))):
        raise Ignored("a note of somebody else")
    to = {id_of(one) for name in ("to", "cc") for one in listed(thing.get(name))}
    mentions = list(_mentions(thing, who))
    parent, quoted = id_of(thing.get("inReplyTo")), _quoted(thing)
    note = Note(
        uri=uri, actor=who.account, at=_written(thing, at), html=str(thing.get("content") or ""),
        direct=not to & PUBLIC and who.followers not in to - {""}, parent=parent if parent and owns(parent) else None,
        quoted=quoted if quoted and owns(quoted) else None, mentions=tuple(name for _, name in mentions if name),
        links=tuple(url for one in listed(thing.get("attachment")) if (url := _href(one))),
    )  # fmt: skip
    if not (note.parent or note.quoted or us.uri in to or us.uri in [href for href, _ in mentions]):
        raise Ignored("neither to us nor about us")
    return note


def _written(thing: Mapping[str, Any], at: int) -> int:
    try:
        return min(at, ms_of(thing.get("published")))
    except Ignored:
        return at


def _quoted(thing: Mapping[str, Any]) -> str:
    return next(
        (id_of(thing[one]) for one in ("quote", "quoteUri", "quoteUrl", "_misskey_quote") if thing.get(one)),
        "",
    )


def _mentions(thing: Mapping[str, Any], who: Actor) -> Iterator[tuple[str, str]]:
    """(URI, ``mastodon:user@host`` or "") of those that a note names."""
    for tag in listed(thing.get("tag")):
        if kind_of(tag) != "Mention":
            continue
        href = str(tag.get("href") or "")
        try:
            yield href, account_of(str(tag.get("name") or ""), origin(href or who.uri).partition("://")[2])
        except Ignored:
            yield href, ""


def _href(thing: object) -> str:
    """The page that an attachment is a link to; pictures are no links."""
    if kind_of(thing) not in ("Link", "Page", "Article") or not isinstance(thing, Mapping):
        return ""
    url = thing.get("href") or thing.get("url")
    return str(url) if is_web(url) else ""
