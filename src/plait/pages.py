"""What a connector told, as it enters the log: facts and the cursor behind them in one record.

Because both are one record, a cursor never stands before what it claims to have read, whatever is killed when. The fold
keeps the cursors, so they come back by replay like everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import msgspec

from plait import bridge
from plait.errors import Corrupt, Rejected
from plait.events import SOCIAL, Record, Signal, checked_identifier, identifier_type
from plait.graph import hidden, pseudonym
from plait.intake import Door, Refusal, refusal
from plait.intake.checks import (
    converted,
    counted,
    encoded,
    fit,
    kind_of,
    meant,
    network,
    parsed,
    short,
    size_of,
    under,
    wrong,
)
from plait.intake.clean import Cleaner
from plait.intake.told import Lane, PageBody, Told, named_by, page_decoder
from plait.intake.values import corrected, milliseconds
from plait.settings import Settings
from plait.store import Snapshot

LANES: tuple[Lane, ...] = get_args(Lane)
LONGEST_CURSOR = 4_096  # characters
LONGEST_GAP = 500
MOST_GONE = 1_000

# What people do on a network; who they are to the shop, and what they allow, no network can say.
SIGNALS = SOCIAL | {Signal.SHARE, Signal.SAVE, Signal.RATE, Signal.PLAY, Signal.VIEW, Signal.CLICK, Signal.TRAIT, Signal.OTHER}  # fmt: skip
_OURS = frozenset({"user", "email", "phone", "anonymous", "erased"})


class Place(msgspec.Struct, array_like=True, frozen=True):
    """From where a connector goes on.

    Attributes:
        cursor: of the lane; ``None`` begins at the beginning.
        at: when it was kept, ms since the epoch.
        done: the lane has come to its end.
        position: of the record that told it.
    """

    cursor: str | None
    at: int
    done: bool
    position: int


_encode = msgspec.msgpack.Encoder().encode
_places = msgspec.msgpack.Decoder(Place)


def fold_cursor(
    position: int, record: Record, get: Callable[[str, bytes], bytes | None]
) -> dict[bytes, bytes | None]:
    """What a record of kind ``page`` changes in the table ``cursors``.

    Args:
        position: of the record.
        record: its body was checked before it went into the log.
        get: (table, key) -> the value as of the records before this one.

    Raises:
        Corrupt: the body is not what we write.
    """
    try:
        page = page_decoder.decode(record.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Corrupt(f"a page of the log cannot be read: {exc}", code="log_corrupt") from exc
    changed: dict[bytes, bytes | None] = {}
    if page.cursor is not None or page.done:
        key = _key(record.source, page.lane)
        known = get("cursors", key)
        before = _places.decode(known).cursor if known else None
        cursor = before if page.cursor is None else page.cursor
        changed[key] = _encode(Place(cursor, record.received_at, page.done, position))
    if page.gap is not None:
        changed[_key(record.source, "backfill")] = _encode(Place(None, record.received_at, False, position))
    return changed


def places(snapshot: Snapshot, source: str) -> dict[str, Place]:
    """From where each lane of a source goes on; lanes that never told a cursor are missing."""
    prefix = source.encode() + b"\0"
    return {key[len(prefix) :].decode(): _places.decode(raw) for key, raw in snapshot.scan("cursors", prefix)}


def _key(source: str, lane: str) -> bytes:
    return source.encode() + b"\0" + lane.encode()


# -- coming in -------------------------------------------------------------------------------------------------


class Taken(msgspec.Struct, frozen=True):
    """A page that may be kept: the record's ``body``, the accounts that are gone, codes and the accounts they came from, and
    what was left out and why.
    """

    body: bytes
    accepted: int
    gone: tuple[str, ...]
    proofs: tuple[tuple[str, str], ...]
    refused: tuple[Refusal, ...]


class PageIntake:
    """Checks what connectors tell. One wrong fact costs no other, and never the cursor."""

    def __init__(
        self,
        settings: Settings,
        door: Door,
        *,
        far: Callable[[str, str], bool] = lambda _actor, _account: False,
        pepper: str = "",
    ) -> None:
        """One for a page.

        Args:
            settings: for what has to be cleaned away.
            door: who may be collected.
            far: whether somebody who follows an account is nobody we know, and the account none of ours. Then both are kept as
                numbers.
            pepper: ``Keys.pepper``.
        """
        self._cleaner = Cleaner(settings)
        self._door = door
        self._far, self._pepper = far, pepper

    def page(self, body: bytes, source: str, *, now: int) -> Taken:
        """A page, ``{"events": [...], "cursor"?, "lane"?, "done"?, "gap"?, "gone"?: [...], "proofs"?: [[account, code]]}``.

        Args:
            body: JSON.
            source: of the account.
            now: ms since the epoch.

        Raises:
            Rejected: it is no such page; single facts that are wrong are told in ``refused``.
        """
        short(source, "source", longest=128)
        told = parsed(body)
        if not isinstance(told, dict):
            raise Rejected(f"the body must be an object, not {kind_of(told)}", code="invalid_body")
        _known_names(told)
        given = told.get("events", [])
        if not isinstance(given, list):
            wrong("events", "events must be a list")
        counted(given, "events")
        gone = _gone(told)
        kept: list[bytes] = []
        refused: list[Refusal] = []
        for index, one in enumerate(given):
            path = f"events[{index}]"
            try:
                kept.append(encoded(self._fact(one, path, source, now, gone), path))
            except Rejected as exc:
                refused.append(refusal(index, exc))
        page = PageBody(
            events=[msgspec.Raw(one) for one in kept],  # type: ignore[misc]  # as they were encoded
            lane=_lane(told.get("lane", "poll")),
            cursor=_text(told, "cursor", LONGEST_CURSOR),
            done=_flag(told, "done"),
            gap=_text(told, "gap", LONGEST_GAP),
        )
        return Taken(msgspec.json.encode(page), len(kept), gone, _proofs(told), tuple(refused))

    def _fact(self, told: Any, path: str, source: str, now: int, gone: Sequence[str] = ()) -> dict[str, Any]:
        """One fact as it may rest.

        Raises:
            Rejected: what is wrong, or that those it names do not allow it.
        """
        fit(size_of(told), path)
        clean = {name: value for name, value in self._cleaner.object(told, path).items() if value is not None}
        event = converted(clean, Told, path)
        short(event.id, under(path, "id"))
        if event.signal not in SIGNALS or event.consent:
            what = "consent" if event.consent else event.signal.value
            raise Rejected(f"no network can say {what}", code="forbidden", field=path, status=403)
        if event.source not in (None, source):
            wrong(under(path, "source"), f"a page of {source} holds facts of no other source")
        clean.pop("source", None)
        meant(event, path, now=now)
        network(event, path, trusted=True)
        if event.properties:
            clean["properties"] = self._cleaner.properties(event.signal, clean["properties"])
        _named(event, path)
        if not named_by(event).isdisjoint(gone):
            # A stream is gathered into pages: what they did may stand in the very page that tells that they are gone, and
            # nobody was known of whom anything could be erased.
            raise Rejected("somebody it names is gone", code="erased", field=path, status=403)
        at = None if event.at is None else milliseconds(event.at)
        # When nobody knows when, a network that tells it once more must not bring back who was erased.
        undated = clean.get("properties", {}).pop(bridge.UNDATED, False)
        self._let_in(event, 0 if undated else corrected(at, None, now), source, path)
        whom = event.about.account
        if event.signal is Signal.FOLLOW and event.who and whom and self._far(event.who[0], whom):
            clean |= self._hidden(event, event.who[0], whom)
        return clean

    def _hidden(self, event: Told, one: str, other: str) -> dict[str, Any]:
        """What stands where two are named who are far from here; see docs/explanation/decisions/0173."""
        told: dict[str, Any] = {
            "id": hidden(
                event.id, self._pepper
            ),  # networks build it, and the record's, of the account's name
            "who": [pseudonym(one, self._pepper)],
            "about": {"account": pseudonym(other, self._pepper)},
            "properties": {},
        }
        return told if event.record is None else told | {"record": hidden(event.record, self._pepper)}

    def _let_in(self, event: Told, at: int, source: str, path: str) -> None:
        """Ask the door of consent; see docs/explanation/decisions/0150-what-a-network-tells-of-strangers.md."""
        if self._door.erased([*named_by(event)], at):
            raise Rejected(
                "somebody it names was erased after this happened", code="erased", field=path, status=403
            )
        if event.op in ("retract", "erase"):  # it can only make less of what we hold
            return
        for one in event.who:
            if self._door.refuses((one,), source) or self._door.denies((one,), source, "social"):
                raise Rejected(
                    "somebody it names does not allow it", code="no_consent", field=path, status=403
                )


def _named(event: Told, path: str) -> None:
    """Check whom a fact names: one account of a network, or nobody."""
    if len(event.who) > 1:
        wrong(under(path, "who"), "a fact is one account's")
    for index, one in enumerate(event.who):
        checked_identifier(one, field=under(path, f"who[{index}]"))
        if identifier_type(one) in _OURS:
            wrong(under(path, f"who[{index}]"), "a network tells of its own accounts only",
                  code="invalid_identifier")  # fmt: skip


_NAMES = ("events", "cursor", "lane", "done", "gap", "gone", "proofs", "source")


def _known_names(told: Mapping[str, Any]) -> None:
    for name in told:
        if name not in _NAMES:
            wrong(name[:80], f"{name[:80]} is not known here; {', '.join(_NAMES)} are", code="invalid_body")


def _lane(told: Any) -> Lane:
    if told not in LANES:
        wrong("lane", f"lane is one of {', '.join(LANES)}, not {str(told)[:80]!r}")
    found: Lane = told
    return found


def _text(told: Mapping[str, Any], name: str, longest: int) -> str | None:
    value = told.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > longest:
        wrong(name, f"{name} must be a text of at most {longest} characters")
    try:
        value.encode()
    except UnicodeEncodeError:
        wrong(name, f"{name} holds a lone surrogate", code="invalid_text")
    return value


def _flag(told: Mapping[str, Any], name: str) -> bool:
    value = told.get(name, False)
    if not isinstance(value, bool):
        wrong(name, f"{name} is true or false")
    return bool(value)


def _gone(told: Mapping[str, Any]) -> tuple[str, ...]:
    value = told.get("gone", [])
    if not isinstance(value, list) or len(value) > MOST_GONE:
        wrong("gone", f"gone must be a list of at most {MOST_GONE} accounts")
    found: Sequence[str] = [checked_identifier(one, field=f"gone[{i}]") for i, one in enumerate(value)]
    for index, one in enumerate(found):
        if identifier_type(one) in _OURS:
            wrong(f"gone[{index}]", "a network tells of its own accounts only", code="invalid_identifier")
    return tuple(dict.fromkeys(found))


def _proofs(told: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Codes that accounts sent. They are no facts and do not rest."""
    value = told.get("proofs", [])
    if not isinstance(value, list) or len(value) > MOST_GONE:
        wrong("proofs", f"proofs must be a list of at most {MOST_GONE} pairs")
    for index, one in enumerate(value):
        if not isinstance(one, list) or len(one) != 2 or not isinstance(one[1], str):
            wrong(f"proofs[{index}]", "a proof is an account and a code")
        checked_identifier(one[0], field=f"proofs[{index}][0]")
    return tuple((account, code[:40]) for account, code in value)
