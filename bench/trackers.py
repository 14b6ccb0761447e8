"""What others make of the same visit: time on a page and on a section, beside the truth, and what each costs.

Read for three seconds with the hand on the mouse, hide the tab for four, come back, read on for three, close. ``python -m bench.trackers`` writes
``bench/reports/trackers.md``; the trackers are the newest of npm, by ``bench/peers/trackers/package-lock.json``.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.browser.chromium import Chromium, Tab  # noqa: E402
from tests.browser.conftest import DIARY, Site, section, truth  # noqa: E402
from tests.browser.test_trouble import _busy  # noqa: E402
from tests.conftest import Server  # noqa: E402
from tests.peers.setup import node, npm  # noqa: E402

PEERS = Path(__file__).parent / "peers" / "trackers"
WORK = ROOT / ".peers" / "trackers"
NAMES = {"plait": "Plait", "posthog": "PostHog", "plausible": "Plausible", "snowplow": "Snowplow"}
PAGE = section("gallery", height=700) + section("specs", height=700)


def main() -> int:
    """Run every tracker three times and write the table."""
    scripts = _built()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "data").start()
        scripts["plait"] = (ROOT / "src/plait/http/static/plait.js").read_text()
        try:
            with Chromium() as browser:
                for name, script in scripts.items():
                    visits = [_visit(browser, server, name, script) for _ in range(3)]
                    size = len(_zipped(script))
                    row = _row(name, size, visits, _cost(browser, server, name, script))
                    print(row, flush=True)
                    rows.append(row)
        finally:
            server.stop()
    report = ROOT / "bench" / "reports" / "trackers.md"
    report.parent.mkdir(exist_ok=True)
    report.write_text(HEAD + "\n".join(rows) + "\n")
    return 0


HEAD = """# The same visit, told by four trackers

Read for 3 s, hide the tab for 4 s, read on for 3 s, close the tab; three visits in Chromium each, against a diary that the page writes.
`python -m bench.trackers` writes this file. Error is what was told less what was true, the worst of three.

| tracker | size, gzip | page, told (true) | page, worst error | section, told (true) | section, worst error | main thread, 50 sections |
|---|---|---|---|---|---|---|
"""


def _row(name: str, size: int, visits: list[tuple[float, ...]], cost: float) -> str:
    def worst(told: int, true: int) -> str:
        if any(one[told] < 0 for one in visits):
            return "not told"
        return f"{max((one[told] - one[true] for one in visits), key=abs):+.2f} s"

    def shown(told: int, true: int) -> str:
        return ", ".join(f"{one[told]:.1f} ({one[true]:.1f})" if one[told] >= 0 else "–" for one in visits)

    return f"| {NAMES[name]} | {size / 1000:.1f} kB | {shown(0, 1)} | {worst(0, 1)} | {shown(2, 3)} | {worst(2, 3)} | {cost:.1f} ms/s |"


def _built() -> dict[str, str]:
    WORK.mkdir(parents=True, exist_ok=True)
    for one in PEERS.iterdir():
        (WORK / one.name).write_bytes(one.read_bytes())
    command = [
        *npm(),
        "install",
        "--legacy-peer-deps",
        "--no-save",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
    ]
    subprocess.run(command, cwd=WORK, check=True, stdout=subprocess.DEVNULL)
    esbuild = ROOT / "sdk" / "js" / "node_modules" / "esbuild" / "bin" / "esbuild"
    found = {}
    for name in ("posthog", "plausible", "snowplow"):
        done = subprocess.run(
            [node(), esbuild, f"{name}.js", "--bundle", "--minify", "--format=iife", "--target=es2021"],
            cwd=WORK, check=True, capture_output=True, text=True,
        )  # fmt: skip
        found[name] = done.stdout
    return found


def _zipped(script: str) -> bytes:
    return gzip.compress(script.encode(), 9)


def _tag(server: Server, name: str) -> str:
    key = f' data-key="{server.write}" data-url="{server.url}"' if name == "plait" else ""
    # Late, as all of them may come: after the sections are there.
    return f'<script defer src="/tracker.js"{key}></script>'


def _visit(browser: Chromium, server: Server, name: str, script: str) -> tuple[float, ...]:
    """``(page told, page true, section told, section true)`` in seconds; -1 where it is not told."""
    site = _Listening()
    try:
        site.pages |= {"/tracker.js": script, "/p": f"<body>{PAGE}</body>"}
        # The diary is posted under the name that Plait's page has; here any will do.
        site.heads["/p"] = DIARY.replace('(plait.ids?.().view ?? "")', '"it"') + _tag(server, name)
        context = browser.context()
        tab = browser.tab(f"{site.url}/p", context=context)
        anonymous = tab.until("plait.ids().anonymous") if name == "plait" else ""
        _read(tab)
        other = browser.tab(context=context)
        time.sleep(4)
        tab.front()
        _read(tab)
        tab.close()
        until = time.monotonic() + 10
        while "it" not in site.diaries and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(2)
        other.close()
        true = truth(site.diaries["it"])
        page, part = _of_plait(server, anonymous) if name == "plait" else _READ[name](site.told)
        return page, true[""].visible, part, true["gallery"].visible
    finally:
        site.close()


def _read(tab: Tab) -> None:
    """Three seconds, the hand on the mouse."""
    for step in range(6):
        tab.move(300 + step, 300)
        time.sleep(0.5)


def _cost(browser: Chromium, server: Server, name: str, script: str) -> float:
    site = _Listening()
    try:
        body = "".join(section(f"s{n}", height=14, words=3) for n in range(50))
        site.pages |= {"/tracker.js": script, "/p": f"<body>{body}</body>"}
        site.heads["/p"] = _tag(server, name)
        tab = browser.tab(context=browser.context())
        tab.call("Performance.enable", timeDomain="threadTicks")
        tab.open(f"{site.url}/p")
        time.sleep(2)
        before = _busy(tab)
        time.sleep(30)
        cost = (_busy(tab) - before) / 30
        tab.close()
        return cost
    finally:
        site.close()


class _Listening(Site):
    """A site that takes whatever a tracker posts to it."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Any] = []
        handler = self._server.RequestHandlerClass
        diary = handler.do_POST  # type: ignore[attr-defined]
        site = self

        def take(one: Any) -> None:
            if one.path.startswith("/diary"):
                return diary(one)
            body = one.rfile.read(int(one.headers["Content-Length"]))
            if body.startswith(b"data="):  # as forms send it: what goes when the page goes
                body = base64.b64decode(parse_qs(body.decode())["data"][0])
            with contextlib.suppress(ValueError):
                site.told.append(json.loads(body))
            one.send_response(200)
            one.send_header("Content-Length", "2")
            one.send_header("Content-Type", "application/json")
            one.end_headers()
            one.wfile.write(b"{}")
            return None

        handler.do_POST = take  # type: ignore[attr-defined]


def _of_plait(server: Server, anonymous: str) -> tuple[float, float]:
    page = part = 0.0
    for one in (server.profile(f"anonymous:{anonymous}", include="events", events="1000") or {"events": []})[
        "events"
    ]:
        if one["signal"] == "dwell":
            seconds = one["properties"]["visible"]
            if one["about"].get("section") == "gallery":
                part = max(part, seconds)
            elif "section" not in one["about"]:
                page = max(page, seconds)
    return page, part


def _of_posthog(told: list[Any]) -> tuple[float, float]:
    found = re.findall(r'"\$prev_pageview_duration": ([\d.]+)', json.dumps(told))
    return max(map(float, found), default=-1), -1


def _of_plausible(told: list[Any]) -> tuple[float, float]:
    engaged = [
        one["e"] for one in told if isinstance(one, dict) and one.get("n") == "engagement" and "e" in one
    ]
    return (sum(engaged) / 1000 if engaged else -1), -1


def _of_snowplow(told: list[Any]) -> tuple[float, float]:
    # A ping says that somebody was there within the last heartbeat, which is a second here.
    events = [one for batch in told if isinstance(batch, dict) for one in batch.get("data", [])]
    pings = [one for one in events if one.get("e") == "pp"]
    part = -1.0
    for one in pings:
        for entity in json.loads(one.get("co", '{"data": []}'))["data"]:
            data = entity["data"]
            if "element_statistics" in entity["schema"] and data.get("element_name") == "gallery":
                part = max(
                    part,
                    (data.get("total_time_visible_ms") or data.get("total_time") or data.get("max_time") or 0)
                    / 1000,
                )
    return float(len(pings)), part


_READ = {"posthog": _of_posthog, "plausible": _of_plausible, "snowplow": _of_snowplow}

if __name__ == "__main__":
    sys.exit(main())
