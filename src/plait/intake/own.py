"""Events in our own vocabulary, as they may come in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from difflib import get_close_matches
from typing import Annotated, Any

import msgspec

from plait.errors import Rejected
from plait.events import (
    MAX_BATCH,
    MAX_EVENT_BYTES,
    MAX_WHO,
    PUBLIC,
    About,
    Counter,
    Op,
    Signal,
    checked_identifier,
    strongest_first,
)
from plait.intake import Refusal, Taken, new_id, refusal
from plait.intake.admission import Admission, Nothing, ties_without_a_word
from plait.intake.checks import (
    LONGEST_ID,
    allowed,
    converted,
    counted,
    encoded,
    fit,
    id_of,
    known_purposes,
    meant,
    network,
    parsed,
    short,
    size_of,
    timestamp,
    under,
    wrong,
)
from plait.intake.scan import BYTES
from plait.intake.signals import FORM, TEXT
from plait.intake.told import Told
from plait.intake.values import corrected, milliseconds


class _Seen(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """Of an event of our own only what must be checked; the types are those of ``plait.intake.told.Told``."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_ID)]
    signal: Signal
    who: tuple[str, ...]
    source: str | None = None
    op: Op = "assert"
    at: int | datetime | None = None
    sent_at: int | datetime | None = None
    about: About = About()
    value: float | None = None
    counter: Counter | None = None
    name: str | None = None
    decision: str | None = None
    traits: Nothing | None = None
    context: Nothing = Nothing()
    properties: Nothing = Nothing()
    record: str | None = None


_SIGNALS = [one.value for one in Signal]
_ENVELOPE = ("events", "sent_at", "writeKey")
_all_seen = msgspec.json.Decoder(list[_Seen])


class EventIntake:
    """Checks and cleans events of our own. One per process."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._memo = admission.memo

    def events(
        self,
        body: bytes,
        *,
        trusted: bool,
        now: int,
        who: Sequence[str] = (),
        prefix: str = "events",
        closely: bool = False,
    ) -> Taken:
        """Events in our own words: a list, ``{"events": [...], "sent_at"?}``, or one event.

        Args:
            body: JSON.
            trusted: it came with the secret key.
            now: ms since the epoch.
            who: for events that name nobody.
            prefix: what the field paths of refusals begin with.
            closely: take it apart even if it is in order; then every event's id is told.

        Raises:
            Rejected: the body is no JSON, holds no events, or too many.
        """
        look = self._admission.scanner.look(body, 2)
        if not closely and look.flags in (0, BYTES) and not look.keys and look.largest <= MAX_EVENT_BYTES:
            try:
                seen = _all_seen.decode(body)
                if look.flags:
                    body.decode()
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                pass
            else:
                if 0 < len(seen) <= MAX_BATCH and self._seen_fine(seen, trusted, now):
                    return Taken(body, len(seen))
        told = parsed(body)
        sent_at = None
        if isinstance(told, dict) and "events" in told:
            for name in told:  # a misspelt sent_at would leave a wrong clock as it is, and tell nobody
                if name not in _ENVELOPE:
                    wrong(name[:80], f"{name[:80]} is not known beside events; sent_at is")
            sent_at, told = told.get("sent_at"), told["events"]
        elif isinstance(told, dict):
            told, prefix = [told], ""
        if not isinstance(told, list):
            raise Rejected("events must be a list", code="invalid_field", field=prefix or None)
        counted(told, prefix)
        kept: list[bytes] = []
        refused: list[Refusal] = []
        ids: list[str | None] = []
        for index, one in enumerate(told):
            path = f"{prefix}[{index}]" if prefix else ""
            ids.append(id_of(one, "id"))
            try:
                fit(size_of(one), path)
                clean = self._event(one, path, trusted=trusted, now=now, who=who, sent_at=sent_at)
                ids[-1] = clean["id"]
                kept.append(encoded(clean, path))
            except Rejected as exc:
                refused.append(refusal(index, exc))
        body_ = b"[%b]" % b",".join(kept) if kept else None
        return Taken(body_, len(kept), tuple(refused), True, tuple(ids))

    def _seen_fine(self, events: Sequence[_Seen], trusted: bool, now: int) -> bool:
        found: set[tuple[str, ...]] = set()
        for one in events:
            if one.who not in self._memo.whos:
                self._learn_who(one.who)
            known = self._memo.whos[one.who]
            if known is None or one.signal not in _PLAIN or not _in_order(one, now):
                return False
            if not trusted and (one.op != "assert" or one.signal not in PUBLIC or one.source is not None):
                return False
            if one.record is not None or one.about.account is not None or one.op == "snapshot":
                return False  # there are rules of their own for what networks tell
            found.add(known)
        if any(one.source is not None for one in events):
            return False  # whether they may be collected depends on the source
        return self._admission.lets_in(found)

    def _learn_who(self, who: tuple[str, ...]) -> None:
        self._memo.make_room(sum(map(len, who)))
        fine = 0 < len(who) <= MAX_WHO and self._admission.may_be([*who]) and not ties_without_a_word(who)
        self._memo.whos[who] = who if fine else None

    def _event(
        self, told: Any, path: str, *, trusted: bool, now: int, who: Sequence[str], sent_at: Any
    ) -> dict[str, Any]:
        clean = self._admission.cleaner.object(told, path)
        clean = {name: value for name, value in clean.items() if value is not None}
        if sent_at is not None:
            clean.setdefault("sent_at", sent_at)
        for name in ("at", "sent_at"):
            if name in clean:
                clean[name] = timestamp(clean[name], under(path, name))
        if not clean.get("who") and who:
            clean["who"] = list(who)
        if isinstance(clean.get("who"), str):
            clean["who"] = [clean["who"]]
        if clean.get("op") in ("snapshot", "retract", "erase"):
            clean.setdefault("who", [])
        if clean.get("id") in (None, ""):
            clean["id"] = new_id()
        if isinstance(signal := clean.get("signal"), str) and signal not in _SIGNALS:
            near = get_close_matches(signal, _SIGNALS, 1)
            wrong(under(path, "signal"), f"there is no signal {signal[:80]!r}; "
                  + (f"did you mean {near[0]}?" if near else f"there are {', '.join(_SIGNALS)}"))  # fmt: skip
        event = converted(clean, Told, path)
        short(event.id, under(path, "id"))
        allowed(event.signal, event.op, under(path, "signal" if event.op == "assert" else "op"), trusted)
        if event.source is not None and not trusted:
            raise Rejected(
                "source is for the secret key", code="forbidden", field=under(path, "source"), status=403
            )
        meant(event, path, now=now)
        if event.properties:
            clean["properties"] = self._admission.cleaner.properties(event.signal, clean["properties"])
        known_purposes(event.consent, under(path, "consent"))
        network(event, path, trusted)
        if not event.who:
            return clean  # a count, or a record that is gone: there is nobody who could object
        named = self._identifiers(event.who, under(path, "who"))
        happened = corrected(
            None if event.at is None else milliseconds(event.at),
            None if event.sent_at is None else milliseconds(event.sent_at),
            now,
        )
        return self._admission.admitted(
            clean,
            event.consent or None,
            named,
            happened,
            path,
            trusted=trusted,
            bare=_bare_event,
            source=event.source,
        )

    def _identifiers(self, who: tuple[str, ...], field: str) -> tuple[str, ...]:
        if len(who) > MAX_WHO:
            wrong(field, f"an event may name {MAX_WHO} identifiers, not {len(who)}")
        for index, one in enumerate(who):
            checked_identifier(one, field=f"{field}[{index}]")
        named = strongest_first(list(who))
        self._admission.not_blocked(named, field)
        return named


def _bare_event(clean: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    kept = ("id", "who", "source", "at", "sent_at")
    return {name: clean[name] for name in kept if name in clean} | {"signal": "consent", "consent": said}


# Signals whose events may hold only what any event may.
_PLAIN = frozenset(Signal) - FORM - TEXT - {
    Signal.DECIDED, Signal.ERASE, Signal.LINK, Signal.UNLINK, Signal.CONSENT,
}  # fmt: skip


def _in_order(event: _Seen, now: int) -> bool:
    """Whether nothing is left to say about an event's fields."""
    if event.op == "erase" or not (_clear(event.at) and _clear(event.sent_at)):
        return False
    try:
        meant(event, "", now=now)
    except Rejected:
        return False
    return True


def _clear(at: int | datetime | None) -> bool:
    return not isinstance(at, int) or 1e11 <= at < 2.5e14  # others are seconds, or beyond the year 9999
