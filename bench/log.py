"""The log: how many events a second are on disk before anybody is told so, beside what the disk itself can do."""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench import Line
from plait.events import Record, encode_record
from plait.log.commit import Committer
from plait.log.lmdb import Log

ALIKE = 64  # requests that wait at the same time


def records(events: int, *, different: int = 50) -> list[bytes]:
    """Records of ``events`` Segment calls each, as they rest in the log."""
    chance = random.Random(1)
    return [_record(events, chance) for _ in range(different)]


def _record(events: int, chance: random.Random) -> bytes:
    batch = [
        {
            "type": "track", "event": "Product Viewed", "messageId": f"ajs-next-{chance.randbytes(16).hex()}",
            "anonymousId": chance.randbytes(16).hex(), "timestamp": "2026-11-01T10:00:00.000Z",
            "properties": {"product_id": f"tent-{chance.randrange(1_000)}", "price": chance.randrange(10_000) / 100},
            "context": {"page": {"path": f"/p/{chance.randrange(1_000)}"}, "locale": "en-GB"},
        }
        for _ in range(events)
    ]  # fmt: skip
    body = json.dumps({"batch": batch}).encode()
    return encode_record(Record(kind="segment", source="web", received_at=1_793_000_000_000, body=body))


def bare(folder: Path, raw: bytes, times: int) -> float:
    """Seconds that one write and one fdatasync take, alone: the median."""
    taken = []
    handle = os.open(folder / "bare", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    for _ in range(times):
        began = time.perf_counter()
        os.write(handle, raw)
        os.fdatasync(handle)
        taken.append(time.perf_counter() - began)
    os.close(handle)
    return statistics.median(taken)


async def _together(log: Log, raws: list[bytes], requests: int) -> tuple[float, list[float]]:
    committer = Committer(log)
    waits: list[float] = []

    async def client(first: int, count: int) -> None:
        for n in range(first, first + count):
            began = time.perf_counter()
            await committer.append([raws[n % len(raws)]])
            waits.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*[client(n, requests // ALIKE) for n in range(ALIKE)])
    taken = time.perf_counter() - began
    await committer.close()
    return taken, waits


def measure(quick: bool) -> Iterator[Line]:
    """Durable events a second in batches and alone, and what one append waits."""
    requests = ALIKE * (10 if quick else 300)
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name)
        log = Log(f"lmdb://{folder.resolve()}/log", write=True)
        for events, bar in ((100, 200_000), (1, 10_000)):
            raws = records(events)
            sync = bare(folder, raws[0], 20 if quick else 300)
            taken, waits = asyncio.run(_together(log, raws, requests))
            yield Line(
                f"durable events/s, {ALIKE} requests of {events} waiting together",
                len(waits) * events / taken, "events/s",
                "a sync for each request", len(waits) / taken * sync, bar,
            )  # fmt: skip
            yield Line(
                f"wait of one among them, p99, requests of {events}",
                sorted(waits)[int(len(waits) * 0.99)] * 1_000, "ms",
                "one bare sync", sorted(waits)[int(len(waits) * 0.99)] / sync,
            )  # fmt: skip
        alone = []
        for raw in records(1) * (1 if quick else 6):
            began = time.perf_counter()
            log.append([raw])
            alone.append(time.perf_counter() - began)
        median = statistics.median(alone)
        yield Line("one append alone, median", median * 1_000, "ms", "one bare sync", median / sync)
        log.close()
