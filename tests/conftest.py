"""What every test may use: a real server on a data folder of its own, and the API as a client sees it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

STARTS_WITHIN = 90.0  # seconds; a cold start compiles kernels, on a busy machine slowly


def python_path(*folders: Path) -> str:
    """``PYTHONPATH`` with folders in front, so that a process runs the same code as the test does."""
    return os.pathsep.join([*map(str, folders), *filter(None, [os.environ.get("PYTHONPATH")])])


@dataclass
class Server:
    """A ``plait serve`` of its own process and data folder.

    ``secret`` and ``write`` are the keys; ``ask`` goes with the secret one unless told otherwise.
    """

    data: Path
    env: dict[str, str] = field(default_factory=dict)
    write: str = "wk_of_the_test"
    secret: str = "sk_of_the_test_and_long_enough"
    url: str = ""
    process: subprocess.Popen[bytes] | None = None
    own_keys: bool = True  # from the environment; else it makes its own

    def start(self, *options: str) -> Server:
        env = {name: value for name, value in os.environ.items() if not name.startswith("PLAIT_")}
        env["PLAIT_LOG_LEVEL"] = "warning"
        env["PLAIT_FIT_EVERY_MINUTES"] = "0"  # on a slow machine a test must not meet another model half way
        if self.own_keys:
            env |= {"PLAIT_WRITE_KEY": self.write, "PLAIT_SECRET_KEY": self.secret}
        self._words = (self.data.parent / f"{self.data.name}.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "plait", "serve", "--data", str(self.data), "--port", "0", *options],
            env=env | self.env, stdout=subprocess.DEVNULL, stderr=self._words,
        )  # fmt: skip
        until = time.monotonic() + STARTS_WITHIN
        while time.monotonic() < until and self.process.poll() is None:
            with contextlib.suppress(OSError, ValueError, httpx.TransportError):
                told = json.loads((self.data / "serve.json").read_bytes())
                if told["pid"] == self.process.pid:
                    self.url = told["url"]
                    if httpx.get(f"{self.url}/health/ready", trust_env=False).status_code == 200:
                        return self
            time.sleep(0.02)
        raise AssertionError(f"the server did not start: {self.words()}")

    def words(self) -> str:
        """What the server logged."""
        return (self.data.parent / f"{self.data.name}.log").read_text()

    def stop(self) -> int:
        """SIGTERM, and wait."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def kill(self) -> None:
        """``kill -9``: no goodbye."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def ask(
        self, method: str, path: str, body: Any = None, *, key: str | None = "", **more: Any
    ) -> httpx.Response:
        """One request; ``key=None`` goes without a key."""
        headers = dict(more.pop("headers", {}))
        if key is not None:
            headers.setdefault("authorization", f"Bearer {key or self.secret}")
        if body is not None:
            more["json"] = body
        return httpx.request(method, self.url + path, headers=headers, timeout=30, trust_env=False, **more)

    def collect(self, *calls: dict[str, Any]) -> None:
        """Send Segment calls as one batch, with the write key."""
        answer = self.ask("POST", "/v1/batch", {"batch": list(calls), "writeKey": self.write}, key=None)
        assert answer.status_code == 200, answer.text

    def profile(self, identifier: str, **query: str) -> dict[str, Any] | None:
        """The profile of a person, ``None`` when unknown."""
        answer = self.ask("GET", f"/v1/profiles/{identifier}", params=query)
        assert answer.status_code in (200, 404), answer.text
        return answer.json() if answer.status_code == 200 else None

    def eventually(self, what: Callable[[], Any], *, seconds: float = 15.0) -> Any:
        """What ``what`` returns as soon as that is true of it."""
        until = time.monotonic() + seconds
        while True:
            found = what()
            if found or time.monotonic() > until:
                assert found, "it never became so"
                return found
            time.sleep(0.02)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that the tests of one module share; use names of people and items of your own."""
    one = Server(tmp_path_factory.mktemp("serve") / "data")
    try:
        yield one.start()
    finally:
        if one.process is not None and one.process.poll() is None:
            one.stop()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server for one test, not started yet: set ``env``, call ``start``, ``stop``, ``kill`` as you like."""
    one = Server(tmp_path / "data")
    try:
        yield one
    finally:
        if one.process is not None and one.process.poll() is None:
            one.kill()
