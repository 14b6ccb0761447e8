"""What Mastodon's API and ActivityPub tell in two ways, told here in one: who somebody is, what a text says, what an act is.

The same like reaches us as a favourite of the API and as a ``Like`` in an inbox. Both build their facts here, so that it
is one person (``mastodon:user@host``), one edge or one record, whichever way it came (decision 0165).
"""

from __future__ import annotations

import html as entities
import re
from hashlib import blake2b
from urllib.parse import urlsplit

import msgspec

from plait.connectors import Completeness, Fact
from plait.events import MAX_IDENTIFIER, About, Signal

NETWORK = "mastodon"  # of identifiers: one namespace for every server that speaks ActivityPub
LONGEST_HTML = 65_536  # characters that are looked at; servers allow a few thousand
LONGEST_TEXT = 10_000  # characters that are handed on
MOST_LINKS = 50
LONGEST_URI = 256  # characters of a record or a post; what is longer goes by its hash

_USER = re.compile(r"[\w][\w.\-]{0,127}", re.ASCII)
_HOST = re.compile(r"[a-z0-9]([a-z0-9.\-]*[a-z0-9])?(:\d{1,5})?|\[[0-9a-f:.]+\](:\d{1,5})?")


class Ignored(Exception):
    """Something of the network that becomes no fact; the message is the reason, without names or contents."""


# -- names -----------------------------------------------------------------------------------------------------


def account_of(acct: str, host: str) -> str:
    """``mastodon:user@host`` of a handle; ``host`` stands where the handle names none.

    Raises:
        Ignored: it is no handle.
    """
    user, at, named = acct.strip().lstrip("@").partition("@")
    where = (named if at else host).lower()
    if not where.isascii():
        try:
            where = where.encode("idna").decode()
        except UnicodeError as exc:
            raise Ignored("a handle whose host is none") from exc
    identifier = f"{NETWORK}:{user.lower()}@{where}"
    if not _USER.fullmatch(user) or not _HOST.fullmatch(where) or len(identifier) > MAX_IDENTIFIER:
        raise Ignored("a handle that is none")
    return identifier


def named(uri: object) -> str:
    """The name of a record or a post: its URI, or a hash of one that is too long.

    Raises:
        Ignored: it is no URI.
    """
    if not isinstance(uri, str) or not uri or not uri.isprintable():
        raise Ignored("an object without a URI")
    return uri if len(uri) <= LONGEST_URI else f"sha:{_digest(uri)}"


def origin(uri: str) -> str:
    """Scheme, host and port: what a server speaks for. "" when it is no address."""
    try:
        parts = urlsplit(uri)
        return f"{parts.scheme}://{parts.netloc.lower()}" if parts.scheme and parts.netloc else ""
    except ValueError:
        return ""


# -- facts -----------------------------------------------------------------------------------------------------


def edge(
    signal: Signal,
    actor: str,
    about: About,
    at: int,
    *,
    on: bool,
    completeness: Completeness = "identified",
    dated: bool = True,
) -> Fact:
    """An act that is so or not so (like, share, react, follow): who, what about, and since when.

    It has no record: of the same actor, signal and object the last word holds, however it came. Its id names nobody.
    """
    name = _digest(signal, actor, about.post or "", about.account or "")
    return Fact(
        id=f"{signal}/{name}/{at}{'' if on else '/off'}", signal=signal, at=at, actor=actor, about=about,
        op="assert" if on else "retract", completeness=completeness, dated=dated,
    )  # fmt: skip


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """Something that somebody wrote to or about the company.

    Attributes:
        uri: its ActivityPub id, the same on every server.
        actor: ``mastodon:user@host``.
        at: ms since the epoch.
        html: as the network gave it.
        direct: for those it names alone.
        parent: our post that it answers; ``thread`` our post at the top of its thread; ``quoted`` our post in it.
        mentions: ``mastodon:user@host``.
        links: besides those in ``html``.
    """

    uri: str
    actor: str
    at: int
    html: str = ""
    direct: bool = False
    parent: str | None = None
    thread: str | None = None
    quoted: str | None = None
    mentions: tuple[str, ...] = ()
    links: tuple[str, ...] = ()


def told(note: Note, me: str) -> Fact:
    """A note as a fact about the company's account ``me``, or about the post that it answers or quotes."""
    text, links = text_of(note.html)
    signal, about = _kind(note, me)
    return Fact(
        id=f"note/{_digest(note.uri)}", signal=signal, at=note.at, actor=note.actor, about=about,
        record=named(note.uri), text=text, links=(*links, *note.links)[:MOST_LINKS],
        mentions=tuple(dict.fromkeys(one for one in note.mentions if one != me))[:MOST_LINKS],
    )  # fmt: skip


def gone(uri: str, actor: str, at: int, *, completeness: Completeness = "identified") -> Fact:
    """A note was deleted: whatever was told of it, before or after, is taken back."""
    return Fact(
        id=f"note/{_digest(uri)}/off", signal=Signal.MENTION, at=at, actor=actor, op="retract",
        record=named(uri), completeness=completeness,
    )  # fmt: skip


def _kind(note: Note, me: str) -> tuple[Signal, About]:
    if note.direct:
        return Signal.MESSAGE, About(account=me)
    if note.parent:
        return Signal.REPLY, About(post=named(note.parent))
    if note.quoted:
        return Signal.QUOTE, About(post=named(note.quoted))
    if note.thread:
        return Signal.COMMENT, About(post=named(note.thread))
    return Signal.MENTION, About(account=me)


def _digest(*parts: str) -> str:
    return blake2b("\x1f".join(parts).encode(), digest_size=16).hexdigest()


# -- text ------------------------------------------------------------------------------------------------------

# Not the standard library's parser: before Python 3.13.4 it takes minutes for 64 KB of `<a <a <a`. What matches here
# never looks at a character twice.
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)([^<>]*)>|<[!?/][^<>]*>")
_ATTRIBUTE = re.compile(r"""\b(href|class|rel)=(?:"([^"]*)"|'([^']*)')""")
_BREAKS = frozenset({"br", "p", "div", "li", "blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "tr"})
_SILENT = frozenset({"script", "style", "template", "iframe", "object"})
# Numbers too long for a character: `html.unescape` refuses them with an error of its own.
_NO_CHARACTER = re.compile(r"&#[xX]?[0-9a-fA-F]{8,};?")
_NO_LINKS = frozenset({"mention", "hashtag", "tag", "u-url"})


def is_web(url: object) -> bool:
    """Whether it is an address a person could open, of a sensible length."""
    return (
        isinstance(url, str)
        and url.startswith(("https://", "http://"))
        and len(url) <= 2_048
        and url.isprintable()
    )


def text_of(html: str) -> tuple[str, tuple[str, ...]]:
    """The text of a post's HTML and what it links to, but for mentions and hashtags. Never raises, whatever is given."""
    html = html[:LONGEST_HTML]
    words: list[str] = []
    links: dict[str, None] = {}
    silent, read = "", 0
    for tag in _TAG.finditer(html):
        if not silent:
            words.append(html[read : tag.start()])
        read = tag.end()
        ends, name = tag[1] == "/", (tag[2] or "").lower()
        if silent:
            silent = "" if ends and name == silent else silent
        elif name in _SILENT and not ends:
            silent = name
        elif name in _BREAKS:
            words.append("\n")
        elif name == "a" and not ends and len(links) < MOST_LINKS:
            links.update(dict.fromkeys(_link(tag[3])))
    if not silent:
        words.append(html[read:])
    lines = (" ".join(line.split()) for line in _plain("".join(words)).splitlines())
    return "\n".join(line for line in lines if line)[:LONGEST_TEXT], tuple(links)


def _link(attributes: str) -> list[str]:
    found = {one[1]: _plain(one[2] or one[3] or "") for one in _ATTRIBUTE.finditer(attributes)}
    kinds = {*found.get("class", "").split(), *found.get("rel", "").split()}
    url = found.get("href", "")
    return [url] if is_web(url) and not kinds & _NO_LINKS else []


def _plain(text: str) -> str:
    return entities.unescape(_NO_CHARACTER.sub("\ufffd", text))
