"""The rules, one by one: what an event may say, and how what was sent is read.

Each either answers or raises ``Rejected`` with the path of the field; ``plait.intake`` asks them in order.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any, NoReturn

import msgspec

from plait.errors import Rejected, misfit
from plait.events import (
    DAY,
    MAX_BATCH,
    MAX_EVENT_BYTES,
    PUBLIC,
    PURPOSES,
    RETRACTABLE,
    About,
    Signal,
    checked_identifier,
)
from plait.intake.told import Told
from plait.intake.values import fitting, milliseconds

LONGEST_ID = 256  # characters of a message id, an item, a section …
MOST_SOURCES = 64  # that one consent may name for a purpose


def allowed(signal: Signal, op: str, field: str, trusted: bool) -> None:
    """Hold a sender to what their key may say.

    Raises:
        Rejected: 403 ``forbidden``; 400 for what nobody may send here.
    """
    if signal in (Signal.DECIDED, Signal.ERASE) or (op == "erase" and signal not in RETRACTABLE):
        raise Rejected(
            f"{'op erase' if op == 'erase' else signal.value} is not for senders: decisions are recorded by the "
            "server, and DELETE /v1/profiles/{identifier} erases a person",
            code="forbidden", field=field, status=403,
        )  # fmt: skip
    if not trusted and (signal not in PUBLIC or op != "assert"):
        what = f'signal "{signal.value}"' if signal not in PUBLIC else f'op "{op}"'
        raise Rejected(f"{what} needs the secret key", code="forbidden", field=field, status=403)


def network(event: Told, path: str, trusted: bool) -> None:
    """Hold an event to what is said of acts on a network.

    Raises:
        Rejected: 403 for the write key; 400 for a record, an erase or a count that makes no sense.
    """
    if not trusted:
        for name, told in (("record", event.record), ("about.account", event.about.account)):
            if told is not None:
                raise Rejected(
                    f"{name} needs the secret key", code="forbidden", field=under(path, name), status=403
                )
    if event.about.account is not None:
        checked_identifier(event.about.account, field=under(path, "about.account"))
    if event.record is not None and event.signal not in RETRACTABLE:
        wrong(
            under(path, "record"), f"record is for what a network can take back, not for {event.signal.value}"
        )
    if event.op == "erase" and event.record is None:
        wrong(under(path, "record"), "op erase needs the record that is gone")
    if event.op == "snapshot":
        _counts(event, path)
    elif not event.who and (event.record is None or event.op == "assert"):
        wrong(
            under(path, "who"),
            'an event needs to name somebody (who: ["user:42"])',
            code="missing_identifier",
        )


def _counts(event: Told, path: str) -> None:
    if event.who:
        wrong(under(path, "who"), "a snapshot is a count without names: leave who empty")
    if event.value is None or event.value < 0:
        wrong(under(path, "value"), "a snapshot needs a value, 0 or more", code="invalid_value")
    if (event.about.post is None) == (event.about.account is None):
        wrong(under(path, "about"), "a snapshot is about one post or one account")
    if event.consent or event.traits:
        wrong(under(path, "traits" if event.traits else "consent"), "a snapshot is about nobody")


def meant(event: Any, path: str, *, now: int) -> None:
    """Check what the types cannot say of a ``Told``, or of the part of one that was seen."""
    if event.value is not None and fitting(event.signal, event.value) != event.value:
        bounds = {Signal.RATE: "0 to 1", Signal.DWELL: "0 to 86400 (s)", Signal.PLAY: "0 to 86400 (s)"}
        wrong(under(path, "value"), f"value must be {bounds.get(event.signal, 'smaller')}, not {event.value:g}",
               code="invalid_value")  # fmt: skip
    for name, told in zip(About.__struct_fields__, msgspec.structs.astuple(event.about), strict=True):
        if told is not None:
            field = under(path, f"about.{name}")
            short(told, field, longest=2_048 if name == "url" else LONGEST_ID)
    for name in ("source", "name", "decision", "record"):
        told = getattr(event, name)
        if told is not None:
            short(told, under(path, name))
    if event.counter is not None:
        short(event.counter.view, under(path, "counter.view"))
        # From far ahead it would fade all else to nothing; a clock that says itself how wrong it is, is put right.
        sent = getattr(event, "sent_at", None)
        if not 0 <= event.counter.started_at <= (now if sent is None else max(now, milliseconds(sent))) + DAY:
            wrong(under(path, "counter.started_at"), "started_at must be ms since the epoch, tomorrow at most",
                  code="invalid_time")  # fmt: skip
    if event.signal in (Signal.LINK, Signal.UNLINK) and len(event.who) < 2:
        wrong(under(path, "who"), f"{event.signal.value} needs two identifiers")
    if isinstance(event, Told) and event.signal is Signal.CONSENT and not event.consent:
        wrong(under(path, "consent"), "a consent event needs a consent")


def known_purposes(said: dict[str, Any] | None, field: str) -> None:
    """Refuse consent to what is no purpose."""
    for purpose in said or ():
        if purpose not in PURPOSES:
            wrong(under(field, purpose), f"a purpose is one of {', '.join(PURPOSES)}, not {purpose[:80]!r}",
                   code="invalid_consent")  # fmt: skip
        if isinstance(said, dict) and isinstance(sources := said[purpose], dict):
            if len(sources) > MOST_SOURCES:
                wrong(under(field, purpose), f"a consent may name {MOST_SOURCES} sources, not {len(sources)}",
                      code="invalid_consent")  # fmt: skip
            for source in sources:
                short(source, under(under(field, purpose), source))


def short(text: str, field: str, *, longest: int = LONGEST_ID) -> None:
    """Refuse an id that is blank, too long, or holds control characters."""
    if not text.strip():
        wrong(field, f"{field} must not be empty")
    if len(text) > longest:
        wrong(field, f"{field} is longer than {longest} characters")
    if not text.isprintable() and any(ord(one) < 32 or ord(one) == 127 for one in text):
        wrong(field, f"{field} holds control characters: {text[:80]!r}")


def counted(calls: list[Any], field: str) -> None:
    """Refuse a batch that holds too many."""
    if len(calls) > MAX_BATCH:
        raise Rejected(
            f"a batch may hold {MAX_BATCH} events, not {len(calls)}",
            code="batch_too_large",
            field=field,
            status=413,
        )


def fit(size: int, path: str) -> None:
    """Refuse an event that is too large."""
    if size > MAX_EVENT_BYTES:
        raise Rejected(
            f"an event may have {MAX_EVENT_BYTES} bytes, not {size}",
            code="event_too_large", field=path or None, status=413,
        )  # fmt: skip


# -- reading ----------------------------------------------------------------------------------------------


def parsed(body: bytes) -> Any:
    """Any JSON, also what fast readers refuse (half characters, huge numbers): those are told by event.

    Raises:
        Rejected: it is not JSON, or not UTF-8; the message names the place.
    """
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return json.loads(body.decode(), parse_constant=_no_constant)
    except UnicodeDecodeError as exc:
        raise Rejected(f"the body is not UTF-8 (byte {exc.start})", code="invalid_text") from None
    except RecursionError:
        raise Rejected("the body is nested too deep", code="too_deep") from None
    except ValueError as exc:
        raise Rejected(f"the body is not JSON: {exc}"[:300], code="invalid_json") from None


def sound(body: bytes) -> Any:
    """JSON whose every text can be written as UTF-8.

    Raises:
        Rejected: as ``parsed``; ``invalid_text`` where one holds half a character (a lone surrogate), with its path.
    """
    told = parsed(body)
    waiting: list[tuple[str, Any]] = [("", told)]  # no recursion: it may be as deep as parsers go
    while waiting:
        path, one = waiting.pop()
        if isinstance(one, dict):
            waiting += [("" if _halved(name) else under(path, name), value) for name, value in one.items()]
            waiting += [(path, name) for name in one]
        elif isinstance(one, list):
            waiting += [(f"{path}[{at}]", value) for at, value in enumerate(one)]
        elif isinstance(one, str) and _halved(one):
            raise Rejected(
                f"{path[:200] or 'a name'} holds half a character (a lone surrogate)",
                code="invalid_text", field=path[:200] or None,
            )  # fmt: skip
    return told


def _halved(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= one <= "\udfff" for one in text)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def timestamp(told: Any, field: str) -> str:
    """A time as RFC 3339 in UTC. ISO 8601 in any form, and numbers (ms since the epoch; seconds below 10^11).

    Raises:
        Rejected: neither, or outside of the years 1 to 9999.
    """
    try:
        if isinstance(told, int | float) and not isinstance(told, bool):
            when = datetime.fromtimestamp(told if abs(told) < 1e11 else told / 1000, UTC)
        elif isinstance(told, str):
            when = datetime.fromisoformat(told.strip())
            when = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
        else:
            raise ValueError
    except (ValueError, OverflowError, OSError):
        raise Rejected(
            f"{field} must be a time like 2026-11-22T14:57:45.555Z, not {str(told)[:80]!r}",
            code="invalid_time", field=field,
        ) from None  # fmt: skip
    return when.isoformat().replace("+00:00", "Z")


_KEY = re.compile(rb'"[^"]*"\s*:\s*(?:"[^"\\]*"|null)\s*')


def without_key(body: bytes, at: int) -> bytes | None:
    """``body`` without the member that begins at ``at``; ``None`` when that is not a plain member."""
    found = _KEY.match(body, at)
    if found is None:
        return None
    end = found.end()
    if body[end : end + 1] == b",":
        return body[:at] + body[end + 1 :]
    before = body[:at].rstrip()
    if before.endswith(b","):
        return before[:-1] + body[end:]
    return before + body[end:] if before.endswith(b"{") and body[end : end + 1] == b"}" else None


def under(path: str, name: str) -> str:
    """The path of a field inside what stands at ``path``."""
    return f"{path}.{name[:80]}" if path else name[:80]


def wrong(field: str, message: str, *, code: str = "invalid_field") -> NoReturn:
    """Raise ``Rejected``."""
    raise Rejected(message, code=code, field=field)


def converted(clean: dict[str, Any], shape: type[Any], path: str) -> Any:
    """``clean`` as a ``shape``; what does not fit is refused by its path."""
    try:
        return msgspec.convert(clean, shape)
    except msgspec.ValidationError as exc:
        what, field = misfit(exc, path)
        raise Rejected(what, code="invalid_field", field=field) from None


def encoded(clean: dict[str, Any], path: str) -> bytes:
    """JSON of a clean call."""
    try:
        return msgspec.json.encode(clean)
    except (UnicodeEncodeError, RecursionError):
        raise Rejected(
            "the event cannot be written as UTF-8", code="invalid_text", field=path or None
        ) from None


def as_text(clean: dict[str, Any], name: str) -> None:
    """Let a number serve as an id."""
    value = clean.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool):
        clean[name] = f"{value:.15g}" if isinstance(value, float) else str(value)


def id_of(told: Any, name: str) -> str | None:
    """The id that a sender gave, if it can be read."""
    value = told.get(name) if isinstance(told, dict) else None
    return value[:LONGEST_ID] if isinstance(value, str) else None


def size_of(told: Any) -> int:
    """Bytes of a call as JSON."""
    try:
        return len(msgspec.json.encode(told))
    except (UnicodeEncodeError, RecursionError, TypeError, OverflowError, ValueError):
        return len(json.dumps(told)) if not isinstance(told, str) else len(told)


def kind_of(told: Any) -> str:
    """What JSON calls a value."""
    return {list: "a list", dict: "an object", str: "a string", bool: "a truth value"}.get(
        type(told), "a number" if told is not None else "null"
    )
