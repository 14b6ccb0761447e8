"""Webhooks of connected accounts: checked and read by the connector, on disk before their sender is thanked.

What they tell goes to the inbox, from where the driver keeps it like everything else (``deliveries.py``).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import structlog

from plait.accounts import Accounts, Connected
from plait.connectors import Received, connector_of
from plait.driver.inbox import FOLDER, Delivery, Inbox
from plait.driver.line import Line, at_rest
from plait.driver.made import made_for
from plait.driver.told import Told
from plait.errors import PlaitError, Rejected, Unavailable
from plait.fetch import Fetcher
from plait.settings import Settings

_log = structlog.get_logger()

LONGEST = 8.0  # seconds that a sender waits for us to understand; networks give up after ten
_AT_ONCE = 64  # deliveries at the same time, of 2 MiB at most
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
        self._accounts, self._connected = accounts, connected
        self._data = Path(settings.data)
        self._fetcher = Fetcher(private=settings.private_hosts)
        self._known: Inbox | None = None
        self._reading = asyncio.Semaphore(_AT_ONCE)
        self._waiting: list[tuple[Delivery, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None
        self.told: dict[str, Told] = {}

    @property
    def _inbox(self) -> Inbox:
        if self._known is None:
            self._known = Inbox(self._data, now=_now())
        return self._known

    async def receive(self, network: str, source: str, headers: Mapping[str, str], body: bytes) -> Received:
        """Take one delivery in: what it tells is on disk before its sender is thanked.

        What the connector cannot read now (a key that cannot be fetched) waits as it came and is tried again for a day; its
        sender is thanked all the same.

        Raises:
            Rejected: no such account; the signature is wrong (401), or it is no delivery of the network's.
            Unavailable: too much waits, or the disk is full.
        """
        one = self._hooked(network, source)
        delivery = Delivery(network, source, _now(), dict(headers), body)
        if headers[":method"] == "GET":  # a challenge; there is nothing to lose
            return await self._read(one, delivery)
        if self._reading.locked():
            raise Unavailable("too many deliveries at once", code="inbox_full", retry_after=2)
        async with self._reading:
            received = await self._understood(one, delivery)
            if received is None:
                await self._put(delivery)
                return _LATER
            page = received.page
            if page.facts or page.posts or page.gone or page.gap:
                await self._put(Delivery(network, source, delivery.at, page=page))
            return received

    async def _understood(self, one: Connected, delivery: Delivery) -> Received | None:
        """What was read; ``None`` when it cannot be read now."""
        try:
            return await self._read(one, delivery)
        except Rejected:
            raise
        except Unavailable as error:
            self._trouble(one, error.code, error.message)
        except Exception as exc:  # a mistake of the connector: without its text, which may be somebody's
            self._trouble(one, "connector_failed", f"receive: {type(exc).__name__}")
        return None

    async def _put(self, delivery: Delivery) -> None:
        """Make a delivery durable. Those that come meanwhile share the next write, and its sync."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((delivery, done))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        await done

    async def _write(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            whole = [[pair for pair in group if pair[0].page is not None]]
            # Each by itself: one that cannot be read for a day must not hold up others.
            for some in (*whole, *([pair] for pair in group if pair[0].page is None)):
                if some:
                    await self._written(some)

    async def _written(self, some: list[tuple[Delivery, asyncio.Future[None]]]) -> None:
        error: Exception | None = None
        try:
            await asyncio.to_thread(self._inbox.put, [one for one, _ in some])
        except Exception as exc:
            error = exc
        for _, done in some:
            if done.done():  # its sender hung up
                continue
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)

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

    def forget(self, gone: Iterable[str]) -> None:
        """Let go of what connectors remember of people (``network:id``) who were erased."""
        names = frozenset(gone)
        for one in self._connected():
            try:
                connector: Any = made_for(connector_of(one.network), one.account, secrets=self._secrets(one))
            except (
                PlaitError
            ):  # its driver, or its file, is not there any more; then nothing is remembered either
                continue
            if hasattr(connector, "forget"):
                connector.forget(names.__contains__)

    async def sweep(self) -> None:
        """Delete what is too old, or came to nobody who is connected any more."""
        if self._known is None and not (self._data / FOLDER).exists():
            return
        old = await asyncio.to_thread(self._inbox.sweep, now=_now())
        if old:
            _log.error("deliveries_not_understood", files=old)
        if not self._connected():  # then no driver runs to see it
            for name in await asyncio.to_thread(self._inbox.waiting):
                await asyncio.to_thread(self._inbox.drop, name)

    def _hooked(self, network: str, source: str) -> Connected:
        for one in self._connected():
            if one.source == source and one.network == network:
                if not connector_of(network).statement.hooks:
                    raise Rejected(f"{network} has no webhooks", code="no_webhooks", status=404)
                return one
        raise Rejected("no such account", code="unknown_source", status=404)

    async def _read(self, one: Connected, delivery: Delivery) -> Received:
        """Have the connector check and read a delivery."""
        line, headers = self._line(one), {**delivery.headers, ":received-at": str(delivery.at)}
        try:
            async with asyncio.timeout(LONGEST):
                connector = made_for(connector_of(one.network), one.account, secrets=self._secrets(one))
                return await line.asked(connector.receive(headers, delivery.body), tries=2)
        except TimeoutError:
            raise Unavailable("a delivery could not be read in time", code="delivery_slow") from None
        finally:
            await line.close()

    def _line(self, one: Connected) -> Line:
        return Line(
            connector_of(one.network), one.account, fetcher=self._fetcher, **at_rest(self._accounts(), one.source)
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
