"""A browser, a site that is not Plait's, and the ways of running each client."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

ROOT = Path(__file__).parent.parent.parent
CLIENTS = Path(__file__).parent / "clients"
_AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)
MODULES = ROOT / ".peers" / "clients" / "node_modules"


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium, driven by playwright, that talks to nobody but us."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=[
                "--no-sandbox",
                "--disable-quic",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-domain-reliability",
                "--no-first-run",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
            ],
        )
        yield chromium
        chromium.close()


class _Site(SimpleHTTPRequestHandler):
    """Pages of ``clients/``, packages under ``/modules/``, and what a page shall do under ``/told.json``."""

    told: ClassVar[dict[str, Any]] = {}

    def do_GET(self) -> None:
        path, _, case = self.path.partition("?")
        if path != "/told.json":
            return super().do_GET()
        body = json.dumps(self.told[case]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        return None

    def translate_path(self, path: str) -> str:
        if path.startswith("/modules/"):
            return str(MODULES / path.removeprefix("/modules/").partition("?")[0])
        return super().translate_path(path)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="session")
def site() -> Iterator[tuple[str, dict[str, Any]]]:
    """``(url, told)`` of a shop's own site: another origin than Plait. ``told[case]`` is what ``/told.json?case`` answers."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Site, directory=str(CLIENTS)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", _Site.told
    server.shutdown()
    server.server_close()


def run_server_client(script: str, told: dict[str, Any]) -> None:
    """Run a client for Python or Node to its end; it exits with an error if it gave anything up."""
    from tests.peers.setup import node

    command = [sys.executable] if script.endswith(".py") else [node()]
    env = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(
        [*command, CLIENTS / script, json.dumps({**told, "modules": str(MODULES)})],
        capture_output=True,
        text=True,
        timeout=100,
        env=env,
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]


@contextmanager
def browser_client(
    browser: Any, site: tuple[str, dict[str, Any]], page: str, told: dict[str, Any]
) -> Iterator[Any]:
    """A tab in which a page's client has made its calls; what it has to retry, it retries while the tab is open."""
    url, cases = site
    case = str(len(cases))
    cases[case] = told
    # A person's browser: what calls itself headless is a bot to us, and rightly.
    context = browser.new_context(user_agent=_AGENT)
    tab = context.new_page()
    trouble: list[str] = []
    tab.on("pageerror", lambda error: trouble.append(str(error)))
    try:
        tab.goto(f"{url}/{page}?{case}")
        tab.wait_for_function(f"window.called === {len(told['calls'])}", timeout=20_000)
        yield tab
        assert not trouble
        assert tab.evaluate("window.failed ?? []") == []
    finally:
        context.close()
