"""The vocabulary: one event is one fact, and every fact travels in a record of the log.

Two shapes live here. An ``Event`` is a fact in our own words; everything above the log speaks it. A ``Record``
is what one accepted request became in the log: the sender's JSON as it came (cleaned of keys, addresses and
values that must not rest), and the little we knew about the request. ``records.py`` and this module turn
records into events; the fold, the lake and the tests all read through them.
"""

from __future__ import annotations

import re
import threading
from enum import StrEnum
from importlib.resources import files
from typing import Any, Literal

import msgspec
import zstandard

from plait.errors import Corrupt, Rejected

DAY = 86_400_000  # milliseconds
FUTURE = 5 * 60_000  # an event may claim to be at most this many milliseconds ahead of its arrival

MAX_EVENT_BYTES = 32_768
MAX_BODY_BYTES = 512_000
MAX_BATCH = 2_500
MAX_IDENTIFIER = (
    250  # bytes of UTF-8, type and all: two of them are the key of a link, and a key of LMDB has 511
)
MAX_WHO = 16  # identifiers one event may name


class Signal(StrEnum):
    """What kind of fact an event is. A closed list: a new kind is a decision, not a string."""

    VIEW = "view"
    DWELL = "dwell"
    SEARCH = "search"
    ADD = "add"
    REMOVE = "remove"
    CHECKOUT = "checkout"
    PURCHASE = "purchase"
    FORM_START = "form_start"
    FORM_SUBMIT = "form_submit"
    FORM_ABANDON = "form_abandon"
    CLICK = "click"
    SHARE = "share"
    SAVE = "save"
    RATE = "rate"
    PLAY = "play"
    SESSION = "session"
    LIKE = "like"
    REACT = "react"
    COMMENT = "comment"
    REPLY = "reply"
    QUOTE = "quote"
    FOLLOW = "follow"
    MENTION = "mention"
    MESSAGE = "message"
    IDENTIFY = "identify"
    LINK = "link"
    UNLINK = "unlink"
    TRAIT = "trait"
    CONSENT = "consent"
    DECIDED = "decided"
    SHOWN = "shown"
    ERASE = "erase"
    OTHER = "other"


SYSTEM = frozenset(
    {
        Signal.IDENTIFY, Signal.LINK, Signal.UNLINK, Signal.TRAIT, Signal.CONSENT,
        Signal.DECIDED, Signal.SHOWN, Signal.ERASE, Signal.OTHER,
    }
)  # fmt: skip
SOCIAL = frozenset(
    {
        Signal.LIKE,
        Signal.REACT,
        Signal.COMMENT,
        Signal.REPLY,
        Signal.QUOTE,
        Signal.FOLLOW,
        Signal.MENTION,
        Signal.MESSAGE,
    }
)
ACTIVITY = frozenset(Signal) - SYSTEM - SOCIAL  # `share` is both; the source tells which
# A fact that is either so or not so, whose undoing takes its effect back: kept as last-writer state, not as a sum.
STATEFUL = frozenset({Signal.LIKE, Signal.REACT, Signal.FOLLOW, Signal.SAVE, Signal.RATE})
# What a network can take back by the name of its record; each such act is kept so that it leaves exactly.
RETRACTABLE = SOCIAL | STATEFUL | {Signal.SHARE}
# What the public write key may send (design: "who may ask what").
PUBLIC = ACTIVITY | {Signal.IDENTIFY, Signal.TRAIT, Signal.CONSENT, Signal.SHOWN, Signal.OTHER}

Op = Literal["assert", "retract", "snapshot", "erase"]
Purpose = Literal["collect", "personalize", "link", "social"]
PURPOSES: tuple[Purpose, ...] = ("collect", "personalize", "link", "social")


class About(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What an event is about. A section belongs to the item beside it, or else to the ``url``.

    ``account`` is whom an act on a network is about (who was followed), as an identifier: ``bluesky:did:plc:…``.
    """

    item: str | None = None
    section: str | None = None
    post: str | None = None
    topic: str | None = None
    url: str | None = None
    query: str | None = None
    account: str | None = None


class Counter(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Names a cumulative dwell: of all values told under one counter, the largest counts.

    ``started_at`` (ms since the epoch) is part of the name: decay runs from it, so that increments
    telescope in any order.
    """

    view: str
    started_at: int
    epoch: int = 0


class Event(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One fact.

    Attributes:
        id: unique per source within 30 days of ``received_at``; the first telling wins.
        source: where it comes from (``web``, ``bluesky:shop.example``).
        at: when it happened, ms since the epoch, corrected for clock skew, <= received_at + 5 min.
        received_at: when we took it, ms since the epoch; never goes back within one log.
        who: identifiers ``type:value``, strongest first, 1..MAX_WHO; an event is folded into the first. None for a
            ``snapshot``: a count is nobody's.
        value: seconds for dwell and play, money for purchase, stars 0..1 for rate; meaning by signal.
        name: the sender's own name for it; always kept for ``other``.
        decision: id of the answer it follows from.
        consent: ``{purpose: bool}`` or ``{purpose: {source: bool}}``.
        proven: it came with the secret key, so what it claims about people is taken as true.
        record: the network's own name of the record that the act is (an at:// URI, an ActivityPub id). A retract or an
            erase that names one takes back all that the same identifier told under that name, before or after, and
            nothing else. Only for signals in ``RETRACTABLE``.
        part: 0, or its number among the events that one call of a client became (an order's products).
    """

    id: str
    source: str
    signal: Signal
    op: Op = "assert"
    at: int
    received_at: int
    who: tuple[str, ...]
    about: About = About()
    value: float | None = None
    counter: Counter | None = None
    name: str | None = None
    decision: str | None = None
    consent: dict[str, bool | dict[str, bool]] | None = None
    traits: dict[str, Any] | None = None
    context: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    proven: bool = False
    record: str | None = None
    part: int = 0

    @property
    def takes_back(self) -> bool:
        """Whether it takes back what was told under a record, rather than saying that something is not so."""
        return self.record is not None and self.op in ("retract", "erase")


RecordKind = Literal["segment", "events", "items", "placements", "audiences", "page"]


class Record(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """What one accepted request became in the log.

    Attributes:
        kind: how to read ``body``: ``segment`` ``{"batch": [...], "sentAt"?}``, ``events`` a JSON list of events in
            our words (fields of ``Event`` a sender may give), ``items``, ``placements`` and
            ``audiences`` ``{"put": [...], "delete": [ids]}``; ``page`` what a connector told, see ``pages.py``.
        source: the source that the key stands for.
        received_at: ms since the epoch.
        trusted: it came with the secret key.
        agent: the User-Agent header, or "".
        hints: client hint headers, lower-case names without ``sec-ch-ua``'s prefix kept whole.
        body: JSON, UTF-8, cleaned of keys, addresses, form values and message text.
    """

    kind: RecordKind
    source: str
    received_at: int
    trusted: bool = False
    agent: str = ""
    hints: dict[str, str] = {}
    body: bytes


SHORT = 2_048  # bytes; up to here a record is packed with the dictionary
DICTIONARY = "records.zdict"  # made by bench/dictionary.py; the log needs it to be read, so it is never changed, only followed

_record_encoder = msgspec.msgpack.Encoder()
_record_decoder = msgspec.msgpack.Decoder(Record)


class _Zip(threading.local):
    """Compressors of one thread: they let go of the GIL while they work, and two threads in one mix up their bytes."""

    def __init__(self) -> None:
        # Level 1: twice the speed of level 3 for a tenth more bytes on what clients send.
        self.pack = zstandard.ZstdCompressor(level=1, write_checksum=True).compress
        # A single call is too short to find much in it; what all calls say is known beforehand (decision 0104).
        words = zstandard.ZstdCompressionDict(files("plait").joinpath(DICTIONARY).read_bytes())
        words.precompute_compress(level=1)
        self.pack_short = zstandard.ZstdCompressor(level=1, dict_data=words, write_checksum=True).compress
        self.unpack = zstandard.ZstdDecompressor(dict_data=words).decompress


_zip = _Zip()


def encode_record(record: Record) -> bytes:
    """The bytes of a record as they rest in the log: msgpack in zstd, with a checksum."""
    raw = _record_encoder.encode(record)
    return _zip.pack(raw) if len(raw) > SHORT else _zip.pack_short(raw)


def decode_record(raw: bytes, position: int | None = None) -> Record:
    """The inverse of ``encode_record``.

    Args:
        raw: as it rests.
        position: where, so that an error can say so.

    Raises:
        Corrupt: the bytes are not a record that we wrote.
    """
    try:
        return _record_decoder.decode(_zip.unpack(raw))
    except (zstandard.ZstdError, msgspec.DecodeError) as exc:
        which = "a record" if position is None else f"record {position}"
        raise Corrupt(
            f"{which} of the log cannot be read, the disk may have changed it ({exc}); put back a backup of the log",
            code="log_corrupt",
        ) from exc


# Strength order of identifier types: user, then networks, e-mail, phone, then anonymous. Any type not named
# here is a network (`bluesky:did:…`), as strong as the rest of its kind.
_STRENGTH = {"user": 0, "email": 2, "phone": 3, "anonymous": 9}


# Networks whose rules forbid to tie an account to a customer or a device without that person's own express yes, whatever
# the settings say (X: Developer Policy, "off-Twitter matching").
OPT_IN = frozenset({"x"})


def identifier_type(identifier: str) -> str:
    """``"user"`` of ``"user:u1"``."""
    return identifier.partition(":")[0]


def strength(identifier: str) -> int:
    """Smaller is stronger."""
    return _STRENGTH.get(identifier_type(identifier), 1)


def is_weak(identifier: str) -> bool:
    """Whether this names a device rather than somebody; no person runs through a weak identifier (law 5)."""
    return identifier.startswith("anonymous:")


def is_network(identifier: str) -> bool:
    """Whether this names an account on a network."""
    return strength(identifier) == 1


def strongest_first(identifiers: list[str]) -> tuple[str, ...]:
    """Sorted by strength, then by text, without repeats: the same set always gives the same order."""
    if len(identifiers) == 1:
        return (identifiers[0],)
    return tuple(sorted(set(identifiers), key=lambda one: (strength(one), one)))


# Where addresses of networks hold a name: the repo of an at:// URI, and the profile that a post of the fediverse lies below.
_BELOW = ("@", "users/", "ap/users/", "u/", "profile/")
_AUTHORED = re.compile(rf"at://([^/]+)/|https?://([^/?#]+)/(?:{'|'.join(_BELOW)})([\w.-]{{1,64}})/", re.I)


def author_of(address: str | None) -> str | None:
    """The account that the address of a post or record names, ``None`` where it names none: many are only numbers.

    ``bluesky:did:plc:x`` of ``at://did:plc:x/app.bsky.feed.post/1``, ``mastodon:ann@social.example`` of
    ``https://social.example/users/ann/statuses/1``.
    """
    found = _AUTHORED.match(address) if address is not None else None
    if found is None:
        return None
    repo, host, name = found.groups()
    author = f"bluesky:{repo}" if repo else f"mastodon:{name.lower()}@{host.lower()}"
    return (
        author if len(author.encode()) <= MAX_IDENTIFIER else None
    )  # it would be no key of the state either


def addresses_of(identifier: str) -> list[str]:
    """What the addresses begin with, in lower case, of which ``author_of`` is ``identifier``."""
    kind, _, value = identifier.partition(":")
    if kind == "bluesky":
        return [f"at://{value}/".lower()]
    name, at, host = value.partition("@")
    if kind != "mastodon" or not at:
        return []
    return [f"{scheme}://{host}/{below}{name}/".lower() for scheme in ("https", "http") for below in _BELOW]


_CALLED = {type(None): "null", bool: "true or false", list: "a list", dict: "an object"}  # in JSON


def checked_identifier(text: Any, *, field: str) -> str:
    """``text`` if it is a well-formed ``type:value``.

    Raises:
        Rejected: not a string, no type, no value, control characters, lone surrogates, or too long.
    """
    if not isinstance(text, str):
        raise Rejected(
            f"{field} must be a text like user:42, not {_CALLED.get(type(text), 'a number')}",
            code="invalid_identifier",
            field=field,
        )
    kind, colon, value = text.partition(":")
    if not colon or not kind or not value or not kind.replace("_", "").isalnum() or not kind.islower():
        raise Rejected(
            f"{field} must look like type:value (user:42), not {text[:80]!r}",
            code="invalid_identifier",
            field=field,
        )
    if not text.isprintable() and any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise Rejected(
            f"{field} holds control characters: {text[:80]!r}", code="invalid_identifier", field=field
        )
    try:
        if len(text.encode()) > MAX_IDENTIFIER:
            raise Rejected(
                f"{field} is longer than {MAX_IDENTIFIER} bytes", code="invalid_identifier", field=field
            )
    except UnicodeEncodeError as exc:
        raise Rejected(f"{field} holds a lone surrogate", code="invalid_identifier", field=field) from exc
    return text
