"""The names of the server's catalog, as the driver knows them: learned when they are first asked for, and anew when items change."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import msgspec
import structlog

from plait.catalog.checks import checked_item
from plait.catalog.items import ASIDE, Item
from plait.errors import Rejected
from plait.fetch import trusted
from plait.intake.signals import load_signals
from plait.serving import Serving
from plait.text import Names
from plait.text.nearness import Nearness

_log = structlog.get_logger()

LOOK = 15.0  # seconds between two looks at whether items changed
SHARE = 20  # learning may take one part in so many of our time: large catalogs are looked at less often
_PAGE = 1_000


class Shelf:
    """Asks the server for its items; one for all accounts.

    Attributes:
        names: of the catalog, as of the last look.
        near: its topics by meaning, ``None`` where the extra is not installed.
    """

    def __init__(self, told: Serving, data: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=told.url,
            headers={"authorization": f"Bearer {told.key}"},
            timeout=60,
            trust_env=False,
            verify=trusted(),
        )
        self._data = data
        self._version: Any = None
        self._next = 0.0
        self._lock = asyncio.Lock()
        self.names = Names(())
        self.near: Nearness | None = None

    async def refresh(self) -> None:
        """Bring the names up to date, if it is time to look; when the server does not answer they stay as they are."""
        async with self._lock:
            if time.monotonic() < self._next:
                return
            began = time.monotonic()
            try:
                told = await self._page({"limit": "1"})
                if (told["version"], told["total"]) != self._version:
                    items = [one async for one in self._items()]
                    self.names, self.near = await asyncio.to_thread(_learned, items, self._data)
                    self._version = told["version"], told["total"]
            except (httpx.HTTPError, KeyError, ValueError) as exc:
                _log.warning("names_stay", why=type(exc).__name__)
            self._next = time.monotonic() + max(LOOK, SHARE * (time.monotonic() - began))

    async def close(self) -> None:
        """Let go of the connection."""
        await self._http.aclose()

    async def _items(self) -> Any:
        after: str | None = None
        while True:
            told = await self._page({"limit": str(_PAGE)} | ({"after": after} if after else {}))
            for raw in told["items"]:
                yield raw
            after = told["next"]
            if after is None:
                return

    async def _page(self, params: dict[str, str]) -> dict[str, Any]:
        response = await self._http.get("/v1/items", params=params)
        response.raise_for_status()
        told: dict[str, Any] = msgspec.json.decode(response.content)
        return told


def _learned(raw: list[Any], data: str) -> tuple[Names, Nearness | None]:
    items: list[Item] = []
    for one in raw:
        try:
            items.append(checked_item(one, field="item"))
        except Rejected:  # what an older Plait let in
            continue
    names = Names(items, load_signals(data).places)
    if not Nearness.installed():
        return names, None
    titles: dict[str, list[str]] = {}
    for item in items:
        for topic in item.topics if item.kind not in ASIDE else ():
            titles.setdefault(topic, []).append(item.title)
    return names, Nearness(titles)
