"""The running server: how soon it answers, and how soon it knows what another client just did."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from bench import Line
from bench.fold import in_child

SECRET = "sk_of_the_bench_and_long"


@contextlib.contextmanager
def serving(data: Path) -> Iterator[tuple[str, float]]:
    """A server of its own process; its URL, and the seconds from start to the first answer of a question."""
    env = os.environ | {
        "PLAIT_WRITE_KEY": "wk_of_the_bench",
        "PLAIT_SECRET_KEY": SECRET,
        "PLAIT_LOG_LEVEL": "error",
    }
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "plait", "serve", "--data", str(data), "--port", "0"], env=env
    )
    try:
        url = ""
        while not url:
            with contextlib.suppress(OSError, ValueError, httpx.TransportError):
                told = json.loads((data / "serve.json").read_bytes())
                if told["pid"] == process.pid and ask(told["url"], "anonymous:nobody") is not None:
                    url = told["url"]
            if process.poll() is not None:
                raise RuntimeError("the server did not start")
            time.sleep(0.005)
        yield url, time.perf_counter() - begun
    finally:
        process.terminate()
        process.wait()


def client(url: str) -> httpx.Client:
    return httpx.Client(
        base_url=url, headers={"authorization": f"Bearer {SECRET}"}, timeout=60, trust_env=False
    )


def ask(url: str, identifier: str) -> dict | None:
    body = {"identifiers": [identifier], "placements": [{"id": "home.grid"}], "explain": True}
    with client(url) as web:
        answer = web.post("/v1/personalize", json=body)
    return answer.json() if answer.status_code == 200 else None


def load(url: str, rate: float, stop: threading.Event) -> None:
    """Batches of other people's views at ``rate`` events a second, by plain requests: what it costs is not the server's."""
    host, port = url.removeprefix("http://").split(":")
    wire = http.client.HTTPConnection(host, int(port), timeout=60)
    number, begun = 0, time.perf_counter()
    while not stop.is_set():
        calls = b",".join(_call(one) for one in range(number, number + 100))
        number += 100
        wire.request("POST", "/v1/batch", b'{"batch":[%b]}' % calls, {"authorization": f"Bearer {SECRET}"})
        answer = wire.getresponse()
        answer.read()
        if answer.status == 429:  # the fold lags too far: that shows in what is measured
            time.sleep(0.1)
        ahead = number / rate - (time.perf_counter() - begun)
        if ahead > 0:
            time.sleep(ahead)


def _call(number: int) -> bytes:
    return (
        b'{"type":"track","event":"Product Viewed","messageId":"load-%d","userId":"u%d","properties":{"product_id":"i%d"}}'
        % (number, number * 7919 % 100_000, number % 500)
    )


def fresh(url: str, times: int) -> list[float]:
    """Seconds from another client's acknowledged view to the first answer that counts it, looked for every 5 ms."""
    waited = []
    with client(url) as web:
        for number in range(times):
            person, item = f"user:fresh-{number}", f"i{number % 500}"
            event = {"id": f"fresh-{number}", "signal": "view", "who": [person], "about": {"item": item}}
            assert web.post("/v1/events", json={"events": [event]}).status_code == 200
            begun = time.perf_counter()
            while web.get(f"/v1/profiles/{person}").status_code != 200:
                if time.perf_counter() - begun > 30:
                    raise RuntimeError("an event never showed")
                time.sleep(0.005)
            waited.append(time.perf_counter() - begun)
            time.sleep(0.05)
    return waited


def changed(url: str, times: int) -> list[float]:
    """Seconds from the moment a page's beacon is sent, with a dwell in it, to the first home grid in another order because of it."""
    waited = []
    with client(url) as web, httpx.Client(base_url=url, timeout=60, trust_env=False) as page:

        def grid(person: str) -> tuple[list[str], set[str]]:
            asked = {"identifiers": [person], "placements": [{"id": "home.grid", "n": 12}], "explain": True}
            items = web.post("/v1/personalize", json=asked).json()["placements"]["home.grid"]["items"]
            causes = {one["about"] for item in items for one in item["because"] if one["signal"] == "dwell"}
            return [one["item"] for one in items], causes

        for number in range(times):
            person, item = (
                f"anonymous:{number:06d}-reads-c2f6-4b6a-9f5e-3d2c1b0a9f8e",
                f"i{number * 37 % 500}",
            )
            before, _ = grid(person)
            now = int(time.time() * 1000)
            dwell = {
                "id": f"d{number}.1", "signal": "dwell", "at": now, "who": [person], "value": 24.0,
                "about": {"item": item, "section": "specs"},
                "counter": {"view": f"d{number}", "started_at": now - 30_000, "epoch": 0},
            }  # fmt: skip
            body = json.dumps({"writeKey": "wk_of_the_bench", "sent_at": now, "events": [dwell]})
            begun = time.perf_counter()
            assert (
                page.post("/v1/events", content=body, headers={"content-type": "text/plain"}).status_code
                == 200
            )
            while True:
                after, causes = grid(person)
                if after != before and f"{item}#specs" in causes:
                    break
                if time.perf_counter() - begun > 30:
                    raise RuntimeError("a dwell never showed")
                time.sleep(0.005)
            waited.append(time.perf_counter() - begun)
    return waited


def measure(quick: bool) -> Iterator[Line]:
    # Half of what the fold gets done on this machine now.
    rate = in_child("lmdb", *((10_000, 10_000) if quick else (100_000, 60_000)))["rate"] / 2
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        with serving(data) as (url, _), client(url) as web:
            items = [
                {"id": f"i{n}", "title": f"Item {n}", "topics": [f"t{n % 20}"], "price": n % 90}
                for n in range(500)
            ]
            assert web.post("/v1/items", json={"items": items}).status_code == 200
            moved = changed(url, 30 if quick else 200)
            stop = threading.Event()
            thread = threading.Thread(target=load, args=(url, rate, stop))
            thread.start()
            time.sleep(2)
            waited = fresh(url, 50 if quick else 300)
            lag = web.get("/v1/status").json()["fold"]["lag_events"]
            stop.set()
            thread.join()
            yield Line(
                f"an event of another client shows, at {rate:,.0f} events/s, p99",
                _p99(waited) * 1000,
                "ms",
                bar=250,
                least=False,
            )
            yield Line("the same, p50", statistics.median(waited) * 1000, "ms")
            yield Line(f"events that wait for the fold at {rate:,.0f} events/s", lag, "events")
            yield Line(
                "a dwell changes the home grid, from the beacon on, p99",
                _p99(moved) * 1000,
                "ms",
                bar=250,
                least=False,
            )
            yield Line("the same, p50", statistics.median(moved) * 1000, "ms")
            web.post("/v1/fit")
        with serving(data) as (_, seconds):
            yield Line("start to first answer, warm", seconds, "s", bar=5, least=False)


def _p99(values: list[float]) -> float:
    return sorted(values)[max(0, int(len(values) * 0.99) - 1)]
