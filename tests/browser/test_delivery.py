"""Two hundred pages through a line that fails, delays and cuts: nothing lost, nothing twice."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from tests.browser.chromium import Tab
from tests.browser.conftest import Shop, ids
from tests.peers.chaos import ChaosProxy


def browse(shop: Shop, tab: Tab, views: int) -> None:
    with ChaosProxy(shop.server.url, seed=views) as proxy:
        tag = f'<script async src="{shop.server.url}/plait.js" data-key="{shop.server.write}" data-url="{proxy.url}"></script>'
        for number in range(views):
            tab.open(shop.page(f"/p{number}", f'<body data-plait-item="i{number}">', tag=tag, diary=False))
            ids(tab)
            tab.run(f"plait.add('i{number}')")  # and away at once
        anonymous, _ = ids(tab)
        wanted = Counter({(signal, f"i{n}"): 1 for n in range(views) for signal in ("view", "add")})

        def came() -> Counter[tuple[str, str]]:
            found: Counter[tuple[str, str]] = Counter()
            before = ""
            while True:
                asked = {"include": "events", "events": "1000"} | ({"before": before} if before else {})
                events = (shop.server.profile(f"anonymous:{anonymous}", **asked) or {"events": []})["events"]
                found.update(
                    (one["signal"], one["about"].get("item", ""))
                    for one in events
                    if one["signal"] in ("view", "add")
                )
                if len(events) < 1000:
                    return found
                before = str(events[-1]["at"])

        until = time.monotonic() + 120
        while not came() >= wanted and time.monotonic() < until:
            time.sleep(0.5)
        assert wanted - came() == Counter(), "lost"
        shop.server.eventually(lambda: time.monotonic() - proxy.last > 3, seconds=90)
        assert came() == wanted
        counts = shop.server.profile(f"anonymous:{anonymous}")["counts"]  # type: ignore[index]
        assert (counts["view"], counts["add"]) == (views, views)
        assert min(proxy.done["lost"], proxy.done["cut"]) > 0, proxy.done
    figures = dict(
        line.rsplit(" ", 1) for line in shop.server.ask("GET", "/metrics").text.splitlines() if line[0] != "#"
    )
    assert float(figures["plait_numbered_events"]) >= 2 * views
    # A number whose page died before it was written down may stay out, though its event came under another.
    assert float(figures["plait_missing_events"]) <= 0.01 * views


@pytest.mark.peers
@pytest.mark.timeout(300)
def test_two_hundred_pages_over_a_bad_line_are_all_there_once(shop: Shop, tab: Tab) -> None:
    browse(shop, tab, 200)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_ten_thousand_pages_over_a_bad_line_are_all_there_once(shop: Shop, tab: Tab) -> None:
    browse(shop, tab, 10_000)
