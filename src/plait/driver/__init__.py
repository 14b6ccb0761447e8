"""The driver: turns what connectors ask for into I/O, one supervised process for all connected accounts.

    line.py      requests: sessions, budgets, patience      streams.py   WebSockets and server-sent events
    pump.py      a connector's steps, one after the other   keeper.py    pages on their way to the log
    account.py   one account's backfill, stream and polls   told.py      how each of them is
    held.py      who is held to have done what              forgotten.py who was erased
    shelf.py     the catalog's names, to read texts with
    deliveries.py what webhooks told, out of the inbox      inbox.py      where that waits
    sources.py   what the server does for it: connect, disconnect, take webhooks in (hooks.py)

It holds nothing that would be missed: cursors are in the log beside what they stand behind, budgets and states in a file
that is made anew, secrets in the accounts' files.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from plait.accounts import Accounts, Connected
from plait.connectors import connector_of
from plait.driver.account import Running
from plait.driver.deliveries import Deliveries
from plait.driver.forgotten import Forgotten
from plait.driver.held import Held
from plait.driver.keeper import Keeper
from plait.driver.line import Line, at_rest
from plait.driver.made import made_for
from plait.driver.shelf import Shelf
from plait.driver.told import Told, read_told, write_told
from plait.driver.watched import Watched
from plait.errors import PlaitError
from plait.fetch import Fetcher
from plait.serving import Serving, serving
from plait.settings import Settings

_log = structlog.get_logger()

_LOOK = 0.5  # seconds between two looks at the accounts
_TELL = 1.0  # seconds between two tellings of how they are


def drive(settings: Settings, *, working: Callable[[], object] = lambda: None) -> None:
    """Run all connected accounts of the server that is our parent, until the process ends.

    Args:
        settings: of the installation.
        working: called once when the accounts are being run.
    """
    asyncio.run(_drive(settings, working))


async def _drive(settings: Settings, working: Callable[[], object]) -> None:
    told = await _served(Path(settings.data))
    house = _House(settings, told)
    working()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(house.deliveries.run())
        while True:
            await house.look()
            await asyncio.sleep(_LOOK)


async def _served(data: Path) -> Serving:
    """The server that started us, once it listens."""
    while True:
        told = serving(data)
        if told is not None and told.pid == os.getppid():
            return told
        await asyncio.sleep(0.05)


class _House:
    """The accounts that are run now."""

    def __init__(self, settings: Settings, told: Serving) -> None:
        self._settings, self._served = settings, told
        self._data = Path(settings.data)
        self._accounts = Accounts(self._data, now=_now())
        self._fetcher = Fetcher(private=settings.private_hosts)
        self._before = read_told(self._data)  # budgets spent before a restart
        self._runs: dict[str, tuple[Connected, asyncio.Task[None]]] = {}
        self._running: dict[str, Running] = {}
        self._told: dict[str, Told] = {}
        self._watched = Watched(settings)
        self._forgotten = Forgotten(settings)
        self._shelf = Shelf(told, settings.data)
        self._next = 0.0
        self.deliveries = Deliveries(self._data, self._running.get, self._is_connected)

    async def look(self) -> None:
        """Start what was connected, stop what was removed, and tell how all are."""
        found = {one.source: one for one in self._accounts.all()}
        for source, (one, task) in list(self._runs.items()):
            now = found.get(source)
            if now is None or now.connected_at != one.connected_at:
                await self._stop(source, task)
        for source, one in found.items():
            if source not in self._runs:
                self._told[source] = Told(source=source, network=one.network, since=_now())
                self._runs[source] = (one, asyncio.create_task(self._run(one)))
        if time.monotonic() > self._next:
            self._next = time.monotonic() + _TELL
            for running in self._running.values():
                running.measure()
            await asyncio.to_thread(write_told, self._data, dict(self._told))
            await self._watched.refresh()
            if gone := await self._forgotten.look():
                for running in self._running.values():
                    running.forget(gone)

    def _is_connected(self, source: str) -> bool:
        """As the server knew it when it thanked for a delivery: what was connected a moment ago may not run yet."""
        return source in self._runs or any(one.source == source for one in self._accounts.all())

    async def _stop(self, source: str, task: asyncio.Task[None]) -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        del self._runs[source]
        self._running.pop(source, None)
        self._told.pop(source, None)

    async def _run(self, one: Connected) -> None:
        """Run one account; whatever becomes of it, the others go on."""
        state = self._told[one.source]
        while True:
            try:
                await self._run_once(one, state)
            except PlaitError as error:
                state.become("failed", _now())
                state.trouble(error.code, error.message, _now())
                _log.error("source_failed", source=one.source, code=error.code, message=error.message)
            except Exception as exc:
                state.become("failed", _now())
                state.trouble("driver_failed", type(exc).__name__, _now())
                _log.exception("source_failed", source=one.source)
            await asyncio.sleep(30)

    async def _run_once(self, one: Connected, state: Told) -> None:
        made = connector_of(one.network)

        def secrets() -> dict[str, str]:
            return self._accounts.secrets(one.source)

        before = self._before.get(one.source)
        line = Line(
            made, one.account, fetcher=self._fetcher, spent=before.spent if before else None,
            **at_rest(self._accounts, one.source),
        )  # fmt: skip
        keeper = Keeper(self._served, one.source, state, self._shelf)
        try:
            connector = made_for(made, one.account, secrets=secrets, watched=self._watched)
            held = Held(one.source, self._settings)
            running = self._running[one.source] = Running(connector, line, keeper, state, held)
            await running.run()
        finally:
            self._running.pop(one.source, None)  # its connections are closed
            await line.close()
            await keeper.close()


def _now() -> int:
    return time.time_ns() // 1_000_000
