"""The state and the lake by themselves: what one look costs, what a commit of the fold costs, what a row costs."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench import Line
from plait.events import About, Event, Signal
from plait.lake.parquet import Lake
from plait.store.lmdb import Store


def measure(quick: bool) -> Iterator[Line]:
    """Looks, commits and rows."""
    chance = random.Random(1)
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name).resolve()
        yield from _looks(Store(f"lmdb://{folder}/state", write=True), chance, quick)
        yield _rows(Lake(f"parquet://{folder}/lake"), 5_000 if quick else 200_000)


def _looks(store: Store, chance: random.Random, quick: bool) -> Iterator[Line]:
    people = 20_000 if quick else 1_000_000
    step = people // 10
    value = chance.randbytes(300)
    for n in range(0, people, step):
        rows = {b"user:%07d" % one: value for one in range(n, n + step)}
        store.commit({"fragments": rows}, position=n + step, expected=n)

    looks = 2_000 if quick else 100_000
    keys = [b"user:%07d" % chance.randrange(people) for _ in range(looks)]
    began = time.perf_counter()
    for key in keys:
        snapshot = store.snapshot()
        snapshot.get("fragments", key)
        snapshot.close()
    ours = time.perf_counter() - began
    yield Line(f"a snapshot and one look among {people:,} people", ours / looks * 1e6, "µs")

    position, changed, commits = people, 2_000, 3 if quick else 30
    began = time.perf_counter()
    for _ in range(commits):
        rows = {b"user:%07d" % chance.randrange(people): chance.randbytes(300) for _ in range(changed)}
        store.commit({"fragments": rows}, position=position + 1, expected=position)
        position += 1
    ours = time.perf_counter() - began
    yield Line(
        f"rows changed a second, {changed} people at random a commit", commits * changed / ours, "rows/s"
    )
    store.close()


def _rows(lake: Lake, count: int) -> Line:
    rows = [
        (n, Event(id=f"m{n}", source="web", signal=Signal.VIEW, at=n, received_at=n, who=(f"user:{n % 5_000}",),
                  about=About(item=f"tent-{n % 300}"), context={"os": "iOS"}, properties={"price": n}))
        for n in range(1, count + 1)
    ]  # fmt: skip
    began = time.perf_counter()
    lake.write(1, count, rows)
    return Line("events written to the lake a second", count / (time.perf_counter() - began), "events/s")
