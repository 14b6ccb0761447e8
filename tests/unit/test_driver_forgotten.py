"""The driver hears of an erasure from the state, which knows who it was by keyed hashes alone."""

from __future__ import annotations

import asyncio
from contextlib import closing
from itertools import count
from pathlib import Path

from plait.driver.forgotten import Forgotten
from plait.keys import load_keys
from plait.profiles.consent import hashed
from plait.settings import Settings
from plait.store import open_store


def erase(data: Path, *identifiers: str, until: int = 1) -> None:
    settings = Settings(data=str(data))
    pepper = load_keys(settings).pepper
    with closing(open_store(settings.url("store"), write=True)) as store, closing(store.snapshot()) as state:
        hashes = {hashed(one, pepper): b"%d" % until for one in identifiers}
        store.commit({"erased": hashes}, position=state.position + 1, expected=state.position)


def test_who_was_erased_between_two_looks_is_told_once(tmp_path: Path) -> None:
    erase(tmp_path, "bluesky:before")
    minutes = count(step=60)
    one = Forgotten(Settings(data=str(tmp_path)), clock=lambda: float(next(minutes)))

    async def looks() -> None:
        assert await one.look() is None
        erase(tmp_path, "bluesky:ada")
        gone = await one.look()
        assert gone is not None
        assert [gone(each) for each in ("bluesky:ada", "bluesky:before", "bluesky:bob")] == [
            True,
            False,
            False,
        ]
        assert await one.look() is None
        erase(tmp_path, "bluesky:ada", until=2)
        assert await one.look() is not None

    asyncio.run(looks())


def test_a_state_that_is_not_there_yet_is_looked_at_again(tmp_path: Path) -> None:
    minutes = count(step=60)
    one = Forgotten(Settings(data=str(tmp_path)), clock=lambda: float(next(minutes)))

    assert asyncio.run(one.look()) is None
