"""What may come in: requests are checked, cleaned and turned into what rests in the log.

A request that is in order passes at a glance: its bytes are looked at once, decoded once into the little that must
be checked, and rest as they came. Anything else is taken apart call by call, so that one wrong call costs no other
and what must not rest (keys, addresses, form values, message text) is taken out before it is written.

``calls.py`` takes the Segment protocol, ``own.py`` our own vocabulary; what holds for both is in ``admission.py``.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Protocol

import msgspec

from plait.errors import Rejected


class Door(Protocol):
    """Who may be collected (``plait.profiles.consent.ConsentDoor``)."""

    @property
    def forgotten(self) -> int: ...  # noqa: D102
    def silent(self, identifiers: Sequence[str]) -> bool: ...  # noqa: D102
    def refuses(self, who: Sequence[str], source: str, purpose: str = "collect") -> bool: ...  # noqa: D102
    def denies(self, who: Sequence[str], source: str, purpose: str = "collect") -> bool: ...  # noqa: D102
    def erased(self, who: Sequence[str], at: int) -> bool: ...  # noqa: D102


class Refusal(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event that was not taken, and why. ``index`` counts from 0 in the order sent."""

    index: int
    code: str
    message: str
    field: str | None = None
    status: int = 400


def refusal(index: int, exc: Rejected) -> Refusal:
    """What a sender is told about one event."""
    return Refusal(index, exc.code, exc.message, exc.field, exc.status)


class Taken(msgspec.Struct, frozen=True):
    """What became of a request.

    Attributes:
        body: for the record, ``None`` when nothing was accepted.
        accepted: number of events, as the sender counts them.
        refused: in the order sent.
        closer: something was out of the ordinary: there may be a consent in it, or an id that we gave.
        ids: of every call in the order sent; ``None`` where there is none. Told only after a closer look.
    """

    body: bytes | None
    accepted: int
    refused: tuple[Refusal, ...] = ()
    closer: bool = False
    ids: tuple[str | None, ...] = ()


def new_id() -> str:
    """An id for a sender who gave none; a retry of such a call cannot be told from a new one."""
    return f"plait-{secrets.token_hex(12)}"
