"""A real Chromium, driven over its own protocol through a pipe.

Not playwright: it holds every page visible and focused (its focus emulation cannot be switched off), and whether hidden
time is counted is the first thing to find out here. Tabs of this one are hidden by bringing another to the front.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import queue
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-quic", "--disable-background-networking", "--no-first-run",
    "--disable-component-update", "--disable-domain-reliability", "--disable-sync", "--no-default-browser-check",
    "--disable-extensions", "--mute-audio", "--disable-dev-shm-usage", "--window-size=1200,800",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--remote-debugging-pipe",
    "--autoplay-policy=no-user-gesture-required",
    # A person's browser: what calls itself headless is a bot to us, and rightly.
    "--user-agent=Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
)  # fmt: skip


def program() -> str | None:
    """Where Chromium is, if it is."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Failed(Exception):
    """The page or the browser says no."""


class Chromium:
    """One browser process with a profile of its own; ``with Chromium() as browser``.

    Args:
        profile: a folder to keep between runs; else one that goes with the browser.
    """

    def __init__(self, profile: Path | None = None, *more: str) -> None:
        self._own = tempfile.TemporaryDirectory(ignore_cleanup_errors=True) if profile is None else None
        self.profile = profile or Path(self._own.name)  # type: ignore[union-attr]
        self._more = more
        self._ids = itertools.count(1)
        self._answers: dict[int, queue.Queue[dict[str, Any]]] = {}
        self._heard: list[Callable[[dict[str, Any]], None]] = []

    def __enter__(self) -> Self:
        to_read, to_write = os.pipe()
        from_read, from_write = os.pipe()

        def numbered() -> None:  # Chromium reads from 3 and writes to 4
            reads, writes = (
                fcntl.fcntl(to_read, fcntl.F_DUPFD, 10),
                fcntl.fcntl(from_write, fcntl.F_DUPFD, 10),
            )
            os.dup2(reads, 3)
            os.dup2(writes, 4)

        self.process = subprocess.Popen(
            [program() or "chromium", *FLAGS, *self._more, f"--user-data-dir={self.profile}", "about:blank"],
            preexec_fn=numbered, pass_fds=(3, 4), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        os.close(to_read)
        os.close(from_write)
        self._to, self._from = to_write, from_read
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self.send("Browser.close", wait=5)
            self.process.wait(10)
        except (Failed, subprocess.TimeoutExpired, OSError):
            pass
        self.kill()

    def kill(self) -> None:
        """``kill -9`` of the whole browser."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, 9)
        self.process.wait()

    def _read(self) -> None:
        rest = b""
        while chunk := os.read(self._from, 1 << 20):
            *told, rest = (rest + chunk).split(b"\0")
            for one in told:
                message = json.loads(one)
                answer = self._answers.pop(message.get("id", -1), None)
                if answer is not None:
                    answer.put(message)
                else:
                    for heard in list(self._heard):
                        heard(message)

    def send(
        self, method: str, session: str | None = None, wait: float = 30, **params: Any
    ) -> dict[str, Any]:
        """One command; what it answers."""
        number = next(self._ids)
        answer = self._answers[number] = queue.Queue()
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        try:
            told = answer.get(timeout=wait)
        except queue.Empty:
            raise Failed(f"{method} was not answered") from None
        if "error" in told:
            raise Failed(f"{method}: {told['error']['message']}")
        result: dict[str, Any] = told["result"]
        return result

    def context(self) -> str:
        """Another visitor: cookies and storage of their own."""
        return str(self.send("Target.createBrowserContext")["browserContextId"])

    def leave(self, context: str) -> None:
        """A visitor goes, and all windows and storage of theirs."""
        self.send("Target.disposeBrowserContext", browserContextId=context)

    def tab(
        self, url: str = "about:blank", *, context: str | None = None, size: tuple[int, int] = (1200, 800)
    ) -> Tab:
        """A new tab, in front; with ``context`` of another visitor, in a window of its own."""
        more: dict[str, Any] = {"browserContextId": context} if context else {}
        tab = Tab(self, str(self.send("Target.createTarget", url="about:blank", **more)["targetId"]))
        tab.call(
            "Emulation.setDeviceMetricsOverride",
            width=size[0],
            height=size[1],
            deviceScaleFactor=1,
            mobile=False,
        )
        if url != "about:blank":
            tab.open(url)
        return tab


class Tab:
    """One tab."""

    def __init__(self, browser: Chromium, target: str) -> None:
        self.browser, self.target = browser, target
        self.session = str(browser.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
        self.errors: list[str] = []
        self.loaded = threading.Event()
        browser._heard.append(self._hear)
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def _hear(self, message: dict[str, Any]) -> None:
        if message.get("sessionId") != self.session:
            return
        if message["method"] == "Page.loadEventFired":
            self.loaded.set()
        elif message["method"] == "Runtime.exceptionThrown":
            self.errors.append(
                str(message["params"]["exceptionDetails"].get("exception", {}).get("description"))
            )
        elif message["method"] == "Log.entryAdded" and message["params"]["entry"]["source"] == "security":
            self.errors.append(message["params"]["entry"]["text"])

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """A command for this tab."""
        return self.browser.send(method, self.session, **params)

    def open(self, url: str) -> Tab:
        """Go to a page and wait until it is loaded."""
        self.loaded.clear()
        failed = self.call("Page.navigate", url=url).get("errorText")
        if failed:
            raise Failed(f"{url}: {failed}")
        assert self.loaded.wait(60), f"{url} did not load"
        return self

    def run(self, script: str) -> Any:
        """What a script gives, promises awaited."""
        told = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in told:
            raise Failed(str(told["exceptionDetails"].get("exception", {}).get("description")))
        return told["result"].get("value")

    def until(self, script: str, seconds: float = 10) -> Any:
        """Wait until a script gives something true."""
        end = time.monotonic() + seconds
        while not (found := self.run(script)):
            assert time.monotonic() < end, f"it never became so: {script}"
            time.sleep(0.02)
        return found

    def front(self) -> None:
        """Bring this tab to the front; the others of its window are hidden."""
        self.call("Page.bringToFront")

    def key(self, text: str = "a") -> None:
        """Press a key."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, text=text if kind == "keyDown" else "", key=text)

    def move(self, x: float = 300, y: float = 300) -> None:
        """Move the mouse."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, selector: str) -> None:
        """Click in the middle of what a selector finds first, as a hand would."""
        x, y = self.run(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)}); one.scrollIntoView({{block: 'nearest'}});"
            " const box = one.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2] })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def close(self) -> None:
        """Close the tab, as a person does: the page is told."""
        self.browser.send("Target.closeTarget", targetId=self.target)
