"""What a server does for connectors: connect and disconnect accounts, tell how they are, take webhooks in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from secrets import token_urlsafe
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from plait.accounts import FOLDER, Accounts, Connected, unknown
from plait.connectors import Account, Connector, Fresh, Leave, connector_of
from plait.dpop import new_key
from plait.driver.hooks import Hooks
from plait.driver.line import Failed, Line, Steps
from plait.driver.told import Told, read_told
from plait.errors import Corrupt, PlaitError, Rejected, Unavailable
from plait.fetch import Fetcher
from plait.settings import Settings

T = TypeVar("T")

_TRIES = 3  # somebody waits for the answer
_LONGEST = 120.0  # seconds that signing in may take
_LASTS = 900_000  # ms in which somebody may think about whether we may
_GOODBYE = 10.0  # seconds that signing out may take
_HOST = "host"  # the credential that is no secret: where the account lives


class _Going(msgspec.Struct, frozen=True, kw_only=True):
    """A sign-in under way: travels, sealed, to who began it and back."""

    network: str
    host: str
    credentials: dict[str, str]
    kept: Mapping[str, str]
    until: int

    def __repr__(self) -> str:
        return f"_Going({self.network})"


class Sources:
    """The accounts of one installation, as its server sees them.

    Attributes:
        changed: set when an account came or went.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._data = Path(settings.data)
        self._known: Accounts | None = None
        self._list: list[Connected] | None = None  # only this process connects and disconnects
        self._fetcher = Fetcher(private=settings.private_hosts)
        self.changed = asyncio.Event()
        self.hooks = Hooks(settings, lambda: self._accounts, self.connected)

    @property
    def _accounts(self) -> Accounts:
        if self._known is None:  # nobody needs a key file who never connects anything
            self._known = Accounts(self._data, now=_now())
        return self._known

    def connected(self) -> list[Connected]:
        """The accounts, by source."""
        if self._list is None:
            self._list = self._accounts.all() if (self._data / FOLDER).exists() else []
        return self._list

    def told(self) -> Mapping[str, Told]:
        """How each of them is, as the driver told last."""
        written = read_told(self._data)
        found = {}
        for one in self.connected():
            fresh = Told(source=one.source, network=one.network, since=one.connected_at)
            told = written.get(one.source, fresh)
            if told.since < one.connected_at:  # of the account as it was before it was connected again
                told = fresh
            found[one.source] = told
            if one.source in self.hooks.told:
                told.add(self.hooks.told[one.source])
        return found

    async def connect(self, network: str, credentials: Mapping[str, str], host: str = "") -> Connected:
        """Check credentials with the network and keep them; the driver begins within a second.

        Args:
            network: the name of a connector.
            credentials: what its statement ``needs``.
            host: where the account lives; the statement's by default.

        Raises:
            Rejected: no such network, something is missing, or the network does not take it.
            Unavailable: the network does not answer.
        """
        made = connector_of(network)
        told = checked_credentials(made, credentials)
        return await self._connected(made, _host_of(made, host, told), told)

    async def begin(
        self, network: str, credentials: Mapping[str, str], host: str, back: str
    ) -> tuple[str, str]:
        """Begin a sign-in with a browser: the address to send its holder to, and what has to be given back with the answer.

        Args:
            network: the name of a connector.
            credentials: those that are no secrets.
            host: where the account lives.
            back: an address of this machine that the browser comes back to; "" shows a code instead.

        Raises:
            Rejected: it has no such sign-in, or the network does not take part.
            Unavailable: the network does not answer.
        """
        made = _with_browser(network)
        told = checked_credentials(made, credentials, secrets=False)
        host = _host_of(made, host, told)
        fresh = Fresh(state=token_urlsafe(24), verifier=token_urlsafe(48), key=new_key())
        leave: Leave = await self._asked(made, host, made.begin(told, host, _back(back), fresh))
        going = _Going(network=network, host=host, credentials=told, kept=leave.kept, until=_now() + _LASTS)
        return leave.url, self._accounts.sealed(msgspec.json.encode(going))

    async def finish(self, state: str, answered: Mapping[str, str]) -> Connected:
        """Connect the account whose holder came back.

        Args:
            state: what ``begin`` gave out.
            answered: what the browser brought back: ``code``, ``state``, ``iss``, or ``error``.

        Raises:
            Rejected: ``invalid_state``: it is not ours, or took too long; or they said no.
            Unavailable: the network does not answer.
        """
        try:
            going = msgspec.json.decode(self._accounts.unsealed(state), type=_Going)
        except (Corrupt, msgspec.MsgspecError, UnicodeEncodeError):
            raise _not_ours() from None
        if going.until < _now():
            raise _not_ours()
        if answered.get("error"):
            raise Rejected(f"the account's holder was asked, and the answer was {answered['error'][:80]}",
                           code="denied", status=403)  # fmt: skip
        made = _with_browser(going.network)
        given = await self._asked(made, going.host, made.finish(going.kept, answered, going.host))
        return await self._connected(made, going.host, {**going.credentials, **given})

    async def _connected(self, made: type[Connector], host: str, credentials: dict[str, str]) -> Connected:
        session = await self._asked(made, host, made.sign_in(credentials, host, _now()))
        one = Connected(network=made.statement.network, account=session.account, connected_at=_now())
        secrets = dict(session.secrets) or credentials
        async with self._accounts.alone(
            one.source
        ):  # a driver that renews the old session must not write over it
            await asyncio.to_thread(self._accounts.keep, one, secrets)
        self._list = None
        self.changed.set()
        return one

    async def _asked(self, made: type[Connector], host: str, steps: Steps[T]) -> T:
        async def renewed(_: Mapping[str, str]) -> None:
            return None

        line = Line(made, Account(source="", host=host), dict, fetcher=self._fetcher, renewed=renewed)
        try:
            async with asyncio.timeout(_LONGEST):
                return await line.asked(steps, signed=False, tries=_TRIES)
        except Failed as error:
            raise Unavailable(
                f"{host} does not answer: {error.message}", code="network_unavailable"
            ) from error
        except TimeoutError:
            raise Unavailable(f"{host} does not answer", code="network_unavailable") from None
        except PlaitError:
            raise
        except Exception as exc:  # told without its text: it may hold what was given
            raise Unavailable(
                f"the connector failed with {type(exc).__name__}; please report it", code="connector_failed"
            ) from None
        finally:
            await line.close()

    async def sign_out(self, source: str) -> None:
        """Tell the network that its tokens are not needed any more, if it wants to hear that; it need not answer."""
        one = next((each for each in self.connected() if each.source == source), None)
        made: Any = connector_of(one.network) if one else None
        if one is None or not hasattr(made, "sign_out"):
            return
        try:
            secrets = self._accounts.secrets(source)
            async with asyncio.timeout(_GOODBYE):
                await self._asked(made, one.account.host, made.sign_out(secrets, one.account.host))
        except (PlaitError, TimeoutError):
            return

    def disconnect(self, source: str) -> Connected:
        """Forget an account and its secrets; what it told stays.

        Raises:
            Rejected: no such account.
        """
        one = next((each for each in self.connected() if each.source == source), None)
        if one is None:
            raise unknown(source)
        self._accounts.drop(source)
        self._list = None
        self.changed.set()
        return one


def checked_credentials(
    made: type[Connector], given: Mapping[str, Any], *, secrets: bool = True
) -> dict[str, str]:
    """The credentials with defaults filled in; ``secrets`` are not wanted where a browser signs in.

    Raises:
        Rejected: one is missing, unknown, or no text; the message never holds a value.
    """
    needs = {one.name: one for one in made.statement.needs}
    for name, value in given.items():
        if name not in needs and name != _HOST:
            raise Rejected(
                f"{made.statement.network} does not ask for {name[:80]}; it needs {', '.join(needs) or 'nothing'}",
                code="invalid_credentials", field=f"credentials.{name[:80]}",
            )  # fmt: skip
        if not isinstance(value, str) or len(value) > 8_192:
            raise Rejected(
                f"{name[:80]} must be a text", code="invalid_credentials", field=f"credentials.{name[:80]}"
            )
    told = {name: given.get(name) or one.default for name, one in needs.items()} | dict(given)
    for name, value in told.items():
        if not value and secrets and name in needs and needs[name].secret:
            raise Rejected(
                f"{needs[name].title} is missing", code="missing_credential", field=f"credentials.{name}"
            )
    return {name: value for name, value in told.items() if value}


def _with_browser(network: str) -> Any:
    made = connector_of(network)
    if not hasattr(made, "begin"):
        raise Rejected(
            f"{network} is not signed in to with a browser; give its credentials", code="no_browser", field="network",
        )  # fmt: skip
    return made


def _back(url: str) -> str:
    """Where a browser comes back to: this machine, since nobody else is there to take it up."""
    parts = urlsplit(url)
    if url and (parts.scheme != "http" or parts.hostname not in ("127.0.0.1", "::1") or parts.fragment):
        raise Rejected("back must be http://127.0.0.1:PORT/", code="invalid_body", field="back")
    return url


def _not_ours() -> Rejected:
    return Rejected(
        "this sign-in is not ours, or took too long: begin anew", code="invalid_state", field="state"
    )


def _host_of(made: type[Connector], host: str, credentials: Mapping[str, str]) -> str:
    return _host(host or credentials.get(_HOST, "") or made.statement.host)


def _host(text: str) -> str:
    """The base URL that credentials are sent to: https, or http on this machine."""
    text = text.strip().rstrip("/")
    if not text:
        raise Rejected(
            "the host is missing: where does the account live?", code="missing_credential", field="host"
        )
    url = text if "://" in text else f"https://{text}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.username
        or parts.query
        or parts.fragment
    ):
        raise Rejected(
            f"host must be a name or URL like https://example.social, not {text[:80]!r}",
            code="invalid_credentials", field="host",
        )  # fmt: skip
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise Rejected(
            "credentials travel over https only (http is for this machine)",
            code="invalid_credentials", field="host",
        )  # fmt: skip
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{name}" + (f":{port}" if port else "") + parts.path.rstrip("/")


def as_json(one: Connected) -> dict[str, Any]:
    """An account as it is told: nothing secret is in it."""
    account: dict[str, Any] = msgspec.to_builtins(one.account)
    return {"network": one.network, **account, "connected_at": one.connected_at}


def _now() -> int:
    return time.time_ns() // 1_000_000
