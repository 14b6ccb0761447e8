"""From a like on the real server of Bluesky to another home grid for its author, and back: the clock includes the network's part."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.peers.bluesky import Network
from tests.peers.liking import connect, liked

from bench import Line
from bench.serve import client, serving


def measure(quick: bool) -> Iterator[Line]:
    os.environ["PLAIT_CONSENT__SOCIAL"] = "true"  # all of them said yes
    network = Network().start()
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            serving(Path(folder) / "data") as (url, _),
            client(url) as http,
        ):
            shop = network.account("benchshop")
            connect(http, network, shop)
            people = [network.account(f"bencher{number}") for number in range(5 if quick else 20)]
            likes, unlikes = liked(http, network, shop, people * (2 if quick else 10))
            alone = _written(people[0].like, shop.post("the network's own part"), 20)
        yield Line(
            "a like on Bluesky changes the home grid, p99", _p99(likes) * 1000, "ms", bar=1000, least=False
        )
        yield Line("the same, p50", statistics.median(likes) * 1000, "ms", "the PDS's answer to a like",
                   statistics.median(likes) / alone)  # fmt: skip
        yield Line("an un-like changes it back, p99", _p99(unlikes) * 1000, "ms", bar=1000, least=False)
        yield Line("the same, p50", statistics.median(unlikes) * 1000, "ms")
    finally:
        network.stop()
        del os.environ["PLAIT_CONSENT__SOCIAL"]


def _written(like, post: dict[str, str], times: int) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        like(post)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def _p99(values: list[float]) -> float:
    return sorted(values)[max(0, int(len(values) * 0.99) - 1)]
