"""From the inbox to the log: what webhooks delivered is kept like everything else that is read of a network."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import structlog

from plait.connectors import Page
from plait.driver.inbox import FOLDER, Delivery, Inbox
from plait.errors import PlaitError, Rejected

_log = structlog.get_logger()

_LOOK = 0.05  # seconds between two looks into the folder
_AGAIN = 30.0  # seconds until something is tried again that could not be kept
_SOON = 1.0  # seconds, while the account is not being run yet
_AT_ONCE = 4  # files: one that waits for a network must not hold up the others


class Account(Protocol):
    """Who keeps what was delivered to a source (``plait.driver.account.Running``)."""

    async def read(self, delivery: Delivery) -> Page: ...  # noqa: D102
    async def delivered(self, page: Page) -> None: ...  # noqa: D102
    def trouble(self, code: str, message: str) -> None: ...  # noqa: D102


class Deliveries:
    """Takes files out of the inbox and hands what is in them to the accounts.

    Args:
        data: the data folder.
        account: of a source; ``None`` while it is not being run.
        connected: whether a source is connected at all; nobody waits for what came to another.
    """

    def __init__(
        self, data: Path, account: Callable[[str], Account | None], connected: Callable[[str], bool]
    ) -> None:
        self._data, self._account, self._connected = data, account, connected
        self._known: Inbox | None = None
        self._next: dict[str, float] = {}  # file -> when to try it again, s
        self._busy: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Look into the inbox until cancelled."""
        while True:
            try:
                await self.look()
            except Exception as exc:  # whatever it is: a later look may go better
                _log.error("deliveries_failed", error=type(exc).__name__)
                await asyncio.sleep(_AGAIN)
            await asyncio.sleep(_LOOK)

    async def look(self) -> None:
        """Begin with what waits and nobody is at."""
        if not (self._data / FOLDER).exists():
            return
        if self._known is None:
            self._known = Inbox(self._data, now=time.time_ns() // 1_000_000)
        waiting = await asyncio.to_thread(self._known.waiting)
        there = set(waiting)
        self._next = {name: at for name, at in self._next.items() if name in there}
        for name in waiting:
            if len(self._busy) >= _AT_ONCE:
                return
            if name not in self._busy and time.monotonic() >= self._next.get(name, 0.0):
                self._busy[name] = asyncio.create_task(self._take(self._known, name))

    async def idle(self) -> None:
        """Wait until nothing is being worked at."""
        while self._busy:
            await asyncio.gather(*self._busy.values())

    async def _take(self, inbox: Inbox, name: str) -> None:
        try:
            found = await asyncio.to_thread(inbox.open, name)
            by_source: dict[str, list[Delivery]] = {}
            for one in found:
                by_source.setdefault(one.source, []).append(one)
            waits = [await self._kept(source, some) for source, some in by_source.items()]
            if any(waits):
                self._next[name] = time.monotonic() + max(waits)
            else:  # what nobody can open any more is deleted, too
                await asyncio.to_thread(inbox.drop, name)
        except Exception as exc:
            self._next[name] = time.monotonic() + _AGAIN
            _log.error("deliveries_failed", error=type(exc).__name__)
        finally:
            self._busy.pop(name, None)

    async def _kept(self, source: str, some: Sequence[Delivery]) -> float:
        """Keep what came to one source, as one page; seconds until it is to be tried again, 0 when it is done with."""
        account = self._account(source)
        if account is None:
            return _SOON if self._connected(source) else 0.0
        try:
            pages = [await account.read(one) if one.page is None else one.page for one in some]
            await account.delivered(together(pages))
        except Rejected as error:
            account.trouble(error.code, error.message)
            return 0.0
        except PlaitError as error:
            account.trouble(error.code, error.message)
            return _AGAIN
        except Exception as exc:  # a mistake of the connector: without its text, which may be somebody's
            account.trouble("connector_failed", f"receive: {type(exc).__name__}")
            return _AGAIN
        return 0.0


def together(pages: Sequence[Page]) -> Page:
    """Pages as one, in their order: a flood of deliveries is few records of the log."""
    return Page(
        facts=[one for page in pages for one in page.facts],
        posts=[one for page in pages for one in page.posts],
        gone=[one for page in pages for one in page.gone],
        gap=next((page.gap for page in pages if page.gap is not None), None),
    )
