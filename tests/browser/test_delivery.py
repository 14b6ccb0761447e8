"""Pages through a line that fails, delays and cuts, or is not there at all: nothing lost, nothing twice."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.browser.chromium import Chromium, Tab
from tests.browser.conftest import Clocks, Shop, ids, section, truth
from tests.browser.test_acts import ITEM
from tests.browser.visits import PAGE, agree
from tests.peers.chaos import ChaosProxy

REPORTS = Path(__file__).parents[2] / "bench" / "reports"
Told = Counter[tuple[str, str]]


def browse(shop: Shop, proxy: ChaosProxy, visitor: str, views: int) -> str:
    """One visitor: so many pages, a thing into the cart on each, and away at once. Returns their id.

    The last page stays until everything is there; what a page before it could not deliver is its to send.
    """
    tag = f'<script async src="{shop.server.url}/plait.js" data-key="{shop.server.write}" data-url="{proxy.url}"></script>'
    context = shop.browser.context()
    tab = shop.browser.tab(context=context)
    for number in range(views):
        item = f"{visitor}-{number}"
        tab.open(shop.page(f"/{item}", f'<body data-plait-item="{item}">', tag=tag, diary=False))
        anonymous, _ = ids(tab)
        tab.run(f"plait.add('{item}')")
    wanted = Counter({(signal, f"{visitor}-{n}"): 1 for n in range(views) for signal in ("view", "add")})
    # 80 events in a request, three tries at the worst, and a second or two before each.
    until = time.monotonic() + 60 + views * 0.5
    while not all(
        shop.server.profile(f"anonymous:{anonymous}")["counts"].get(one) == views for one in ("view", "add")
    ):  # type: ignore[index]
        assert time.monotonic() < until, f"lost: {wanted - events_of(shop, anonymous)}"
        time.sleep(1)
    assert events_of(shop, anonymous) == wanted
    shop.browser.leave(context)
    return anonymous


def events_of(shop: Shop, anonymous: str) -> Told:
    """How often each view and add is told by the timeline."""
    found: dict[str, tuple[str, str]] = {}
    before = ""
    while True:
        asked = {"include": "events", "events": "1000"} | ({"before": before} if before else {})
        page = (shop.server.profile(f"anonymous:{anonymous}", **asked) or {"events": []})["events"]
        fresh = [one for one in page if one["id"] not in found]
        for one in fresh:
            found[one["id"]] = (one["signal"], one["about"].get("item", ""))
        if not fresh:
            return Counter(what for what in found.values() if what[0] in ("view", "add"))
        before = str(page[-1]["at"] + 1)  # several may be of one moment


def figures(shop: Shop) -> dict[str, float]:
    told = (
        line.rsplit(" ", 1) for line in shop.server.ask("GET", "/metrics").text.splitlines() if line[0] != "#"
    )
    return {name: float(value) for name, value in told}


def deliver(shop: Shop, visitors: int, views: int, *, seed: int = 200) -> dict[str, float]:
    """All of them through one bad line, four at a time; what the line did and what the server counted."""
    before, began = figures(shop), time.monotonic()
    with ChaosProxy(shop.server.url, seed=seed) as proxy, ThreadPoolExecutor(4) as pool:
        people = list(pool.map(lambda one: browse(shop, proxy, f"v{seed}-{one}", views), range(visitors)))
        done = dict(proxy.done)
    assert len(set(people)) == visitors
    assert min(done["lost"], done["cut"], done["503"]) > 0, done
    for one in people:  # and nothing came late to be counted again
        counts = shop.server.profile(f"anonymous:{one}")["counts"]  # type: ignore[index]
        assert (counts["view"], counts["add"]) == (views, views)
    after = figures(shop)
    told = {name: after[name] - before[name] for name in ("plait_numbered_events", "plait_missing_events")}
    assert told["plait_numbered_events"] >= 2 * visitors * views
    # A number whose page died before it was written down may stay out, though its event came under another.
    assert told["plait_missing_events"] <= 0.01 * visitors * views
    return done | told | {"seconds": time.monotonic() - began}


@pytest.mark.peers
@pytest.mark.timeout(300)
def test_two_hundred_pages_over_a_bad_line_are_all_there_once(shop: Shop) -> None:
    deliver(shop, 4, 50)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("turn", range(10))
def test_ten_thousand_pages_over_a_bad_line_are_all_there_once(shop: Shop, turn: int) -> None:
    """A thousand at a turn; each writes its line of the report."""
    told = deliver(shop, 20, 50, seed=turn)

    report = REPORTS / f"delivery-{datetime.now(UTC):%Y-%m-%d}.md"
    names = (
        "passed",
        "slow",
        "lost",
        "cut",
        "429",
        "503",
        "plait_numbered_events",
        "plait_missing_events",
        "seconds",
    )
    rows = {
        turn
        + 1: f"| {turn + 1} | 1,000 | {' | '.join(f'{told.get(name, 0):,.0f}' for name in names)} | 0 | 0 |"
    }
    for line in report.read_text().splitlines() if report.exists() else ():
        number = line.split("|")[1].strip() if line.startswith("| ") else ""
        if number.isdecimal():
            rows.setdefault(int(number), line)
    report.write_text(
        HEAD.format(date=f"{datetime.now(UTC):%Y-%m-%d}")
        + "\n".join(rows[one] for one in sorted(rows))
        + "\n"
    )


HEAD = """# Page views over a bad line

{date}, `make soak` (ten turns when it is run whole). At each turn 20 visitors in a real Chromium, four at a time, looked at 50 pages each, put a thing into the cart on each and went on
at once, through a proxy that cuts, delays, refuses, and loses answers. *Never came* are numbers of the device that no event bears: the event came under another
one, told anew by the next page.

| turn | page views | requests untouched | delayed | answer lost | cut | 429 | 503 | events numbered | numbers that never came | seconds | events lost | counted twice |
|---|---|---|---|---|---|---|---|---|---|---|---|---|
"""


# -- a server that wants to be left alone, and one that cannot be reached ------------------------------------


def test_a_server_that_asks_for_time_gets_it_whatever_happens_on_the_page(shop: Shop, tab: Tab) -> None:
    shop.site.refuses = (429, {"Retry-After": "4", "Access-Control-Expose-Headers": "Retry-After"})
    tag = f'<script async src="{shop.server.url}/plait.js" data-key="wk" data-url="{shop.site.url}"></script>'
    tab.open(shop.page("/asked-to-wait", ITEM, tag=tag, diary=False))
    ids(tab)
    shop.server.eventually(lambda: shop.site.posted)
    for _ in range(8):
        tab.run("plait.add('mat-1'); plait.flush()")
        time.sleep(0.3)
    assert len(shop.site.posted) == 1

    shop.site.refuses = None

    def added() -> int:  # what was refused comes first, by itself
        told = [one for _, body in shop.site.posted[1:] for one in json.loads(body)["events"]]
        return [one["signal"] for one in told].count("add")

    shop.server.eventually(lambda: added() >= 8)
    assert added() == 8
    assert 3.9 < shop.site.posted[1][0] - shop.site.posted[0][0] < 7


def _offline(tab: Tab) -> None:
    tab.call("Network.enable")
    tab.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)  # fmt: skip


@pytest.mark.soak
def test_an_hour_offline_and_then_killed_loses_the_last_second_at_most(shop: Shop, tmp_path: Path) -> None:
    with Chromium(tmp_path / "profile") as browser:
        tab = browser.tab(shop.page("/hour", PAGE))
        anonymous, view = ids(tab)
        time.sleep(1)
        _offline(tab)
        over = threading.Event()
        browser._heard.append(
            lambda message: (
                over.set() if message.get("method") == "Emulation.virtualTimeBudgetExpired" else None
            )
        )
        for minute in range(60):
            # The browser's own clock runs a minute ahead; its disk does not, so it gets a moment.
            over.clear()
            tab.call("Emulation.setVirtualTimePolicy", policy="advance", budget=60_000)
            assert over.wait(30)
            time.sleep(0.15)
            if minute % 10 == 0:
                tab.move(300, 300 + minute)
        true = truth(tab.run("enter(); ({diary, inputs})"))
        time.sleep(0.5)
        browser.kill()
    assert true[""].visible > 3600
    assert true[""].active < 400

    with Chromium(tmp_path / "profile") as browser:
        browser.tab(shop.page("/later", "later"))
        shop.server.eventually(lambda: shop.clocks(anonymous, view).get("", Clocks()).visible > 60)
        time.sleep(0.5)

    told = shop.clocks(anonymous, view)
    for name in ("", "gallery"):  # to the second, not to 2 % of an hour
        assert true[name].visible - 1.25 <= told[name].visible <= true[name].visible + 0.25
    agree(true, told, lost=1.0)
    # An hour out of reach is a handful of events, not one for each minute and section.
    assert (
        len(
            [
                one
                for one in shop.told(anonymous)
                if one["signal"] == "dwell" and one["counter"]["view"] == view
            ]
        )
        < 12
    )


@pytest.mark.alone
@pytest.mark.parametrize("online", [False, True])
def test_a_browser_that_is_killed_loses_the_last_second_at_most(
    shop: Shop, tmp_path: Path, online: bool
) -> None:
    with Chromium(tmp_path / "profile") as browser:
        tab = browser.tab(shop.page(f"/killed{online}", PAGE))
        anonymous, view = ids(tab)
        if not online:
            _offline(tab)
        time.sleep(1)
        tab.run("document.querySelector('[data-plait-section=specs]').scrollIntoView({block: 'center'})")
        time.sleep(7.5 if online else 3.5)  # the first report goes after five seconds
        true = truth(tab.run("enter(); ({diary, inputs})"))
        browser.kill()
    untold = true[""].visible - shop.clocks(anonymous, view).get("", Clocks()).visible
    assert untold > 2, "everything was told already"

    with Chromium(tmp_path / "profile") as browser:
        browser.tab(shop.page("/later", "later"))
        shop.server.eventually(
            lambda: shop.clocks(anonymous, view).get("", Clocks()).visible > true[""].visible - untold + 0.5
        )

    agree(true, shop.clocks(anonymous, view), lost=1.0)


def test_a_dwell_changes_the_next_answer_to_somebody_who_asks_without_it(shop: Shop, tab: Tab) -> None:
    """The beacon alone does it: the question that follows brings no events along."""
    items = [{"id": f"d-{n}", "title": f"D {n}", "topics": [f"t{n % 3}"], "price": 9} for n in range(12)]
    assert shop.server.ask("POST", "/v1/items", {"items": items}).status_code == 200
    tab.open(shop.page("/read", f'<body data-plait-item="d-7">{section("specs", words=900)}', diary=False))
    anonymous, _ = ids(tab)
    question = {
        "identifiers": [f"anonymous:{anonymous}"],
        "placements": [{"id": "home.grid", "n": 12}],
        "explain": True,
    }

    def causes() -> set[str]:
        answer = shop.server.ask("POST", "/v1/personalize", question).json()
        return {
            cause["signal"] for one in answer["placements"]["home.grid"]["items"] for cause in one["because"]
        }

    assert "dwell" not in causes()
    time.sleep(2)
    tab.run("plait.flush()")

    shop.server.eventually(lambda: "dwell" in causes(), seconds=5)


OPEN = """new Promise((done) => {
  const asked = indexedDB.open("plaitKEY");
  asked.onsuccess = () => { asked.result.close(); done(); };
})"""


def test_what_was_done_in_the_last_moment_of_a_page_is_kept_where_nothing_gets_through(
    shop: Shop, tab: Tab
) -> None:
    dead = f'<script async src="{shop.server.url}/plait.js" data-key="{shop.server.write}" data-url="http://127.0.0.1:9"></script>'
    tab.call("Emulation.setCPUThrottlingRate", rate=4)
    for number in range(20):
        tab.open(shop.page(f"/dead{number}", ITEM, tag=dead, diary=False))
        ids(tab)
        # The store is opened in the first moment of a page, and who asks later is answered later. What was done before that is
        # lost with the page where nothing gets through; on a busy machine that moment is long.
        tab.run(OPEN.replace("KEY", shop.server.write))
        tab.loaded.clear()
        away = f"location.href = '{shop.page('/between', 'x', tag=' ', diary=False)}'"
        tab.run(f"setTimeout(() => {{ plait.add('last-{number}'); {away} }}); 0")
        assert tab.loaded.wait(20)
    tab.call("Emulation.setCPUThrottlingRate", rate=1)
    tab.open(shop.page("/alive", "alive", diary=False))
    anonymous, _ = ids(tab)

    wanted = Counter(f"last-{number}" for number in range(20))

    def came() -> Counter[str]:
        return Counter(one["about"]["item"] for one in shop.told(anonymous) if one["signal"] == "add")

    until = time.monotonic() + 20
    while came() != wanted and time.monotonic() < until:
        time.sleep(0.1)
    assert came() == wanted
