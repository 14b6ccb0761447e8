"""Joining an account on a network to a customer, by proof: a code sent from it, ``rel="me"``, or signing in. For the secret key."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from plait import proofs
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
from plait.http.signin import NETWORK, SignIn

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
    "callback",
    "back",
    "proof",
)
_LONGEST = 8_192  # characters of an address or a proof
OPEN = ("/v1/proofs/callback",)  # who comes back from their server has no key, but a state that we sealed
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
    if told.get("consent") is not True:
        raise Rejected(
            "an account is joined with the person's own yes: ask them, and send consent: true",
            code="consent_needed", field="consent", status=403,
        )  # fmt: skip
    way = told.get("way")
    if way not in WAYS:
        raise _wrong("way", f"way is {' or '.join(WAYS)}")
    by = {"code": _code, "rel_me": _rel_me, "sign_in": _sign_in}[way]
    return answer(await by(here, identifier, told))


async def _code(here: Installation, identifier: str, told: dict[str, Any]) -> dict[str, Any]:
    account = told.get("account")
    if account is not None:
        account = checked_identifier(account, field="account")
    network = told.get("network") or (account and identifier_type(account))
    connected = [one for one in here.sources.connected() if one.network == network] if here.sources else []
    if not connected:
        raise _wrong("network", "network must be one that an account is connected on: the code is sent to it")
    if account is not None and identifier_type(account) != network:
        raise _wrong("account", f"account must be one of {network}")
    code, until = here.codes.give(identifier, str(network), account, here.now())
    to = [{"source": one.source, "handle": one.account.handle} for one in connected]
    return {"way": "code", "code": code, "expires_at": until, "send_to": to}


async def _rel_me(here: Installation, identifier: str, told: dict[str, Any]) -> dict[str, Any]:
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
    return {"way": "rel_me"} | await _joined(here, identifier, account, "rel_me", wait=True)


async def _sign_in(here: Installation, identifier: str, told: dict[str, Any]) -> dict[str, Any]:
    if told.get("proof") is not None:
        account = _signing(here).finish(_text(told, "proof"), identifier, here.now())
        return {"way": "sign_in"} | await _joined(here, identifier, account, "sign_in", wait=True)
    if told.get("network", NETWORK) != NETWORK:
        raise _wrong("network", f"signing in is built for {NETWORK}")
    host, callback, back = (_address(told, name) for name in ("host", "callback", "back"))
    return {
        "way": "sign_in",
        "send_to": await _signing(here).begin(identifier, host, callback, back, here.now()),
    }


async def come_back(request: Request) -> Response:
    """Whoever comes back from their server is sent on to the shop."""
    here, asked = installation(request), request.query_params
    to = await _signing(here).callback(asked.get("state", ""), asked.get("code"), here.now())
    return RedirectResponse(to, 303, {"cache-control": "no-store"})


def _signing(here: Installation) -> SignIn:
    return SignIn(here.codes.seal, here.fetcher)


def _address(told: dict[str, Any], name: str) -> str:
    url = _text(told, name)
    parts = urlsplit(url)
    local = parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1")
    if not parts.hostname or not (parts.scheme == "https" or local) or parts.fragment:
        raise _wrong(name, f"{name} must be an https address")
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
    identifier = here.codes.of(code, account, here.now())
    if identifier is None:
        return False
    await _joined(here, identifier, account, "code", wait=False)
    here.codes.spend(code)
    return True


async def _joined(
    here: Installation, identifier: str, account: str, proof: str, *, wait: bool
) -> dict[str, Any]:
    pair = strongest_first([identifier, account])
    event = link_event(pair, Signal.LINK, at=here.now(), consent=True, proof=proof)
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
    Route("/v1/proofs/callback", come_back, methods=["GET"]),
]
