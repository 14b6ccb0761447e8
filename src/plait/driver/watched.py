"""Whose acts matter besides those on the company's own posts: accounts that were linked to somebody the shop knows."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing

from plait.errors import PlaitError
from plait.events import is_weak, strength
from plait.settings import Settings
from plait.store import Store, open_store

_EVERY = 30.0  # seconds; somebody who has just been linked is watched from then on


class Watched:
    """Whether an account is one to watch; asked for every commit of a firehose, so it is a set in memory.

    Args:
        settings: for the store.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: frozenset[str] = frozenset()
        self._store: Store | None = None
        self._next = 0.0

    def __call__(self, account: str) -> bool:
        """Whether the acts of ``network:id`` matter."""
        return account in self._known

    def known(self, account: str) -> bool:
        """Whether we may hold something of ``network:id``: what it takes back matters. Yes, when nobody can tell."""
        try:
            if self._store is None:
                self._store = open_store(self._settings.url("store"))
            with closing(self._store.snapshot()) as snapshot:
                return snapshot.get("fragments", account.encode()) is not None
        except PlaitError:
            self._let_go()
            return True

    def _let_go(self) -> None:
        if self._store is not None:
            self._store.close()
        self._store = None

    async def refresh(self) -> None:
        """Look into the state again, now and then."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _EVERY
        try:
            self._known = await asyncio.to_thread(self._linked)
            self._let_go()  # it may have been made anew
        except PlaitError:  # the state is being made anew; what we know holds meanwhile
            return

    def _linked(self) -> frozenset[str]:
        store = open_store(self._settings.url("store"))
        try:
            with closing(store.snapshot()) as snapshot:
                ends = {key.partition(b"\0")[0] for key, _ in snapshot.scan("links")}
        finally:
            store.close()
        names = (one.decode(errors="replace") for one in ends)
        return frozenset(one for one in names if strength(one) == 1 and not is_weak(one))
