"""The fold: events a second into the fragments of a million identifiers, and what that costs in memory.

Who acts: 70 % of events come from identifiers drawn by a Zipf-Mandelbrot law (1 / (rank + 100)^1.1 over all of them), the
rest evenly: the busiest does one in a thousand, a few thousand do half, and most were seen once or twice, as in a shop. What they do: 60 % views of an
item, 20 % dwell on a section, 8 % add, 4 % purchase, 8 % likes of posts; items by a Zipf law over 20,000. One event in
fifty is told twice, one in twenty comes from a known user who is named with a device. Batches of 20 in a record.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench import Line
from bench.plain import PlainLog, PlainStore
from plait.events import Record, encode_record
from plait.intake.signals import load_signals
from plait.profiles.fold import Fold, spare_the_collector
from plait.settings import ConsentDefaults, Settings
from plait.store import open_store

NOW = 1_780_000_000_000
SETTINGS = Settings(consent=ConsentDefaults(link=True, social=True))
IN_A_RECORD = 20
STEP = 500  # records; about what the fold takes at a time when it lags
SIGNALS = np.array(["view", "dwell", "add", "purchase", "like"])


def records(
    people: int, events: int, *, seed: int, everybody: bool = False, start: int = 0
) -> Iterator[bytes]:
    """Records of ``events`` events of ``people``; ``everybody`` once, in a random order, for the first fill."""
    random = np.random.default_rng(seed)
    if everybody:
        who = random.permutation(people)
    else:
        law = np.cumsum(1 / (np.arange(people) + 100.0) ** 1.1)
        who = np.searchsorted(law, random.random(events) * law[-1])
        evenly = random.random(events) < 0.3
        who[evenly] = random.integers(0, people, int(evenly.sum()))
        # Busy ones must not lie side by side in the tables, as they would not in life.
        who = (who * 2_654_435_761) % people
    n = len(who)
    items = np.minimum(random.zipf(1.2, n), 20_000)
    signals = SIGNALS[random.choice(5, n, p=[0.6, 0.2, 0.08, 0.04, 0.08])]
    known = random.random(n) < 0.05
    again = random.random(n) < 0.02
    batch: list[dict[str, Any]] = []
    for i in range(n):
        batch.append(_event(start + i, int(who[i]), int(items[i]), str(signals[i]), bool(known[i])))
        if again[i]:
            batch.append(batch[-1])
        if len(batch) >= IN_A_RECORD:
            yield _record(batch, NOW + start + i)
            batch = []
    if batch:
        yield _record(batch, NOW + start + n)


def _event(number: int, person: int, item: int, signal: str, known: bool) -> dict[str, Any]:
    # Random-looking ids, as clients make them: what counts here is that they lie nowhere near each other.
    device = f"anonymous:{person * 0x9E3779B97F4A7C15 % (1 << 64):016x}-{person:08d}"
    event: dict[str, Any] = {
        "id": f"node-next-{NOW + number}-{number * 0xD1342543DE82EF95 % (1 << 64):016x}",
        "signal": signal,
        "who": [f"user:{person:08d}", device] if known else [device],
        "at": NOW + number - 1_000,
        "about": {"post": f"post-{item % 300}"} if signal == "like" else {"item": f"item-{item:05d}"},
    }
    if signal == "dwell":
        event["about"]["section"] = ("specs", "reviews", "fit")[item % 3]
        event["value"] = 5.0 + item % 60
        event["counter"] = {"view": f"p{number // 3}", "started_at": NOW + number - 20_000}
    return event


def _record(batch: list[dict[str, Any]], at: int) -> bytes:
    return encode_record(
        Record(kind="events", source="web", received_at=at, trusted=True, body=msgspec.json.encode(batch))
    )


class _Clock:
    """Seconds that this process has worked in the fold; making the records is not the fold's work."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def fold(self, fold: Fold, made: Iterator[bytes]) -> int:
        counted = 0
        while chunk := list(islice(made, STEP)):
            numbered = list(enumerate(chunk, fold.position + 1))
            begun = time.process_time()
            counted += fold.step(numbered)
            self.seconds += time.process_time() - begun
        return counted


def memory() -> tuple[float, float]:
    """Resident memory of this process in GiB: its own, and pages of files that the kernel may take back."""
    told = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    own, files = (int(told[name].split()[0]) / (1 << 20) for name in ("RssAnon", "RssFile"))
    return own, files


def child(engine: str, people: int, events: int) -> dict[str, float]:
    """Fill, then measure; in a process of its own, so that memory is this engine's."""
    spare_the_collector()  # as the process does that folds
    before = memory()
    folder = tempfile.mkdtemp(prefix="plait-bench-")
    try:
        store: Any = PlainStore() if engine == "dict" else open_store(f"lmdb://{folder}", write=True)
        fold = Fold(store, SETTINGS, load_signals(), log=PlainLog())
        filling, working = _Clock(), _Clock()
        filled = filling.fold(fold, records(people, people, seed=1, everybody=True))
        counted = working.fold(fold, records(people, events, seed=2, start=people))
        own, files = memory()
        store.close()
        size = sum(path.stat().st_blocks * 512 for path in Path(folder).rglob("*") if path.is_file())
        return {
            "fill": filled / filling.seconds, "rate": counted / working.seconds,
            "own": own, "files": files, "before": before[0], "disk": size / (1 << 30),
        }  # fmt: skip
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure(quick: bool) -> Iterator[Line]:
    """The bars of the fold."""
    people, events = (10_000, 10_000) if quick else (1_000_000, 300_000)
    told = {engine: in_child(engine, people, events) for engine in ("lmdb", "dict")}
    ours, floor = told["lmdb"], told["dict"]
    named = f"{people:,} identifiers"
    yield Line(
        f"fold into {named}", ours["rate"], "events/s a core", "dict of bytes", ours["rate"] / floor["rate"],
        bar=20_000,
    )  # fmt: skip
    yield Line(
        f"fold into {named}, beside a dict", ours["rate"], "events/s a core", "dict of bytes",
        ours["rate"] / floor["rate"], bar=0.5, bar_on="ratio",
    )  # fmt: skip
    yield Line(
        f"first sight of {named}",
        ours["fill"],
        "events/s a core",
        "dict of bytes",
        ours["fill"] / floor["fill"],
    )
    yield Line(f"memory of its own, {named}", ours["own"], "GiB", bar=0.4, least=False)
    yield Line(f"memory with pages of files, {named}", ours["own"] + ours["files"], "GiB")
    yield Line(f"state on disk, {named}", ours["disk"], "GiB")


def in_child(engine: str, people: int, events: int) -> dict[str, float]:
    words = [sys.executable, "-m", "bench.fold", engine, str(people), str(events)]
    told: dict[str, float] = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
    return told


if __name__ == "__main__":
    print(json.dumps(child(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
