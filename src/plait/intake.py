"""What may come in: requests are checked, cleaned and turned into what rests in the log.

A request that is in order passes at a glance: its bytes are looked at once, decoded once into the little that must
be checked, and rest as they came. Anything else is taken apart call by call, so that one wrong call costs no other
and what must not rest (keys, addresses, form values, message text) is taken out before it is written.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Protocol

import msgspec
from msgspec import UNSET, UnsetType

from plait.checks import (
    LONGEST_ID,
    allowed,
    as_text,
    converted,
    counted,
    encoded,
    fit,
    id_of,
    kind_of,
    known_purposes,
    meant,
    network,
    parsed,
    short,
    size_of,
    timestamp,
    under,
    without_key,
    wrong,
)
from plait.clean import ADDRESSES, Cleaner
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
    is_weak,
    strongest_first,
)
from plait.identity import needs_opt_in
from plait.scan import BYTES, Scanner
from plait.segment import Call, Told, consent_of, corrected, grants, milliseconds, who_of
from plait.settings import Settings
from plait.signals import FORM, TEXT, SignalMap

CallType = Literal["track", "identify", "page", "screen", "group", "alias"]
CALL_TYPES: tuple[CallType, ...] = ("track", "identify", "page", "screen", "group", "alias")

_SOONER = ("consent", "externalIds")  # words that call for a closer look, though they may rest
_MEMO = (
    32 << 20
)  # characters of names and people remembered as fine; senders choose both, so it must have an end
_EACH = 300  # that one takes besides its own


class Door(Protocol):
    """Who may be collected (``plait.consent.ConsentDoor``)."""

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


class _Nothing(msgspec.Struct, gc=False, frozen=True):
    """An object whose content nobody reads here: it is checked to be one, and skipped."""


class _Glance(msgspec.Struct, rename="camel", gc=False):
    """Of a call only what must be checked; the types are those of ``segment.Call``."""

    type: CallType | UnsetType = UNSET
    message_id: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_ID)] | UnsetType = UNSET
    event: str | None = None
    user_id: str | None = None
    anonymous_id: str | None = None
    name: str | None = None
    category: str | None = None
    previous_id: str | None = None
    group_id: str | None = None
    timestamp: datetime | None = None
    original_timestamp: datetime | None = None
    sent_at: datetime | None = None
    properties: _Nothing | None = None
    traits: _Nothing | None = None
    context: _Nothing | None = None


class _Glances(msgspec.Struct, rename="camel"):
    batch: list[_Glance]
    sent_at: datetime | None = None
    context: _Nothing | None = None


class _Seen(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """Of an event of our own only what must be checked; the types are those of ``segment.Told``."""

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
    traits: _Nothing | None = None
    context: _Nothing = _Nothing()
    properties: _Nothing = _Nothing()
    record: str | None = None


_all_seen = msgspec.json.Decoder(list[_Seen])
_one_glance = msgspec.json.Decoder(_Glance)
_all_glances = msgspec.json.Decoder(_Glances)


class Intake:
    """Checks and cleans what came in. Holds no state but memos; one per process and source of settings."""

    def __init__(self, settings: Settings, signals: SignalMap, door: Door) -> None:
        self._settings = settings
        self._signals = signals
        self._door = door
        self._cleaner = Cleaner(settings)
        self._scanner = Scanner([*settings.scrub, *ADDRESSES, *_SOONER])
        self._blocked = frozenset(settings.identity.blocked)
        self._fine_names: dict[tuple[str | UnsetType, str | None, bool], bool] = {}
        self._remembered = 0  # characters, about
        self._fine_whos: dict[tuple[str, ...], tuple[str, ...] | None] = {}
        self._fine_people: dict[tuple[str | None, str | None], tuple[str, ...] | None] = {}

    # -- calls of the Segment protocol --------------------------------------------------------------------

    def call(
        self, body: bytes, kind: CallType | None, *, trusted: bool, now: int, closely: bool = False
    ) -> Taken:
        """One call, as the routes that name its type take it.

        Args:
            body: JSON, an object.
            kind: the type that the route names; a ``type`` in the body goes before it.
            trusted: it came with the secret key.
            now: ms since the epoch.
            closely: take it apart even if it is in order; then every call's id is told.

        Raises:
            Rejected: the body is no JSON, or no object.
        """
        look = self._scanner.look(body, 1)
        if not closely and look.flags in (0, BYTES) and look.keys <= 1 and len(body) <= MAX_EVENT_BYTES:
            try:
                glance = _one_glance.decode(body)
                if look.flags:
                    body.decode()
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                pass
            else:
                if glance.type is UNSET and kind is not None:
                    glance.type = kind
                    missing = b'"type":"%b",' % kind.encode()
                else:
                    missing = b""
                if glance.message_id is UNSET:
                    glance.message_id = new_id()
                    missing += b'"messageId":"%b",' % glance.message_id.encode()
                if self._fine((glance,), trusted):
                    clean = without_key(body, look.key_at) if look.keys else body
                    if clean is not None and missing:
                        clean = clean.lstrip().replace(b"{", b"{" + missing, 1)
                    if clean is not None:
                        return Taken(b'{"batch":[%b]}' % clean, 1)
        told = parsed(body)
        if not isinstance(told, dict):
            raise Rejected(f"the body must be an object, not {kind_of(told)}", code="invalid_body")
        return self._closer([(len(body), told)], {}, single=True, kind=kind, trusted=trusted, now=now)

    def batch(self, body: bytes, *, trusted: bool, now: int, closely: bool = False) -> Taken:
        """Calls that come together, ``{"batch": [...], "sentAt"?}``; a single call is taken for a batch of one.

        Raises:
            Rejected: the body is no JSON, there is no ``batch``, or it holds too many.
        """
        look = self._scanner.look(body, 3)
        if not closely and look.flags in (0, BYTES) and look.keys <= 1 and look.largest <= MAX_EVENT_BYTES:
            try:
                glances = _all_glances.decode(body)
                if look.flags:
                    body.decode()
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                pass
            else:
                if 0 < len(glances.batch) <= MAX_BATCH and self._fine(glances.batch, trusted):
                    clean = without_key(body, look.key_at) if look.keys else body
                    if clean is not None:
                        return Taken(clean, len(glances.batch))
        return self._batch_closer(body, trusted=trusted, now=now)

    def _fine(self, calls: Sequence[_Glance], trusted: bool) -> bool:
        """Whether every call names what it may, by somebody who may be collected. The hot loop: two look-ups a call."""
        names, people = self._fine_names, self._fine_people
        found: set[tuple[str, ...]] = set()
        for one in calls:
            name = (one.type, one.event, trusted)
            who = (one.user_id, one.anonymous_id)
            if name not in names:
                self._learn_name(name)
            if not names[name] or one.message_id is UNSET:
                return False
            if who not in people:
                self._learn_person(who)
            known = people[who]
            if known is None:
                return False
            found.add(known)
        return self._let_in(found)

    def _let_in(self, found: set[tuple[str, ...]]) -> bool:
        """Whether all of these may be collected."""
        door = self._door
        if self._settings.consent.collect and door.silent([name for known in found for name in known]):
            return True
        return not any(door.refuses(known, self._settings.source) or door.erased(known, 0) for known in found)

    def _make_room(self, characters: int) -> None:
        """Begin to remember anew when there is much: senders choose what, and how long it is."""
        self._remembered += characters + _EACH
        if self._remembered > _MEMO:
            self._remembered = characters + _EACH
            self._fine_names.clear()
            self._fine_people.clear()
            self._fine_whos.clear()

    def _learn_name(self, name: tuple[str | UnsetType, str | None, bool]) -> None:
        kind, event, trusted = name
        self._make_room(len(event or ""))
        fine = kind in ("identify", "page", "screen")
        if kind == "track":
            signal = self._signals.rule(event).signal if event and event.strip() else None
            fine = signal is not None and signal not in FORM | TEXT and (trusted or signal in PUBLIC)
        self._fine_names[name] = fine

    def _learn_person(self, who: tuple[str | None, str | None]) -> None:
        self._make_room(sum(len(text or "") for text in who))
        named = [
            f"{kind}:{text}" for kind, text in zip(("user", "anonymous"), who, strict=True) if text is not None and text.strip()
        ]  # fmt: skip
        self._fine_people[who] = tuple(named) if self._may_be(named) else None

    def _may_be(self, named: list[str]) -> bool:
        try:
            for one in named:
                checked_identifier(one, field="")
        except Rejected:
            return False
        return not self._blocked.issuperset(named)

    def _batch_closer(self, body: bytes, *, trusted: bool, now: int) -> Taken:
        told = parsed(body)
        if isinstance(told, list):
            told = {"batch": told}
        if not isinstance(told, dict):
            raise Rejected(f"the body must be an object, not {kind_of(told)}", code="invalid_body")
        calls = told.get("batch")
        if calls is None and "type" in told:
            return self._closer([(len(body), told)], {}, single=True, kind=None, trusted=trusted, now=now)
        if not isinstance(calls, list):
            raise Rejected("batch must be a list of calls", code="invalid_field", field="batch")
        counted(calls, "batch")
        sized = [(size_of(one), one) for one in calls]
        envelope = {name: told[name] for name in ("sentAt", "context") if told.get(name) is not None}
        return self._closer(sized, envelope, single=False, kind=None, trusted=trusted, now=now)

    def _closer(
        self,
        calls: list[tuple[int, Any]],
        envelope: dict[str, Any],
        *,
        single: bool,
        kind: CallType | None,
        trusted: bool,
        now: int,
    ) -> Taken:
        if "sentAt" in envelope:
            envelope["sentAt"] = timestamp(envelope["sentAt"], "sentAt")
        if "context" in envelope:
            envelope["context"] = self._cleaner.object(envelope["context"], "context")
        shared = envelope.get("context", {})
        kept: list[bytes] = []
        refused: list[Refusal] = []
        ids: list[str | None] = []
        for index, (size, told) in enumerate(calls):
            path = "" if single else f"batch[{index}]"
            ids.append(id_of(told, "messageId"))
            try:
                fit(size, path)
                clean = self._call(
                    told, shared, path, kind=kind, trusted=trusted, now=now, sent=envelope.get("sentAt")
                )
                ids[-1] = clean["messageId"]
                kept.append(encoded(clean, path))
            except Rejected as exc:
                refused.append(refusal(index, exc))
        if not kept:
            return Taken(None, 0, tuple(refused), True, tuple(ids))
        rest = b"".join(
            b',"%b":%b' % (name.encode(), msgspec.json.encode(value)) for name, value in envelope.items()
        )
        return Taken(
            b'{"batch":[%b]%b}' % (b",".join(kept), rest), len(kept), tuple(refused), True, tuple(ids)
        )

    def _call(
        self,
        told: Any,
        shared: dict[str, Any],
        path: str,
        *,
        kind: CallType | None,
        trusted: bool,
        now: int,
        sent: Any,
    ) -> dict[str, Any]:
        """One call as it may rest.

        Raises:
            Rejected: what is wrong, with the path of the field.
        """
        clean = self._cleaner.object(told, path)
        clean.pop("_metadata", None)
        for name in ("userId", "anonymousId", "previousId", "groupId", "messageId"):
            as_text(clean, name)
        for name in ("timestamp", "originalTimestamp", "sentAt"):
            if clean.get(name) is not None:
                clean[name] = timestamp(clean[name], under(path, name))
        if clean.get("type") is None and kind is not None:
            clean["type"] = kind
        if clean.get("type") == "consent":
            wrong(under(path, "type"), f"type must be one of {', '.join(CALL_TYPES)}")
        if clean.get("messageId") in (None, ""):
            clean["messageId"] = new_id()
        call = converted(clean, Call, path)
        if len(call.message_id) > LONGEST_ID:
            wrong(under(path, "messageId"), f"messageId is longer than {LONGEST_ID} characters")
        context = {**shared, **(call.context or {})}
        if call.type == "track":
            self._named(call, clean, path, trusted)
        said = consent_of(call.consent, context, self._signals)
        known_purposes(call.consent, under(path, "consent"))
        who = self._who(call, context, path)
        at = call.original_timestamp or call.timestamp
        sent_at = call.sent_at or (msgspec.convert(sent, datetime) if sent else None)
        happened = corrected(
            None if at is None else milliseconds(at), None if sent_at is None else milliseconds(sent_at), now
        )
        return self._admitted(clean, said, who, happened, path, trusted=trusted, bare=_bare_call)

    def _named(self, call: Call, clean: dict[str, Any], path: str, trusted: bool) -> None:
        """Check what a ``track`` is named, and take out what its kind must not hold."""
        if not call.event or not call.event.strip():
            wrong(under(path, "event"), "a track call needs the name of its event")
        signal = self._signals.rule(call.event).signal
        allowed(signal, "assert", under(path, "event"), trusted)
        if clean.get("properties"):
            clean["properties"] = self._cleaner.properties(signal, clean["properties"])

    def _who(self, call: Call, context: dict[str, Any], path: str) -> tuple[str, ...]:
        for name, kind in (("userId", "user"), ("anonymousId", "anonymous"), ("previousId", "anonymous")):
            value = {
                "userId": call.user_id,
                "anonymousId": call.anonymous_id,
                "previousId": call.previous_id,
            }[name]
            if value is not None and value.strip():
                checked_identifier(f"{kind}:{value.strip()}", field=under(path, name))
        if call.type == "alias" and not (call.previous_id and call.previous_id.strip()):
            wrong(under(path, "previousId"), "an alias needs the previousId that it renames")
        if call.type == "group" and not (call.group_id and call.group_id.strip()):
            wrong(under(path, "groupId"), "a group call needs its groupId")
        who = who_of(call, context)
        if not who:
            wrong(under(path, "userId"), "a call needs a userId or an anonymousId", code="missing_identifier")
        self._not_blocked(who, under(path, "userId" if call.user_id else "anonymousId"))
        return who

    def _not_blocked(self, who: tuple[str, ...], field: str) -> None:
        if self._blocked.issuperset(who):
            wrong(
                field, f"{who[0]} stands for nobody (settings: identity.blocked)", code="blocked_identifier"
            )

    # -- our own vocabulary -------------------------------------------------------------------------------

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
        look = self._scanner.look(body, 2)
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
            if one.who not in self._fine_whos:
                self._learn_who(one.who)
            known = self._fine_whos[one.who]
            if known is None or one.signal not in _PLAIN or not _in_order(one, now):
                return False
            if not trusted and (one.op != "assert" or one.signal not in PUBLIC or one.source is not None):
                return False
            if one.record is not None or one.about.account is not None or one.op == "snapshot":
                return False  # there are rules of their own for what networks tell
            found.add(known)
        if any(one.source is not None for one in events):
            return False  # whether they may be collected depends on the source
        return self._let_in(found)

    def _learn_who(self, who: tuple[str, ...]) -> None:
        self._make_room(sum(map(len, who)))
        fine = 0 < len(who) <= MAX_WHO and self._may_be([*who]) and not _ties_without_a_word(who)
        self._fine_whos[who] = who if fine else None

    def _event(
        self, told: Any, path: str, *, trusted: bool, now: int, who: Sequence[str], sent_at: Any
    ) -> dict[str, Any]:
        clean = self._cleaner.object(told, path)
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
        event = converted(clean, Told, path)
        short(event.id, under(path, "id"))
        allowed(event.signal, event.op, under(path, "signal" if event.op == "assert" else "op"), trusted)
        if event.source is not None and not trusted:
            raise Rejected(
                "source is for the secret key", code="forbidden", field=under(path, "source"), status=403
            )
        meant(event, path, now=now)
        if event.properties:
            clean["properties"] = self._cleaner.properties(event.signal, clean["properties"])
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
        return self._admitted(
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
        self._not_blocked(named, field)
        return named

    # -- for both -----------------------------------------------------------------------------------------

    def _admitted(
        self,
        clean: dict[str, Any],
        said: dict[str, bool | dict[str, bool]] | None,
        who: tuple[str, ...],
        at: int,
        path: str,
        *,
        trusted: bool,
        bare: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]],
        source: str | None = None,
    ) -> dict[str, Any]:
        """What of a clean event may come in, given what those it names allow.

        Who says no to being collected leaves that word and nothing else; so does who says yes to something
        else while the no still stands.
        """
        if said and not trusted and grants(said) and not any(map(is_weak, who)):
            raise Rejected(
                "the write key may give consent for an anonymous id only",
                code="forbidden", field=under(path, "consent"), status=403,
            )  # fmt: skip
        if self._door.erased(who, at):
            raise Rejected(
                f"{who[0]} was erased after this happened", code="erased", field=path or None, status=403
            )
        if _ties_without_a_word(who) and not (
            clean.get("signal") in _MAY_NAME_BOTH
            and (clean["signal"] != Signal.LINK or (said or {}).get("link") is True)
        ):
            raise Rejected(
                f"{who[-1]} may not be named together with {who[0]} without that person's express yes: ask them, and send a link "
                'with consent {"link": true}',
                code="opt_in_needed", field=under(path, "who"), status=403,
            )  # fmt: skip
        source = source or self._settings.source
        collect = (said or {}).get("collect")
        if isinstance(collect, dict):
            collect = collect.get(source)
        if collect is True:  # the write key's yes is a device's
            refuses = not trusted and self._door.denies(who, source)
        else:
            refuses = collect is False or self._door.refuses(who, source)
        if refuses:
            if not said:
                raise Rejected(
                    f"{who[0]} does not allow to be collected",
                    code="no_consent",
                    field=path or None,
                    status=403,
                )
            return bare(clean, said)
        return clean


def _bare_call(clean: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    kept = ("messageId", "userId", "anonymousId", "timestamp", "originalTimestamp", "sentAt")
    return {name: clean[name] for name in kept if name in clean} | {"type": "consent", "consent": said}


def _bare_event(clean: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    kept = ("id", "who", "source", "at", "sent_at")
    return {name: clean[name] for name in kept if name in clean} | {"signal": "consent", "consent": said}


def new_id() -> str:
    """An id for a sender who gave none; a retry of such a call cannot be told from a new one."""
    return f"plait-{secrets.token_hex(12)}"


# Signals that tie nothing that was not tied, where a network asks for an express yes; a link brings it along.
_MAY_NAME_BOTH = frozenset({Signal.LINK, Signal.UNLINK, Signal.ERASE})


def _ties_without_a_word(who: Sequence[str]) -> bool:
    """Whether naming these together ties an account to somebody whose network forbids that without an express yes."""
    return len(who) > 1 and any(needs_opt_in(who[0], other) for other in who[1:])


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
