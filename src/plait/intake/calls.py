"""Calls of the Segment protocol, as they may come in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from plait.errors import Rejected
from plait.events import MAX_BATCH, MAX_EVENT_BYTES, PUBLIC, checked_identifier
from plait.intake import Refusal, Taken, new_id, refusal
from plait.intake.admission import Admission, Nothing
from plait.intake.checks import (
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
    parsed,
    size_of,
    timestamp,
    under,
    without_key,
    wrong,
)
from plait.intake.scan import BYTES
from plait.intake.segment import Call, consent_of, who_of
from plait.intake.signals import FORM, TEXT, SignalMap
from plait.intake.values import corrected, milliseconds

CallType = Literal["track", "identify", "page", "screen", "group", "alias"]
CALL_TYPES: tuple[CallType, ...] = ("track", "identify", "page", "screen", "group", "alias")


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
    properties: Nothing | None = None
    traits: Nothing | None = None
    context: Nothing | None = None


class _Glances(msgspec.Struct, rename="camel"):
    batch: list[_Glance]
    sent_at: datetime | None = None
    context: Nothing | None = None


_one_glance = msgspec.json.Decoder(_Glance)
_all_glances = msgspec.json.Decoder(_Glances)


class CallIntake:
    """Checks and cleans calls. One per process."""

    def __init__(self, admission: Admission, signals: SignalMap) -> None:
        self._admission = admission
        self._memo = admission.memo
        self._signals = signals

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
        look = self._admission.scanner.look(body, 1)
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
        look = self._admission.scanner.look(body, 3)
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
        names, people = self._memo.names, self._memo.people
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
        return self._admission.lets_in(found)

    def _learn_name(self, name: tuple[str | UnsetType, str | None, bool]) -> None:
        kind, event, trusted = name
        self._memo.make_room(len(event or ""))
        fine = kind in ("identify", "page", "screen")
        if kind == "track":
            signal = self._signals.rule(event).signal if event and event.strip() else None
            fine = signal is not None and signal not in FORM | TEXT and (trusted or signal in PUBLIC)
        self._memo.names[name] = fine

    def _learn_person(self, who: tuple[str | None, str | None]) -> None:
        self._memo.make_room(sum(len(text or "") for text in who))
        named = [
            f"{kind}:{text}" for kind, text in zip(("user", "anonymous"), who, strict=True) if text is not None and text.strip()
        ]  # fmt: skip
        self._memo.people[who] = tuple(named) if self._admission.may_be(named) else None

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
            envelope["context"] = self._admission.cleaner.object(envelope["context"], "context")
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
        clean = self._admission.cleaner.object(told, path)
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
        return self._admission.admitted(clean, said, who, happened, path, trusted=trusted, bare=_bare_call)

    def _named(self, call: Call, clean: dict[str, Any], path: str, trusted: bool) -> None:
        """Check what a ``track`` is named, and take out what its kind must not hold."""
        if not call.event or not call.event.strip():
            wrong(under(path, "event"), "a track call needs the name of its event")
        signal = self._signals.rule(call.event).signal
        allowed(signal, "assert", under(path, "event"), trusted)
        if clean.get("properties"):
            clean["properties"] = self._admission.cleaner.properties(signal, clean["properties"])

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
        self._admission.not_blocked(who, under(path, "userId" if call.user_id else "anonymousId"))
        return who


def _bare_call(clean: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    kept = ("messageId", "userId", "anonymousId", "timestamp", "originalTimestamp", "sentAt")
    return {name: clean[name] for name in kept if name in clean} | {"type": "consent", "consent": said}
