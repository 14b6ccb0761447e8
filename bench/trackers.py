"""What others make of the same visits: time on a page and on a section, beside the truth, and what each costs.

The eight scenarios that plait.js is held to (``tests/browser/visits.py``), told by PostHog, Plausible, Snowplow and Plait in
the same Chromium; ``make bench`` prints the worst of each, and writes ``bench/reports/trackers.md``. The others are the newest of npm,
by ``bench/peers/trackers/package-lock.json``.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from bench import Line
from bench.page import cost

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.browser.chromium import Chromium, Failed  # noqa: E402
from tests.browser.conftest import Clocks, Shop, Site  # noqa: E402
from tests.browser.visits import VISITS, Visit  # noqa: E402
from tests.conftest import Server  # noqa: E402
from tests.peers.setup import node, npm  # noqa: E402

PEERS = Path(__file__).parent / "peers" / "trackers"
WORK = ROOT / ".peers" / "trackers"
NAMES = {"plait": "Plait", "posthog": "PostHog", "plausible": "Plausible", "snowplow": "Snowplow"}
SECTION = "gallery"

# Others have no page views that could be asked for: one of our own making, so that the same visits can be done.
VIEWS = """<script>
const views = { view: "" }, another = () => views.view = Math.random().toString(36);
another();
addEventListener("pageshow", (event) => event.persisted && another());
navigation.addEventListener("currententrychange", another);
window.plait = Object.assign(() => {}, { ids: () => ({ anonymous: location.origin, view: views.view }) });
</script>"""


def measure(quick: bool) -> Iterator[Line]:
    """The worst of each tracker; a full run writes the report, too."""
    scripts = _built()
    rows, costs = [], []
    with tempfile.TemporaryDirectory() as folder, Chromium() as browser:
        server = Server(Path(folder) / "data").start()
        scripts["plait"] = (ROOT / "src/plait/http/static/plait.js").read_text()
        try:
            for name, script in scripts.items():
                seen = _visits(browser, server, name, script, 1 if quick else 3)
                spent = _cost(browser, server, name, script, 5 if quick else 30)
                page, part = (
                    _worst([one for told in seen.values() for one in told], which) for which in (0, 2)
                )
                yield Line(f"{NAMES[name]}: worst error of a page's time", page, "s")
                if part == part:  # else it is not told at all
                    yield Line(f"{NAMES[name]}: worst error of a section's time", part, "s")
                yield Line(f"{NAMES[name]}: main thread, 50 sections", spent, "ms/s")
                rows.append((name, seen))
                costs.append(
                    f"| {NAMES[name]} | {len(_zipped(script)) / 1000:.1f} kB | {spent:.1f} ms/s | {_shown(page)} | {_shown(part)} |"
                )
        finally:
            server.stop()
    if not quick:
        (ROOT / "bench" / "reports" / "trackers.md").write_text(_report(rows, costs))


Seen = tuple[
    float, float, float, float
]  # page told, page true, section told, section true, in seconds; NaN: not told


def _visits(browser: Chromium, server: Server, name: str, script: str, times: int) -> dict[Visit, list[Seen]]:
    with ThreadPoolExecutor(8) as pool:
        going = {
            visit: [pool.submit(_visit, browser, server, name, script, visit) for _ in range(times)]
            for visit in VISITS
        }
        return {visit: [seen for one in made if (seen := one.result())] for visit, made in going.items()}


def _visit(browser: Chromium, server: Server, name: str, script: str, visit: Visit) -> Seen | None:
    """One visit, as this tracker tells it and as it was; ``None`` where the browser did not play along (a page that it would not keep)."""
    site = _Listening(server, browser, name, script)
    context = browser.context()
    try:
        views = visit(site, browser.tab(context=context), 0)
        time.sleep(2)  # for what goes late
    except (Failed, AssertionError):
        return None
    finally:
        browser.leave(context)
        site.site.close()
    true = [sum(one.get(what, Clocks()).visible for one, _ in views) for what in ("", SECTION)]
    if name == "plait":
        told = [sum(one.get(what, Clocks()).visible for _, one in views) for what in ("", SECTION)]
    else:
        told = list(_READ[name](site.told_by_it))
    return told[0], true[0], told[1], true[1]


def _worst(seen: list[Seen], which: int) -> float:
    """The error furthest from nothing; NaN when it is not told at all."""
    return max(
        (one[which] - one[which + 1] for one in seen if one[which] == one[which]), key=abs, default=NAN
    )


NAN = float("nan")


def _shown(error: float) -> str:
    return "not told" if error != error else f"{error:+.2f} s"


def _report(rows: list[tuple[str, dict[Visit, list[Seen]]]], costs: list[str]) -> str:
    def table(which: int, what: str) -> str:
        lines = [f"| {what} | {' | '.join(NAMES[name] for name, _ in rows)} |", "|---|" + "---|" * len(rows)]
        for visit in VISITS:
            cells = [
                _shown(_worst(seen[visit], which)) if seen[visit] else "did not come about"
                for _, seen in rows
            ]
            lines.append(f"| {visit.__name__.replace('_', ' ')} | {' | '.join(cells)} |")
        return "\n".join(lines)

    return HEAD.format(costs="\n".join(costs), pages=table(0, "the page"), parts=table(2, "a section"))


HEAD = """# The same visits, told by four trackers

The eight scenarios of `tests/browser/visits.py`, three visitors each, eight at a time in one Chromium, against the diary that each page writes.
`python -m bench trackers` writes this file. Error is what was told less what was true, the worst of three; of the section, the
first one of the page. Configured as each one's documentation says for the most it can tell (`bench/peers/trackers`). Snowplow's page pings tell
seconds in which somebody moved or scrolled: who reads without moving is not in them. The main thread is that of the whole page, its own share included.

| tracker | size, gzip | main thread, 50 sections | page, worst of all | section, worst of all |
|---|---|---|---|---|
{costs}

{pages}

{parts}
"""


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


def _cost(browser: Chromium, server: Server, name: str, script: str, seconds: float) -> float:
    site = _Posted()
    site.pages["/tracker.js"] = script
    try:
        return cost(browser, site, _tag(server, name), seconds)
    finally:
        site.close()


class _Listening(Shop):
    """A shop with one tracker on its pages, a site of its own for each visit."""

    def __init__(self, server: Server, browser: Chromium, name: str, script: str) -> None:
        super().__init__(server, _Posted(), browser)
        self._name = name
        self.site.pages["/tracker.js"] = script

    @property
    def told_by_it(self) -> list[Any]:
        return self.site.told  # type: ignore[attr-defined,no-any-return]

    def page(self, path: str, body: str, **_: Any) -> str:
        # What comes after is nobody's to tell, so that only what is asked for is counted.
        own = (
            " "
            if path == "/elsewhere"
            else (VIEWS if self._name != "plait" else "") + _tag(self.server, self._name)
        )
        return super().page(path, body, tag=own, diary=path != "/elsewhere")

    def clocks(self, anonymous: str, view: str = "") -> dict[str, Clocks]:
        """What Plait has; of the others only that it is time to stop waiting."""
        return super().clocks(anonymous, view) if self._name == "plait" else {"": Clocks(visible=1e9)}


class _Posted(Site):
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


def _of_posthog(told: list[Any]) -> tuple[float, float]:
    # With the page view that follows, or with the leaving; of several about one page view the last.
    found = {
        one.get("$prev_pageview_id"): float(one["$prev_pageview_duration"])
        for one in _objects(told)
        if "$prev_pageview_duration" in one
    }
    return (sum(found.values()) if found else NAN), NAN


def _objects(told: Any) -> Iterator[dict[str, Any]]:
    """Every JSON object in something, however deep."""
    if isinstance(told, dict):
        yield told
    for one in told.values() if isinstance(told, dict) else told if isinstance(told, list) else ():
        yield from _objects(one)


def _of_plausible(told: list[Any]) -> tuple[float, float]:
    engaged = [
        one["e"] for one in told if isinstance(one, dict) and one.get("n") == "engagement" and "e" in one
    ]
    return (sum(engaged) / 1000 if engaged else NAN), NAN


def _of_snowplow(told: list[Any]) -> tuple[float, float]:
    # A ping says that somebody was there within the last heartbeat, which is a second here.
    events = [one for batch in told if isinstance(batch, dict) for one in batch.get("data", [])]
    pings = [one for one in events if one.get("e") == "pp"]
    part = NAN
    for one in pings:
        for entity in json.loads(one.get("co", '{"data": []}'))["data"]:
            data = entity["data"]
            if "element_statistics" in entity["schema"] and data.get("element_name") == "gallery":
                part = max(
                    0.0 if part != part else part,
                    (data.get("total_time_visible_ms") or data.get("total_time") or data.get("max_time") or 0)
                    / 1000,
                )
    return float(len(pings)), part


_READ = {"posthog": _of_posthog, "plausible": _of_plausible, "snowplow": _of_snowplow}
