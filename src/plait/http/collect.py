"""Everything that sends us events: every route of the Segment protocol, and our own.

One raw ASGI callable, because a framework would cost more than all the work there is. A request is read, who sends
it is known by a key in whichever place clients put it, what it holds goes through ``plait.intake``, and it is
answered 200 once it is on disk and not before.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs

import msgspec

from plait.errors import PlaitError, Rejected, Unavailable
from plait.events import MAX_BODY_BYTES, Record, encode_record
from plait.http.cors import Cors
from plait.http.protocol import Answer
from plait.http.wire import (
    SLOWEST,
    Gone,
    Receive,
    Send,
    read_body,
    send_error,
    send_json,
    send_nothing,
    told_later,
)
from plait.intake import Refusal, Taken
from plait.intake.admission import Admission
from plait.intake.calls import CALL_TYPES, CallIntake, CallType
from plait.intake.device import UNKNOWN
from plait.intake.own import EventIntake
from plait.intake.records import events_of

if TYPE_CHECKING:
    from plait.http import Installation, Scope
    from plait.keys import Role

Kind = Literal["batch", "import", "events"] | CallType

_SHORT: dict[str, CallType] = {name[0]: name for name in CALL_TYPES} | {"s": "screen"}
_NAMED: dict[str, Kind] = {f"/v1/{name}": name for name in CALL_TYPES}
ROUTES: dict[str, Kind] = (
    _NAMED
    | {f"/v1/{short}": name for short, name in _SHORT.items()}
    | {f"/api/s/{name}": name for name in CALL_TYPES}  # jitsu in a browser
    | {f"/api/s/s2s/{name}": name for name in CALL_TYPES}  # jitsu on a server
    | {f"/beacon/v1/{name}": name for name in CALL_TYPES}
    | {"/v1/batch": "batch", "/v1/b": "batch", "/beacon/v1/batch": "batch", "/beacon/v1/b": "batch"}
    | {"/v1/import": "import", "/v1/events": "events"}
)
_SETTINGS = "/v1/projects/"  # {key}/settings: analytics-next asks for it before it sends
_SOURCE_CONFIG = "/sourceConfig"  # RudderStack's browser client does the same here

HINTS = (
    b"sec-ch-ua",
    b"sec-ch-ua-mobile",
    b"sec-ch-ua-platform",
    b"sec-ch-ua-model",
)
LONGEST_HEADER = 512  # characters of an agent or a hint that we keep
# What a client may do nothing about and should not hear of as an error: the person said no.
QUIET = frozenset({"no_consent", "erased"})
_DONE = tuple(b'{"success":true,"accepted":%d}' % n for n in range(256))
_ROLES = 1_000  # authorization headers remembered; only right ones are


class Collect:
    """The ASGI application behind all routes that take events. One per server process."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        admission = Admission(installation.settings, installation.door)
        self._calls = CallIntake(admission, installation.signals)
        self._events = EventIntake(admission)
        self._cors = Cors(installation.settings.allowed_origins)
        self._roles: dict[bytes, Role] = {}
        self._keys = installation.keys

    @staticmethod
    def takes(path: str) -> bool:
        """Whether a path is one of ours."""
        return path in ROUTES or path.startswith(_SETTINGS) or path.rstrip("/") == _SOURCE_CONFIG

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        cors = self._cors.of(headers)
        try:
            kind = ROUTES.get(scope["path"])
            if kind is not None and scope["method"] == "POST":
                started = perf_counter()
                body = await self._post(kind, scope, headers, receive)
                self._installation.metrics.observe(kind, perf_counter() - started)
                await send_json(send, 200, body, cors)
            elif scope["method"] == "OPTIONS":
                await send_nothing(send, self._cors.preflight(headers))
            else:
                body = self._get(scope, kind)
                await send_json(send, 200, b"" if scope["method"] == "HEAD" else body, cors)
        except Gone:
            return
        except _Refused as refused:
            await send_json(send, refused.status, refused.body, cors)
        except PlaitError as exc:
            self._installation.metrics.refused(exc.code)
            if exc.status in (408, 413):
                cors = (*cors, (b"connection", b"close"))
            await send_error(send, self._installation.outside(exc), cors)

    # -- taking events ------------------------------------------------------------------------------------

    def at_once(self, scope: Scope, body: bytes, answer: Answer) -> bool:
        """Take a request that is all here and in order, without a task of its own.

        Args:
            scope: ASGI's.
            body: the whole of it.
            answer: called once it is on disk, or with why it is not.

        Returns:
            ``False``: nothing was done; it has to go the long way, which tells what is wrong with it.
        """
        kind = ROUTES.get(scope["path"])
        if kind is None or scope["method"] != "POST" or scope["query_string"]:
            return False
        started = perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        cors = self._cors.of(headers)
        here = self._installation

        def told(found: int | Exception) -> None:
            if isinstance(found, Exception):
                error = here.failed(found, kind)
                answer(error.status, msgspec.json.encode(error.as_json()), [*cors, *told_later(error)])
                return
            if trusted:
                here.hear(found, record)
            here.metrics.accepted.inc(taken.accepted)
            here.metrics.observe(kind, perf_counter() - started)
            answer(200, _done(taken.accepted), cors)

        try:
            taken, trusted, now = self._read(kind, scope, headers, body, verdicts=False)
            if taken.body is None or taken.closer:
                return False
            record = self._record(kind, taken, headers, trusted=trusted, now=now)
            here.committer.append_then([encode_record(record)], told)
        except PlaitError:
            return False
        if kind == "events" and not trusted:
            here.arrivals.hear(body)
        return True

    async def _post(self, kind: Kind, scope: Scope, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        here = self._installation
        body = await read_body(receive, limit=MAX_BODY_BYTES, seconds=SLOWEST)
        verdicts = b"verdicts=1" in scope["query_string"]
        taken, trusted, now = self._read(kind, scope, headers, body, verdicts=verdicts)
        if taken.body is not None:
            await self._kept(self._record(kind, taken, headers, trusted=trusted, now=now), taken)
        if kind == "events" and not trusted:
            here.arrivals.hear(body)
        if not taken.refused and not verdicts:
            return _done(taken.accepted)
        for one in taken.refused:
            here.metrics.refused(one.code)
        return _told(taken, verdicts=verdicts)

    def _read(
        self, kind: Kind, scope: Scope, headers: Mapping[bytes, bytes], body: bytes, *, verdicts: bool
    ) -> tuple[Taken, bool, int]:
        """What a request holds, whether it came with the secret key, and when.

        Raises:
            Rejected, Unavailable: nothing of it may come in, or not now.
        """
        here = self._installation
        if body[:2] == b"\x1f\x8b":  # what a body is, its first bytes tell; headers lie
            body = inflated(body)
        trusted = self._role(scope, headers, body) == "secret"
        if kind == "import" and not trusted:
            raise Rejected("import needs the secret key", code="forbidden", status=403)
        wait = here.lagging()
        if wait is not None:
            raise Unavailable("too much waits to be folded", code="lagging", status=429, retry_after=wait)
        now = here.now()
        return self._taken(kind, body, trusted=trusted, now=now, closely=verdicts), trusted, now

    def _taken(self, kind: Kind, body: bytes, *, trusted: bool, now: int, closely: bool) -> Taken:
        if kind == "batch" or kind == "import":
            return self._calls.batch(body, trusted=trusted, now=now, closely=closely)
        if kind == "events":
            return self._events.events(body, trusted=trusted, now=now, closely=closely)
        return self._calls.call(body, kind, trusted=trusted, now=now, closely=closely)

    def _record(
        self, kind: Kind, taken: Taken, headers: Mapping[bytes, bytes], *, trusted: bool, now: int
    ) -> Record:
        assert taken.body is not None
        return Record(
            kind="events" if kind == "events" else "segment",
            source=self._installation.settings.source,
            received_at=now,
            trusted=trusted,
            agent=_header(headers.get(b"user-agent", b"")),
            hints={name.decode(): _header(headers[name]) for name in HINTS if name in headers},
            body=taken.body,
        )

    async def _kept(self, record: Record, taken: Taken) -> None:
        """Make it durable, then let what was said about consent hold from the next request on."""
        here = self._installation
        # Once handed over it is on its way whether or not the sender stays on the line.
        position = await here.committer.append([encode_record(record)])
        if record.trusted or taken.closer:
            here.hear(position, record)
        here.metrics.accepted.inc(taken.accepted)
        if taken.closer and b'"consent"' in record.body:
            for event in events_of(record, here.signals, ua=lambda _agent, _hints: UNKNOWN):
                here.door.tell_event(event)

    def _role(self, scope: Scope, headers: Mapping[bytes, bytes], body: bytes) -> Role:
        """Who sends: by a key in the headers or the query, else in the body.

        Raises:
            Rejected: 401; no key, or nobody's.
        """
        if self._keys is not self._installation.keys:  # rotated
            self._keys = self._installation.keys
            self._roles.clear()
        given = headers.get(b"authorization", b"")
        role = self._roles.get(given)
        if role is not None:
            return role
        role = self._installation.who_asks(scope)
        if role is not None:
            if given and len(self._roles) < _ROLES and self._installation.who_asks(_only(given)) == role:
                self._roles[given] = role
            return role
        key = _key_in_body(body)
        role = self._keys.role(key) or self._keys.role(key and key.partition(":")[0])
        if role is None:
            told = bool(given or key or b"x-write-key" in headers or b"writeKey=" in scope["query_string"])
            raise Rejected(
                "the key is not one of this installation" if told else "a key is needed: Basic, Bearer or writeKey",
                code="unknown_key" if told else "missing_key", field="writeKey", status=401,
            )  # fmt: skip
        return role

    # -- the rest -----------------------------------------------------------------------------------------

    def _get(self, scope: Scope, kind: Kind | None) -> bytes:
        """The settings that browser clients ask for before they send."""
        path: str = scope["path"]
        if kind is not None or scope["method"] not in ("GET", "HEAD"):
            raise Rejected(
                f"{scope['method']} is not for {path}; POST events here" if kind else f"{path} is read with GET",
                code="method_not_allowed", status=405,
            )  # fmt: skip
        if path.startswith(_SETTINGS):
            key, _, rest = path.removeprefix(_SETTINGS).partition("/")
            if rest != "settings":
                raise Rejected(f"there is nothing at {path[:200]}", code="not_found", status=404)
            self._known(key)
            told = {"apiKey": key} | _sent_to(scope)
            return msgspec.json.encode({"integrations": {"Segment.io": told}, "plan": {}})
        key = parse_qs(scope["query_string"].decode("latin-1")).get("writeKey", [""])[0]
        self._known(key)
        source = {
            "id": self._installation.settings.source, "name": self._installation.settings.source, "writeKey": key,
            "enabled": True, "workspaceId": "plait", "connections": [], "destinations": [], "dataplanes": {},
            "config": {"statsCollection": {"errors": {"enabled": False}, "metrics": {"enabled": False}}},
        }  # fmt: skip
        return msgspec.json.encode({"source": source, "updatedAt": "2026-01-01T00:00:00.000Z"})

    def _known(self, key: str) -> None:
        # Whoever puts the secret key into a page gets no help to use it there.
        if (
            self._installation.keys.role(key) != "write"
            and self._installation.keys.role(key.partition(":")[0]) != "write"
        ):
            raise Rejected("the key is not a write key of this installation", code="unknown_key", status=404)


def _done(accepted: int) -> bytes:
    return _DONE[accepted] if accepted < 256 else b'{"success":true,"accepted":%d}' % accepted


class _Refused(Exception):
    """Nothing of a request was accepted; ``body`` tells why."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


def inflated(body: bytes, *, limit: int = MAX_BODY_BYTES) -> bytes:
    """What a gzip body holds; never more than ``limit`` bytes are made of it.

    Raises:
        Rejected: not gzip, cut short, or more than ``limit`` bytes.
    """
    unzip = zlib.decompressobj(wbits=31)
    try:
        told = unzip.decompress(body, limit + 1)
    except zlib.error as exc:
        raise Rejected(f"the body is not gzip: {exc}", code="invalid_gzip") from None
    if len(told) > limit:
        raise Rejected(f"the body is larger than {limit} bytes", code="inflated_too_large", status=413)
    if not unzip.eof:
        raise Rejected("the gzip body is cut short", code="invalid_gzip")
    if unzip.unused_data.strip(b"\0"):
        raise Rejected("the gzip body is followed by something else", code="invalid_gzip")
    return told


def _told(taken: Taken, *, verdicts: bool) -> bytes:
    """The answer that names what was refused; raised where nothing was accepted and somebody erred."""
    answer: dict[str, Any] = {"success": True, "accepted": taken.accepted}
    if taken.refused:
        answer["refused"] = [_refusal(one) for one in taken.refused]
    if verdicts:
        wrong = {one.index: one for one in taken.refused}
        answer["verdicts"] = [
            {"index": index, "messageId": id_, "accepted": index not in wrong}
            | (_refusal(wrong[index]) if index in wrong else {})
            for index, id_ in enumerate(taken.ids)
        ]
    loud = [one for one in taken.refused if one.code not in QUIET]
    if taken.accepted or not loud:
        return msgspec.json.encode(answer)
    first = loud[0]
    status = first.status if all(one.status == first.status for one in loud) else 400
    answer |= _refusal(first) | {"success": False}
    del answer["index"]
    raise _Refused(status, msgspec.json.encode(answer))


def _refusal(one: Refusal) -> dict[str, Any]:
    told: dict[str, Any] = {"index": one.index, "code": one.code, "message": one.message}
    return told | {"field": one.field} if one.field else told


class _Keyed(msgspec.Struct):
    writeKey: str | None = None  # noqa: N815


class _KeyedBatch(_Keyed):
    batch: list[_Keyed] = []


_keyed = msgspec.json.Decoder(_KeyedBatch)


def _key_in_body(body: bytes) -> str | None:
    try:
        told = _keyed.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    return told.writeKey or next((one.writeKey for one in told.batch if one.writeKey), None)


def _only(authorization: bytes) -> dict[str, Any]:
    return {"headers": [(b"authorization", authorization)], "query_string": b""}


def _header(value: bytes) -> str:
    return value[:LONGEST_HEADER].decode("latin-1") if value else ""


_PUBLIC_HOST = re.compile(rb"[a-z0-9-]+(\.[a-z0-9-]+)*\.[a-z]{2,}(:[0-9]{1,5})?", re.I)


def _sent_to(scope: Scope) -> dict[str, str]:
    """Where to send events, for clients that fall back to Segment's own servers unless their settings say it (Kotlin 1.20).

    Only what the asker called us itself, and only a name that can be reached: a proxy may have put its own.
    """
    host = dict(scope["headers"]).get(b"host", b"")
    return {"apiHost": f"{host.decode()}/v1"} if _PUBLIC_HOST.fullmatch(host) else {}
