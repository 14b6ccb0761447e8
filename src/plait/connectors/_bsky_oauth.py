"""Signing in to Bluesky with a browser: OAuth as the AT protocol profiles it (PAR, PKCE, tokens bound to a key by DPoP).

We are the loopback client that the protocol knows for software that runs on its user's own machine: it needs no public
address, and a server lets it stay for about two weeks. Then the account's holder says yes again, or gives an app password.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from plait.connectors import Answer, Ask, Fresh, Leave, Renewed
from plait.connectors._bsky_who import DIRECTORY, authority_of, home_of, is_on, read
from plait.connectors._mastodon_oauth import challenge, checked_code, signed_out
from plait.errors import Rejected, Unavailable

LOOPBACK = "http://127.0.0.1/"  # its port does not count: servers leave it out of account
# What is kept of a sign-in; the key never leaves.
KEPT = ("access_token", "refresh_token", "expires_at", "key", "issuer", "token_endpoint", "revocation_endpoint", "client_id", "pds", "did")  # fmt: skip

_CHOSEN = ("identifier", "stream", "relay", "messages", "hops", "directory")  # by the operator; no secrets


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """What a code or a refresh token is good for; ``sub`` is whose account it is."""

    access_token: str
    token_type: str
    sub: str
    refresh_token: str = ""
    scope: str = ""
    expires_in: int = 0


def begin(
    credentials: Mapping[str, str], host: str, back: str, fresh: Fresh
) -> Generator[Ask, Answer, Leave]:
    """Push what we ask for to the server that speaks for the account's host.

    Raises:
        Rejected: it has no such sign-in (code ``no_browser``), or does not take ours.
    """
    scope = "atproto transition:generic"
    if credentials.get("messages") == "yes":
        scope += " transition:chat.bsky"
    try:
        leave = yield from ask_leave(
            host, client_id=loopback_client(scope), redirect=back or LOOPBACK, scope=scope, fresh=fresh,
            hint=credentials.get("identifier", ""),
        )  # fmt: skip
    except Rejected as error:
        if error.code == "no_browser":
            raise Rejected(
                f"{error.message}; give an app password", code="no_browser", field="host"
            ) from error
        raise
    directory = credentials.get("directory") or DIRECTORY
    return msgspec.structs.replace(leave, kept={**leave.kept, "directory": directory.rstrip("/")})


def ask_leave(
    host: str, *, client_id: str, redirect: str, scope: str, fresh: Fresh, hint: str = ""
) -> Generator[Ask, Answer, Leave]:
    """The same for any client of ours.

    Args:
        host: of the account.
        client_id: of the client.
        redirect: our address that the browser is sent to then; of the client.
        scope: what we ask for.
        fresh: of this sign-in.
        hint: the account's handle, where it is known.
    """
    authority = yield from authority_of(host, host)
    form = {
        "client_id": client_id, "response_type": "code", "redirect_uri": redirect, "scope": scope, "state": fresh.state,
        "code_challenge": challenge(fresh.verifier), "code_challenge_method": "S256",
    } | ({"login_hint": hint} if hint else {})  # fmt: skip
    answer = yield post(authority.pushed_authorization_request_endpoint, form, fresh.key, host)
    told = answer.json() if answer.ok else {}
    request = told.get("request_uri") if isinstance(told, Mapping) else None
    if not isinstance(request, str):
        raise Rejected(
            f"{authority.issuer} does not take our request (status {answer.status}: {_why(answer)})",
            code="sign_in_failed", field="host",
        )  # fmt: skip
    kept = {
        "state": fresh.state, "code_verifier": fresh.verifier, "key": fresh.key, "client_id": client_id, "redirect_uri": redirect,
        "issuer": authority.issuer, "token_endpoint": authority.token_endpoint,
        "revocation_endpoint": authority.revocation_endpoint,
    }  # fmt: skip
    url = f"{authority.authorization_endpoint}?{urlencode({'client_id': client_id, 'request_uri': request})}"
    return Leave(url=url, kept=kept)


def loopback_client(scope: str, redirect: str = LOOPBACK) -> str:
    """The id of a client that has no document of its own: what it is stands in its name."""
    return "http://localhost?" + urlencode({"redirect_uri": redirect, "scope": scope}, quote_via=quote)


def finish(
    kept: Mapping[str, str], answered: Mapping[str, str], host: str
) -> Generator[Ask, Answer, dict[str, str]]:
    """The credentials that the code is good for, once it is sure that this server may speak for this account.

    Raises:
        Rejected: it is no code of this sign-in; or the account lives elsewhere (code ``not_proven``).
    """
    tokens = yield from exchanged(kept, answered, host)
    pds = yield from spoken_for(kept, tokens.sub, host)
    found = {
        name: kept[name] for name in ("key", "issuer", "token_endpoint", "revocation_endpoint", "client_id")
    }
    return found | {"did": tokens.sub, "pds": pds} | _kept(tokens)


def exchanged(
    kept: Mapping[str, str], answered: Mapping[str, str], host: str
) -> Generator[Ask, Answer, Tokens]:
    """What the code of this very sign-in, from the server that it was begun with, is good for.

    Raises:
        Rejected: it is of another sign-in or server (code ``invalid_state``), or not taken.
    """
    code = checked_code(kept, answered)
    if answered.get("iss") != kept["issuer"]:
        raise Rejected("what came back is of another server", code="invalid_state", field="answered")
    form = {"grant_type": "authorization_code", "code": code} | {
        name: kept[name] for name in ("redirect_uri", "client_id", "code_verifier")
    }
    answer = yield post(kept["token_endpoint"], form, kept["key"], host)
    if not answer.ok:
        raise Rejected(
            f"{kept['issuer']} does not take the code (status {answer.status}: {_why(answer)})",
            code="sign_in_failed",
        )
    tokens = _tokens(answer)
    if "atproto" not in tokens.scope.split():
        raise Rejected(f"{kept['issuer']} gave less than was asked for", code="sign_in_failed")
    return tokens


def spoken_for(kept: Mapping[str, str], did: str, host: str) -> Generator[Ask, Answer, str]:
    """Where an account lives, once it is sure that the server of this sign-in may speak for it.

    Raises:
        Rejected: it may not; code ``not_proven``.
    """
    pds = yield from home_of(did, kept["directory"], host)
    authority = yield from authority_of(pds, host)
    if authority.issuer != kept["issuer"]:  # any server can say that it speaks for anybody
        raise Rejected(f"{kept['issuer']} does not speak for this account", code="not_proven", status=403)
    return pds


def renewed(secrets: Mapping[str, str], host: str) -> Generator[Ask, Answer, dict[str, str]]:
    """New tokens for the refresh token that there is; it is void from then on.

    Raises:
        Rejected: the server does not take it any more; code ``signed_out``.
    """
    form = {"grant_type": "refresh_token"} | {
        name: secrets.get(name, "") for name in ("refresh_token", "client_id")
    }
    answer = yield post(secrets["token_endpoint"], form, secrets["key"], host, once=True)
    if not answer.ok:
        raise _signed_out(secrets, host)
    tokens = _tokens(answer)
    if tokens.sub != secrets["did"]:
        raise Unavailable(f"{secrets['issuer']} gave a token of somebody else", code="invalid_answer")
    return {**secrets, **_kept(tokens)}


def session(
    credentials: Mapping[str, str], host: str, now: int
) -> Generator[Ask | Renewed, Any, tuple[Any, dict[str, str]]]:
    """What the account's host says of the session, and the secrets to be kept.

    Raises:
        Rejected: it is over, and cannot be renewed; code ``signed_out``.
    """
    secrets, fresh = dict(credentials), False
    ends = secrets.get("expires_at", "")
    if "expires_in" in secrets:  # has just been given
        secrets = _dated(secrets, now)
    elif ends.isdecimal() and int(ends) <= now + 60_000:
        secrets, fresh = _dated((yield from renewed(secrets, host)), now), True
        yield Renewed(secrets)
    answer = yield _who(secrets)
    if answer.status == 401 and not fresh:
        secrets = _dated((yield from renewed(secrets, host)), now)
        yield Renewed(secrets)
        answer = yield _who(secrets)
    if answer.status in (400, 401, 403):
        raise _signed_out(secrets, host)
    if not answer.ok:
        raise Unavailable(f"{secrets['pds']} answered {answer.status}", code="invalid_answer")
    return answer.json(), secrets


def sign_out(secrets: Mapping[str, str], host: str) -> Generator[Ask, Answer, None]:
    """Revoke what a browser gave us, or end the session of an app password."""
    if secrets.get("key"):
        if secrets.get("revocation_endpoint"):
            form = {"token": secrets.get("refresh_token", ""), "client_id": secrets["client_id"]}
            yield post(secrets["revocation_endpoint"], form, secrets["key"], host)
    elif secrets.get("refresh"):
        headers = {"authorization": f"Bearer {secrets['refresh']}"}
        url = f"{host}/xrpc/com.atproto.server.deleteSession"
        yield Ask(method="POST", url=url, headers=headers, signed=False, budget="session")


# -- asking ----------------------------------------------------------------------------------------------------


def post(url: str, form: Mapping[str, str], key: str, ours: str, *, once: bool = False) -> Ask:
    """A form, with the proof that we hold the key; guarded, where it goes to another host than the operator's."""
    return Ask(
        url=url, method="POST", form=form, dpop=key, once=once, signed=False, budget="session",
        guarded=not is_on(url, ours),
    )  # fmt: skip


def _who(secrets: Mapping[str, str]) -> Ask:
    return Ask(
        url=f"{secrets['pds']}/xrpc/com.atproto.server.getSession", budget="session", signed=False, dpop=secrets["key"],
        headers={"authorization": f"DPoP {secrets['access_token']}"},
    )  # fmt: skip


def _tokens(answer: Answer) -> Tokens:
    found: Tokens | None = read(answer, Tokens)
    if found is None or found.token_type.lower() != "dpop":
        raise Unavailable("the server's answer is no token that is bound to our key", code="invalid_answer")
    return found


def _kept(tokens: Tokens) -> dict[str, str]:
    found = {"access_token": tokens.access_token, "expires_in": str(tokens.expires_in or 300)}
    return found | ({"refresh_token": tokens.refresh_token} if tokens.refresh_token else {})


def _signed_out(secrets: Mapping[str, str], host: str) -> Rejected:
    told = {"host": host} | {name: secrets.get(name, "") for name in _CHOSEN}
    return signed_out("bluesky", secrets["issuer"], told)


def _dated(secrets: dict[str, str], now: int) -> dict[str, str]:
    """With the moment at which it ends in place of how long it lasts."""
    rest = {name: value for name, value in secrets.items() if name != "expires_in"}
    return rest | {"expires_at": str(now + int(secrets["expires_in"]) * 1000)}


def _why(answer: Answer) -> str:
    told = read(answer, dict)
    return (
        str(told.get("error_description") or told.get("error") or "")[:200] if isinstance(told, dict) else ""
    )
