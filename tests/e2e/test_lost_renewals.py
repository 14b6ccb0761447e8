"""A refresh token works once: what becomes of a session whose driver is killed around its renewal."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import psutil
import pytest
from tests.conftest import Server

from plait.accounts import Accounts, Connected
from plait.connectors import Account
from plait.dpop import new_key

DID = "did:plc:" + "a" * 24
SOURCE = "bluesky:shop.test"


class Pds:
    """Bluesky's server in as far as it gives tokens: each refresh token once, and its second use ends the session.

    Attributes:
        spent: refresh tokens, in the order in which they came.
        over: a second use was seen.
        asked: paths, with the access token that came along.
    """

    def __init__(self) -> None:
        self.spent: list[str] = []
        self.asked: list[tuple[str, str]] = []
        self.over = False
        self._holds: dict[str, threading.Event] = {}
        self.came: dict[str, threading.Event] = {}
        pds = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = dict(parse_qsl(self.rfile.read(int(self.headers["content-length"])).decode()))
                self.told(*pds.token(form["refresh_token"]))

            def do_GET(self) -> None:
                path, token = (
                    urlsplit(self.path).path,
                    self.headers.get("authorization", "").removeprefix("DPoP "),
                )
                pds.asked.append((path, token))
                good = not pds.over and token == f"access-{len(pds.spent)}"
                if path.endswith("getSession"):
                    self.told(
                        {"did": DID, "handle": "shop.test", "active": True}
                        if good
                        else {"error": "invalid_token"},
                        200 if good else 401,
                    )
                else:
                    self.told(
                        {"notifications": [], "followers": [], "feed": [], "records": [], "follows": []}
                    )

            def told(self, what: Any, status: int = 200) -> None:
                pds.pass_by(urlsplit(self.path).path.rpartition("/")[2])
                with contextlib.suppress(OSError):  # whoever asked was killed
                    self.send_response(status)
                    self.send_header("content-type", "application/json")
                    self.end_headers()
                    self.wfile.write(json.dumps(what).encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def token(self, refresh: str) -> tuple[dict[str, Any], int]:
        self.over = self.over or refresh in self.spent
        if self.over:
            return {"error": "invalid_grant", "error_description": "Refresh token replayed"}, 400
        self.spent.append(refresh)
        number = len(self.spent)
        return {
            "access_token": f"access-{number}", "refresh_token": f"refresh-{number}", "token_type": "DPoP", "sub": DID,
            "scope": "atproto", "expires_in": 3_600,
        }, 200  # fmt: skip

    def holds(self, name: str) -> threading.Event:
        """Let the next answer to ``name`` wait; what is returned is set once it does."""
        self._holds[name], self.came[name] = threading.Event(), threading.Event()
        return self.came[name]

    def lets_go(self, name: str) -> None:
        self._holds.pop(name).set()

    def pass_by(self, name: str) -> None:
        held = self._holds.get(name)
        if held is not None and not self.came[name].is_set():
            self.came[name].set()
            held.wait(60)

    def stop(self) -> None:
        for name in list(self._holds):
            self.lets_go(name)
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def pds() -> Iterator[Pds]:
    one = Pds()
    yield one
    one.stop()


@pytest.fixture
def server(own_server: Server, pds: Pds) -> Server:
    """With an account whose access token is over: the driver's first act is to renew it."""
    account = Account(
        source=SOURCE, host=pds.url, me=f"bluesky:{DID}", handle="shop.test", settings={"stream": "none"}
    )
    secrets = {
        "access_token": "access-0", "refresh_token": "refresh-0", "expires_at": "1", "key": new_key(), "issuer": pds.url,
        "token_endpoint": f"{pds.url}/oauth/token", "revocation_endpoint": "", "client_id": "http://localhost", "pds": pds.url,
        "did": DID, "identifier": "shop.test", "stream": "none",
    }  # fmt: skip
    own_server.data.mkdir(parents=True)
    Accounts(own_server.data, now=1).keep(
        Connected(network="bluesky", account=account, connected_at=1), secrets
    )
    return own_server.start()


def killed(server: Server) -> None:
    assert server.process is not None
    for one in psutil.Process(server.process.pid).children():
        if one.cmdline()[-1:] == ["drive"]:
            one.kill()
            one.wait(10)
            return
    raise AssertionError("no driver runs")


def at_rest(server: Server) -> dict[str, str]:
    return Accounts(server.data, now=1).secrets(SOURCE)


@pytest.fixture
def held(pds: Pds, request: pytest.FixtureRequest) -> threading.Event:
    """Before the server starts: its first answer to ``request.param`` waits."""
    return pds.holds(request.param)


@pytest.mark.parametrize("held", ["com.atproto.server.getSession"], indirect=True)
def test_a_driver_that_is_killed_right_after_a_renewal_goes_on_with_the_new_token(
    held: threading.Event, server: Server, pds: Pds
):
    assert held.wait(60)  # the token was given, and the next question is under way
    killed(server)
    assert at_rest(server)["refresh_token"] == "refresh-1"
    pds.lets_go("com.atproto.server.getSession")

    server.eventually(
        lambda: [token for path, token in pds.asked if path.endswith("getSession")][1:], seconds=60
    )
    assert pds.asked[-1][1] == "access-1"
    assert (pds.spent, pds.over) == (["refresh-0"], False)


@pytest.mark.parametrize("held", ["token"], indirect=True)
def test_a_driver_that_is_killed_before_the_answer_says_what_was_lost_and_what_to_do(
    held: threading.Event, server: Server, pds: Pds
):
    assert held.wait(60)  # the old token is void, and nobody has the new one
    assert Accounts(server.data, now=1).interrupted(SOURCE)
    killed(server)
    pds.lets_go("token")

    command = [sys.executable, "-m", "plait", "sources", "--data", str(server.data)]

    def told() -> str:
        shown = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
        return shown if "signed" in shown or "lost" in shown else ""

    shown = server.eventually(told, seconds=60)
    assert "refused" in shown
    assert "The answer that would have renewed the session was lost" in shown
    assert (
        f"plait connect bluesky --sign-in --with host={pds.url} --with identifier=shop.test --with stream=none"
        in shown
    )
    assert "refresh-0" not in shown + server.words()
