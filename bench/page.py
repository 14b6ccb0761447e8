"""What plait.js costs a page: main thread, layout, and what web-vitals makes of the demo's shop with and without it.

Everything is measured twice in one run, with the script and without. Chromium is Debian's, the library the one of
``sdk/js/package-lock.json``.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import Line

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.browser.chromium import Chromium, Tab  # noqa: E402
from tests.browser.conftest import Site, section  # noqa: E402
from tests.conftest import Server  # noqa: E402

VITALS = ROOT / "sdk" / "js" / "node_modules" / "web-vitals" / "dist" / "web-vitals.iife.js"
LISTEN = "window.vitals = {}; for (const name of ['onCLS', 'onFCP', 'onINP', 'onLCP', 'onTTFB']) webVitals[name]((one) => vitals[one.name] = one.value, {reportAllChanges: true}); window.long = 0; new PerformanceObserver((list) => long += list.getEntries().length).observe({type: 'longtask', buffered: true});"


def busy(tab: Tab) -> float:
    """Milliseconds of the main thread's own processor time until now."""
    told = {one["name"]: one["value"] for one in tab.call("Performance.getMetrics")["metrics"]}
    return float(told["TaskDuration"]) * 1000


def cost(browser: Chromium, site: Site, tag: str, seconds: float) -> float:
    """Milliseconds a second while somebody looks at fifty sections."""
    site.pages["/fifty"] = "<body>" + "".join(section(f"s{n}", height=14, words=3) for n in range(50))
    site.heads["/fifty"] = tag
    tab = browser.tab(context=browser.context())
    tab.call("Performance.enable", timeDomain="threadTicks")
    tab.open(site.url + "/fifty")
    time.sleep(2)
    before = busy(tab)
    time.sleep(seconds)
    spent = (busy(tab) - before) / seconds
    tab.close()
    return spent


def visit(browser: Chromium, url: str, *, blocked: bool) -> dict[str, float]:
    """What web-vitals says of one visit to a page: read, scroll, click, go."""
    context = browser.context()
    tab = browser.tab(context=context)
    tab.call("Network.enable")
    tab.call("Network.setCacheDisabled", cacheDisabled=True)
    if blocked:
        tab.call("Network.setBlockedURLs", urls=["*plait.js*", "*plait-core.js*"])
    tab.call("Page.addScriptToEvaluateOnNewDocument", source=VITALS.read_text() + LISTEN)
    tab.open(url)
    time.sleep(1.5)
    for step in range(4):
        tab.run(f"scrollTo(0, {step * 400})")
        time.sleep(0.15)
    tab.run("scrollTo(0, 0)")
    tab.move()
    tab.key("x")
    time.sleep(0.5)
    found: dict[str, float] = tab.run("({...vitals, long})")
    browser.leave(context)
    return found


def installed() -> None:
    """Put the packages of ``sdk/js`` in place, web-vitals among them."""
    if not VITALS.exists():
        subprocess.run(
            [sys.executable, ROOT / "sdk" / "js" / "check.py"], check=True, stdout=subprocess.DEVNULL
        )


def measure(quick: bool) -> Iterator[Line]:
    installed()
    with tempfile.TemporaryDirectory() as folder, Chromium() as browser:
        site, server = Site(), Server(Path(folder) / "data").start()
        tag = f'<script async src="{server.url}/plait.js" data-key="{server.write}"></script>'
        seconds = 6.0 if quick else 30.0
        try:
            plain, measured = cost(browser, site, " ", seconds), cost(browser, site, tag, seconds)
        finally:
            site.close()
            server.stop()
        yield Line(
            "main thread with 50 sections on screen, beyond the page's own",
            measured - plain,
            "ms/s",
            bar=1,
            least=False,
        )
        yield Line("  the page's own", plain, "ms/s")
        yield from _vitals(browser, Path(folder), 2 if quick else 8)


def _vitals(browser: Chromium, folder: Path, times: int) -> Iterator[Line]:
    process, url = demo(folder / "demo")
    try:
        both: dict[bool, list[dict[str, float]]] = {True: [], False: []}
        for _ in range(times):
            for blocked in (True, False):
                both[blocked].append(visit(browser, url, blocked=blocked))
    finally:
        process.terminate()
        process.wait()
    for name in ("LCP", "FCP", "INP", "CLS"):
        without, with_ = (
            statistics.median(one.get(name, 0.0) for one in both[blocked]) for blocked in (True, False)
        )
        ratio = with_ / without if without else None
        yield Line(
            f"{name} of the demo's home page, with plait.js",
            with_,
            "" if name == "CLS" else "ms",
            to="without",
            ratio=ratio,
        )
    longer = sum(one["long"] for one in both[False]) - sum(one["long"] for one in both[True])
    yield Line("long tasks of a visit, beyond those without", longer / times, "")


def demo(data: Path) -> tuple[subprocess.Popen[bytes], str]:
    """The demo, once it answers."""
    words: Any = [sys.executable, "-m", "plait", "demo", "--data", str(data), "--port", "0", "--no-browser"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        if (data / "demo.json").exists():
            return process, json.loads((data / "serve.json").read_bytes())["url"]
        time.sleep(0.1)
    process.kill()
    raise RuntimeError("the demo did not start")
