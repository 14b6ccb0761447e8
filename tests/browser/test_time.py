"""Time is what a person really looked: each section within 250 ms or 2 %, nothing hidden, at most the last second lost.

Every scenario is done by three visitors at once, each in a window of their own; `make soak` does it twenty times.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.browser.chromium import Tab
from tests.browser.conftest import Clocks, Shop, ids, section, truth

PAGE = (
    section("gallery")
    + section("specs", height=2400, words=900)
    + section("size")
    + section("reviews", height=500)
)


def visitors(
    shop: Shop,
    visit: Callable[[Shop, Tab, int], tuple[dict[str, Clocks], dict[str, Clocks]]],
    number: int = 3,
) -> None:
    def one(index: int) -> tuple[dict[str, Clocks], dict[str, Clocks]]:
        tab = shop.browser.tab(context=shop.browser.context())
        return visit(shop, tab, index)

    with ThreadPoolExecutor(number) as pool:
        for true, told in pool.map(one, range(number)):
            agree(true, told)


def agree(true: dict[str, Clocks], told: dict[str, Clocks], *, lost: float = 0.0) -> None:
    wrong = []
    assert true, "the diary is empty"
    for name in true.keys() | told.keys():
        for kind in ("visible", "focused", "active"):
            is_, said = getattr(true.get(name, Clocks()), kind), getattr(told.get(name, Clocks()), kind)
            allowed = max(0.25, 0.02 * is_)
            if not -allowed - lost <= said - is_ <= allowed:
                wrong.append(f"{name or 'the page'}: {kind} {said:.3f} s, in truth {is_:.3f} s")
    assert wrong == []


def scroll(tab: Tab, name: str) -> None:
    tab.run(f"document.querySelector('[data-plait-section={name}]').scrollIntoView({{block: 'center'}})")


def finished(shop: Shop, anonymous: str, view: str) -> tuple[dict[str, Clocks], dict[str, Clocks]]:
    """What the page wrote when it ended, and what Plait has of it by then."""
    shop.server.eventually(lambda: view in shop.site.diaries)
    true = truth(shop.site.diaries[view])
    until = time.monotonic() + 5
    while (
        time.monotonic() < until
        and shop.clocks(anonymous, view).get("", Clocks()).visible < true[""].visible - 0.25
    ):
        time.sleep(0.05)
    return true, shop.clocks(anonymous, view)


def reads_then_leaves(shop: Shop, tab: Tab, index: int):
    tab.open(shop.page(f"/read{index}", PAGE))
    anonymous, view = ids(tab)
    time.sleep(1.5)
    scroll(tab, "specs")
    time.sleep(2)
    scroll(tab, "reviews")
    time.sleep(1)
    tab.open(shop.page("/elsewhere", "elsewhere"))
    return finished(shop, anonymous, view)


def hides_the_tab(shop: Shop, tab: Tab, index: int):
    context = tab.call("Target.getTargetInfo")["targetInfo"]["browserContextId"]
    tab.open(shop.page(f"/hide{index}", PAGE))
    anonymous, view = ids(tab)
    time.sleep(1)
    shop.browser.tab(context=context)
    time.sleep(3)
    tab.front()
    time.sleep(1)
    assert sum(not one["visible"] for one in tab.run("diary")) >= 1, "the tab was never hidden"
    tab.close()
    return finished(shop, anonymous, view)


def closes_the_tab(shop: Shop, tab: Tab, index: int):
    tab.open(shop.page(f"/close{index}", PAGE))
    anonymous, view = ids(tab)
    time.sleep(2.7)
    tab.close()
    return finished(shop, anonymous, view)


@pytest.mark.parametrize("visit", [reads_then_leaves, hides_the_tab, closes_the_tab])
def test_time_is_what_was_really_looked(shop: Shop, visit) -> None:
    visitors(shop, visit)
