"""What networks count without names: 77 likes of a post. A count about a post, and never 77 people."""

from __future__ import annotations

from typing import Any

import msgspec

from plait.events import Event
from plait.profiles.state import Pending, message_name
from plait.profiles.subjects import SEP, abouts
from plait.store import Snapshot


class Total(msgspec.Struct, array_like=True, frozen=True, order=True):
    """The newest count of one signal about one thing, as one source has it."""

    at: int
    id: str
    value: float
    source: str
    signal: str


_encode = msgspec.msgpack.Encoder().encode
_total = msgspec.msgpack.Decoder(Total)


def count(state: Pending, event: Event) -> None:
    """Take up a snapshot; of several the newest counts, by (``at``, id).

    Args:
        state: changed.
        event: with op ``snapshot``; without a value it says nothing.
    """
    if event.value is None:
        return
    told = Total(event.at, event.id, event.value, event.source, event.signal)
    account = event.about.account
    about = abouts(event.about)[0] if account is None else f"account{SEP}{account}{SEP}"
    key = _of(about) + message_name(event.source, event.signal)
    known = state.get("totals", key)
    if known is None or told > _total.decode(known):
        state.put("totals", key, _encode(told))


def clear(state: Pending, account: str) -> None:
    """Delete the counts about an account."""
    state.clear("totals", _of(f"account{SEP}{account}{SEP}"))


def totals(snapshot: Snapshot, kind: str, id: str) -> list[dict[str, Any]]:
    """The counts about a thing, ``{"source", "signal", "value", "at"}``, in order of source and signal.

    Args:
        snapshot: of the state.
        kind: ``post`` or ``account``.
        id: of it.
    """
    rows = snapshot.scan("totals", _of(f"{kind}{SEP}{id}{SEP}"))
    found = [_total.decode(raw) for _, raw in rows]
    return [
        {"source": one.source, "signal": one.signal, "value": one.value, "at": one.at}
        for one in sorted(found, key=lambda one: (one.source, one.signal))
    ]


def _of(about: str) -> bytes:
    return message_name("", about)
