"""The demo at work, for tests: its process, and what a browser's scripts do, without drawing."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

PEOPLE = 600  # enough for a model that hears networks and some accounts on offer; the demo makes 3,000
OPENS_WITHIN = 150.0  # seconds; kernels compile on a machine that does other things


class Demo:
    """A running demo. ``browser()`` is somebody's browser, with cookies of its own."""

    def __init__(self, data: Path, *, people: int = PEOPLE, lively: bool = False) -> None:
        self.data = data
        self.words = data.parent / "demo.log"
        call = f"run({str(data)!r}, '127.0.0.1', 0, False, people={people}, lively={lively})"
        env = {name: value for name, value in os.environ.items() if not name.startswith("PLAIT_")}
        with self.words.open("ab") as words:
            self.process = subprocess.Popen(
                [sys.executable, "-c", f"from plait.demo import run; {call}"],
                env=env,
                stdout=words,
                stderr=words,
            )
        until = time.monotonic() + OPENS_WITHIN
        while time.monotonic() < until and self.process.poll() is None:
            with contextlib.suppress(OSError, ValueError):
                if (data / "demo.json").exists():
                    self.url = json.loads((data / "serve.json").read_bytes())["url"]
                    return
            time.sleep(0.1)
        raise AssertionError(f"the demo did not open: {self.words.read_text()}")

    @property
    def secret(self) -> str:
        return str(json.loads((self.data / "keys.json").read_bytes())["secret"])

    def browser(self) -> Browser:
        return Browser(self.url)

    def profile(self, identifier: str) -> dict[str, Any] | None:
        """What Plait knows of somebody, with their events; ``None`` when nothing."""
        answer = httpx.get(
            f"{self.url}/v1/profiles/{identifier}",
            params={"include": "events", "events": "1000"},
            headers={"authorization": f"Bearer {self.secret}"},
            trust_env=False,
        )
        return answer.json() if answer.status_code == 200 else None

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


class Browser:
    """What the page's scripts do, without drawing: plait.js's cookie, the shop's routes, the questions."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=30, trust_env=False)
        self.renew()
        self.me: dict[str, Any] = self.http.get("/shop/session").json()
        found = re.search(r'data-key="([^"]+)"', self.http.get("/").text)
        assert found is not None
        self.write_key = found[1]

    def renew(self) -> None:
        """A device that nobody saw before, as after ``plait.reset()``."""
        self.device = secrets.token_hex(16)
        self.http.cookies.set("plait", quote(json.dumps({"id": self.device})))

    def shop(self, path: str, **told: Any) -> dict[str, Any]:
        if path == "become":
            self.renew()
        answer = self.http.post(f"/shop/{path}", json=told)
        assert answer.status_code == 200, answer.text
        self.me = answer.json()
        return self.me

    def ask(
        self, placement: str = "home.grid", *, events: list[dict[str, Any]] | None = None, **page: Any
    ) -> httpx.Response:
        question = {
            "identifiers": [self.me["identifier"]],
            "page": {"url": "/", **page},
            "events": events or [],
            "placements": [{"id": placement}],
            "explain": True,
        }
        if self.me["token"]:
            question["token"] = self.me["token"]
        return self.http.post(
            "/v1/personalize", json=question, headers={"authorization": f"Bearer {self.write_key}"}
        )

    def shown(self, placement: str = "home.grid", **more: Any) -> list[dict[str, Any]]:
        answer = self.ask(placement, **more)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["placements"][placement]["items"]
        return found

    def sources(self, placement: str = "home.grid") -> set[str]:
        return {cause["source"] for item in self.shown(placement) for cause in item["because"]}

    def eventually(self, what: Any, *, seconds: float = 10.0) -> None:
        until = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < until, "it never became so"
            time.sleep(0.05)
