"""Collect: requests and events a second on one core, all its work done before the answer.

A load generator on the other core speaks HTTP over 128 connections. In one run: uvicorn alone (the floor), ours on a
real log with real syncs, and a FastAPI + pydantic + SQLite collector of the same contract.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import Line
from bench.servers import WRITE

CONNECTIONS = 128


def call(number: int) -> dict[str, Any]:
    """A call as analytics-next sends it, some 700 bytes."""
    page = {"path": f"/p/tent-{number % 97}", "referrer": "", "search": "", "title": f"Tent {number % 97}",
            "url": f"https://shop.example/p/tent-{number % 97}"}  # fmt: skip
    return {
        "timestamp": "2026-11-22T14:59:31.618Z", "integrations": {"Segment.io": True},
        "event": "Product Viewed", "type": "track",
        "properties": {"product_id": f"tent-{number % 97}", "price": 129.5, "category": "tents", "position": 3},
        "context": {"page": page, "locale": "en-US", "timezone": "UTC",
                    "library": {"name": "analytics.js", "version": "npm:next-1.84.3"}},
        "messageId": f"ajs-next-1795359571618-{number:032x}",
        "anonymousId": f"93f3cfc9-aa96-4067-8769-{number % 5000:012x}",
        "sentAt": "2026-11-22T14:59:31.637Z",
    }  # fmt: skip


def small(number: int) -> dict[str, Any]:
    """A call as a server's client sends it in a batch, some 330 bytes."""
    return {
        "type": "track", "event": "Product Viewed", "messageId": f"{number:036x}", "userId": f"u{number % 5000}",
        "timestamp": "2026-11-22T14:57:45.560+00:00", "integrations": {},
        "properties": {"product_id": f"tent-{number % 97}", "price": 9.5},
        "context": {"library": {"name": "analytics-python", "version": "2.4.0"}},
    }  # fmt: skip


def batch(number: int) -> dict[str, Any]:
    calls = [small(number * 100 + one) for one in range(100)]
    return {"batch": calls, "sentAt": "2026-11-22T14:57:45.855+00:00", "writeKey": WRITE}


@contextmanager
def serving(which: str) -> Iterator[int]:
    """A server pinned to the first core, on a fresh folder; its port."""
    folder = tempfile.mkdtemp(prefix="plait-bench-")
    cores = sorted(os.sched_getaffinity(0))
    command = [sys.executable, "-m", "bench.servers", which, folder]
    one = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: os.sched_setaffinity(0, cores[:1])
    )
    try:
        assert one.stdout is not None
        yield int(one.stdout.readline())
    finally:
        one.terminate()
        one.wait()
        shutil.rmtree(folder)


def rate(port: int, path: str, bodies: list[bytes], seconds: float) -> float:
    """Requests a second that were answered 200; anything else fails the bench."""
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "bodies"
        told.write_bytes(b"".join(len(one).to_bytes(4, "big") + one for one in bodies))
        answer = subprocess.run(
            [sys.executable, "-m", "bench.load", str(port), path, str(told), str(CONNECTIONS), str(seconds)],
            check=True, capture_output=True, text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cores[-1:]),
        )  # fmt: skip
    return float(re.findall(r"[\d.]+", answer.stdout)[-1])


def measure(quick: bool) -> Iterator[Line]:
    rounds, seconds = (1, 1.0) if quick else (3, 3.0)
    singles = [json.dumps(call(number), separators=(",", ":")).encode() for number in range(500)]
    batches = [json.dumps(batch(number)).encode() for number in range(50)]
    best: dict[tuple[str, str], float] = {}
    for _ in range(rounds):  # in turns, the best of each: what else the machine does hits all of them alike
        for which in ("floor", "ours", "peer"):
            with serving(which) as port:
                rate(port, "/v1/track", singles, 0.5)  # warm
                for what, path, bodies in (("one", "/v1/track", singles), ("many", "/v1/batch", batches)):
                    found = rate(port, path, bodies, seconds) * (100 if what == "many" else 1)
                    best[which, what] = max(found, best.get((which, what), 0.0))
    one, many = best["ours", "one"], best["ours", "many"]
    yield Line("single requests, durable", one, "requests/s", bar=10_000)
    yield Line("single requests, to uvicorn alone", one, "requests/s", to="the floor",
               ratio=one / best["floor", "one"], bar=0.5, bar_on="ratio")  # fmt: skip
    yield Line("events in batches of 100, durable", many, "events/s", to="the floor",
               ratio=many / best["floor", "many"], bar=200_000)  # fmt: skip
    yield Line("single requests, to FastAPI + pydantic + SQLite", one, "requests/s", to="the peer",
               ratio=one / best["peer", "one"], bar=5, bar_on="ratio")  # fmt: skip
    yield Line("events in batches, to FastAPI + pydantic + SQLite", many, "events/s", to="the peer",
               ratio=many / best["peer", "many"], bar=5, bar_on="ratio")  # fmt: skip
