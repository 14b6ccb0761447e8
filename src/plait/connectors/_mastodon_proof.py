"""A customer signs in to their server of Mastodon's kind to show that an account is theirs; nothing of it is kept."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from plait.connectors import Ask, Fresh, Leave, Renewed, Visit
from plait.connectors._mastodon_account import sign_in
from plait.connectors._mastodon_oauth import challenge, checked_code
from plait.errors import PlaitError, Rejected

SCOPE = "read:accounts"  # who they are; no post, no message

Asks = Generator[Ask, Any, Any]


def ask_who(visit: Visit, fresh: Fresh) -> Generator[Ask, Any, Leave]:
    """Register with their server, and where they are asked who they are.

    Raises:
        Rejected: they named no server, or it does not register us, or is none of Mastodon's kind.
    """
    host = visit.host
    if not host:
        raise Rejected("host must be the https address of their server", code="invalid_proof", field="host")
    if visit.handle:
        raise Rejected("on the fediverse host says where they sign in", code="invalid_proof", field="handle")
    form = {"client_name": f"Sign in to {visit.name}", "redirect_uris": visit.back, "scopes": SCOPE}
    told = yield from _told(f"{host}/api/v1/apps", form)
    client, secret = told.get("client_id"), told.get("client_secret")
    if not isinstance(client, str) or not isinstance(secret, str):
        raise _no_server(host)
    asked = {
        "response_type": "code", "client_id": client, "redirect_uri": visit.back, "scope": SCOPE, "state": fresh.state,
        "code_challenge": challenge(fresh.verifier), "code_challenge_method": "S256",
    }  # fmt: skip
    kept = {
        "host": host, "client_id": client, "client_secret": secret, "redirect_uri": visit.back, "state": fresh.state,
        "code_verifier": fresh.verifier,
    }  # fmt: skip
    return Leave(url=f"{host}/oauth/authorize?{urlencode(asked)}", kept=kept)


def who(kept: Mapping[str, str], answered: Mapping[str, str]) -> Generator[Ask | Renewed, Any, str]:
    """The account of whoever came back.

    Raises:
        Rejected: the server does not take the code, or may not speak for the account (``not_proven``).
    """
    host, client = kept["host"], {name: kept[name] for name in ("client_id", "client_secret")}
    form = {
        "grant_type": "authorization_code", "code": checked_code(kept, answered), "redirect_uri": kept["redirect_uri"],
        "scope": SCOPE, "code_verifier": kept["code_verifier"], **client,
    }  # fmt: skip
    token = (yield from _told(f"{host}/oauth/token", form)).get("access_token")
    if not isinstance(token, str):
        raise Rejected(f"{host} gave no token", code="not_proven", status=403)
    back = {"token": token, **client}
    try:
        session = yield from sign_in({"access_token": token}, host, 0)
    except PlaitError:
        yield from _given_back(host, back)
        raise
    yield from _given_back(host, back)  # we know who they are now, and want nothing else
    account: str = session.account.me
    yield from _vouched(account, host)
    return account


def _vouched(account: str, host: str) -> Asks:
    """Make sure that the domain of an account has its accounts at this server: any server can say any domain."""
    user, _, domain = account.partition(":")[2].rpartition("@")
    parts = urlsplit(host)
    if domain == parts.netloc.lower():
        return
    resource = urlencode({"resource": f"acct:{user}@{domain}"})
    told = yield from _told(f"{parts.scheme}://{domain}/.well-known/webfinger?{resource}")
    links = told.get("links")
    for one in links if isinstance(links, list) else []:
        if (
            isinstance(one, dict)
            and one.get("rel") == "self"
            and str(one.get("href")).startswith(f"{parts.scheme}://{parts.netloc}/")
        ):
            return
    raise Rejected(f"{domain} does not say that its accounts are at {host}", code="not_proven", status=403)


def _given_back(host: str, form: Mapping[str, str]) -> Asks:
    try:
        yield from _told(f"{host}/oauth/revoke", form)
    except PlaitError:
        return  # it will never be used


def _told(url: str, form: Mapping[str, str] | None = None) -> Generator[Ask, Any, Mapping[str, Any]]:
    # A form goes to the very address that was named; a domain may say elsewhere who its accounts are.
    headers = {"accept": "application/json"}
    answer = yield Ask(
        url=url, method="POST" if form else "GET", form=form, headers=headers, signed=False, guarded=True
    )
    if not answer.ok:
        raise Rejected(f"{_base(url)} answered {answer.status}", code="not_proven", status=403)
    try:
        told = answer.json()
    except Rejected:
        raise _no_server(_base(url)) from None
    if not isinstance(told, Mapping):
        raise _no_server(_base(url))
    return told


def _no_server(host: str) -> Rejected:
    return Rejected(f"{host} is no server of Mastodon's kind", code="not_proven", field="host", status=403)


def _base(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
