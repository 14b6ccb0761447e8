"""A person's profile, links, export and erasure; all for the secret key."""

from __future__ import annotations

import secrets
from contextlib import closing
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from plait.errors import PlaitError, Rejected, Unavailable
from plait.events import Record, Signal, checked_identifier, identifier_type, is_network, strongest_first
from plait.http import Installation, Scope
from plait.http.plain import answer, body, installation, raw_path
from plait.identity import needs_opt_in
from plait.intake.told import Told
from plait.profiles import history, people
from plait.profiles.facts import belongs
from plait.profiles.interests import follows, interests
from plait.profiles.state import ASIDE
from plait.store import Snapshot

MOST = 1_000  # interests or events in one answer


async def profile(request: Request) -> Response:
    """Who a person is, what they like and why; ``?include=events`` adds the newest events."""
    here, identifier = installation(request), _identifier(request)
    limit, events = _number(request, "limit", 50), _number(request, "events", 100)
    include = request.query_params.get("include")
    if include not in (None, "", "events"):
        raise Rejected(f"include takes events, not {include[:40]!r}", code="invalid_query", field="include")
    with closing(here.store.snapshot()) as snapshot:
        found = people.profile(snapshot, identifier, now=here.now(), settings=here.settings, door=here.door)
        if found is None:
            raise _unknown(identifier)
        told = _told(here, found, limit)
        told["audiences"] = _audiences(here, snapshot, identifier)
        if include:
            told["events"] = history.recent(
                snapshot, here.log, identifier, events, settings=here.settings, signals=here.signals
            )
    return answer(told)


def _told(here: Installation, found: Any, limit: int) -> dict[str, Any]:
    return {
        "identifiers": found.identifiers,
        "counts": found.counts,
        "interests": interests(found, here.catalog, limit=limit),
        "follows": follows(found),
        "traits": found.traits,
        "devices": found.devices,
        "links": found.links,
        "consents": found.consents,
        "first_at": found.first_at,
        "last_at": found.last_at,
        "bots": found.bots,
    }


def _audiences(here: Installation, snapshot: Snapshot, identifier: str) -> list[str]:
    """The audiences that a person is in, by id."""
    now, known = here.now(), here.catalog.audiences
    if not known:
        return []
    usable = people.interests(
        snapshot, identifier, now=now, settings=here.settings, door=here.door, usable=True
    )
    facts = here.facts(usable, now) if usable is not None else None
    return [id for id in sorted(known) if belongs(facts, known[id])]


async def export(request: Request) -> Response:
    """Everything that is known about a person."""
    here, identifier = installation(request), _identifier(request)
    with closing(here.store.snapshot()) as snapshot:
        found = history.export(
            snapshot, here.log, identifier, settings=here.settings, signals=here.signals, now=here.now()
        )
    if found is None:
        raise _unknown(identifier)
    return answer(found)


async def erase(request: Request) -> Response:
    """Forget a person; state, log and lake hold nothing of them once the answer is there.

    Also of somebody of whom nothing is known: what is still on its way from before is refused then. ``known`` tells, since a
    misspelt name looks just like them.
    """
    here, identifier = installation(request), _identifier(request)
    if _asks_for_export(request.scope):  # whoever slips here must not be told that it is done
        raise HTTPException(405)
    with closing(here.store.snapshot()) as snapshot:
        known = people.profile(snapshot, identifier, now=here.now(), settings=here.settings, purpose=None)
    now = here.now()
    event = Told(
        id=f"erase-{secrets.token_hex(12)}", signal=Signal.ERASE, op="erase", who=(identifier,), at=now
    )
    if here.gave_codes:
        here.codes.forget(set(known.identifiers if known else [identifier]))
    here.sign_ins.forget(set(known.identifiers if known else [identifier]))
    await settled(here, record_of(here, [event], now), pressing=True)
    await here.redact()
    erased = known.identifiers if known else [identifier]
    return answer({"erased": erased, "known": known is not None, "id": event.id, "at": now})


async def link(request: Request) -> Response:
    """Say that two identifiers are one person's."""
    return await _say(request, Signal.LINK)


async def unlink(request: Request) -> Response:
    """Say that two identifiers are not one person's."""
    return await _say(request, Signal.UNLINK)


async def _say(request: Request, signal: Signal) -> Response:
    here = installation(request)
    told = await body(request)
    for name in told:
        if name not in ("identifiers", "consent", "proof"):
            raise Rejected(
                f"{name[:80]} is not known here; use identifiers", code="invalid_link", field=name[:80]
            )
    pair = _pair(told.get("identifiers"))
    consent, proof = told.get("consent"), told.get("proof")
    if consent is not None and not isinstance(consent, bool):
        raise Rejected("consent is true or false", code="invalid_link", field="consent")
    if proof is not None and (proof not in VOUCHED or signal is not Signal.LINK):
        raise Rejected(f"proof is {' or '.join(VOUCHED)}, of a link", code="invalid_link", field="proof")
    event = link_event(pair, signal, at=here.now(), consent=consent, proof=proof)
    await settled(here, record_of(here, [event], here.now()))
    return answer({signal: list(pair), "id": event.id})


# What the company may vouch for itself; the other proofs are checked here (``plait.http.proofs``).
VOUCHED = ("statement", "sign_in")


def link_event(
    pair: tuple[str, ...], signal: Signal, *, at: int, consent: bool | None, proof: str | None
) -> Told:
    """The event that two identifiers are one person's, or not.

    Raises:
        Rejected: 403 ``opt_in_needed``: a network of theirs asks for the person's own express yes.
    """
    if signal is Signal.LINK and needs_opt_in(*pair) and consent is not True:
        raise Rejected(
            f"{identifier_type(pair[-1])} and {identifier_type(pair[0])} may be joined only with the person's own express yes: "
            "ask them, and send consent: true",
            code="opt_in_needed", field="consent", status=403,
        )  # fmt: skip
    if signal is Signal.LINK and proof is None and any(map(is_network, pair)):
        proof = "statement"
    return Told(
        id=f"{signal}-{secrets.token_hex(12)}", signal=signal, who=pair, at=at,
        consent=None if consent is None else {"link": consent}, properties={"proof": proof} if proof else {},
    )  # fmt: skip


def _pair(told: Any) -> tuple[str, ...]:
    if not isinstance(told, list) or len(told) != 2:
        raise Rejected(
            'identifiers must be two, like ["user:42", "email:a@b.c"]',
            code="invalid_link",
            field="identifiers",
        )
    pair = strongest_first([checked_identifier(one, field=f"identifiers[{i}]") for i, one in enumerate(told)])
    if len(pair) != 2:
        raise Rejected("identifiers must differ", code="invalid_link", field="identifiers")
    return pair


def record_of(here: Installation, events: list[Told], now: int) -> Record:
    """The record of events that the server says itself."""
    return Record(
        kind="events",
        source=here.settings.source,
        received_at=now,
        trusted=True,
        body=msgspec.json.encode(events),
    )


async def settled(here: Installation, record: Record, *, pressing: bool = False) -> None:
    """Make it durable and wait until the state shows it, so that the next question does."""
    position = await here.append(record, pressing=pressing)
    here.take_in(record)
    if not await here.folded(position):
        raise Unavailable(
            "it is accepted, but the fold lags; it will show later", code="lagging", retry_after=5
        )
    with closing(here.store.snapshot()) as snapshot:
        if snapshot.get("meta", ASIDE + position.to_bytes(8, "big")) is not None:
            raise PlaitError(
                "it is in the log, but could not be folded: plait doctor says more", code="set_aside"
            )


def _identifier(request: Request) -> str:
    return checked_identifier(request.path_params["identifier"], field="identifier")


def _unknown(identifier: str) -> Rejected:
    return Rejected(f"nothing is known about {identifier}", code="unknown_person", status=404)


def _number(request: Request, name: str, default: int) -> int:
    told = request.query_params.get(name)
    if told is None:
        return default
    if not told.isascii() or not told.isdecimal() or not 1 <= int(told[:9]) <= MOST or len(told) > 9:
        raise Rejected(f"{name} must be 1 to {MOST}, not {told[:40]!r}", code="invalid_query", field=name)
    return int(told)


def _asks_for_export(scope: Scope) -> bool:
    """Whether a path ends in a segment of its own, ``export``; behind ``%2F`` it belongs to who is asked for."""
    return unquote_to_bytes(raw_path(scope).rpartition(b"/")[2]) == b"export"


class _Export(Route):
    """The route of exports: an identifier may end in ``/export``, so the path is read as it was sent."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return super().matches(scope) if _asks_for_export(scope) else (Match.NONE, {})


routes = [
    _Export("/v1/profiles/{identifier:path}/export", export),
    Route("/v1/profiles/{identifier:path}", profile, methods=["GET"]),
    Route("/v1/profiles/{identifier:path}", erase, methods=["DELETE"]),
    Route("/v1/link", link, methods=["POST"]),
    Route("/v1/unlink", unlink, methods=["POST"]),
]
