"""The line to a network: one account's requests, within its limits, with its session, tried again with patience."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

import httpx
import msgspec
import structlog

from plait.accounts import Accounts
from plait.connectors import Account, Answer, Ask, Connector, Renewed, Session
from plait.dpop import Proofs, bound
from plait.driver.budget import Budget, Spent, patience
from plait.errors import PlaitError, Rejected, Unavailable
from plait.fetch import AGENT, Fetcher, trusted

T = TypeVar("T")
_log = structlog.get_logger()

TRIES = 8  # of one request, before its lane gives up for now: some four minutes
FIRST_PAUSE = 0.5  # seconds; each further one is twice as long, and drawn
LONGEST_PAUSE = 60.0
_LARGEST = 32 << 20  # bytes of an answer
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_ENDS_WITHIN = 5.0  # seconds that a renewal is waited for when its account is stopped
_RENEW_BEFORE = 60_000  # ms that a session may still be good for when it is renewed
_LATER = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
_EXPIRED = frozenset({"ExpiredToken", "invalid_token", "token_expired"})  # told with 400 by some

Steps = Generator[Ask | Renewed, Any, T]


class Failed(Unavailable):
    """A network that did not answer in all the tries there are."""


class Line:
    """Requests of one account.

    Attributes:
        budgets: by name, as the statement limits them.
        calls: made so far.
        waits: until when we wait for the network, s since the epoch; 0 when we do not.
    """

    def __init__(
        self,
        connector: type[Connector],
        account: Account,
        secrets: Callable[[], Mapping[str, str]],
        *,
        fetcher: Fetcher,
        renewed: Callable[[Mapping[str, str]], Awaitable[None]],
        alone: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
        spending: Callable[[bool], Awaitable[None]] | None = None,
        interrupted: Callable[[], bool] = lambda: False,
        spent: Mapping[str, Spent] | None = None,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """A line that is not signed in yet.

        Args:
            connector: of the network.
            account: whose.
            secrets: for ``sign_in``, asked for each time: another process may have renewed them.
            fetcher: for URLs that others named.
            renewed: keeps the secrets of a new session before it is used, or anything else is asked.
            alone: held while a session is renewed: no other process renews the same one meanwhile.
            spending: notes on disk that a secret which works once is on its way (true), or was refused (false).
            interrupted: whether one was on its way when somebody died before its answer was kept.
            spent: of the budgets, before a restart.
            clock: s since the epoch.
            chance: 0..1, for jitter.
        """
        self.account = account
        self.budgets = {
            name: Budget(limit, (spent or {}).get(name)) for name, limit in connector.statement.limits.items()
        }
        self.calls = 0
        self.waits = 0.0
        self._connector = connector
        self._secrets = secrets
        self._fetcher, self._renewed = fetcher, renewed
        self._clock, self._chance = clock, chance
        self._session: Session | None = None
        self._signed_at = 0  # ms since the epoch
        self._signing = asyncio.Lock()
        self._taking = asyncio.Lock()
        self._proofs = Proofs()
        self._alone = alone
        self._spending, self._interrupted = spending, interrupted
        self._cut = False  # an answer was lost that would have renewed the session
        self._unkept: Mapping[str, str] | None = None  # secrets that could not be written yet
        self._http = httpx.AsyncClient(
            timeout=_TIMEOUT,
            headers={"user-agent": AGENT},
            follow_redirects=False,
            trust_env=False,
            verify=trusted(),
        )

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    # -- the session -------------------------------------------------------------------------------------------

    async def session(self, *, not_this: Session | None = None) -> Session:
        """A session that is good for a while.

        Args:
            not_this: one that the network did not take.

        Raises:
            Rejected: the network does not take the credentials.
        """
        async with self._signing:  # stream and poll find out at once that it expired; one renews
            one = self._session
            if one is None or one is not_this or self._expires(one):
                # Whoever waits may be stopped; a refresh token that was spent must not be lost on the way to the disk.
                self._session = one = await _to_its_end(self._sign_in())
            return one

    def _expires(self, one: Session) -> bool:
        """Whether it ends within a minute; a session that is short at its best may be used for half its time."""
        if one.expires_at is None:
            return False
        before = min(_RENEW_BEFORE, (one.expires_at - self._signed_at) / 2)
        return self._clock() * 1000 >= one.expires_at - before

    async def _sign_in(self) -> Session:
        async with (
            self._alone()
        ):  # and only then look at what there is: another process may have just renewed it
            self._signed_at = int(self._clock() * 1000)
            self._cut = self._cut or self._interrupted()
            secrets = self._unkept or self._secrets()
            steps = self._connector.sign_in(dict(secrets), self.account.host, self._signed_at)
            try:
                one = await self.asked(steps, signed=False)
            except Rejected as error:
                if self._cut and error.code == "signed_out":
                    raise _after_a_cut(error) from error
                raise
            await self._keep(one.secrets)  # on disk before its first use
            return one

    async def _keep(self, secrets: Mapping[str, str]) -> None:
        if secrets:
            self._unkept = secrets  # should the disk be full: those there are void, so it goes on with these
            await self._renewed(secrets)
        self._cut, self._unkept = False, None

    # -- requests ----------------------------------------------------------------------------------------------

    async def asked(self, steps: Steps[T], *, signed: bool = True, tries: int = TRIES) -> T:
        """Run a generator that asks and nothing else, and return what it returns.

        What goes wrong with a question is raised where it was asked. Secrets that were renewed are on disk before it goes on.
        """
        answer: Any = None
        trouble: PlaitError | None = None
        try:
            while True:
                step = steps.send(answer) if trouble is None else steps.throw(trouble)
                answer, trouble = None, None
                if isinstance(step, Renewed):
                    await self._keep(step.secrets)
                    continue
                if not isinstance(step, Ask):
                    raise TypeError(f"it asked for {type(step).__name__}")
                if not signed:
                    step = msgspec.structs.replace(step, signed=False)
                try:
                    answer = await self.ask(step, tries=tries)
                except PlaitError as error:
                    trouble = error
        except StopIteration as done:
            found: T = done.value
            return found
        finally:
            steps.close()

    async def ask(self, ask: Ask, *, keep: float = 0.0, tries: int = TRIES) -> Answer:
        """One request's answer that does not ask for patience.

        Args:
            ask: of a connector.
            keep: part of the budget to leave for what matters more, 0..1.
            tries: before it gives up.

        Raises:
            Unavailable: the network did not answer in all tries.
            Rejected: a guarded URL that must not be fetched; no such budget; the credentials are not taken.
        """
        renewed = False
        tried = 0
        while True:
            session = await self.session() if self._signs(ask) else None
            await self._within(ask.budget, keep)
            if ask.once and self._spending is not None:
                await self._spending(True)
            try:
                answer = await self._once(ask, session)
            except (httpx.RequestError, Unavailable) as exc:
                pause, why = self._pause(tried), f"{type(exc).__name__}"
                self._cut = self._cut or (ask.once and not isinstance(exc, httpx.ConnectError))
            else:
                if ask.once and self._spending is not None and 400 <= answer.status < 500 and not self._cut:
                    await self._spending(False)
                now = self._clock()
                self._budget(ask.budget).hear(answer.headers, now)
                if session is not None and not renewed and _has_expired(answer):
                    renewed = True
                    await self.session(not_this=session)
                    continue
                if answer.status not in _LATER:
                    return answer
                self._cut = self._cut or (ask.once and answer.status >= 500)
                asked = patience(answer.headers, now)
                pause, why = self._pause(tried) if asked is None else asked, str(answer.status)
                if answer.status == 429:
                    self._budget(ask.budget).hold(max(pause, 1.0), now)
            tried += 1
            if tried >= tries:
                raise Failed(
                    f"{self.account.host} did not answer {tried} times: {why}", code="network_unavailable",
                    retry_after=max(1, int(pause)),
                )  # fmt: skip
            await self._patient(pause)

    async def _once(self, ask: Ask, session: Session | None) -> Answer:
        """One request's answer; asked again at once where a server wants its own nonce in our proof."""
        headers = dict(ask.headers) | dict(session.headers if session else {})
        key, url = ask.dpop or (session.dpop if session else ""), self.url(ask.url)
        if not key:
            return await self._sent(ask, headers)
        for _ in range(2):
            proof = self._proofs.header(key, ask.method, url, now=self._clock(), token=bound(headers))
            answer = await self._sent(ask, headers | proof)
            if not self._proofs.hear(url, answer.status, answer.headers, answer.body):
                break
        return answer

    async def _sent(self, ask: Ask, headers: dict[str, str]) -> Answer:
        self.calls += 1
        url = self.url(ask.url)
        params = {name: value for name, value in ask.params.items() if value is not None}
        if ask.guarded:
            body = b"" if ask.body is None else msgspec.json.encode(ask.body)
            if ask.form is not None:
                headers["content-type"] = "application/x-www-form-urlencoded"
                body = urlencode(ask.form).encode()
            found = await self._fetcher.fetch(
                str(httpx.URL(url).copy_merge_params(params)) if params else url,
                method=ask.method, headers=headers, body=body, redirects=ask.redirects,
            )  # fmt: skip
            return Answer(found.status, found.headers, found.body)
        request = self._http.build_request(
            ask.method, url, params=params or None, headers=headers, json=ask.body, data=ask.form
        )  # fmt: skip
        response = await self._http.send(request, stream=True)
        try:
            read = bytearray()
            async for chunk in response.aiter_bytes():
                read += chunk
                if len(read) > _LARGEST:
                    raise Rejected(f"an answer is larger than {_LARGEST} bytes", code="invalid_answer")
        finally:
            await response.aclose()
        return Answer(response.status_code, dict(response.headers), bytes(read))

    def url(self, text: str) -> str:
        """An absolute URL, of the account's host when it names none."""
        return text if "://" in text else self.account.host + text

    def _signs(self, ask: Ask) -> bool:
        return ask.signed and not ask.guarded and same_origin(self.url(ask.url), self.account.host)

    # -- patience ----------------------------------------------------------------------------------------------

    def _budget(self, name: str) -> Budget:
        try:
            return self.budgets[name]
        except KeyError:
            raise Rejected(f"the statement has no limit {name!r}", code="no_budget") from None

    async def _within(self, name: str, keep: float) -> None:
        """Wait until the budget has room for one call, and take it."""
        budget = self._budget(name)
        while True:
            async with self._taking:
                wait = budget.wait(self._clock(), keep=keep)
                if wait <= 0:
                    budget.take(self._clock())
                    return
            await self._patient(min(wait + 0.001, 30.0))

    def _pause(self, tried: int) -> float:
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0**tried)
        return longest * (
            0.5 + 0.5 * self._chance()
        )  # drawn, or all who were cut off would come back at once

    async def _patient(self, seconds: float) -> None:
        self.waits = max(self.waits, self._clock() + seconds)
        await asyncio.sleep(seconds)


def at_rest(accounts: Accounts, source: str) -> dict[str, Any]:
    """How a line reads and keeps the secrets of a connected account: for the arguments of ``Line``."""

    async def renewed(secrets: Mapping[str, str]) -> None:
        await asyncio.to_thread(accounts.renew, source, dict(secrets))

    async def spending(on: bool) -> None:
        await asyncio.to_thread(accounts.spending, source, on)

    return {
        "secrets": lambda: accounts.secrets(source), "renewed": renewed, "alone": lambda: accounts.alone(source),
        "spending": spending, "interrupted": lambda: accounts.interrupted(source),
    }  # fmt: skip


def _after_a_cut(error: Rejected) -> Rejected:
    """A refusal, with what most likely became of the session: nobody can get it back then."""
    return Rejected(
        "The answer that would have renewed the session was lost (Plait was killed just then, or the line was cut), and "
        f"what it was asked with works once: {error.message}",
        code=error.code, status=error.status,
    )  # fmt: skip


async def _to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Wait for work that is done to its end even if who waits for it is cancelled."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=_ENDS_WITHIN)
        raise


def _has_expired(answer: Answer) -> bool:
    if answer.status == 401:
        return True
    if answer.status != 400 or len(answer.body) > 4_096:
        return False
    try:
        told = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(told, dict) and told.get("error") in _EXPIRED


def same_origin(one: str, other: str) -> bool:
    """Whether two URLs are of one scheme, host and port."""
    try:
        a, b = urlsplit(one), urlsplit(other)
        return (a.scheme, a.hostname, a.port or _port(a.scheme)) == (
            b.scheme,
            b.hostname,
            b.port or _port(b.scheme),
        )
    except ValueError:
        return False


def _port(scheme: str) -> int:
    return 443 if scheme in ("https", "wss") else 80
