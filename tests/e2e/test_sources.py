"""A connected account, end to end: a real server, a real driver, and a fake network on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.conftest import Server
from tests.fakes.network import FakeNetwork

FAKES = Path(__file__).parent.parent / "fakes"


@pytest.fixture
def network() -> Iterator[FakeNetwork]:
    with FakeNetwork() as one:
        yield one


@pytest.fixture
def server(own_server: Server) -> Server:
    own_server.env["PYTHONPATH"] = str(FAKES)
    return own_server.start()


def connect(server: Server, network: FakeNetwork, **more: str) -> Any:
    credentials = {"host": network.url, "user": "shop", "password": "right"} | more
    return server.ask("POST", "/v1/sources", {"network": "fakenet", "credentials": credentials})


def likes(server: Server, actor: str) -> int:
    found = server.profile(f"fakenet:{actor}")
    return (found or {"counts": {}})["counts"].get("like", 0)


def source(server: Server) -> dict[str, Any]:
    return server.ask("GET", "/v1/sources/fakenet:shop").json()


def driver_of(server: Server) -> psutil.Process | None:
    for one in psutil.Process(server.process.pid).children():
        if one.cmdline()[-1:] == ["drive"]:
            return one
    return None


def test_what_happens_on_a_connected_account_flows_into_profiles(server, network):
    network.act("ana", past=True)
    network.act("bob")

    told = connect(server, network)

    assert told.status_code == 200, told.text
    assert told.json() == {
        "source": "fakenet:shop",
        "network": "fakenet",
        "handle": "shop",
        "me": "fakenet:shop",
    }
    server.eventually(lambda: likes(server, "ana") == 1 and likes(server, "bob") == 1)
    server.eventually(lambda: network.streams)
    network.act("cy")
    server.eventually(lambda: likes(server, "cy") == 1, seconds=5)


def plait(server: Server, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PLAIT_")}
    return subprocess.run(
        [sys.executable, "-m", "plait", *words, "--data", str(server.data)],
        capture_output=True, text=True, timeout=90, env=clean | {"PYTHONPATH": str(FAKES)} | env,
    )  # fmt: skip


def test_plait_connect_shows_the_statement_and_reads_the_past(server, network):
    network.act("ana", past=True)

    told = plait(
        server, "connect", "fakenet", "--with", f"host={network.url}", "--with", "user=shop", "--yes",
        FAKENET_PASSWORD="right",
    )  # fmt: skip

    assert told.returncode == 0, told.stderr
    assert "What it does not see" in told.stderr
    assert "the past has been read: 1 facts" in told.stderr
    listed = plait(server, "sources")
    assert "fakenet:shop" in listed.stdout
    assert plait(server, "disconnect", "fakenet:shop").returncode == 0
    assert server.ask("GET", "/v1/sources").json() == {"sources": []}
    server.eventually(lambda: driver_of(server) is None)
