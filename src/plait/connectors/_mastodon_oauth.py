"""Signing in to a server with Mastodon's API by a browser (OAuth 2, with PKCE where the server has it), and staying so."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Generator, Mapping
from hashlib import sha256
from hmac import compare_digest
from shlex import quote
from typing import Any
from urllib.parse import urlencode

from plait.connectors import Answer, Ask, Fresh, Leave
from plait.errors import Rejected, Unavailable

SCOPE = "read"  # nothing of ours ever writes
SHOWS_A_CODE = "urn:ietf:wg:oauth:2.0:oob"
BY_BROWSER = (
    "client_id",
    "client_secret",
    "refresh_token",
    "expires_at",
)  # what is kept beside the access token

Asks = Generator[Ask, Answer, Any]


def begin(
    credentials: Mapping[str, str],  # noqa: ARG001 - of the port
    host: str,
    back: str,
    fresh: Fresh,
) -> Generator[Ask, Answer, Leave]:
    """Register with the server as an application that may read, and nothing else.

    Raises:
        Rejected: it registers nobody, or is no server of Mastodon's kind; code ``no_browser``.
    """
    redirect = back or SHOWS_A_CODE
    form = {"client_name": "Plait", "redirect_uris": redirect, "scopes": SCOPE}
    told = yield from _told("/api/v1/apps", form, host)
    client, secret = told.get("client_id"), told.get("client_secret")
    if not isinstance(client, str) or not isinstance(secret, str):
        raise Rejected(
            f"{host} does not register applications; give an access token", code="no_browser", field="host"
        )
    asked = {
        "response_type": "code", "client_id": client, "redirect_uri": redirect, "scope": SCOPE, "state": fresh.state,
    }  # fmt: skip
    kept = {"client_id": client, "client_secret": secret, "redirect_uri": redirect, "state": fresh.state}
    if (yield from _has_pkce()):
        kept["code_verifier"] = fresh.verifier
        asked |= {"code_challenge": challenge(fresh.verifier), "code_challenge_method": "S256"}
    return Leave(url=f"{host}/oauth/authorize?{urlencode(asked)}", kept=kept)


def finish(
    kept: Mapping[str, str], answered: Mapping[str, str], host: str
) -> Generator[Ask, Answer, dict[str, str]]:
    """The credentials that the code is good for.

    Raises:
        Rejected: it is no code of this sign-in, or the server does not take it.
    """
    code = checked_code(kept, answered)
    form = {"grant_type": "authorization_code", "code": code, "scope": SCOPE} | {
        name: kept[name] for name in ("client_id", "client_secret", "redirect_uri", "code_verifier") if name in kept
    }  # fmt: skip
    told = yield from _told("/oauth/token", form, host)
    client = {name: kept[name] for name in ("client_id", "client_secret")}
    return client | _tokens(told, host)


def renewed(secrets: Mapping[str, str], host: str) -> Generator[Ask, Answer, dict[str, str]]:
    """New tokens for the refresh token that there is.

    Raises:
        Rejected: the server does not take it any more; code ``signed_out``.
    """
    form = {"grant_type": "refresh_token"} | {
        name: secrets[name] for name in ("refresh_token", "client_id", "client_secret") if secrets.get(name)
    }
    answer = yield Ask(url="/oauth/token", method="POST", form=form, signed=False, once=True)
    if not answer.ok:
        raise signed_out("mastodon", host, {"host": host})
    return {**secrets, **_tokens(answer.json(), host)}


def sign_out(secrets: Mapping[str, str], host: str) -> Generator[Ask, Answer, None]:  # noqa: ARG001 - of the port
    """Revoke what a browser gave us; an access token that was pasted is its owner's, and may be used elsewhere."""
    if secrets.get("client_id"):
        form = {
            "token": secrets["access_token"], "client_id": secrets["client_id"], "client_secret": secrets.get("client_secret", ""),
        }  # fmt: skip
        yield Ask(url="/oauth/revoke", method="POST", form=form, signed=False)


def is_over(secrets: Mapping[str, str], now: int) -> bool:
    """Whether the access token ended, or is about to, and another can be had for it."""
    ends = secrets.get("expires_at", "")
    return bool(secrets.get("refresh_token")) and ends.isdecimal() and int(ends) <= now + 60_000


def signed_out(network: str, server: str, told: Mapping[str, str]) -> Rejected:
    """That the holder has to say yes again.

    Args:
        network: whose connector.
        server: that does not take us any more.
        told: what the operator said when the account was connected, to be said again; "" is left out.
    """
    options = "".join(f" --with {quote(f'{name}={value}')}" for name, value in told.items() if value)
    return Rejected(
        f"{server} does not take our sign-in any more: it expired or was revoked. Connect the account again: "
        f"plait connect {network} --sign-in{options}",
        code="signed_out", status=401,
    )  # fmt: skip


def checked_code(kept: Mapping[str, str], answered: Mapping[str, str]) -> str:
    """The code that came back with our own state, or was typed in where one is shown.

    Raises:
        Rejected: there is none, or it is of another sign-in; code ``invalid_state``.
    """
    code, state = answered.get("code", "").strip(), answered.get("state")
    shown = kept.get("redirect_uri") == SHOWS_A_CODE
    if not code:
        raise Rejected("there is no code in what came back", code="invalid_state", field="answered")
    if not (shown and state is None) and not compare_digest(
        (state or "").encode(), kept.get("state", "").encode()
    ):
        raise Rejected("what came back is of another sign-in", code="invalid_state", field="answered")
    return code


def challenge(verifier: str) -> str:
    """The challenge of PKCE for a verifier."""
    return urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _has_pkce() -> Generator[Ask, Answer, bool]:
    """Whether the server says so (Mastodon from 4.3): older ones and kin may stumble over what they do not know."""
    answer = yield Ask(url="/.well-known/oauth-authorization-server", signed=False)
    try:
        told = answer.json() if answer.ok else None
    except Rejected:
        return False
    methods = told.get("code_challenge_methods_supported") if isinstance(told, Mapping) else None
    return isinstance(methods, list) and "S256" in methods


def _told(path: str, form: Mapping[str, str], host: str) -> Generator[Ask, Answer, Mapping[str, Any]]:
    answer = yield Ask(url=path, method="POST", form=form, signed=False)
    if not answer.ok:
        raise Rejected(f"{host} answered {answer.status} to {path}", code="sign_in_failed", status=403)
    told = answer.json()
    if not isinstance(told, Mapping):
        raise Unavailable(f"{host} answered something else to {path}", code="invalid_answer")
    return told


def _tokens(told: Any, host: str) -> dict[str, str]:
    """What is kept of a token's answer; ``created_at`` is s since the epoch."""
    token = told.get("access_token") if isinstance(told, Mapping) else None
    if not isinstance(token, str) or not token:
        raise Unavailable(f"{host} gave no token", code="invalid_answer")
    found = {"access_token": token}
    if isinstance(told.get("refresh_token"), str):
        found["refresh_token"] = told["refresh_token"]
    begun, lasts = told.get("created_at"), told.get("expires_in")
    if isinstance(begun, int | float) and isinstance(lasts, int | float) and begun > 0 and lasts > 0:
        found["expires_at"] = str(int((begun + lasts) * 1000))
    return found
