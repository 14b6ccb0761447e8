"""Signing in with a network, to prove that an account is theirs; whatever a customer names is fetched guardedly.

Three steps: the shop's server asks for an address to send the customer to (``begin``); the customer comes back from their
network to our callback, and is sent on to the shop with a proof (``come_back``); the shop's server, who knows who is logged in,
hands the proof in (``proven``). So nobody can be talked into linking their account to somebody else's customer: a proof is
good for whom it was begun.

What has to be remembered between the steps is kept in memory alone, for ten minutes, and each of it works once: no secret of a
sign-in travels through a browser or rests on a disk, and what was used or is too old leads nowhere.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Mapping
from secrets import token_urlsafe
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

import httpx
import msgspec
import structlog

from plait.connectors import Answer, Ask, Fresh, Leave, Renewed, Visit, connector_of
from plait.dpop import Proofs, bound, new_key
from plait.errors import PlaitError, Rejected, Unavailable
from plait.fetch import Fetcher

T = TypeVar("T")
_log = structlog.get_logger()

LASTS = 600_000  # milliseconds that each of the two waits may take
MOST = 10_000  # sign-ins under way; each is some 2 KB
MOST_EACH = 5  # of one customer; the oldest goes first
_LONGEST = 30.0  # seconds that all questions of one step may take; a customer waits for them


class _Begun(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who was sent to their network."""

    identifier: str
    network: str
    host: str
    kept: Mapping[str, str]
    back: str
    until: int

    def __repr__(self) -> str:
        return f"_Begun({self.network}, {self.until})"


class _Proven(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who came back, and is on the way to the shop."""

    identifier: str
    account: str
    until: int

    def __repr__(self) -> str:
        return f"_Proven({self.until})"


class SignIns:
    """One server's sign-ins.

    Args:
        fetcher: for whatever customers and their servers name.
    """

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher, self._proofs = fetcher, Proofs()
        self._begun: dict[str, _Begun] = {}  # by state, in the order in which they end
        self._proven: dict[str, _Proven] = {}  # by proof, likewise

    async def begin(self, identifier: str, network: str, visit: Visit, back: str, now: int) -> str:
        """The address to send a customer to.

        Args:
            identifier: who they are to the shop.
            network: of the account.
            visit: what they said of it.
            back: where the shop takes them up again; gets ``?proof=`` or ``?error=``.
            now: ms since the epoch.

        Raises:
            Rejected: the network has no such sign-in, or the server does not take part; 429 ``too_many_sign_ins``.
            Unavailable: it does not answer.
        """
        made = _made(network)
        fresh = Fresh(state=token_urlsafe(24), verifier=token_urlsafe(48), key=new_key())
        visit = msgspec.structs.replace(visit, name=urlsplit(back).hostname or "")
        leave: Leave = await self._run(made.ask_who(visit, fresh), visit.host)
        _drop_old(self._begun, now)
        theirs = [state for state, one in self._begun.items() if one.identifier == identifier]
        for state in theirs[: max(0, len(theirs) - MOST_EACH + 1)]:
            del self._begun[state]
        if len(self._begun) >= MOST:
            raise Rejected("too many customers are signing in", code="too_many_sign_ins", status=429)
        self._begun[fresh.state] = _Begun(
            identifier=identifier, network=network, host=visit.host, kept=leave.kept, back=back, until=now + LASTS
        )  # fmt: skip
        return leave.url

    async def come_back(self, answered: Mapping[str, str], now: int) -> str:
        """Where to send a customer who came back from their network, with a proof or with what went wrong.

        Args:
            answered: ``state``, and ``code`` and ``iss`` or ``error``.
            now: ms since the epoch.

        Raises:
            Rejected: ``invalid_state``: it is not ours, was used, or is too old. Nobody knows where they belong, then.
        """
        one = self._begun.pop(answered.get("state", ""), None)
        if one is None or one.until < now:
            raise _invalid("state")
        if not answered.get("code"):
            said_no = answered.get("error") in (None, "", "access_denied")
            return _with(one.back, error="denied" if said_no else "sign_in_failed")
        try:
            account: str = await self._run(_made(one.network).who(one.kept, answered), one.host)
        except PlaitError as error:
            _log.warning("not_proven", network=one.network, code=error.code, message=error.message[:300])
            return _with(one.back, error=error.code)
        _drop_old(self._proven, now)
        proof = token_urlsafe(32)
        self._proven[proof] = _Proven(identifier=one.identifier, account=account, until=now + LASTS)
        return _with(one.back, proof=proof)

    def proven(self, proof: str, identifier: str, now: int) -> str:
        """The account that a customer proved to be theirs; the proof works until it is ``spent``.

        Raises:
            Rejected: ``invalid_state``: it is not ours, was used, or is too old; 403 ``not_proven``: it is somebody else's.
        """
        one = self._proven.get(proof)
        if one is None or one.until < now:
            raise _invalid("proof")
        if one.identifier != identifier:
            raise Rejected("the proof is somebody else's", code="not_proven", field="proof", status=403)
        return one.account

    def spend(self, proof: str) -> None:
        """Let a proof work no more."""
        self._proven.pop(proof, None)

    def forget(self, identifiers: set[str]) -> None:
        """Drop the sign-ins of people who were erased."""
        self._begun = {key: one for key, one in self._begun.items() if one.identifier not in identifiers}
        self._proven = {
            key: one for key, one in self._proven.items() if not {one.identifier, one.account} & identifiers
        }

    # -- asking ------------------------------------------------------------------------------------------------

    async def _run(self, steps: Generator[Ask | Renewed, Any, T], host: str) -> T:
        """Ask what a connector asks; what goes wrong is raised where it asked."""
        answer: Any = None
        trouble: PlaitError | None = None
        try:
            async with asyncio.timeout(_LONGEST):
                while True:
                    step = steps.send(answer) if trouble is None else steps.throw(trouble)
                    answer, trouble = None, None
                    if isinstance(step, Renewed):
                        continue  # nothing of a customer's is kept
                    try:
                        answer = await self._asked(step, host)
                    except PlaitError as error:
                        trouble = error
        except StopIteration as done:
            found: T = done.value
            return found
        except TimeoutError:
            raise Unavailable("their server takes too long", code="fetch_slow") from None
        finally:
            steps.close()

    async def _asked(self, ask: Ask, host: str) -> Answer:
        """One question's answer; asked again at once where a server wants its own nonce in our proof."""
        url = ask.url if "://" in ask.url else f"{host}{ask.url}"
        params = {name: value for name, value in ask.params.items() if value is not None}
        if params:
            url = str(httpx.URL(url).copy_merge_params(params))
        headers, body = dict(ask.headers), b""
        if ask.form is not None:
            headers["content-type"] = "application/x-www-form-urlencoded"
            body = urlencode(ask.form).encode()
        for _ in range(2):
            proof = {}
            if ask.dpop:
                proof = self._proofs.header(ask.dpop, ask.method, url, now=time.time(), token=bound(headers))
            found = await self._fetcher.fetch(
                url, method=ask.method, headers=headers | proof, body=body, redirects=ask.redirects
            )
            if not (ask.dpop and self._proofs.hear(url, found.status, found.headers, found.body)):
                break
        return Answer(found.status, found.headers, found.body)


def _made(network: str) -> Any:
    made = connector_of(network)
    if not hasattr(made, "ask_who"):
        raise Rejected(
            f"customers do not sign in with {network}: bluesky and mastodon have it", code="invalid_proof", field="network",
        )  # fmt: skip
    return made


def _drop_old(known: dict[str, Any], now: int) -> None:
    while known and next(iter(known.values())).until < now:
        del known[next(iter(known))]


def _invalid(field: str) -> Rejected:
    return Rejected(
        "this sign-in is not ours, was used before, or took too long: begin anew", code="invalid_state", field=field,
    )  # fmt: skip


def _with(url: str, **more: str) -> str:
    return f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(more)}"
