"""What a server does for connectors: connect and disconnect accounts, tell how they are, take webhooks in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from plait.accounts import FOLDER, Accounts, Connected, unknown
from plait.connectors import Account, Connector, Session, connector_of
from plait.driver.hooks import Hooks
from plait.driver.line import Failed, Line
from plait.driver.told import Told, read_told
from plait.errors import PlaitError, Rejected, Unavailable
from plait.fetch import Fetcher
from plait.settings import Settings

_TRIES = 3  # somebody waits for the answer
_LONGEST = 120.0  # seconds that signing in may take
_HOST = "host"  # the credential that is no secret: where the account lives


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
            found[one.source] = told = written.get(one.source, fresh)
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
        host = _host(host or told.get(_HOST, "") or made.statement.host)
        session = await self._signed_in(made, host, told)
        one = Connected(network=network, account=session.account, connected_at=_now())
        secrets = dict(session.secrets) or told
        await asyncio.to_thread(self._accounts.keep, one, secrets)
        self._list = None
        self.changed.set()
        return one

    async def _signed_in(self, made: type[Connector], host: str, credentials: dict[str, str]) -> Session:
        async def renewed(_: Session) -> None:
            return None

        line = Line(
            made, Account(source="", host=host), lambda: credentials, fetcher=self._fetcher, renewed=renewed
        )
        try:
            async with asyncio.timeout(_LONGEST):
                steps = made.sign_in(credentials, host, _now())
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


def checked_credentials(made: type[Connector], given: Mapping[str, Any]) -> dict[str, str]:
    """The credentials with defaults filled in.

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
        if not value and name in needs and needs[name].secret:
            raise Rejected(
                f"{needs[name].title} is missing", code="missing_credential", field=f"credentials.{name}"
            )
    return {name: value for name, value in told.items() if value}


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
