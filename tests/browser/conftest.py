"""A shop's own site, a real Plait, and visitors in a real browser whose every second is written down independently."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from tests.browser.chromium import Chromium, Failed, Tab, program
from tests.conftest import Server

# Written by the page itself: what is true from each moment on. It looks at every box by itself, and never at Plait.
DIARY = """
<script>
window.diary = [];
window.enter = () => {
  const seen = {};
  for (const one of document.querySelectorAll("[data-plait-section]")) {
    const box = one.getBoundingClientRect();
    const high = Math.min(box.bottom, innerHeight) - Math.max(box.top, 0), wide = Math.min(box.right, innerWidth) - Math.max(box.left, 0);
    if (high > 0 && wide > 0 && high * wide >= Math.min(box.width * box.height, box.width * innerHeight) / 2 - 1)
      seen[one.dataset.plaitSection] = true;
  }
  diary.push({ at: real(), visible: document.visibilityState === "visible", focused: document.hasFocus(), seen: Object.keys(seen) });
};
window.real = () => performance.now();
window.inputs = [0];
for (const name of ["keydown", "pointerdown", "pointermove", "wheel", "touchmove", "scroll"])
  addEventListener(name, () => inputs.push(real()), true);
for (const name of ["focus", "blur", "scroll", "resize", "load"]) addEventListener(name, enter);
document.addEventListener("visibilitychange", () => { enter(); if (!document.hidden) inputs.push(real()); });
new PerformanceObserver((list, self) => { // told late: nobody scrolled yet, so what is seen now was seen then
  self.disconnect(); // the first paint; that of content comes later
  enter();
  const first = list.getEntries()[0].startTime;
  diary.unshift({ ...diary.pop(), at: first });
  for (const one of diary) one.at = Math.max(one.at, first); // and before it there was nothing to see
}).observe({ type: "paint", buffered: true });
addEventListener("pageshow", (event) => {
  if (event.persisted) { diary = []; inputs = [real()]; window.returned = (window.returned ?? 0) + 1; enter(); }
});
addEventListener("pagehide", () => {
  enter();
  navigator.sendBeacon("/diary?" + (plait.ids?.().view ?? ""), JSON.stringify({ diary, inputs }));
  diary.at(-1).visible = false;
});
</script>
"""


def _tag(server: str, more: str = "") -> str:
    return f'<script async src="{server}/plait.js" data-key="wk_of_the_test" {more}></script>'


def section(name: str, *, height: int = 700, words: int = 200, more: str = "", inner: str = "") -> str:
    """A section of a page; the text is of no matter."""
    return f'<section data-plait-section="{name}" {more} style="height:{height}px;overflow:hidden">{name} {"word " * words}{inner}</section>'


class Site:
    """A shop that is not Plait's: another origin. ``pages[path]`` is what stands in the body."""

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}
        self.heads: dict[str, str] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.diaries: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.posted: list[tuple[float, bytes]] = []  # events that were sent here, as if it were a Plait
        self.refuses: tuple[int, dict[str, str]] | None = None  # what these are answered
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                page = site.pages.get(path)
                site.asked.append(path)
                body = (page or "").encode()
                if not path.endswith(".js"):
                    body = f"<!doctype html><html><head><title>{path}</title>{site.heads.get(path, '')}</head>{page}</html>".encode()
                self.send_response(200 if page is not None else 404)
                self.send_header(
                    "Content-Type", "text/javascript" if path.endswith(".js") else "text/html; charset=utf-8"
                )
                self.send_header("Content-Length", str(len(body)))
                for name, value in site.headers.get(path, {}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path.startswith("/diary"):
                    site.diaries[self.path.partition("?")[2]] = json.loads(body)
                status, headers = 204, {}
                if self.path == "/v1/events":
                    site.posted.append((time.monotonic(), body))
                    status, headers = site.refuses or (200, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Many(ThreadingHTTPServer):
            request_queue_size = 128  # of five that wait, the sixth comes again after seconds

        self._server = Many(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Clocks:
    """What a page or section came to, in seconds."""

    visible: float = 0.0
    focused: float = 0.0
    active: float = 0.0
    attention: float = 0.0


def truth(told: dict[str, Any], *, until: float | None = None, idle: float = 30.0) -> dict[str, Clocks]:
    """What a diary says: the clocks by section, ``""`` for the page.

    Args:
        told: ``{"diary": [...], "inputs": [...]}`` as the page wrote it.
        until: ms of the page's clock at which it ended, where it could not write so itself.
        idle: seconds without input after which nobody is there.
    """
    found: dict[str, Clocks] = defaultdict(Clocks)
    entries = told["diary"]
    ends = [one["at"] for one in entries[1:]] + [entries[-1]["at"] if until is None else until]
    inputs = sorted(told["inputs"])
    for one, end in zip(entries, ends, strict=True):
        if not one["visible"] or end <= one["at"]:
            continue
        for name in ["", *one["seen"]]:
            clock = found[name]
            clock.visible += (end - one["at"]) / 1000
            clock.focused += (end - one["at"]) / 1000 * one["focused"]
            clock.active += _covered(one["at"], end, inputs, idle * 1000) / 1000
    return dict(found)


def _covered(start: float, end: float, inputs: list[float], ms: float) -> float:
    """How much of a stretch lies within ``ms`` after some input."""
    total, done = 0.0, start
    for at in inputs:
        low, high = max(at, done), min(at + ms, end)
        if high > low:
            total += high - low
            done = high
    return total


@dataclass
class Shop:
    """Site, Plait and browser together."""

    server: Server
    site: Site
    browser: Chromium
    tag: str = ""
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(10_000)))

    def page(
        self, path: str, body: str, *, head: str = "", tag: str = "", server: str = "", diary: bool = True
    ) -> str:
        """Put a page on the site; returns where it is."""
        self.site.heads[path] = (DIARY if diary else "") + head + (tag or _tag(server or self.server.url))
        self.site.pages[path] = body if body.lstrip().startswith("<body") else f"<body>{body}</body>"
        return self.site.url + path

    def told(self, anonymous: str) -> list[dict[str, Any]]:
        """Every event that Plait has of a browser, oldest first."""
        profile = self.server.profile(f"anonymous:{anonymous}", include="events", events="1000")
        return list(reversed(profile["events"])) if profile else []

    def clocks(self, anonymous: str, view: str = "") -> dict[str, Clocks]:
        """What Plait came to: by section the largest that each counter told; of one page view, or of all added."""
        largest: dict[tuple[str, str], Clocks] = {}
        for one in self.told(anonymous):
            if one["signal"] == "dwell" and (not view or one["counter"]["view"] == view):
                key = (
                    f"{one['counter']['view']}.{one['counter'].get('epoch', 0)}",
                    one.get("about", {}).get("section") or "",
                )
                had, said = largest.setdefault(key, Clocks()), one["properties"]
                for name in ("visible", "focused", "active"):
                    setattr(had, name, max(getattr(had, name), said[name]))
                had.attention = max(had.attention, one["value"])
        found: dict[str, Clocks] = defaultdict(Clocks)
        for (_, name), one in largest.items():
            for part in ("visible", "focused", "active", "attention"):
                setattr(found[name], part, getattr(found[name], part) + getattr(one, part))
        return dict(found)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    if program() is None:
        assert "CI" not in os.environ, "there is no Chromium: apt-get install chromium"
        pytest.skip("there is no Chromium here: apt-get install chromium")
    with Chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def shop(server: Server, chromium: Chromium) -> Iterator[Shop]:
    site = Site()
    yield Shop(server, site, chromium)
    site.close()


@pytest.fixture
def tab(shop: Shop) -> Iterator[Tab]:
    """A tab of a visitor nobody saw before."""
    one = shop.browser.tab(context=shop.browser.context())
    yield one
    with contextlib.suppress(Failed):  # closed by the test
        one.close()


def ids(tab: Tab) -> tuple[str, str]:
    """The browser's id and that of the page view, once Plait is there."""
    tab.until("typeof plait === 'function' && !!plait.ids")
    found = tab.run("plait.ids()")
    return found["anonymous"], found["view"]


def script_ms(tab: Tab) -> float:
    """Milliseconds of processor time that scripts took until now; waiting for a busy processor is not in it."""
    told = {one["name"]: one["value"] for one in tab.call("Performance.getMetrics")["metrics"]}
    return float(told["ScriptDuration"]) * 1000
