"""`plait-core.js` by itself: five kilobytes that do what the whole does, as far as they go."""

from __future__ import annotations

import time

from tests.browser.chromium import Tab
from tests.browser.conftest import Clocks, Shop, ids, section
from tests.browser.test_acts import FORM, ITEM, sees
from tests.browser.test_consent import kept

BUTTON = "<button id='add' data-plait-track='add' data-plait-value='9'>add</button>"


def visits(shop: Shop, tab: Tab, body: str, *, more: str = "", path: str = "/core") -> tuple[str, str]:
    """Open a page with the core; the browser's id and that of the page view."""
    tag = (
        f'<script async src="{shop.server.url}/plait-core.js" data-key="{shop.server.write}" {more}></script>'
    )
    tab.open(shop.page(path, body, tag=tag, diary=False))
    return ids(tab)


def test_the_core_tells_sections_acts_and_forms(shop: Shop, tab: Tab) -> None:
    anonymous, _ = visits(shop, tab, ITEM + section("specs", height=300) + BUTTON + FORM)
    time.sleep(1)
    tab.click("#add")
    tab.run("document.querySelector('[name=name]').focus()")
    tab.key("a")
    tab.run("document.querySelector('[name=email]').value = 'a@b.c'")
    tab.click("form button")

    sees(
        shop, tab,
        ("view", "tent-2"), ("add", "tent-2"), ("form_start", "tent-2"), ("form_submit", "tent-2"),
    )  # fmt: skip
    shop.server.eventually(lambda: shop.clocks(anonymous).get("specs", Clocks()).visible > 0.8)
    assert shop.clocks(anonymous).keys() == {"", "specs"}


def test_the_core_tells_the_last_moment_of_a_page_that_goes(shop: Shop, tab: Tab) -> None:
    anonymous, view = visits(shop, tab, ITEM + section("specs", height=300))
    time.sleep(1.5)
    tab.open(shop.page("/elsewhere", "elsewhere", tag=" ", diary=False))

    shop.server.eventually(lambda: shop.clocks(anonymous, view).get("specs", Clocks()).visible > 1.2)


def test_with_the_core_each_page_of_an_app_is_a_view(shop: Shop, tab: Tab) -> None:
    _, first = visits(shop, tab, '<main data-plait-item="tent-2">tent</main>')

    tab.run(
        "document.querySelector('main').dataset.plaitItem = 'mat-1'; history.pushState({}, '', '/core/mat-1')"
    )

    assert ids(tab)[1] != first
    sees(shop, tab, ("view", "tent-2"), ("view", "mat-1"))


def test_with_the_core_nothing_is_kept_before_consent_and_a_page_can_be_asked_for(
    shop: Shop, tab: Tab
) -> None:
    shop.server.ask("POST", "/v1/items", {"items": [{"id": "mat-1", "title": "Mat"}]})
    visits(shop, tab, ITEM + section("specs"), more='data-consent="required"')
    time.sleep(1.2)
    assert kept(tab) == ("", 0, 0)

    tab.run("plait.consent({collect: true, personalize: true})")
    answer = tab.run("plait.personalize(['home.hero'], {explain: true})")

    assert answer["placements"]["home.hero"]["items"][0]["because"]
    sees(shop, tab, ("view", "tent-2"), ("consent", ""), ("decided", ""))
