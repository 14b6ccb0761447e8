"""What plait.js costs a page: main thread, layout, and what web-vitals makes of the demo's shop with and without it.

Everything is measured twice in one run, with the script and without; which of two visits comes first is thrown. The shop is visited
over Lighthouse's slow line by Lighthouse's slow phone, where bytes, requests and work weigh most and a busy machine least, and as
this machine is. Every ratio of medians comes with the interval in which 95 of 100 such runs would find it (percentile bootstrap).
Chromium is Debian's, the library the one of ``sdk/js/package-lock.json``.
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from bench import Line

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.browser.chromium import Chromium, Tab  # noqa: E402
from tests.browser.conftest import Site, section  # noqa: E402
from tests.conftest import Server  # noqa: E402

VITALS = ROOT / "sdk" / "js" / "node_modules" / "web-vitals" / "dist" / "web-vitals.iife.js"
LISTEN = """
window.vitals = {}; window.long = 0; window.blocked = 0;
for (const name of ["onCLS", "onFCP", "onINP", "onLCP", "onTTFB"]) webVitals[name]((one) => vitals[one.name] = one.value, { reportAllChanges: true });
new PerformanceObserver((list) => { for (const { duration } of list.getEntries()) { long++; blocked += duration - 50; } }).observe({ type: "longtask", buffered: true });
"""
SHARE = 0.95  # of such runs find a ratio within the interval that is told
DRAWN = 2_000  # runs made of the visits of one


class Circumstances(NamedTuple):
    """Where a visitor is: what the line takes (ms of latency, bytes a second), how many times slower the processor is, the window."""

    name: str
    latency: float
    down: float
    up: float
    slower: float
    window: tuple[int, int]
    reads: float  # seconds until all is there


# Lighthouse's "mobile slow 4G" where it slows a browser down by its own means: lighthouse/core/config/constants.js.
PHONE = Circumstances("on a slow phone", 562.5, 1474.56 * 1024 / 8, 675 * 1024 / 8, 4, (412, 823), 3)
HERE = Circumstances("on this machine", 0, -1, -1, 1, (1200, 800), 1.5)


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


def visit(browser: Chromium, url: str, where: Circumstances, *, blocked: bool) -> dict[str, float]:
    """What web-vitals says of one visit to a page: read, scroll, press a key, go."""
    context = browser.context()
    tab = browser.tab(context=context, size=where.window)
    tab.call("Network.enable")
    tab.call("Network.setCacheDisabled", cacheDisabled=True)
    tab.call(
        "Network.emulateNetworkConditions",
        offline=False,
        latency=where.latency,
        downloadThroughput=where.down,
        uploadThroughput=where.up,
    )
    tab.call("Emulation.setCPUThrottlingRate", rate=where.slower)
    if blocked:
        tab.call("Network.setBlockedURLs", urls=["*plait.js*", "*plait-core.js*"])
    tab.call("Page.addScriptToEvaluateOnNewDocument", source=VITALS.read_text() + LISTEN)
    tab.open(url)
    time.sleep(where.reads)
    seen: dict[str, float] = tab.run("({ long, blocked })")
    for step in range(4):
        tab.run(f"scrollTo(0, {step * 400})")
        time.sleep(0.15)
    tab.run("scrollTo(0, 0)")
    tab.move()
    tab.key("x")
    time.sleep(0.5)
    found: dict[str, float] = tab.run("vitals") | seen
    browser.leave(context)
    return found


def within(with_: list[float], without: list[float]) -> tuple[float, float] | None:
    """Where the ratio of the medians is in ``SHARE`` of runs like this one; ``None`` where there is nothing to divide by."""
    chance = random.Random(1)
    found = []
    for _ in range(DRAWN):
        below = statistics.median(chance.choices(without, k=len(without)))
        if not below:
            return None
        found.append(statistics.median(chance.choices(with_, k=len(with_))) / below)
    found.sort()
    edge = int(DRAWN * (1 - SHARE) / 2)
    return found[edge], found[-edge - 1]


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
        yield from _shop(browser, Path(folder), quick)


def _shop(browser: Chromium, folder: Path, quick: bool) -> Iterator[Line]:
    process, url = demo(folder / "demo")
    try:
        if not quick:
            learned(folder / "demo")
        for where, times in ((PHONE, 2 if quick else 16), (HERE, 2 if quick else 30)):
            both: dict[bool, list[dict[str, float]]] = {True: [], False: []}
            visit(browser, url, where, blocked=False)  # the first of all warms the server up
            for _ in range(times):
                for blocked in random.sample((True, False), 2):
                    both[blocked].append(visit(browser, url, where, blocked=blocked))
            yield from compared(where, both)
    finally:
        process.terminate()
        process.wait()


def compared(where: Circumstances, both: dict[bool, list[dict[str, float]]]) -> Iterator[Line]:
    """The lines of one kind of visit; ``both[blocked]`` are the visits."""
    for name, title in (
        ("LCP", "LCP"),
        ("FCP", "FCP"),
        ("INP", "INP"),
        ("blocked", "blocking time"),
        ("CLS", "CLS"),
    ):
        with_, without = ([one.get(name, 0.0) for one in both[blocked]] for blocked in (False, True))
        middle, plain = statistics.median(with_), statistics.median(without)
        spread = within(with_, without)
        yield Line(
            f"{title} of the demo's home page {where.name}, with plait.js",
            middle,
            "" if name == "CLS" else "ms",
            to=f"without ({spread[0]:.2f} to {spread[1]:.2f})" if spread else f"without, {plain:.4g}",
            ratio=middle / plain if spread else None,
        )
    longer = [sum(one["long"] for one in both[blocked]) / len(both[blocked]) for blocked in (False, True)]
    yield Line(f"  long tasks of a visit {where.name}, with plait.js", longer[0], "")
    yield Line(f"  long tasks of a visit {where.name}, without", longer[1], "")


def learned(data: Path, patience: float = 300) -> None:
    """Wait until the demo's first model is there: it is learned for a minute on a processor of its own, and there are two."""
    told = json.loads((data / "serve.json").read_bytes())
    until = time.monotonic() + patience
    while time.monotonic() < until:
        figures = httpx.get(told["url"] + "/metrics", headers={"authorization": f"Bearer {told['key']}"}).text
        age = [line for line in figures.splitlines() if line.startswith("plait_model_age_seconds ")]
        if age and float(age[0].split()[1]) >= 0:
            return
        time.sleep(1)
    raise RuntimeError("the demo learned no model")


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
