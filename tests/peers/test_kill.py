"""Pulled plugs: `kill -9` at any moment loses nothing that was answered with 200, and counts nothing twice."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil
import pytest

PEOPLE = 40
SENDERS = 4


@dataclass(eq=False)
class Sender(threading.Thread):
    """A client that retries until it is told 200, as the real ones do; every id is sent at least once."""

    server: object
    seed: int
    sent: Counter = field(default_factory=Counter)  # person -> events acknowledged
    tries: int = 0
    failed: int = 0

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self.going = True
        # One client for all: making one takes longer than the server takes to answer.
        self._http = httpx.Client(
            timeout=10, trust_env=False, headers={"authorization": f"Bearer {self.server.write}"}
        )

    def run(self) -> None:
        chance = random.Random(self.seed)
        number = 0
        while self.going:
            calls = []
            for _ in range(chance.choice((1, 1, 1, 20, 100))):
                number += 1
                calls.append(
                    {
                        "type": "track", "event": "Product Viewed", "messageId": f"{self.seed}-{number}",
                        "userId": f"p{chance.randrange(PEOPLE)}", "properties": {"product_id": f"i{number % 50}"},
                    }
                )  # fmt: skip
            self._until_taken(calls, again=chance.random() < 0.1)

    def _until_taken(self, calls: list[dict], *, again: bool) -> None:
        while True:
            self.tries += 1
            with contextlib.suppress(httpx.TransportError):
                answer = self._http.post(f"{self.server.url}/v1/batch", json={"batch": calls})
                assert answer.status_code in (200, 429, 503), answer.text
                if answer.status_code == 200:
                    if again:  # the answer got lost on its way, so it comes once more
                        again = False
                        continue
                    self.sent.update(call["userId"] for call in calls)
                    return
            self.failed += 1
            time.sleep(0.05)


def children(server) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(server.process.pid).children()
    return []


def pull_plugs(server, kills: int, seed: int) -> tuple[Counter, dict[str, float]]:
    """Kill the server, its fold, or both, ``kills`` times under load; what was acknowledged, and how it went."""
    chance = random.Random(seed)
    server.start()
    senders = [Sender(server, seed * 1_000 + i) for i in range(SENDERS)]
    for one in senders:
        one.start()
    begun, starts = time.monotonic(), []
    try:
        for _ in range(kills):
            time.sleep(chance.uniform(0.02, 0.8))
            victim = chance.choice(("server", "fold", "both"))
            below = children(server)
            for child in below if victim != "server" else ():
                with contextlib.suppress(psutil.Error):
                    child.kill()
            if victim != "fold":
                server.kill()
                at = time.monotonic()
                server.start()
                starts.append(time.monotonic() - at)
            psutil.wait_procs(below, timeout=10) if victim == "server" else None
    finally:
        for one in senders:
            one.going = False
        for one in senders:
            one.join(60)
    assert not any(one.is_alive() for one in senders)
    sent = sum((one.sent for one in senders), Counter())
    return sent, {
        "kills": kills,
        "restarts": len(starts),
        "slowest_start_seconds": round(max(starts, default=0.0), 2),
        "requests": sum(one.tries for one in senders),
        "failed_requests": sum(one.failed for one in senders),
        "events": sum(sent.values()),
        "seconds": round(time.monotonic() - begun, 1),
    }


def settled(server) -> None:
    server.eventually(lambda: server.ask("GET", "/v1/status").json()["fold"]["lag_records"] == 0, seconds=60)
    time.sleep(0.2)


def counted(server, sent: Counter) -> Counter:
    return Counter(
        {
            person: (server.profile(f"user:{person}") or {"counts": {}})["counts"].get("view", 0)
            for person in sent
        }
    )


def replayed(server) -> dict:
    told = subprocess.run(
        [sys.executable, "-m", "plait", "replay", "--check", "--data", str(server.data)],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr
    return json.loads(told.stdout)


def check(server, kills: int, seed: int) -> dict[str, float]:
    sent, told = pull_plugs(server, kills, seed)
    settled(server)
    assert counted(server, sent) == sent
    server.stop()
    replayed(server)
    return told


@pytest.mark.peers
@pytest.mark.timeout(600)
def test_twenty_pulled_plugs_lose_nothing_and_double_nothing(own_server):
    told = check(own_server, kills=20, seed=20)

    assert told["events"] > 1_000  # there was something to lose


@pytest.mark.soak
@pytest.mark.timeout(7_000)
def test_two_hundred_pulled_plugs_lose_nothing_and_double_nothing(own_server):
    told = check(own_server, kills=200, seed=200)

    report = Path(__file__).parents[2] / "bench" / "reports" / f"kill-{datetime.now(UTC):%Y-%m-%d}.md"
    report.parent.mkdir(exist_ok=True)
    lines = "\n".join(f"| {name.replace('_', ' ')} | {value:,} |" for name, value in told.items())
    report.write_text(
        "# kill -9 under load\n\n"
        f"{datetime.now(UTC):%Y-%m-%d}, `make soak`. The server, its fold or both were killed at random moments while "
        f"{SENDERS} clients sent and retried. Acknowledged events lost: 0. Counted twice: 0. The state equals a replay.\n\n"
        f"| | |\n|---|---:|\n{lines}\n"
    )
