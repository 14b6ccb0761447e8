"""One call for a whole page: what this person did a moment ago counts, and every item says why it is there.

``POST /v1/personalize`` and ``GET /v1/placements/{id}/items``, raw ASGI. The secret key may ask for anybody. The write key
stands in public pages, so it may ask for one anonymous device, or with a token from the shop's server for one known
person; it gets public placements only, and no conditions of its own.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import msgspec
import numpy as np

from plait.decide import Asked, Decider, Decision, Page, Question, check, question_of
from plait.errors import PlaitError, Rejected
from plait.events import (
    DAY,
    MAX_BODY_BYTES,
    Event,
    Record,
    checked_identifier,
    encode_record,
    is_weak,
    strongest_first,
)
from plait.http.cors import Cors
from plait.http.decided import SOURCE, Decided
from plait.http.protocol import Answer
from plait.http.wire import Gone, Receive, Send, read_body, send_error, send_json, send_nothing
from plait.intake.admission import Admission
from plait.intake.device import UNKNOWN
from plait.intake.own import EventIntake
from plait.intake.records import events_of
from plait.models import Model, kernels
from plait.models.ranker import Ranker
from plait.profiles import people
from plait.profiles.fragment import half_life_ms
from plait.profiles.profile import Profile
from plait.settings import RESERVE

if TYPE_CHECKING:
    from plait.http import Installation, Scope
    from plait.keys import Role
    from plait.profiles.facts import Facts
    from plait.store import Snapshot

# An anonymous id is a secret that a browser made: 120 random bits are 20 characters of base64. Shorter ones can be
# guessed, so whoever asks with one gets what anybody would get.
GUESSABLE = 20
ROUTE = "/v1/personalize"
_PLACEMENTS = "/v1/placements/"
_SHORTEST = len(_PLACEMENTS + "items")  # that is a placement of this name, and no question
AT_ONCE = 20_000  # items that a new model is laid over within one answer: some milliseconds


class Personalize:
    """The ASGI application behind both routes. One per server process."""

    def __init__(self, installation: Installation) -> None:
        settings = installation.settings
        self._here = installation
        self._intake = EventIntake(Admission(settings, installation.door))
        self._decider = Decider(
            installation.catalog,
            installation.model,
            half_life=half_life_ms(settings.half_life_days),
            muted=round(settings.complaint_mutes_days * DAY),
        )
        self._cors = Cors(settings.allowed_origins)
        self._decided = Decided(installation)
        self._lost = installation.committer.lost
        self._looked, self._full = 0.0, False
        self._taking: asyncio.Task[None] | None = None
        kernels.warm()

    @staticmethod
    def takes(path: str) -> bool:
        """Whether a path is one of ours."""
        if path == ROUTE:
            return True
        return path.endswith("/items") and path.startswith(_PLACEMENTS) and len(path) > _SHORTEST

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        cors = self._cors.of(headers)
        began = time.perf_counter()
        try:
            if scope["method"] == "OPTIONS":
                await send_nothing(send, self._cors.preflight(headers))
                return
            question = await self._question(scope, receive)
            decision = await self._answer(question, scope, headers, began)
            self._here.metrics.observe("personalize", time.perf_counter() - began)
            await send_json(send, 200, _encode(decision), cors)
        except Gone:
            return
        except PlaitError as exc:
            self._here.metrics.refused(exc.code)
            if exc.field is not None and scope["method"] == "GET":
                exc.field = _in_query(exc.field)
            if exc.status in (408, 413):
                cors = (*cors, (b"connection", b"close"))
            await send_error(send, self._here.outside(exc), cors)

    def at_once(self, scope: Scope, body: bytes, answer: Answer) -> bool:
        """Answer a question that is all here and waits for nothing, without a task of its own (decision 0103).

        Args:
            scope: ASGI's.
            body: the whole of it.
            answer: called with the page.

        Returns:
            ``False``: nothing was done; it has to go the long way, which tells what is wrong with it.
        """
        path: str = scope["path"]
        if len(body) > MAX_BODY_BYTES or scope["method"] != ("POST" if path == ROUTE else "GET"):
            return False
        began = time.perf_counter()
        try:
            question = question_of(body) if path == ROUTE else _asked_in(path, scope["query_string"])
            if _has_events(question) or self._is_outdated():
                return False
            role, person = self._who(question, scope)
            decision = self._decision(question, person, role, began)
        except Exception:  # the long way says what is wrong, also where the mistake is ours
            return False
        self._here.metrics.observe("personalize", time.perf_counter() - began)
        answer(200, _encode(decision), self._cors.of(dict(scope["headers"])))
        return True

    # --- reading

    async def _question(self, scope: Scope, receive: Receive) -> Question:
        path: str = scope["path"]
        wanted = "POST" if path == ROUTE else "GET"
        if scope["method"] != wanted and not (wanted == "GET" and scope["method"] == "HEAD"):
            raise Rejected(
                f"{scope['method']} is not for {path[:200]}; use {wanted}",
                code="method_not_allowed",
                status=405,
            )
        if wanted == "GET":
            return _asked_in(path, scope["query_string"])
        return question_of(await read_body(receive, limit=MAX_BODY_BYTES))

    def _who(self, question: Question, scope: Scope) -> tuple[Role, str | None]:
        """Who asks, and for whom: ``None`` for somebody unknown.

        Raises:
            Rejected: 401 or 403; what this key may not ask.
        """
        here = self._here
        role = here.who_asks(scope)
        if role is None:
            raise Rejected(
                "a key is needed: Authorization: Bearer <key>, or writeKey in the query",
                code="unknown_key",
                status=401,
            )
        given = strongest_first(
            [
                checked_identifier(one, field=f"identifiers[{at}]")
                for at, one in enumerate(question.identifiers)
            ]
        )
        blocked = here.settings.identity.blocked
        if role == "secret":
            return role, next((one for one in given if one not in blocked), None)
        self._check_public(question)
        if question.token is not None:
            person = here.keys.verify(question.token, here.now())
            if any(one != person and not is_weak(one) for one in given):
                raise Rejected(
                    "the token speaks for somebody else", code="forbidden", field="identifiers", status=403
                )
            return role, person
        if len(given) > 1 or any(not is_weak(one) for one in given):
            raise Rejected(
                "with the write key ask for one anonymous id; a known person needs a token from your server",
                code="token_needed",
                field="identifiers",
                status=403,
            )
        return role, next((one for one in given if one not in blocked), None)

    def _check_public(self, question: Question) -> None:
        for number, asked in enumerate(question.placements):
            if asked.where is not None:
                raise Rejected(
                    "with the write key there are no conditions; put it into the placement",
                    code="forbidden",
                    field=f"placements[{number}].where",
                    status=403,
                )
            placement = self._here.catalog.placements.get(asked.id)
            if placement is not None and not placement.public:
                raise Rejected(
                    "this placement is not public",
                    code="forbidden",
                    field=f"placements[{number}].id",
                    status=403,
                )

    # --- answering

    async def _answer(
        self, question: Question, scope: Scope, headers: dict[bytes, bytes], began: float
    ) -> Decision:
        role, person = self._who(question, scope)
        inline, refused, waited = await self._told(question, person, role, headers, self._here.now())
        if self._here.model is not None and self._is_outdated():
            await self._take(self._here.model)
        # The wait for the disk is told apart, in the metrics: it is the disk's time, not the decision's.
        decision = self._decision(question, person, role, began + waited, inline)
        decision.refused = refused
        return decision

    def _decision(
        self, question: Question, person: str | None, role: Role, began: float, inline: Sequence[Event] = ()
    ) -> Decision:
        here = self._here
        now = here.now()
        profile, facts = self._profile(person, role, inline, now)
        self._decider.explorer = here.explorer
        decision = self._decider.decide(question, profile, now=now, id=_decision_id(now), facts=facts)
        if question.explain and role == "secret":  # what audiences there are is nothing for a public page
            self._aim(decision)
        if question.details:
            self._describe(decision)
        decision.degraded = self._degraded()
        self._tell_decided(decision, person, now)
        decision.explored = {}  # what else could have been shown is nobody's business
        decision.took_ms = round((time.perf_counter() - began) * 1_000, 3)
        return decision

    def _is_outdated(self) -> bool:
        return self._here.model is not None and self._here.model is not self._decider.model

    async def _take(self, model: Model) -> None:
        """Answer by another model: at once over a small catalog, else as soon as a thread has laid it over this one."""
        catalog = self._here.catalog
        if len(catalog.ids) <= AT_ONCE:
            self._decider.use(Ranker(model, catalog))
        elif self._taking is None or self._taking.done():
            self._taking = asyncio.create_task(self._lay(model))

    async def _lay(self, model: Model) -> None:
        catalog = self._here.catalog
        self._decider.use(await asyncio.to_thread(Ranker, model, catalog, list(catalog.ids)))

    async def _told(
        self, question: Question, person: str | None, role: Role, headers: dict[bytes, bytes], now: int
    ) -> tuple[list[Event], list[dict[str, Any]], float]:
        """Make inline events durable. Returns them, what was refused of them, and the seconds waited for the disk.

        Raises:
            Unavailable: they cannot be written; then there is no answer either.
        """
        if not _has_events(question):
            return [], [], 0.0
        here = self._here
        who = [person] if person is not None else []
        taken = self._intake.events(bytes(question.events), trusted=role == "secret", now=now, who=who)
        refused = [
            {"index": one.index, "code": one.code, "message": one.message}
            | ({"field": one.field} if one.field else {})
            for one in taken.refused
        ]
        for one in taken.refused:
            here.metrics.refused(one.code)
        if taken.body is None:
            return [], refused, 0.0
        record = Record(
            kind="events",
            source=here.settings.source,
            received_at=now,
            trusted=role == "secret",
            agent=headers.get(b"user-agent", b"")[:512].decode("latin-1"),
            body=taken.body,
        )
        began = time.perf_counter()
        await here.committer.append([encode_record(record)])
        if role == "write":
            here.arrivals.hear(b'{"events":%b}' % bytes(question.events))
        waited = time.perf_counter() - began
        here.metrics.observe("personalize_disk", waited)
        here.metrics.accepted.inc(taken.accepted)
        events = events_of(record, here.signals, ua=lambda _agent, _hints: UNKNOWN)
        for event in events:
            if event.consent:
                here.door.tell_event(event)
        return events, refused, waited

    def _profile(
        self, person: str | None, role: Role, inline: Sequence[Event], now: int
    ) -> tuple[Profile | None, Facts | None]:
        """What is known of somebody; facts where there are audiences to ask for them."""
        here = self._here
        if person is None:
            return None, None
        asked = bool(here.catalog.audiences)
        hidden = role == "write" and is_weak(person) and guessable(person)
        snapshot: Snapshot = _Nothing() if hidden else here.store.snapshot()
        try:
            found = people.interests(
                snapshot, person, now=now, settings=here.settings, door=here.door, inline=inline,
                usable=asked,
            )  # fmt: skip
            known = found
            if asked and found is None:
                known = people.stranger(snapshot, person, settings=here.settings, door=here.door)
        finally:
            snapshot.close()
        if found is not None:
            drawn = self._decider.ranker.drawn(found.identifiers, found.entries)
            if here.circles is not None:
                found.entries += here.circles.told(found.identifiers, found.entries, now=now)
            found.entries += drawn
        return found, here.facts(known, now) if asked and known is not None else None

    def _tell_decided(self, decision: Decision, person: str | None, now: int) -> None:
        here = self._here
        if person is None or here.door.refuses([person], SOURCE):
            return
        self._decided.tell(decision, person, now, self._capped(decision))

    def _aim(self, decision: Decision) -> None:
        """Say of every promotion which audience it is for."""
        catalog = self._here.catalog
        if not catalog.aims:
            return
        chosen = [one for shown in decision.placements.values() for one in shown.items]
        for one, audience in zip(
            chosen, catalog.aimed(np.array([catalog.rows[one.item] for one in chosen], np.intp)), strict=True
        ):
            if audience is not None:
                one.audience = audience

    def _describe(self, decision: Decision) -> None:
        """Say of every item what a page needs to draw it."""
        for shown in decision.placements.values():
            for one in shown.items:
                item = self._here.catalog.get(one.item)
                if item is not None:
                    one.details = {
                        name: value for name in _DRAWN if (value := getattr(item, name)) not in (None, "", {})
                    }

    def _capped(self, decision: Decision) -> list[str]:
        caps = self._here.catalog.column("cap").numbers  # NaN where there is none
        if caps is None:
            return []
        rows = self._here.catalog.rows
        shown = (one.item for chosen in decision.placements.values() for one in chosen.items)
        return [item for item in shown if rows[item] < len(caps) and caps[rows[item]] >= 0]

    def _degraded(self) -> bool:
        """Whether answers cannot be recorded: the disk is full, or what was told lately was lost."""
        clock = time.monotonic()
        if clock - self._looked > 1.0:
            lost, self._lost = self._here.committer.lost > self._lost, self._here.committer.lost
            self._looked, self._full = clock, lost or _is_full(self._here.settings.data)
        return self._full


_encode = msgspec.json.Encoder().encode
_DRAWN = ("kind", "title", "url", "image", "price", "available", "attributes")


class _Nothing:
    """A state in which nobody is known."""

    position = 0

    def get(self, table: str, key: bytes) -> None:
        """Nothing is held."""
        del table, key

    def scan(
        self, table: str, prefix: bytes = b"", *, after: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Nothing is held."""
        del table, prefix, after, reverse
        return iter(())

    def close(self) -> None:
        """Nothing to let go of."""


def _has_events(question: Question) -> bool:
    return bytes(question.events) not in (b"", b"null", b"[]")


def guessable(identifier: str) -> bool:
    """Whether an anonymous id could be guessed: too short, or too much the same."""
    value = identifier.partition(":")[2]
    return len(value) < GUESSABLE or len(set(value)) < 8


_IN_QUERY = frozenset(
    ("identifier", "n", "where", "exclude", "item", "url", "explain", "details", "token", "writeKey")
)
_FLAGS = {None: False, "": True, "1": True, "true": True, "0": False, "false": False}


def _asked_in(path: str, query: bytes) -> Question:
    """The question that a GET asks.

    Raises:
        Rejected: a name that is not known, or a value that cannot be.
    """
    told = parse_qs(query.decode("latin-1"), keep_blank_values=True)
    for name in told:
        if name not in _IN_QUERY:
            raise Rejected(
                f"{name[:80]} is not known here; {', '.join(sorted(_IN_QUERY))} are",
                code="invalid_question", field=name[:80],
            )  # fmt: skip

    def one(name: str) -> str | None:
        return told[name][0] if name in told else None

    def flag(name: str) -> bool:
        found = _FLAGS.get(one(name))
        if found is None:
            raise Rejected(
                f"{name} must be 1 or 0, not {told[name][0][:20]!r}", code="invalid_question", field=name
            )
        return found

    n = one("n")
    if n is not None and not (n.isascii() and n.isdecimal() and len(n) < 6):
        raise Rejected(f"n must be a number, not {n[:20]!r}", code="invalid_question", field="n")
    excluded = tuple(item for text in told.get("exclude", []) for item in text.split(",") if item)
    placement = path.removeprefix(_PLACEMENTS).removesuffix("/items")
    asked = Asked(placement, None if n is None else int(n), one("where"), item=one("item"))
    question = Question(
        placements=(asked,),
        identifiers=tuple(told.get("identifier", [])),
        page=Page(url=one("url"), item=one("item")),
        exclude=excluded,
        explain=flag("explain"),
        details=flag("details"),
        token=one("token"),
    )
    check(question)
    return question


def _in_query(field: str) -> str:
    """What a field of the question is called in the query of a GET."""
    return field.removeprefix("placements[0].").replace("identifiers[0]", "identifier")


_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [one + other for one in _CROCKFORD for other in _CROCKFORD]
_SHIFTS = tuple(range(120, -1, -10))


def _decision_id(now: int) -> str:
    """``d_`` and a ULID: the time and 80 random bits, so that ids sort by time and are never given twice."""
    number = (now << 80) | int.from_bytes(os.urandom(10), "big")
    return "d_" + "".join([_PAIRS[(number >> shift) & 1023] for shift in _SHIFTS])


def _is_full(folder: str) -> bool:
    try:
        return shutil.disk_usage(folder).free < RESERVE
    except OSError:
        return True
