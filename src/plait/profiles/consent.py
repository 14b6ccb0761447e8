"""Who may be collected, linked, personalised, and what of their social side may be used.

What somebody said about a purpose is kept as the last word by time, per purpose and per purpose and source. The
newest statement over a person's identifiers wins and ties deny. What was withdrawn for one source comes back only
by a word about that source: many sites repeat their general consent with every event, and that is no answer to it.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from plait.events import PURPOSES, Event, Signal, is_weak
from plait.settings import ConsentDefaults, Settings
from plait.store import Snapshot

SEP = "\x1f"
INDEX = b"consent\0"  # in the table `meta`: identifier -> consents, for all who ever said anything

Consent = Mapping[str, bool | dict[str, bool]]  # purpose -> granted, or source -> granted
Stated = tuple[int, str, bool]  # (at, id, granted)
Statements = Mapping[str, Stated]  # purpose, or purpose SEP source -> the last word

index_encoder = msgspec.msgpack.Encoder(order="deterministic")  # equal statements, equal bytes
_index_decoder = msgspec.msgpack.Decoder(dict[str, Stated])
_cutoff_decoder = msgspec.msgpack.Decoder(int)


class Statement(NamedTuple):
    """One identifier's word about one purpose."""

    identifier: str
    purpose: str  # or purpose SEP source
    at: int
    id: str
    granted: bool


def statements_of(event: Event) -> list[Statement]:
    """What an event says about consent, and for whom.

    A denial holds for everybody it names. A grant does too when it came with the secret key; the public write key
    can grant for anonymous identifiers only, or anybody could undo somebody's withdrawal. What comes with a link
    about linking is about that edge alone.
    """
    said = event.consent
    if said and event.signal is Signal.LINK and "link" in said:
        said = {purpose: told for purpose, told in said.items() if purpose != "link"}
    return _statements(event.who, said, event.at, event.id, event.proven)


def _statements(
    who: Sequence[str], consent: Consent | None, at: int, id: str, proven: bool
) -> list[Statement]:
    found = []
    for purpose, told in (consent or {}).items():
        if purpose not in PURPOSES:
            continue
        words = (
            [(purpose, told)]
            if isinstance(told, bool)
            else [(f"{purpose}{SEP}{source}", granted) for source, granted in told.items()]
        )
        found += [
            Statement(one, named, at, id, granted)
            for named, granted in words
            for one in who
            if not granted or proven or is_weak(one)
        ]
    return found


def stated_order(stated: Stated) -> tuple[int, bool, str]:
    """Newest wins and ties deny."""
    return stated[0], not stated[2], stated[1]


def resolve(purpose: str, source: str, said: Iterable[Statements], default: bool) -> bool:
    """Whether a purpose holds for a source.

    Args:
        purpose: one of ``PURPOSES``.
        source: of the data; "" asks for the general answer.
        said: the statements of all who have a say.
        default: what holds as long as nobody said anything.
    """
    general: Stated | None = None
    special: Stated | None = None
    named = f"{purpose}{SEP}{source}"
    for statements in said:
        general = _newer(general, statements.get(purpose))
        if source:
            special = _newer(special, statements.get(named))
    if special is None:
        return default if general is None else general[2]
    if not special[2]:
        return False
    return general is None or general[2] or special[0] > general[0]


def _newer(one: Stated | None, other: Stated | None) -> Stated | None:
    if one is None or other is None:
        return one or other
    return max(one, other, key=stated_order)


def default_for(purpose: str, defaults: ConsentDefaults) -> bool:
    """What the settings say about a purpose."""
    held: bool = getattr(defaults, purpose)
    return held


def resolved(said: Sequence[Statements], defaults: ConsentDefaults) -> dict[str, bool]:
    """All purposes, and ``purpose@source`` where a source differs, as a person may be told them."""
    answer: dict[str, bool] = {one: resolve(one, "", said, default_for(one, defaults)) for one in PURPOSES}
    for statements in said:
        for named in statements:
            purpose, _, source = named.partition(SEP)
            if source and purpose in answer:
                held = resolve(purpose, source, said, default_for(purpose, defaults))
                if held != answer[purpose]:
                    answer[f"{purpose}@{source}"] = held
    return answer


def hashed(identifier: str, pepper: str) -> bytes:
    """What stands for an erased identifier: 16 bytes that only this installation can make."""
    return hmac.digest(pepper.encode(), identifier.encode(), "sha256")[:16]


class ConsentDoor:
    """In the memory of whoever lets events in: who said what, and who was erased.

    Knows everybody from the state (``load``) and is told what was accepted since (``tell``), so that a withdrawal
    holds from the next request on.

    Attributes:
        forgotten: how many times somebody was erased; who remembers names has to let go of them when it changes.
    """

    def __init__(self, settings: Settings, pepper: str = "") -> None:
        """A door that knows nobody yet.

        Args:
            settings: for the defaults.
            pepper: ``Keys.pepper``; without it nobody counts as erased.
        """
        self._defaults = settings.consent
        self._pepper = pepper
        self._said: dict[str, dict[str, Stated]] = {}
        self._erased: dict[bytes, int] = {}
        self.forgotten = 0

    def load(self, snapshot: Snapshot, settings: Settings) -> ConsentDoor:
        """Take up all that is in the state; what stands in the log behind it must be told.

        Returns:
            The door itself.
        """
        self._defaults = settings.consent
        for key, raw in snapshot.scan("meta", INDEX):
            self._said[key[len(INDEX) :].decode()] = _index_decoder.decode(raw)
        for key, raw in snapshot.scan("erased"):
            self._erased[key] = _cutoff_decoder.decode(raw)
        return self

    def tell(
        self, who: Sequence[str], consent: Consent | None, at: int, id: str, *, proven: bool = True
    ) -> None:
        """Take up what an accepted event says about consent; told twice equals told once.

        Args:
            who: identifiers it names.
            consent: as in the event.
            at: when it happened, ms since the epoch.
            id: of the event.
            proven: whether it may grant for others than anonymous identifiers.
        """
        for one in _statements(who, consent, at, id, proven):
            self._hear(one)

    def _hear(self, one: Statement) -> None:
        said = self._said.setdefault(one.identifier, {})
        told = (one.at, one.id, one.granted)
        known = said.get(one.purpose)
        if known is None or stated_order(told) > stated_order(known):
            said[one.purpose] = told

    def tell_event(self, event: Event) -> None:
        """``tell`` with what an event says; what comes with a link about linking is about that edge, and not told here."""
        for one in statements_of(event):
            self._hear(one)

    def forget(self, identifiers: Iterable[str], cutoff: int) -> None:
        """Take up an erasure: nothing of these identifiers from up to ``cutoff`` (ms) is let in again."""
        for identifier in identifiers:
            self._said.pop(identifier, None)
            key = hashed(identifier, self._pepper)
            self._erased[key] = max(cutoff, self._erased.get(key, 0))
        self.forgotten += 1

    def silent(self, identifiers: Sequence[str]) -> bool:
        """Whether none of these ever said anything or was erased, so that only the defaults hold. Quick, for the edge."""
        return self._said.keys().isdisjoint(identifiers) and not self.erased([*identifiers], 0)

    def refuses(self, who: Sequence[str], source: str, purpose: str = "collect") -> bool:
        """Whether those named said no to ``purpose`` (or never said yes, where that is the default).

        Who is named beside a device is not bound by its yes: anybody can make one up and name anybody beside it.
        """
        said = [self._said[one] for one in who if one in self._said]
        if not resolve(purpose, source, said, default_for(purpose, self._defaults)):
            return True
        return len(said) > 1 and self.denies(who, source, purpose)

    def denies(self, who: Sequence[str], source: str, purpose: str = "collect") -> bool:
        """Whether those named, their devices apart, said no and have not taken it back."""
        said = [self._said[one] for one in who if one in self._said and not is_weak(one)]
        return not resolve(purpose, source, said, True)

    def erased(self, who: Sequence[str], at: int) -> bool:
        """Whether an event at ``at`` names somebody who was erased after it: a late retry."""
        if not self._erased:
            return False
        return any(at <= self._erased.get(hashed(one, self._pepper), -1) for one in who)

    def statements(self, identifier: str) -> Statements:
        """What this identifier said."""
        return self._said.get(identifier, {})
