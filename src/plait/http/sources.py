"""Connected accounts over HTTP: what they are, how they are, and the pages that the driver keeps. For the secret key."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import closing
from typing import Any, cast

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from plait import pages
from plait.accounts import unknown
from plait.connectors import connector_of
from plait.errors import Rejected, Unavailable
from plait.events import MAX_BODY_BYTES, About, Record, Signal, encode_record
from plait.graph import pseudonym
from plait.http import Installation, Sources
from plait.http.plain import answer, body, installation
from plait.http.proofs import redeem
from plait.intake.told import Told
from plait.pages import PageIntake
from plait.profiles import people
from plait.store import Snapshot


def sources_of(here: Installation) -> Sources:
    """What connects accounts.

    Raises:
        Unavailable: this server has none (it was put together by hand).
    """
    if here.sources is None:
        raise Unavailable("this server connects no accounts", code="no_sources")
    return here.sources


async def list_sources(request: Request) -> Response:
    """All connected accounts, and how each of them is."""
    here = installation(request)
    found = await asyncio.to_thread(_found, here)
    return answer({"sources": found})


async def get_source(request: Request) -> Response:
    """One account; ``?settled=1`` waits until the state holds what is in the log, so that its cursors are the newest."""
    here, source = installation(request), request.path_params["source"]
    if request.query_params.get("settled") and not await here.folded(here.log.last, seconds=60.0):
        raise Unavailable("the fold lags", code="lagging", retry_after=5)
    found = await asyncio.to_thread(_found, here, source)
    if not found:
        raise unknown(source)
    return answer(found[0])


def _found(here: Installation, only: str | None = None) -> list[dict[str, Any]]:
    """Accounts as they are told; with ``only`` also a source that has kept pages and is not connected."""
    sources = sources_of(here)
    told = sources.told()
    rows: list[dict[str, Any]] = []
    with closing(here.store.snapshot()) as snapshot:
        for one in sources.connected():
            if only in (None, one.source) and one.source in told:
                state = msgspec.to_builtins(told[one.source])
                for name in ("spent", "source", "network"):
                    state.pop(name, None)
                rows.append(
                    {
                        "source": one.source, "network": one.network, "handle": one.account.handle,
                        "me": one.account.me, "host": one.account.host, "connected_at": one.connected_at,
                        "state": state, "cursors": pages.places(snapshot, one.source), "gives": _gives(one.network),
                    }
                )  # fmt: skip
        if only is not None and not rows and (places := pages.places(snapshot, only)):
            rows.append({"source": only, "cursors": places})
    return [row | {"cursors": {lane: _place(one) for lane, one in row["cursors"].items()}} for row in rows]


def _place(one: pages.Place) -> dict[str, Any]:
    return {"cursor": one.cursor, "at": one.at, "done": one.done}


def _gives(network: str) -> list[dict[str, Any]]:
    try:
        given = connector_of(network).statement.gives
    except Rejected:  # its driver is not installed any more
        return []
    return [cast(dict[str, Any], msgspec.to_builtins(one)) for one in given]


async def connect(request: Request) -> Response:
    """Connect an account: ``{"network", "credentials": {...}}``; they are checked with the network before the answer.

    With ``back`` instead of secrets, a browser signs in: the answer says where to send it, and what to give back as ``state``,
    with what it ``answered``.
    """
    told, sources = await body(request), sources_of(installation(request))
    for name in told:
        if name not in ("network", "host", "credentials", "back", "state", "answered"):
            raise Rejected(f"{name[:80]} is not known here", code="invalid_body", field=name[:80])
    if "state" in told:
        answered = _texts(told, "answered")
        one = await sources.finish(_text(told, "state"), answered)
        return answer(_connected(one))
    network, host, credentials = _text(told, "network"), told.get("host") or "", told.get("credentials", {})
    if not isinstance(host, str):
        raise Rejected("host must be a text", code="invalid_body", field="host")
    if not isinstance(credentials, dict):
        raise Rejected("credentials must be an object", code="invalid_body", field="credentials")
    if "back" in told:
        url, state = await sources.begin(network, credentials, host, _text(told, "back"))
        return answer({"send_to": url, "state": state})
    return answer(_connected(await sources.connect(network, credentials, host)))


def _text(told: dict[str, Any], name: str) -> str:
    value = told.get(name)
    if not isinstance(value, str) or len(value) > 65_536:
        raise Rejected(f"{name} must be a text", code="invalid_body", field=name)
    return value


def _texts(told: dict[str, Any], name: str) -> dict[str, str]:
    value = told.get(name)
    if not isinstance(value, dict) or not all(
        isinstance(one, str) and len(one) < 8_192 for one in value.values()
    ):
        raise Rejected(f"{name} must be an object of texts", code="invalid_body", field=name)
    return value


def _connected(one: Any) -> dict[str, Any]:
    return {"source": one.source, "network": one.network, "handle": one.account.handle, "me": one.account.me}


async def disconnect(request: Request) -> Response:
    """Disconnect an account and forget its secrets; what it told stays, and so do its cursors."""
    source, sources = request.path_params["source"], sources_of(installation(request))
    await sources.sign_out(source)
    one = await asyncio.to_thread(sources.disconnect, source)
    return answer({"disconnected": one.source})


async def page(request: Request) -> Response:
    """Keep a page of a source: its facts and its cursor in one record of the log, durable before the answer."""
    here, source = installation(request), request.path_params["source"]
    raw = await request.body()
    if len(raw) > MAX_BODY_BYTES:
        raise Rejected(f"a page is larger than {MAX_BODY_BYTES} bytes", code="body_too_large", status=413)
    wait = here.lagging()
    if wait is not None:
        raise Unavailable("too much waits to be folded", code="lagging", status=429, retry_after=wait)
    return answer(await keep(here, source, raw))


async def keep(here: Installation, source: str, raw: bytes) -> dict[str, Any]:
    """Keep a page, as ``POST …/pages`` and webhooks do.

    Raises:
        Rejected: it is no page.
        Unavailable: it is not in the log.
    """
    now = here.now()
    with closing(here.store.snapshot()) as snapshot:
        intake = PageIntake(here.settings, here.door, far=_far(here, snapshot), pepper=here.keys.pepper)
        taken = intake.page(raw, source, now=now)
    gone = [one for one in taken.gone if await _is_known(here, one)]
    # The erasures stand before the page in one append: what the page still tells of them from before is refused.
    records = [*(_erasure(one, source, now) for one in gone),
               Record(kind="page", source=source, received_at=now, trusted=True, body=taken.body)]  # fmt: skip
    position = await here.committer.append([encode_record(one) for one in records])
    for number, record in enumerate(records):
        here.hear(position + number, record)
    here.door.forget(gone, now)
    here.metrics.accepted.inc(taken.accepted)
    for wrong in taken.refused:
        here.metrics.refused(wrong.code)
    told: dict[str, Any] = {"accepted": taken.accepted, "position": position + len(records) - 1}
    if taken.refused:
        told["refused"] = [msgspec.to_builtins(one) for one in taken.refused]
    if gone:
        told["erased"] = len(gone)
    for account, code in taken.proofs if here.gave_codes else ():
        await redeem(here, account, code)
    return told


async def _is_known(here: Installation, identifier: str) -> bool:
    """Whether there is anything of an account to erase; a network tells of many who were never here."""
    if here.position() < here.log.last and not await here.folded(here.log.last):
        return True  # we cannot tell; an erasure too many does no harm
    with closing(here.store.snapshot()) as snapshot:
        return people.is_known(snapshot, identifier) or people.is_known(
            snapshot, pseudonym(identifier, here.keys.pepper)
        )


def _far(here: Installation, snapshot: Snapshot) -> Callable[[str, str], bool]:
    """Whether somebody is unknown here and follows an account that is none of the company's."""
    ours: set[str] | None = None

    def far(actor: str, account: str) -> bool:
        nonlocal ours
        if ours is None:
            ours = {one.account.me for one in here.sources.connected()} if here.sources else set()
        return bool(ours) and account not in ours and not people.has_acted(snapshot, actor)

    return far


def _erasure(identifier: str, source: str, now: int) -> Record:
    """The account alone, not whom it is linked to (docs/explanation/decisions/0170)."""
    event = Told(
        id=f"erase-{secrets.token_hex(12)}", signal=Signal.ERASE, op="erase", who=(identifier,), at=now,
        about=About(account=identifier),
    )  # fmt: skip
    return Record(
        kind="events", source=source, received_at=now, trusted=True, body=msgspec.json.encode([event])
    )


async def one_source(request: Request) -> Response:
    """One account, asked about or disconnected."""
    return await (disconnect if request.method == "DELETE" else get_source)(request)


async def all_sources(request: Request) -> Response:
    """All accounts, or a new one."""
    return await (connect if request.method == "POST" else list_sources)(request)


routes = [
    Route("/v1/sources", all_sources, methods=["GET", "POST"]),
    Route("/v1/sources/{source:path}/pages", page, methods=["POST"]),
    Route("/v1/sources/{source:path}", one_source, methods=["GET", "DELETE"]),
]
