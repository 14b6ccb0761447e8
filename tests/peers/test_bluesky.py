"""The real servers of Bluesky: what we hold is what their own AppView says, whatever happened and whoever was killed."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.peers.bluesky import Network, Person
from tests.peers.history import History, judged, told
from tests.peers.pumped import pages

pytestmark = [pytest.mark.peers, pytest.mark.timeout(600)]
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    one = Network().start()
    yield one
    one.stop()


_names = iter(range(1, 1_000_000))


def somebody(network: Network) -> Person:
    return network.account(f"person{next(_names)}")


class Connected:
    """A connector of the shop's that can be killed and begun again."""

    def __init__(self, network: Network, shop: Person, file: Path, *, seq: int = 0) -> None:
        host = network.pds
        self.file = file
        self._told = {
            "work": "stream", "cursor": f"firehose:{seq}", "watched": [],
            "headers": {"authorization": f"Bearer {shop.token}"},
            "account": {
                "source": f"bluesky:{shop.handle}", "host": host, "me": f"bluesky:{shop.did}", "handle": shop.handle,
                "settings": {
                    "stream": "firehose",
                    "relay": host.replace("http", "ws") + "/xrpc/com.atproto.sync.subscribeRepos",
                },
            },
        }  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.peers.pumped", str(self.file), json.dumps(self._told)]
        self.process = subprocess.Popen(command, cwd=ROOT)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@contextmanager
def connected(network: Network, shop: Person, file: Path, **more: Any) -> Iterator[Connected]:
    one = Connected(network, shop, file, **more)
    one.start()
    try:
        yield one
    finally:
        one.kill()


def agree(network: Network, history: History, file: Path, *, seconds: float = 30) -> None:
    """Both say the same, as soon as the stream has told all; and nothing was told twice under two names."""
    right = judged(network, history.shop, history.posts)
    until = time.monotonic() + seconds
    while True:
        ours, doubled = told(pages(file), history.posts)
        if ours == right or time.monotonic() > until:
            break
        time.sleep(0.1)
    assert ours - right == set(), "we hold what is not so"
    assert right - ours == set(), "we lost what is so"
    assert doubled == []
    assert len(right) > 10  # or it proves nothing


@pytest.mark.parametrize("seed", [1, 2])
def test_after_a_random_history_we_hold_what_the_appview_says(
    network: Network, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    history = History(network, somebody(network), [somebody(network) for _ in range(7)], chance)
    file = tmp_path / "pages"
    with connected(network, history.shop, file) as connector:
        kills = set(chance.sample(range(20, 200), 3))
        for number in range(200):
            history.act()
            if number in kills:
                connector.kill()
                for _ in range(chance.randrange(10)):  # what happens while nobody listens
                    history.act()
                connector.start()

        agree(network, history, file)
