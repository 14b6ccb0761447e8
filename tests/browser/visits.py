"""Eight things that people do with a page, and what is true of each by the page's own diary.

``tests/browser/test_time.py`` holds plait.js to them, ``bench/trackers.py`` lets others tell the same visits.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from tests.browser.chromium import Tab
from tests.browser.conftest import Clocks, Shop, ids, section, truth

Both = tuple[dict[str, Clocks], dict[str, Clocks]]  # what is true, and what was told
Visit = Callable[[Shop, Tab, int], list[Both]]  # of each page view, in a window of its own
AT_ONCE = 8  # visits; more, and two processors are busy with windows alone
PAGE = (
    section("gallery")
    + section("specs", height=2400, words=900)
    + section("size")
    + section("reviews", height=500)
)


class Visits:
    """So many visitors for each scenario, on their way since this was made."""

    def __init__(self, shop: Shop, number: int) -> None:
        self._shop = shop
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._visits: dict[Visit, list[Future[list[Both]]]] = {
            visit: [self._pool.submit(self._one, visit, index) for index in range(number)] for visit in VISITS
        }

    def _one(self, visit: Visit, index: int) -> list[Both]:
        context = self._shop.browser.context()
        try:
            return visit(self._shop, self._shop.browser.tab(context=context), index)
        finally:
            self._shop.browser.leave(context)

    def of(self, visit: Visit) -> list[Both]:
        """What is true and what was told, of every page view of every visitor."""
        return [both for one in self._visits[visit] for both in one.result()]

    def end(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def differences(true: dict[str, Clocks], told: dict[str, Clocks]) -> list[tuple[str, str, float, float]]:
    """Each clock that either side has: ``(section, kind, what is true, what was told)``, in seconds."""
    return [
        (name, kind, getattr(true.get(name, Clocks()), kind), getattr(told.get(name, Clocks()), kind))
        for name in sorted(true.keys() | told.keys())
        for kind in ("visible", "focused", "active")
    ]


def agree(true: dict[str, Clocks], told: dict[str, Clocks], *, lost: float = 0.0) -> None:
    """Every clock within 250 ms or 2 %, whichever is more; ``lost`` seconds less are forgiven."""
    assert true, "the diary is empty"
    wrong = []
    for name, kind, is_, said in differences(true, told):
        allowed = max(0.25, 0.02 * is_)
        if not -allowed - lost <= said - is_ <= allowed:
            wrong.append(f"{name or 'the page'}: {kind} {said:.3f} s, in truth {is_:.3f} s")
    assert not wrong, "; ".join(wrong)


def scroll(tab: Tab, name: str) -> None:
    tab.run(f"document.querySelector('[data-plait-section={name}]').scrollIntoView({{block: 'center'}})")


def finished(shop: Shop, anonymous: str, view: str) -> Both:
    """What the page wrote when it ended, and what Plait has of it by then."""
    shop.server.eventually(lambda: view in shop.site.diaries)
    true = truth(shop.site.diaries[view])
    # How fast news travels is not asked here.
    until = time.monotonic() + 20
    while (
        shop.clocks(anonymous, view).get("", Clocks()).visible < true[""].visible - 0.1
        and time.monotonic() < until
    ):
        time.sleep(0.1)
    return true, shop.clocks(anonymous, view)


def reads_then_leaves(shop: Shop, tab: Tab, index: int) -> list[Both]:
    tab.open(shop.page(f"/read{index}", PAGE))
    anonymous, view = ids(tab)
    time.sleep(1.5)
    scroll(tab, "specs")
    time.sleep(2)
    scroll(tab, "reviews")
    time.sleep(1)
    tab.open(shop.page("/elsewhere", "elsewhere"))
    return [finished(shop, anonymous, view)]


def hides_the_tab(shop: Shop, tab: Tab, index: int) -> list[Both]:
    context = tab.call("Target.getTargetInfo")["targetInfo"]["browserContextId"]
    tab.open(shop.page(f"/hide{index}", PAGE))
    anonymous, view = ids(tab)
    time.sleep(1)
    shop.browser.tab(context=context)
    tab.until("document.hidden")  # a busy browser hides it late: three seconds from then on
    time.sleep(3)
    tab.front()
    tab.until("!document.hidden")
    time.sleep(1)
    assert sum(not one["visible"] for one in tab.run("diary")) >= 1, "the diary missed that it was hidden"
    tab.close()
    return [finished(shop, anonymous, view)]


def closes_the_tab(shop: Shop, tab: Tab, index: int) -> list[Both]:
    tab.open(shop.page(f"/close{index}", PAGE))
    anonymous, view = ids(tab)
    time.sleep(2.7)
    tab.close()
    return [finished(shop, anonymous, view)]


def goes_idle(shop: Shop, tab: Tab, index: int) -> list[Both]:
    tab.open(shop.page(f"/idle{index}", PAGE))
    anonymous, view = ids(tab)
    time.sleep(0.5)
    tab.move()
    time.sleep(34)
    tab.move()
    time.sleep(1)
    tab.open(shop.page("/elsewhere", "elsewhere"))
    true, told = finished(shop, anonymous, view)
    assert 3 < true[""].visible - true[""].active < 6
    return [(true, told)]


def looks_at_another_window(shop: Shop, tab: Tab, index: int) -> list[Both]:
    tab.open(shop.page(f"/focus{index}", PAGE))
    anonymous, view = ids(tab)
    time.sleep(1)
    tab.run("window.dispatchEvent(new Event('blur'))")  # told without cause: it has focus all the same
    time.sleep(0.5)
    other = shop.browser.tab(context=shop.browser.context())
    other.front()
    time.sleep(1.5)
    tab.front()
    time.sleep(0.5)
    tab.open(shop.page("/elsewhere", "elsewhere"))
    return [finished(shop, anonymous, view)]


def comes_back_by_the_back_button(shop: Shop, tab: Tab, index: int) -> list[Both]:
    tab.open(shop.page(f"/back{index}", PAGE))
    anonymous, first = ids(tab)
    time.sleep(1.5)
    tab.open(shop.page("/elsewhere", "elsewhere", tag=" ", diary=False))
    time.sleep(1)
    tab.run("history.back()")
    tab.until("typeof plait === 'function' && window.returned === 1")
    _, second = ids(tab)
    assert second != first, "a page that comes back is a view of its own"
    scroll(tab, "specs")
    time.sleep(2)
    tab.close()
    return [finished(shop, anonymous, one) for one in (first, second)]


def reads_in_two_tabs(shop: Shop, tab: Tab, index: int) -> list[Both]:
    context = tab.call("Target.getTargetInfo")["targetInfo"]["browserContextId"]
    tab.open(shop.page(f"/two{index}", PAGE))
    anonymous, first = ids(tab)
    time.sleep(1)
    another = shop.browser.tab(shop.page(f"/two{index}b", PAGE), context=context)
    same, second = ids(another)
    assert (same == anonymous, second == first) == (True, False)
    time.sleep(1.5)
    tab.front()
    time.sleep(1)
    another.close()
    tab.close()
    return [finished(shop, anonymous, one) for one in (first, second)]


def moves_within_an_app(shop: Shop, tab: Tab, index: int) -> list[Both]:
    tab.open(shop.page(f"/app{index}", PAGE))
    anonymous, first = ids(tab)
    time.sleep(1.5)
    move = "history.pushState({}, '', location.pathname + '/next'); enter()"
    both = "const first = {diary, inputs}; diary = [diary.at(-1)]; inputs = [diary[0].at]; first"
    true = truth(tab.run(f"{move}; {both}"))
    _, second = ids(tab)
    assert second != first
    time.sleep(1.5)
    tab.close()
    last = finished(shop, anonymous, second)
    return [(true, shop.clocks(anonymous, first)), last]


# The longest begins first.
VISITS = [
    goes_idle, hides_the_tab, reads_then_leaves, closes_the_tab, looks_at_another_window,
    comes_back_by_the_back_button, reads_in_two_tabs, moves_within_an_app,
]  # fmt: skip
