"""The visitors of this very minute: while the demo is open, made-up people go on coming and going.

A thread plays their visits in real time through the HTTP API, a call when its time has come, so that what sells moves
and the shop is never empty. Nothing waits for it: a call that fails is left out.
"""

from __future__ import annotations

import heapq
import itertools
import random
import threading
import time
from collections import deque
from datetime import datetime
from typing import Any

from plait.demo.shelf import Shelf
from plait.demo.visitors import Visitor, telling
from plait.errors import PlaitError
from plait.reach import Api

EVERY = 6.0  # seconds between two visitors, on average
_LATELY = 60.0  # seconds that the pulse looks back
_SHOWN = 12


class Crowd:
    """People who are in the shop now.

    Args:
        api: with the write key.
        people: who may come; each visit is somebody's of these.
        seed: of chance; another one at each start, or ids of calls would repeat.
    """

    def __init__(self, api: Api, stock: Shelf, people: list[Visitor], *, seed: int) -> None:
        self._api = api
        self._chance = random.Random(seed)  # noqa: S311 - made-up people, not secrets
        self._people = [one for one in people if one.name is None]
        self._tell = telling(stock, seed=seed)
        self._due: list[tuple[float, int, dict[str, Any]]] = []
        self._turn = itertools.count()
        self._latest: deque[tuple[float, dict[str, Any]]] = deque(maxlen=600)
        self._stopped = threading.Event()

    def start(self) -> None:
        """Let them in; they leave with the process."""
        threading.Thread(target=self._run, daemon=True).start()

    def stop(self) -> None:
        """Nobody comes any more."""
        self._stopped.set()

    def pulse(self) -> dict[str, Any]:
        """How many are here, what they did in the last minute, and the latest of it."""
        since = time.time() - _LATELY
        lately = [call for at, call in list(self._latest) if at >= since]
        return {
            "visitors": len({call["anonymousId"] for call in lately}),
            "acts": len(lately),
            "latest": [_shown(call) for call in reversed(lately) if call["type"] == "track"][:_SHOWN],
        }

    def _run(self) -> None:
        comes = 0.0
        while not self._stopped.is_set():
            now = time.time()
            if now >= comes and self._people:
                comes = now + self._chance.expovariate(1 / EVERY)
                self._enter(now)
            self._play(now)
            self._stopped.wait(0.5)

    def _enter(self, now: float) -> None:
        for call in self._tell(self._chance.choice(self._people), int(now * 1000)):
            # People wait longer than a demo does: a visit is played at thrice its pace.
            at = datetime.fromisoformat(call["timestamp"]).timestamp()
            heapq.heappush(self._due, (now + (at - now) / 3, next(self._turn), call))

    def _play(self, now: float) -> None:
        calls = []
        while self._due and self._due[0][0] <= now:
            call = heapq.heappop(self._due)[2]
            call.pop("timestamp")  # it happens now
            calls.append(call)
        if not calls:
            return
        try:
            self._api.ask("POST", "/v1/batch", json={"batch": calls})
        except PlaitError:
            return
        self._latest.extend((now, call) for call in calls)


def _shown(call: dict[str, Any]) -> dict[str, Any]:
    told = call["properties"]
    return {
        "event": call["event"],
        "item": told.get("product_id"),
        "query": told.get("query"),
        "section": told.get("section"),
    }
