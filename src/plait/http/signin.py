"""Signing in with a server of the fediverse, to prove that an account is theirs; what the customer names is fetched guardedly.

Three steps: the shop's server asks for an address to send the customer to (``begin``); the customer comes back from their
server to our callback with a code, and is sent on to the shop with a sealed proof (``callback``); the shop's server, who knows who is logged in,
hands the proof in (``finish``). So nobody can be talked into linking their account to somebody else's customer.
"""

from __future__ import annotations

import hashlib
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Generator
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec

from plait.connectors import Answer, Ask, connector_of
from plait.errors import Corrupt, Rejected, Unavailable
from plait.fetch import Fetcher
from plait.sealed import Seal

LASTS = 600_000  # milliseconds between the first step and the last
SCOPE = "read:accounts"
NETWORK = "mastodon"
_AGENT = {"accept": "application/json"}
_FORM = {"content-type": "application/x-www-form-urlencoded", **_AGENT}


class _State(msgspec.Struct, frozen=True, kw_only=True):
    """What travels, sealed, to the customer's server and back."""

    identifier: str
    host: str
    client: str
    secret: str
    verifier: str
    callback: str
    back: str
    until: int

    def __repr__(self) -> str:
        return f"_State({self.until})"


class _Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What travels, sealed, through the customer's browser to the shop."""

    identifier: str
    account: str
    until: int


class SignIn:
    """One installation's sign-ins. Nothing is kept here: what has to be remembered travels sealed.

    Args:
        seal: of this installation.
        fetcher: for the servers that customers name.
    """

    def __init__(self, seal: Seal, fetcher: Fetcher) -> None:
        self._seal, self._fetcher = seal, fetcher

    async def begin(self, identifier: str, host: str, callback: str, back: str, now: int) -> str:
        """The address to send a customer to.

        Args:
            identifier: who they are to the shop.
            host: base URL of their server.
            callback: where our ``/v1/proofs/callback`` is reached from outside.
            back: where the shop takes them up again; gets ``?proof=`` or ``?error=``.
            now: ms since the epoch.

        Raises:
            Rejected: the server does not register us, or is none of Mastodon's kind.
            Unavailable: it does not answer.
        """
        host = host.rstrip("/")
        form = {
            "client_name": f"Sign in to {urlsplit(back).hostname}",
            "redirect_uris": callback,
            "scopes": SCOPE,
        }
        told = await self._ask("POST", f"{host}/api/v1/apps", form=form)
        client, secret = told.get("client_id"), told.get("client_secret")
        if not isinstance(client, str) or not isinstance(secret, str):
            raise _no_server(host)
        verifier = secrets.token_urlsafe(48)
        challenge = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        state = _State(
            identifier=identifier, host=host, client=client, secret=secret, verifier=verifier, callback=callback, back=back,
            until=now + LASTS,
        )  # fmt: skip
        asked = {
            "response_type": "code", "client_id": client, "redirect_uri": callback, "scope": SCOPE, "state": self._sealed(state),
            "code_challenge": challenge, "code_challenge_method": "S256",
        }  # fmt: skip
        return f"{host}/oauth/authorize?{urlencode(asked)}"

    async def callback(self, state: str, code: str | None, now: int) -> str:
        """Where to send the customer who came back from their server with a code, or without one because they said no.

        Raises:
            Rejected: ``invalid_state``: it is not ours, or too old.
        """
        told = self._opened(state, _State, now)
        if not code:
            return _with(told.back, error="denied")
        try:
            account = await self._account(told, code, now)
        except (Rejected, Unavailable) as error:
            return _with(told.back, error=error.code)
        proof = _Proof(identifier=told.identifier, account=account, until=now + LASTS)
        return _with(told.back, proof=self._sealed(proof))

    def finish(self, proof: str, identifier: str, now: int) -> str:
        """The account that a customer proved to be theirs.

        Raises:
            Rejected: ``invalid_state``; ``not_proven`` where the proof is somebody else's.
        """
        told = self._opened(proof, _Proof, now)
        if told.identifier != identifier:
            raise Rejected("the proof is somebody else's", code="not_proven", field="proof", status=403)
        account: str = told.account
        return account

    # -- their server ------------------------------------------------------------------------------------------

    async def _account(self, told: _State, code: str, now: int) -> str:
        client = {"client_id": told.client, "client_secret": told.secret}
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": told.callback, "scope": SCOPE,
            "code_verifier": told.verifier, **client,
        }  # fmt: skip
        token = (await self._ask("POST", f"{told.host}/oauth/token", form=form)).get("access_token")
        if not isinstance(token, str):
            raise Rejected(f"{told.host} gave no token", code="not_proven", status=403)
        try:
            session = await self._run(
                connector_of(NETWORK).sign_in({"access_token": token}, told.host, now), told.host
            )
        finally:  # we know who they are now, and want nothing else
            await self._revoke(told.host, {"token": token, **client})
        account: str = session.account.me
        await self._vouched(account, told.host)
        return account

    async def _vouched(self, account: str, host: str) -> None:
        """Make sure that the domain of an account has its accounts at this server: any server can say any domain."""
        user, _, domain = account.partition(":")[2].rpartition("@")
        parts = urlsplit(host)
        if domain == parts.netloc.lower():
            return
        resource = urlencode({"resource": f"acct:{user}@{domain}"})
        told = await self._ask("GET", f"{parts.scheme}://{domain}/.well-known/webfinger?{resource}")
        links = told.get("links")
        for one in links if isinstance(links, list) else []:
            if (
                isinstance(one, dict)
                and one.get("rel") == "self"
                and urlsplit(str(one.get("href"))).netloc == parts.netloc
            ):
                return
        raise Rejected(
            f"{domain} does not say that its accounts are at {host}", code="not_proven", status=403
        )

    async def _revoke(self, host: str, form: dict[str, str]) -> None:
        try:
            await self._ask("POST", f"{host}/oauth/revoke", form=form)
        except (Rejected, Unavailable):
            return  # it will never be used

    async def _run(self, steps: Generator[Ask, Answer, Any], host: str) -> Any:
        answer: Any = None
        while True:
            try:
                ask = steps.send(answer)
            except StopIteration as done:
                return done.value
            url = ask.url if "://" in ask.url else f"{host}{ask.url}"
            if ask.params:
                url += "?" + urlencode(
                    {name: value for name, value in ask.params.items() if value is not None}
                )
            found = await self._fetcher.fetch(url, headers=dict(ask.headers))
            answer = Answer(found.status, found.headers, found.body)

    async def _ask(self, method: str, url: str, *, form: dict[str, str] | None = None) -> dict[str, Any]:
        body = urlencode(form).encode() if form else b""
        found = await self._fetcher.fetch(url, method=method, headers=_FORM if form else _AGENT, body=body)
        if not 200 <= found.status < 300:
            raise Rejected(f"{_base(url)} answered {found.status}", code="not_proven", status=403)
        try:
            told = msgspec.json.decode(found.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise _no_server(_base(url)) from None
        if not isinstance(told, dict):
            raise _no_server(_base(url))
        return told

    # -- sealed ------------------------------------------------------------------------------------------------

    def _sealed(self, what: msgspec.Struct) -> str:
        return self._seal.seal(msgspec.json.encode(what)).decode()

    def _opened(self, text: str, kind: type[Any], now: int) -> Any:
        try:
            told = msgspec.json.decode(self._seal.open(text.encode()), type=kind)
        except (Corrupt, msgspec.MsgspecError, UnicodeEncodeError):
            raise _invalid() from None
        if told.until < now:
            raise _invalid()
        return told


def _invalid() -> Rejected:
    return Rejected(
        "this sign-in is not ours, or took too long: begin anew", code="invalid_state", field="state"
    )


def _no_server(host: str) -> Rejected:
    return Rejected(f"{host} is no server of Mastodon's kind", code="not_proven", field="host", status=403)


def _base(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _with(url: str, **more: str) -> str:
    return f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(more)}"
