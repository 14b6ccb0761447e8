"""What an erasure takes along, and what is noted so that it finds everything.

The fold takes a person out of the state; whoever writes the log takes the noted calls out of it. Repetitions and late
retries do not count, but they name people and lie in the log, so the fold notes where.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import msgspec

from plait import identity
from plait.events import Event, Record, addresses_of, decode_record, is_weak
from plait.intake.told import named_by
from plait.profiles.state import ASIDE, NOBODY, Pending, decode_row, mark_of, prefix_of, row_key
from plait.settings import IdentityLimits

ERASURES = b"erasure\0"  # in `meta`: position -> what still has to leave log and lake
_AGAIN = b"again\0"  # in `meta`: identifier NUL position -> numbers of calls that were told before


class Erasure(msgspec.Struct, array_like=True):
    """What an erasure still has to take out of the log and the lake; rests in ``meta`` until that is done.

    Attributes:
        id: of the erase event; "" when late retries have to leave, with ``who`` left empty.
        source: of the erase event.
        at: of the erase event, ms since the epoch.
        who: the identifiers, in clear.
        hashes: what stands for them from now on.
        cutoff: nothing of theirs from up to then is let in again, ms since the epoch.
        records: position -> numbers of the calls in it that must leave.
        others: who was named beside them, and is another now.
    """

    id: str
    source: str
    at: int
    who: list[str]
    hashes: list[bytes]
    cutoff: int
    records: dict[int, list[int]]
    others: list[str] = []


class Records(Protocol):
    """What is asked of a log here: records by position."""

    def get(self, positions: Sequence[int]) -> dict[int, bytes]:
        """The records at these positions; missing ones are left out."""
        ...


_encode = msgspec.msgpack.Encoder().encode
_erasures = msgspec.msgpack.Decoder(Erasure)
_numbers = msgspec.msgpack.Decoder(list[int])


def decode_erasure(raw: bytes) -> Erasure:
    """An ``Erasure`` as it rests in ``meta``."""
    return _erasures.decode(raw)


def note_again(state: Pending, position: int, number: int, event: Event) -> None:
    """Remember where a repetition lies, for each whom it names."""
    for one in named_by(event):
        key = _again(one) + position.to_bytes(8, "big")
        known = state.get("meta", key)
        state.put("meta", key, _encode([*(_numbers.decode(known) if known else ()), number]))


def note_late(state: Pending, position: int, number: int) -> None:
    """Note that a call has to leave the log: it names somebody who was erased after it happened."""
    key = ERASURES + position.to_bytes(8, "big")
    known = state.get("meta", key)
    erasure = decode_erasure(known) if known else Erasure("", "", 0, [], [], 0, {})
    numbers = erasure.records.setdefault(position, [])
    if number not in numbers:
        numbers.append(number)
    state.put("meta", key, _encode(erasure))


def gone_with(event: Event, neighbours: identity.Neighbours, limits: IdentityLimits) -> set[str]:
    """Whose data leaves with an erase event.

    One that is about an account says that the account is gone from its network, not that its person wants to be
    forgotten: it takes that identifier and nobody linked to it.
    """
    if event.about.account is not None:
        return {event.about.account}
    return persons(event.who, neighbours, limits)


def persons(asked: Iterable[str], neighbours: identity.Neighbours, limits: IdentityLimits) -> set[str]:
    """Whose data leaves: the persons asked for, and the devices that are nobody else's.

    Consent to link does not matter here: what we know to be theirs leaves whether or not we may use it.
    """
    strong: set[str] = set()
    gone: set[str] = set()
    for one in asked:
        found = identity.person(one, neighbours, limits=limits, may_link=lambda *_: True)
        strong.update(other for other in found if not is_weak(other))
        if is_weak(one):
            gone.add(one)
    for one in strong:
        for other in identity.joining(one, neighbours):
            if is_weak(other) and strong.issuperset(identity.joining(other, neighbours)):
                gone.add(other)
    return gone | strong


def places(state: Pending, gone: Iterable[str]) -> set[tuple[int, int]]:
    """Position and number of every call that names somebody, counted or told again."""
    found: set[tuple[int, int]] = set()
    for identifier in gone:
        for table in ("timeline", "named"):
            for _, raw in state.rows(table, prefix_of(identifier)):
                row = decode_row(raw)
                found.add((row.position, row.number))
        for rest, raw in state.rows("meta", _again(identifier)):
            found.update((int.from_bytes(rest, "big"), number) for number in _numbers.decode(raw))
    return found


def set_aside(state: Pending) -> list[int]:
    """Positions of the records that could not be folded."""
    return [int.from_bytes(rest, "big") for rest, _ in state.rows("meta", ASIDE)]


def calls_with(record: Record, gone: Iterable[str]) -> list[int]:
    """Numbers of the calls that hold an identifier anywhere, of a record of which nobody can tell whom it names."""
    if record.kind not in ("segment", "events", "page"):
        return []
    names = {name for one in gone for name in (one, one.partition(":")[2])}
    addresses = tuple(each for one in gone for each in addresses_of(one))
    return [
        number
        for number, call in enumerate(calls_of(record))
        if call is not None
        and any(told.strip() in names or told.lower().startswith(addresses) for told in _texts(call))
    ]


def _texts(told: object) -> Iterator[str]:
    """All texts in a JSON value, names apart."""
    if isinstance(told, str):
        yield told
    elif isinstance(told, dict | list):
        for one in told.values() if isinstance(told, dict) else told:
            yield from _texts(one)


def clear_again(state: Pending, identifier: str) -> None:
    """Forget where repetitions lie that name somebody."""
    state.clear("meta", _again(identifier))


def take_out(state: Pending, position: int, number: int, event: Event, window: Iterable[bytes]) -> None:
    """Delete what is left of one event that named somebody who is gone.

    Args:
        state: to be changed.
        position: of its record.
        number: of its call in the record.
        event: itself.
        window: where its message id may be remembered.
    """
    for key in window:
        if state.get("window", key) is not None:
            state.put("window", key, None)
    for one in named_by(event) if event.who else {NOBODY, *named_by(event)}:
        key = prefix_of(one) + row_key(event.at, mark_of(event))
        for table in ("timeline", "named"):
            if state.get(table, key) is not None:
                state.put(table, key, None)
        again = _again(one) + position.to_bytes(8, "big")
        known = state.get("meta", again)
        if known is not None:
            numbers = [each for each in _numbers.decode(known) if each != number]
            state.put("meta", again, _encode(numbers) if numbers else None)


def _again(identifier: str) -> bytes:
    return b"again\0" + prefix_of(identifier)


def is_done(erasure: Erasure, log: Records) -> bool:
    """Whether an erasure has left the log."""
    for position, raw in log.get(list(erasure.records)).items():
        left = calls_of(decode_record(raw, position))
        for number in erasure.records[position]:
            call = left[number]
            if call is not None and not _is_closed(call):
                return False
    return True


def calls_of(record: Record) -> list[dict[str, object] | None]:
    """The calls in a record, ``None`` where one was taken out."""
    body = msgspec.json.decode(record.body)
    inside = {"segment": "batch", "page": "events"}.get(record.kind)
    calls: list[dict[str, object] | None] = body if inside is None else body.get(inside, [])
    return calls


def _is_closed(call: Mapping[str, object]) -> bool:
    """Whether an erase event names hashes only."""
    who = call.get("who")
    return isinstance(who, list) and all(str(one).startswith("erased:") for one in who)
