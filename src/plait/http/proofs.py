"""Joining an account on a network to a customer, by proof: a code sent from it, ``rel="me"``, or signing in. For the secret key."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from plait import proofs
from plait.connectors import Visit
from plait.errors import Rejected
from plait.events import (
    Record,
    Signal,
    checked_identifier,
    identifier_type,
    is_network,
    is_weak,
    strongest_first,
)
from plait.http import Installation
from plait.http.people import link_event, record_of, settled
from plait.http.plain import answer, body, installation

WAYS = ("code", "rel_me", "sign_in")
_NAMES = (
    "identifier",
    "way",
    "consent",
    "network",
    "account",
    "url",
    "page",
    "host",
    "handle",
    "directory",
    "callback",
    "back",
    "proof",
)
_LONGEST = 8_192  # characters of an address or a proof
CALLBACK, CLIENT = "/v1/proofs/callback", "/v1/proofs/client.json"
OPEN = (CALLBACK, CLIENT)  # who comes back from their network has no key, but a state that we gave out
NETWORK = "mastodon"  # where none is named
_PROFILE = "application/activity+json, text/html;q=0.9"


async def prove(request: Request) -> Response:
    """Begin a proof (``code``, ``sign_in``), or look at one (``rel_me``, ``sign_in``)."""
    here, told = installation(request), await body(request)
    for name in told:
        if name not in _NAMES:
            raise _wrong(name[:80], f"{name[:80]} is not known here; {', '.join(_NAMES)} are")
    identifier = checked_identifier(told.get("identifier"), field="identifier")
    if is_weak(identifier) or is_network(identifier):
        raise _wrong("identifier", "identifier must be a customer's: user, email or phone")
    social = _consented(told.get("consent"))
    way = told.get("way")
    if way not in WAYS:
        raise _wrong("way", f"way is {' or '.join(WAYS)}")
    by = {"code": _code, "rel_me": _rel_me, "sign_in": _sign_in}[way]
    return answer(await by(here, identifier, told, social))


def _consented(told: Any) -> bool | None:
    """What they said about ``social``, ``None`` when they were not asked; they have said yes to ``link``.

    Raises:
        Rejected: they have not; 403 ``consent_needed``.
    """
    said = {"link": told} if isinstance(told, bool) else told
    if isinstance(said, dict):
        for purpose, granted in said.items():
            if purpose not in ("link", "social") or not isinstance(granted, bool):
                raise _wrong("consent", "consent is true, or says true or false about link and social")
    elif said is not None:
        raise _wrong("consent", "consent is true, or says true or false about link and social")
    if not said or not said.get("link"):
        raise Rejected(
            "an account is joined with the person's own yes: ask them, and send consent: true",
            code="consent_needed", field="consent", status=403,
        )  # fmt: skip
    return said.get("social")


async def _code(
    here: Installation, identifier: str, told: dict[str, Any], social: bool | None
) -> dict[str, Any]:
    account = told.get("account")
    if account is not None:
        account = checked_identifier(account, field="account")
    network = told.get("network") or (account and identifier_type(account))
    connected = [one for one in here.sources.connected() if one.network == network] if here.sources else []
    if not connected:
        raise _wrong("network", "network must be one that an account is connected on: the code is sent to it")
    if account is not None and identifier_type(account) != network:
        raise _wrong("account", f"account must be one of {network}")
    code, until = here.codes.give(identifier, str(network), account, here.now(), social=social)
    to = [{"source": one.source, "handle": one.account.handle} for one in connected]
    return {"way": "code", "code": code, "expires_at": until, "send_to": to}


async def _rel_me(
    here: Installation, identifier: str, told: dict[str, Any], social: bool | None
) -> dict[str, Any]:
    url, page = told.get("url"), told.get("page")
    if not isinstance(url, str) or len(url) > 2_048:
        raise _wrong("url", "url must be the address of the profile")
    if not isinstance(page, str) or not page.startswith(("https://", "http://")) or len(page) > 2_048:
        raise _wrong("page", "page must be an address of yours that only this customer was given")
    account = proofs.account_at(url)
    found = await here.fetcher.fetch(url, headers={"accept": _PROFILE})
    if found.status != 200 or proofs.account_at(found.url) != account:
        raise _unproven(f"{url} answered {found.status}" if found.status != 200 else f"{url} leads elsewhere")
    if not proofs.links_to(found.body, found.headers.get("content-type", ""), page):
        raise _unproven(f'{url} does not link to {page} with rel="me"')
    return {"way": "rel_me"} | await _joined(here, identifier, account, "rel_me", social, wait=True)


async def _sign_in(
    here: Installation, identifier: str, told: dict[str, Any], social: bool | None
) -> dict[str, Any]:
    signing = here.sign_ins
    if told.get("proof") is not None:
        proof = _text(told, "proof")
        account = signing.proven(proof, identifier, here.now())
        joined = await _joined(here, identifier, account, "sign_in", social, wait=True)
        signing.spend(proof)
        return {"way": "sign_in"} | joined
    public = here.settings.public_url.rstrip("/")
    told = {"callback": public + CALLBACK, **told} if public else told
    visit = Visit(
        host=_server(told, "host"), directory=_server(told, "directory"), back=_address(told, "callback"),
        handle=_text(told, "handle") if told.get("handle") is not None else "",
        client=public + CLIENT if public and told["callback"] == public + CALLBACK else "",
    )  # fmt: skip
    network = _text({"network": NETWORK, **told}, "network")
    return {
        "way": "sign_in",
        "send_to": await signing.begin(identifier, network, visit, _address(told, "back"), here.now()),
    }


async def come_back(request: Request) -> Response:
    """Whoever comes back from their network is sent on to the shop."""
    here, asked = installation(request), request.query_params
    if any(len(value) > _LONGEST for value in asked.values()):
        raise _wrong("state", "what came back is too long")
    try:
        to = await here.sign_ins.come_back(dict(asked), here.now())
    except Rejected as error:
        if "text/html" not in request.headers.get("accept", ""):
            raise
        return HTMLResponse(_LOST, error.status, {"cache-control": "no-store"})
    return RedirectResponse(to, 303, {"cache-control": "no-store"})


# Nobody knows where they came from, so nothing leads there.
_LOST = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>Sign-in</title><h1>This sign-in has ended</h1>"
    "<p>It took longer than ten minutes, or was used before. Nothing was linked. Go back to the shop and begin anew."
)


async def who_we_are(request: Request) -> Response:
    """The document that says who asks, for networks that read one; our id there is its address."""
    public = installation(request).settings.public_url.rstrip("/")
    if not public.startswith("https://"):
        raise Rejected("public_url is not set, so nobody is asked from here", code="not_found", status=404)
    return Response(
        msgspec.json.encode(
            {
                "client_id": public + CLIENT, "client_name": urlsplit(public).hostname, "client_uri": public,
                "redirect_uris": [public + CALLBACK], "scope": "atproto", "grant_types": ["authorization_code"],
                "response_types": ["code"], "token_endpoint_auth_method": "none", "application_type": "web",
                "dpop_bound_access_tokens": True,
            }
        ),
        media_type="application/json", headers={"cache-control": "max-age=600"},
    )  # fmt: skip


def _address(told: dict[str, Any], name: str) -> str:
    url = _text(told, name)
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise _wrong(name, f"{name} must be an https address") from None
    local = parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1")
    if not parts.hostname or not (parts.scheme == "https" or local) or parts.fragment or "@" in parts.netloc:
        raise _wrong(name, f"{name} must be an https address")
    return url


def _server(told: dict[str, Any], name: str) -> str:
    """The base URL of a server; "" where none is named."""
    if told.get(name) is None:
        return ""
    url = _address(told, name).rstrip("/")
    if urlsplit(url).query or urlsplit(url).path:
        raise _wrong(name, f"{name} must be a server's address, https://social.example")
    return url


def _text(told: dict[str, Any], name: str) -> str:
    value = told.get(name)
    if not isinstance(value, str) or not value or len(value) > _LONGEST or not value.isprintable():
        raise _wrong(name, f"{name} must be a text")
    return value


async def redeem(here: Installation, account: str, code: str) -> bool:
    """A code came from an account: join it to whoever was given the code; whether somebody was.

    Raises:
        Unavailable: the link is not in the log, and the code still works.
    """
    waiting = here.codes.of(code, account, here.now())
    if waiting is None:
        return False
    await _joined(here, waiting.identifier, account, "code", waiting.social, wait=False)
    here.codes.spend(code)
    return True


async def _joined(
    here: Installation, identifier: str, account: str, proof: str, social: bool | None, *, wait: bool
) -> dict[str, Any]:
    """Append the link: how it was proven, what it is for, and when; with what they said about ``social``, of both."""
    pair = strongest_first([identifier, account])
    event = link_event(pair, Signal.LINK, at=here.now(), consent=True, proof=proof)
    if social is not None:
        event = msgspec.structs.replace(event, consent={"link": True, "social": social})
    record: Record = record_of(here, [event], here.now())
    if wait:
        await settled(here, record)
    else:
        await here.append(record)
        here.take_in(record)
    return {"link": list(pair), "id": event.id}


def _wrong(field: str, message: str) -> Rejected:
    return Rejected(message, code="invalid_proof", field=field)


def _unproven(message: str) -> Rejected:
    return Rejected(message, code="not_proven", field="url", status=403)


routes = [
    Route("/v1/proofs", prove, methods=["POST"]),
    Route(CALLBACK, come_back, methods=["GET"]),
    Route(CLIENT, who_we_are, methods=["GET"]),
]
