"""What a stream of the AT protocol says, in a few messages of our own; and how Jetstream, its JSON form, is read.

The firehose itself (``_firehose``) is read into the same messages. No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import msgspec

from plait.errors import Rejected

Action = Literal["create", "update", "delete"]
LIKE, REPOST = "app.bsky.feed.like", "app.bsky.feed.repost"
POST, FOLLOW = "app.bsky.feed.post", "app.bsky.graph.follow"
COLLECTIONS = frozenset({LIKE, REPOST, POST, FOLLOW})

_SORTED = {letter: value for value, letter in enumerate("234567abcdefghijklmnopqrstuvwxyz")}
# RecursionError: a frame may nest as deep as its sender likes.
BROKEN = (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError)


class Act(NamedTuple):
    """One operation on one record. ``record`` and ``cid`` are ``None`` for a delete."""

    action: Action
    collection: str
    rkey: str
    cid: str | None = None
    record: dict[str, Any] | None = None


class Commit(NamedTuple):
    """What somebody wrote, of what matters to us.

    Attributes:
        did: whose repo.
        rev: its revision, a TID that only grows; ``since`` the one before, "" when not told.
        broken: why operations of it could not be read; "" when all could.
    """

    did: str
    rev: str
    since: str = ""
    acts: tuple[Act, ...] = ()
    broken: str = ""


class State(NamedTuple):
    """Whether an account is there, and why not: ``deleted``, ``takendown``, ``suspended``, ``deactivated`` and more."""

    did: str
    active: bool
    status: str


class Reset(NamedTuple):
    """A repo was put back to some state that was not told act by act."""

    did: str


class Notice(NamedTuple):
    """Something about the stream itself; ``fatal`` when the server ends it with this."""

    name: str
    fatal: bool


Message = Commit | State | Reset | Notice


class Interest(NamedTuple):
    """What is worth decoding.

    Attributes:
        me: the company's DID.
        watched: a DID of which every act matters.
        known: a DID of which we may hold something: what it deletes matters, and whether it is there at all.
    """

    me: str
    watched: Callable[[str], bool]
    known: Callable[[str], bool]


# -- names -----------------------------------------------------------------------------------------------------


def tid_ms(tid: str) -> int | None:
    """When a TID was made, ms since the epoch; ``None`` if it is none."""
    if len(tid) != 13:
        return None
    value = 0
    for letter in tid:
        digit = _SORTED.get(letter)
        if digit is None:
            return None
        value = value << 5 | digit
    return (value >> 10) // 1000 if value < 1 << 63 else None


def uri(did: str, collection: str, rkey: str) -> str:
    """The name of a record, ``at://did/collection/rkey``."""
    return f"at://{did}/{collection}/{rkey}"


def split(name: str) -> tuple[str, str, str]:
    """``(did, collection, rkey)`` of a record's name.

    Raises:
        ValueError: it is none.
    """
    parts = name.split("/")
    if len(parts) != 5 or parts[:2] != ["at:", ""] or not all(parts[2:]):
        raise ValueError("no at:// URI of a record")
    return parts[2], parts[3], parts[4]


# -- Jetstream -------------------------------------------------------------------------------------------------


class _JsonCommit(msgspec.Struct):
    rev: str
    operation: str
    collection: str
    rkey: str
    cid: str | None = None
    record: msgspec.Raw = msgspec.Raw(b"null")


class _JsonAccount(msgspec.Struct):
    active: bool
    status: str = ""


class _Json(msgspec.Struct):
    did: str
    time_us: int
    kind: str
    commit: _JsonCommit | None = None
    account: _JsonAccount | None = None


_json = msgspec.json.Decoder(_Json)
_record = msgspec.json.Decoder(dict[str, Any])


def read_json(data: bytes, interest: Interest) -> tuple[int, Message | None]:
    """A message of Jetstream; its sequence number is ``time_us``.

    Raises:
        Rejected: it is no message of Jetstream; code ``invalid_frame``.
    """
    try:
        told = _json.decode(data)
        return told.time_us, _read_json(told, data, interest)
    except (*BROKEN, msgspec.DecodeError) as exc:
        raise Rejected(f"a message cannot be read: {type(exc).__name__}", code="invalid_frame") from exc


def _read_json(told: _Json, data: bytes, interest: Interest) -> Message | None:
    if told.account is not None:
        wanted = told.did == interest.me or interest.known(told.did)
        return State(told.did, told.account.active, told.account.status) if wanted else None
    one = told.commit
    if one is None or one.collection not in COLLECTIONS:
        return None
    if one.operation == "delete":
        wanted = told.did == interest.me or interest.known(told.did)
        act = Act("delete", one.collection, one.rkey)
        return Commit(told.did, one.rev, acts=(act,)) if wanted else None
    if one.operation not in ("create", "update"):
        raise ValueError("no such operation")
    changed = one.operation == "update" and interest.known(told.did)  # from being about us, perhaps
    wanted = changed or told.did == interest.me or interest.watched(told.did)
    if not wanted and interest.me.encode() not in data:
        return None
    record = _record.decode(one.record)
    act = Act("create" if one.operation == "create" else "update", one.collection, one.rkey, one.cid, record)
    return Commit(told.did, one.rev, acts=(act,))
