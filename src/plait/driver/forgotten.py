"""Who was erased: what the driver and connectors hold in mind of them is let go, as all that rests is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import closing

from plait.errors import PlaitError
from plait.keys import load_keys
from plait.profiles.consent import hashed
from plait.settings import Settings
from plait.store import open_store

_EVERY = 15.0  # seconds; an erasure is done within a minute

Gone = Callable[[str], bool]  # whether an identifier was erased just now


class Forgotten:
    """Looks now and then who was erased since the last look. The state knows them by keyed hashes alone.

    Args:
        settings: for the store, and the key of the hashes.
        clock: seconds.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._known: dict[bytes, bytes] | None = None  # hash -> until when; None before the first look
        self._next = 0.0

    async def look(self) -> Gone | None:
        """Who was erased, ``None`` when nobody was, or it is not time to look."""
        if self._clock() < self._next:
            return None
        self._next = self._clock() + _EVERY
        try:
            pepper, found = await asyncio.to_thread(self._read)
        except PlaitError:  # the state is being made anew; the next look finds them
            return None
        before, self._known = self._known, found
        fresh = frozenset(
            one for one, until in found.items() if before is not None and before.get(one) != until
        )
        return (lambda identifier: hashed(identifier, pepper) in fresh) if fresh else None

    def _read(self) -> tuple[str, dict[bytes, bytes]]:
        store = open_store(self._settings.url("store"))
        try:
            with closing(store.snapshot()) as snapshot:
                return load_keys(self._settings).pepper, dict(snapshot.scan("erased"))
        finally:
            store.close()
