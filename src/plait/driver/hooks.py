"""Webhooks of connected accounts: taken durably, read by the connector, kept like everything else it tells."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

from plait.accounts import Accounts, Connected
from plait.connectors import Received, Session, connector_of
from plait.driver.inbox import Delivery, Inbox
from plait.driver.keeper import Keeper
from plait.driver.line import Line
from plait.driver.made import made_for
from plait.driver.shelf import Shelf
from plait.driver.told import Told
from plait.errors import PlaitError, Rejected, Unavailable
from plait.fetch import Fetcher
from plait.serving import serving
from plait.settings import Settings

_log = structlog.get_logger()

_LONGEST = 8.0  # seconds that a sender waits for us to understand; networks give up after ten
_AT_ONCE = 16  # deliveries that are read at the same time
_LATER = Received(status=202)


class Hooks:
    """Takes deliveries in, for the server that networks send them to.

    Args:
        settings: of the installation.
        accounts: where secrets are.
        connected: the accounts, now.
    """

    def __init__(
        self, settings: Settings, accounts: Callable[[], Accounts], connected: Callable[[], list[Connected]]
    ) -> None:
        self._settings, self._accounts, self._connected = settings, accounts, connected
        self._data = Path(settings.data)
        self._fetcher = Fetcher(private=settings.private_hosts)
        self._known: Inbox | None = None
        self._shelf: Shelf | None = None
        self._reading = asyncio.Semaphore(_AT_ONCE)
        self.told: dict[str, Told] = {}

    @property
    def _inbox(self) -> Inbox:
        if self._known is None:
            self._known = Inbox(self._data, now=_now())
        return self._known

    async def receive(self, network: str, source: str, headers: Mapping[str, str], body: bytes) -> Received:
        """Take one delivery in: durable first, then read.

        What the connector cannot read now (a key that cannot be fetched) waits and is tried again for a day; its sender is
        thanked all the same.

        Raises:
            Rejected: no such account; the signature is wrong (401), or it is no delivery of the network's.
            Unavailable: too much waits, or the disk is full.
        """
        one = self._hooked(network, source)
        if headers[":method"] == "GET":  # a challenge; there is nothing to lose
            return await self._read(one, Delivery(network, source, _now(), dict(headers), body))
        if self._reading.locked():
            raise Unavailable("too many deliveries at once", code="inbox_full", retry_after=2)
        async with self._reading:
            name = await asyncio.to_thread(self._inbox.put, network, source, headers, body, now=_now())
            return await self._tried(one, name)

    async def serve(
        self, path: str, headers: Mapping[str, str], source: str | None = None
    ) -> Received | None:
        """What a connected account publishes under a path of ours; ``None`` when none does.

        Args:
            path: with its query.
            headers: with lower-case names.
            source: ask this account only.
        """
        for one in self._connected():
            if source not in (None, one.source):
                continue
            try:
                made = connector_of(one.network)
            except Rejected:  # its driver is not installed any more; the others go on
                continue
            if not hasattr(made, "serve"):
                continue
            line = self._line(one)
            try:
                connector: Any = made_for(made, one.account, secrets=self._secrets(one))
                found: Received | None = await line.asked(connector.serve(path, dict(headers)))
            finally:
                await line.close()
            if found is not None and found.status != 404:
                return found
        return None

    async def retry(self) -> None:
        """Try again what waits, and delete what is too old."""
        if self._known is None and not (self._data / "inbox").exists():
            return
        inbox = self._inbox
        old = await asyncio.to_thread(inbox.sweep, now=_now())
        if old:
            _log.error("deliveries_not_understood", deliveries=old)
        for name in await asyncio.to_thread(inbox.waiting):
            delivery = await asyncio.to_thread(inbox.open, name)
            if delivery is not None and delivery.at > _now() - 2_000 * _LONGEST:
                continue  # somebody reads it just now
            one = next(
                (each for each in self._connected() if delivery and each.source == delivery.source), None
            )
            if one is None:  # disconnected meanwhile, or its key is gone
                await asyncio.to_thread(inbox.drop, name)
                continue
            try:
                await self._tried(one, name)
            except PlaitError as error:
                self._trouble(one, error.code, error.message)

    def _hooked(self, network: str, source: str) -> Connected:
        for one in self._connected():
            if one.source == source and one.network == network:
                if not connector_of(network).statement.hooks:
                    raise Rejected(f"{network} has no webhooks", code="no_webhooks", status=404)
                return one
        raise Rejected("no such account", code="unknown_source", status=404)

    async def _tried(self, one: Connected, name: str) -> Received:
        delivery = await asyncio.to_thread(self._inbox.open, name)
        if delivery is None:
            return _LATER
        try:
            received = await self._read(one, delivery)
        except Rejected:
            await asyncio.to_thread(self._inbox.drop, name)
            raise
        except Unavailable as error:
            self._trouble(one, error.code, error.message)
            return _LATER
        except Exception as exc:  # a mistake of the connector: without its text, which may be somebody's
            self._trouble(one, "connector_failed", f"receive: {type(exc).__name__}")
            return _LATER
        await asyncio.to_thread(self._inbox.drop, name)
        return received

    async def _read(self, one: Connected, delivery: Delivery) -> Received:
        """Read a delivery and keep what it tells."""
        line, headers = self._line(one), {**delivery.headers, ":received-at": str(delivery.at)}
        try:
            async with asyncio.timeout(_LONGEST):
                connector = made_for(connector_of(one.network), one.account, secrets=self._secrets(one))
                received = await line.asked(connector.receive(headers, delivery.body), tries=2)
                page = received.page
                if page.facts or page.posts or page.gone or page.gap:
                    await self._kept(one, received)
        except TimeoutError:
            raise Unavailable("a delivery could not be read in time", code="delivery_slow") from None
        finally:
            await line.close()
        return received

    async def _kept(self, one: Connected, received: Received) -> None:
        told = serving(self._data)
        if told is None:
            raise Unavailable("the server does not listen yet", code="no_answer")
        if self._shelf is None:
            self._shelf = Shelf(told, self._settings.data)
        keeper = Keeper(told, one.source, self._state(one), self._shelf)
        try:
            await keeper.keep(received.page, "hook")
        finally:
            await keeper.close()

    def _line(self, one: Connected) -> Line:
        async def renewed(session: Session) -> None:
            if session.secrets:
                await asyncio.to_thread(self._accounts().renew, one.source, dict(session.secrets))

        return Line(
            connector_of(one.network), one.account, lambda: self._accounts().secrets(one.source),
            fetcher=self._fetcher, renewed=renewed,
        )  # fmt: skip

    def _secrets(self, one: Connected) -> Callable[[], Mapping[str, str]]:
        return lambda: self._accounts().secrets(one.source)

    def _state(self, one: Connected) -> Told:
        return self.told.setdefault(one.source, Told(source=one.source, network=one.network))

    def _trouble(self, one: Connected, code: str, message: str) -> None:
        self._state(one).trouble(code, message, _now())
        _log.warning("delivery_trouble", source=one.source, code=code, message=message)


def _now() -> int:
    return time.time_ns() // 1_000_000
