"""The product as an operator has it, for tests against real networks: served, connected from a terminal, and killed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from typing import Any

import httpx
import msgspec
import psutil
from tests.conftest import Server

from plait.profiles.fragment import Fragment
from plait.profiles.subjects import SEP
from plait.store import open_store

Acts = Counter[tuple[str, str, str]]  # (signal, a post or whom it is about, who) -> how often


def http_of(server: Server) -> httpx.Client:
    """Asks with the secret key."""
    return httpx.Client(
        base_url=server.url, headers={"authorization": f"Bearer {server.secret}"}, timeout=60, trust_env=False
    )


def connected(server: Server, network: str, *options: str, **secrets: str) -> str:
    """``plait connect NETWORK``, as a script calls it; the source that it says."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PLAIT_")}
    env |= {f"{network}_{name}".upper(): value for name, value in secrets.items()} | server.env
    command = [sys.executable, "-m", "plait", "connect", network, "--yes", "--data", str(server.data)]
    done = subprocess.run([*command, *options], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not any(one in done.stdout + done.stderr for one in secrets.values()), "a secret was shown"
    source: str = msgspec.json.decode(done.stdout)["source"]
    return source


def kill(server: Server, what: str) -> None:
    """``kill -9`` of the whole server, or of one of its children: ``drive``, ``fold``."""
    if what == "server":
        below = psutil.Process(server.process.pid).children()
        server.kill()
        psutil.wait_procs(below, timeout=20)
        return
    for one in psutil.Process(server.process.pid).children():
        with contextlib.suppress(psutil.Error):
            if one.cmdline()[-1:] == [what]:
                one.kill()
                return
    raise AssertionError(f"no {what} runs")


def state_of(server: Server, source: str) -> dict[str, Any]:
    """How a source is, as ``plait sources`` has it; empty while nobody answers."""
    with contextlib.suppress(httpx.TransportError):
        found = server.ask("GET", f"/v1/sources/{source}")
        return found.json().get("state", {}) if found.status_code == 200 else {}
    return {}


def looked(server: Server, source: str, *, after: float, seconds: float = 60) -> None:
    """Wait until a driver that began later than that (s since the epoch) has looked once, to the end."""
    end = time.monotonic() + seconds
    while True:
        state = state_of(server, source)
        if (
            state.get("polls")
            and state.get("backfill", {}).get("finished")
            and state["heard_at"] > after * 1000
        ):
            return
        assert time.monotonic() < end, f"it never looked: {state}"
        time.sleep(0.1)


def standing(server: Server, prefix: str, about: Callable[[str], bool]) -> Acts:
    """What the state says holds of people whose identifiers begin so: what is so, and acts that were not taken back.

    Args:
        server: whose data folder is read; it may run.
        prefix: ``bluesky:``, ``mastodon:``.
        about: which posts and accounts are asked for.
    """
    found: Acts = Counter()
    store = open_store(f"lmdb://{server.data.resolve() / 'store'}")
    try:
        with closing(store.snapshot()) as snapshot:
            for key, raw in snapshot.scan("fragments", prefix.encode()):
                fragment = msgspec.msgpack.decode(raw, type=Fragment)
                acts = [(name, 1) for name, edge in fragment.edges.items() if edge.asserted]
                acts += [(name, one.count) for name, one in fragment.weights.items()]
                for name, count in acts:
                    _, signal, _, what, *_ = name.split(SEP)
                    if count and about(what):
                        found[signal, what, key.decode()] += count
    finally:
        store.close()
    return found
