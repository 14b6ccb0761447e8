"""What a fit costs, as a function of people, items and events: a made-up shop with the skew of real ones, in three sizes."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from bench import Line

# people, items, events; the last only when asked for, it takes a quarter of an hour
SIZES = {
    "1/100": (10_000, 1_000, 500_000),
    "1/30": (33_333, 3_333, 1_666_667),
    "1/10": (100_000, 10_000, 5_000_000),
    "1/1": (1_000_000, 100_000, 50_000_000),
}
FULL = "PLAIT_BENCH_FULL"
SIGNALS = ("view", "dwell", "add", "purchase", "like")
HOW_OFTEN = (0.66, 0.15, 0.10, 0.05, 0.04)
TASTES = 200
NOW = 1_780_000_000_000
DAY = 86_400_000
SLICE = 20_000  # people made at a time


def zipf(random: np.random.Generator, n: int, size: int, power: float) -> np.ndarray:
    """Ranks below ``n``, the first the most frequent."""
    cumulated = np.cumsum(np.arange(1, n + 1) ** -power)
    return np.searchsorted(cumulated / cumulated[-1], random.random(size)).astype(np.int32)


def people(size: tuple[int, int, int], seed: int = 0) -> Iterator[tuple[str, list[Any]]]:
    """Rows as the state gives them: each person's entries, a slice of people in memory at a time.

    How much people do is log-normal (the busiest hundredth does a fifth of everything), items are Zipf, and seven acts
    in ten stay within a person's three tastes, so that there is something to learn.
    """
    from plait.profiles.profile import Entry

    number, items, events = size
    random = np.random.default_rng(seed)
    taste_of = np.random.default_rng(1).permutation(items) % TASTES
    shelf = np.argsort(taste_of, kind="stable")
    starts = np.searchsorted(taste_of[shelf], np.arange(TASTES + 1))
    names = [f"item-{n}" for n in range(items)]
    mean = events / number
    for at in range(0, number, SLICE):
        some = min(SLICE, number - at)
        sizes = np.maximum(1, np.minimum(random.lognormal(np.log(mean) - 0.5, 1.0, some), 400)).astype(
            np.int64
        )
        total = int(sizes.sum())
        mine = np.repeat(zipf(random, TASTES, some * 3, 0.5).reshape(some, 3), sizes, axis=0)
        taste = mine[np.arange(total), random.integers(0, 3, total)]
        width = starts[taste + 1] - starts[taste]
        within = shelf[starts[taste] + (width * random.random(total) ** 3).astype(np.int64)]
        item = np.where(random.random(total) < 0.7, within, zipf(random, items, total, 0.9))
        signal = np.searchsorted(np.cumsum(HOW_OFTEN)[:-1], random.random(total))
        when = NOW - (random.exponential(20.0, total) * DAY).astype(np.int64)
        weight = np.exp2(-(NOW - when) / (14 * DAY))
        columns = zip(item.tolist(), signal.tolist(), when.tolist(), weight.tolist(), strict=True)
        for person, count in enumerate(sizes.tolist(), at):
            entries = []
            for _ in range(count):
                what, how, moment, heavy = next(columns)
                source = "network" if how == 4 else "web"
                entries.append(Entry(source, SIGNALS[how], "item", names[what], "", 1, heavy, moment, False))
            yield f"user:{person}", entries


def catalog(size: tuple[int, int, int]) -> Any:
    from plait.catalog import Catalog, Item

    taste_of = np.random.default_rng(1).permutation(size[1]) % TASTES
    return Catalog(
        Item(id=f"item-{n}", topics=(f"taste-{taste}",)) for n, taste in enumerate(taste_of.tolist())
    )


def _work(name: str) -> None:
    from plait.models.fit import fit
    from plait.models.table import table_of

    size = SIZES[name]
    shelf = catalog(size)
    began = time.perf_counter()
    if "--read" in sys.argv:
        table = table_of(people(size), shelf, now=NOW, half_life=14 * DAY)
        told: dict[str, Any] = {"acts": len(table.person)}
    else:
        model = fit(people(size), shelf, now=NOW, half_life=14 * DAY)
        told = {
            "acts": model.manifest.acts,
            "quality": model.manifest.quality,
            "fit": model.manifest.seconds,
            "tuning": model.manifest.tuning_seconds,
        }
    told |= {
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time(),
        "gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }
    print(json.dumps(told))


def run(name: str, *more: str) -> dict[str, Any]:
    """One fit in a process of its own, so that its memory is its own."""
    told = subprocess.run(
        [sys.executable, "-m", "bench.scale", name, *more], capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])
    return found


def measure(quick: bool) -> Iterator[Line]:
    names = ["1/100"] if quick else ["1/100", "1/30", "1/10", *(["1/1"] if os.environ.get(FULL) else [])]
    before: dict[str, Any] | None = None
    for name in names:
        told = run(name)
        number, items, events = SIZES[name]
        what = f"fit of {number:,} people x {items:,} items x {events:,} events"
        last = name == "1/1"
        grown = None if before is None else told["seconds"] / before["seconds"]
        yield Line(
            what,
            told["seconds"],
            "s",
            "the size before" if grown else "",
            grown,
            bar=1_200 if last else None,
            least=False,
        )
        rows = told["fit"] / max(told["fit"] + told["tuning"], 1e-9)
        yield Line(f"{what}, of all processors together", told["cpu"], "s")
        yield Line(f"{what}, rows alone, as between fits", told["fit"], "s", "fit, reading apart", rows)
        yield Line(f"{what}, memory at the most", told["gib"], "GiB", bar=12 if last else None, least=False)
        before = told


if __name__ == "__main__":
    _work(sys.argv[1])
