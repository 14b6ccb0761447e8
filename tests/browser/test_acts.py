"""A page, an act, exactly these events and no others."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from tests.browser.chromium import Tab
from tests.browser.conftest import Shop, ids, section

ITEM = '<body data-plait-item="tent-2">'


def visits(
    shop: Shop, tab: Tab, body: str, *, tag: str = "", path: str = "/p", query: str = "", **more: Any
) -> None:
    """Open a page of the shop, and wait for Plait."""
    tag = f'<script async src="{shop.server.url}/plait.js" data-key="{shop.server.write}" {tag}></script>'
    tab.open(shop.page(path, body, tag=tag, diary=False, **more) + query)
    tab.until("typeof plait === 'function' && !!plait.ids")


def sees(shop: Shop, tab: Tab, *expected: tuple[Any, ...]) -> list[dict[str, Any]]:
    """Exactly these events came, dwell apart: ``(signal, what it is about)``, in any order; returns them."""
    anonymous = tab.run("plait.ids().anonymous")
    tab.run("plait.flush()")

    def came() -> list[dict[str, Any]]:
        return [one for one in shop.told(anonymous) if one["signal"] != "dwell"]

    until = time.monotonic() + 8
    while len(came()) < len(expected) and time.monotonic() < until:
        time.sleep(0.03)
    time.sleep(0.4)  # what should not come would come now
    found = came()
    what = [
        (
            one["signal"],
            (about := one.get("about", {})).get("item") or about.get("query") or about.get("topic") or "",
        )
        for one in found
    ]
    assert sorted(what) == sorted(expected)
    assert tab.errors == []
    return found


def test_a_page_is_viewed_once(shop: Shop, tab: Tab) -> None:
    visits(shop, tab, ITEM)

    (view,) = sees(shop, tab, ("view", "tent-2"))
    assert view["context"]["screen"] == tab.run("({width: screen.width, height: screen.height})")
    told = tab.run("[navigator.language, Intl.DateTimeFormat().resolvedOptions().timeZone]")
    assert [view["context"]["locale"], view["context"]["timezone"]] == told
    assert view["context"]["title"] == "/p"
    assert (view["context"]["os"], view["context"]["browser"]) == ("Linux", "Chrome")
    assert "bot" not in view["context"]


@pytest.mark.parametrize(
    ("button", "expected"),
    [
        ('data-plait-track="add" data-plait-value="199"', ("add", "tent-2")),
        ('data-plait-track="remove" data-plait-item="mat-1"', ("remove", "mat-1")),
        ('data-plait-track="checkout"', ("checkout", "tent-2")),
        ('data-plait-track="save"', ("save", "tent-2")),
        ("data-plait-track", ("click", "tent-2")),
    ],
)
def test_a_marked_button_tells_what_it_does(
    shop: Shop, tab: Tab, button: str, expected: tuple[str, str]
) -> None:
    visits(shop, tab, f"{ITEM}<button {button}><b>press</b></button>")

    tab.click("b")

    found = sees(shop, tab, ("view", "tent-2"), expected)
    if expected[0] == "add":
        assert next(one for one in found if one["signal"] == "add")["value"] == 199


def test_what_is_not_marked_is_nobodys_business(shop: Shop, tab: Tab) -> None:
    visits(shop, tab, f"{ITEM}<button>press</button><a href='#below'>below</a><p>text</p>")

    for one in ("button", "a", "p"):
        tab.click(one)

    sees(shop, tab, ("view", "tent-2"))


def test_calls_count_also_those_made_before_plait_was_there(shop: Shop, tab: Tab) -> None:
    stub = "<script>window.plait = window.plait || function () { (plait.q = plait.q || []).push(arguments) }; plait('add', 'mat-1', {value: 9})</script>"
    visits(shop, tab, ITEM, head=stub)

    tab.run("plait('purchase', 'mat-1', {value: 9}); plait.search('two person tent')")

    sees(
        shop, tab, ("view", "tent-2"), ("add", "mat-1"), ("purchase", "mat-1"), ("search", "two person tent")
    )


def test_what_was_searched_for_stands_in_the_address(shop: Shop, tab: Tab) -> None:
    visits(shop, tab, "<h1>Found</h1>", query="?q=Warm+Socks")

    sees(shop, tab, ("view", ""), ("search", "Warm Socks"))


def test_how_far_somebody_scrolled_goes_with_the_pages_clock(shop: Shop, tab: Tab) -> None:
    visits(shop, tab, ITEM + "<div style='height:4000px'></div>")
    anonymous, _ = ids(tab)
    tab.run("scrollTo(0, 1200); new Promise((done) => addEventListener('scrollend', done, {once: true}))")
    tab.run("scrollTo(0, 0)")
    time.sleep(0.5)
    tab.run("plait.flush()")

    def depths() -> list[float]:
        return [one["properties"]["depth"] for one in shop.told(anonymous) if one["signal"] == "dwell"]

    shop.server.eventually(depths)
    # A screen of 800 px from 1,200 on, of a page of 4,000 and the body's margins; never what is above again.
    assert depths()[-1] == pytest.approx(2000 / 4016, abs=0.01)


FORM = """<form id="order" onsubmit="event.preventDefault()"><input name="name"><input name="email" type="email" required>
<input type="password" name="pin"><input type="hidden" name="secret" value="s3cret"><button>Send</button></form>"""


def _type(tab: Tab, selector: str, text: str) -> None:
    tab.run(f"document.querySelector({json.dumps(selector)}).focus()")
    for letter in text:
        tab.key(letter)


def test_a_form_that_is_sent(shop: Shop, tab: Tab) -> None:
    visits(shop, tab, ITEM + FORM)
    _type(tab, "[name=name]", "Ada")
    tab.click("form button")  # the mail is missing
    _type(tab, "[name=email]", "a@b.c")
    _type(tab, "[name=pin]", "4711")
    tab.click("form button")

    found = sees(shop, tab, ("view", "tent-2"), ("form_start", "tent-2"), ("form_submit", "tent-2"))
    sent = next(one for one in found if one["signal"] == "form_submit")["properties"]
    assert (sent["form"], sent["field_names"], sent["invalid_fields"]) == (
        "order",
        ["name", "email", "pin"],
        ["email"],
    )
    assert 0 < sent["seconds"] < 30


def test_a_form_that_is_given_up_tells_where_and_never_a_value(shop: Shop, tab: Tab) -> None:
    visits(shop, tab, ITEM + FORM)
    anonymous, _ = ids(tab)
    _type(tab, "[name=name]", "Ada")
    _type(tab, "[name=pin]", "4711")
    tab.open(shop.page("/other", "other", tag=" "))

    shop.server.eventually(lambda: any(one["signal"] == "form_abandon" for one in shop.told(anonymous)))
    (given_up,) = [one for one in shop.told(anonymous) if one["signal"] == "form_abandon"]
    assert given_up["properties"]["field_names"] == ["name", "pin"]
    assert given_up["properties"]["last_field"] == "pin"
    everything = json.dumps(shop.told(anonymous))
    assert "4711" not in everything
    assert "s3cret" not in everything
    assert '"Ada"' not in everything


def test_within_an_app_a_form_is_given_up_on_the_page_where_it_was(shop: Shop, tab: Tab) -> None:
    visits(shop, tab, f'<main data-plait-item="tent-2">{FORM}</main>')
    _type(tab, "[name=name]", "Ada")
    tab.run("document.querySelector('main').outerHTML = '<main data-plait-item=mat-1>mat</main>'")
    tab.run("history.pushState({}, '', '/p/mat-1')")

    sees(
        shop, tab,
        ("view", "tent-2"), ("form_start", "tent-2"), ("form_abandon", "tent-2"), ("view", "mat-1"),
    )  # fmt: skip


def test_links_away_and_links_to_share(shop: Shop, tab: Tab) -> None:
    links = '<a id="out" href="https://maker.example/tent" target="_blank">maker</a><a id="share" target="_blank" href="https://x.com/intent/post?text=hi">share</a>'
    visits(shop, tab, f"{ITEM}{links}")
    tab.run(
        "for (const one of document.links) one.addEventListener('click', (event) => event.preventDefault())"
    )

    tab.click("#out")
    tab.click("#share")

    found = sees(shop, tab, ("view", "tent-2"), ("click", ""), ("share", "tent-2"))
    named = {one["signal"]: one.get("name") for one in found}
    assert (named["click"], named["share"]) == ("outbound", "x.com")


def test_each_page_of_an_app_is_a_view_of_its_own(shop: Shop, tab: Tab) -> None:
    visits(shop, tab, f'<main data-plait-item="tent-2">{section("specs")}</main>')
    first = tab.run("plait.ids().view")

    tab.run(
        "document.querySelector('main').dataset.plaitItem = 'mat-1'; history.pushState({}, '', '/p/mat-1')"
    )
    tab.until(f"plait.ids().view !== {json.dumps(first)}")
    tab.run("history.replaceState({}, '', '/p/mat-1#below')")

    sees(shop, tab, ("view", "tent-2"), ("view", "mat-1"))


def test_a_browser_without_a_navigation_api_tells_each_page_of_an_app_at_once(shop: Shop, tab: Tab) -> None:
    older = "<script>Object.defineProperty(window, 'navigation', {value: undefined})</script>"
    visits(shop, tab, f'<main data-plait-item="tent-2">{section("specs")}</main>', head=older)
    views = [ids(tab)[1]]
    item = "document.querySelector('main').dataset.plaitItem"
    for move in (
        f"{item} = 'mat-1'; history.pushState({{}}, '', '/p/mat-1')",
        f"{item} = 'mat-2'; history.replaceState({{}}, '', '/p/mat-2')",
    ):
        views.append(tab.run(f"{move}; plait.ids().view"))  # not at the next second
    tab.run("history.replaceState({}, '', '/p/mat-2?tidy')")
    tab.run(f"{item} = 'tent-2'; history.back()")
    tab.until("location.pathname === '/p'")
    views.append(ids(tab)[1])

    assert len(set(views)) == 4
    sees(shop, tab, *(("view", item) for item in ("tent-2", "mat-1", "mat-2", "tent-2")))


def test_signing_in_and_out_tells_nothing_of_one_person_to_another(shop: Shop, tab: Tab) -> None:
    visits(shop, tab, f"{ITEM}{section('specs')}")
    device, _ = ids(tab)
    time.sleep(1.2)
    tab.run("plait.identify('ada-of-the-acts', {plan: 'gold'})")
    time.sleep(1.2)
    tab.run("plait.reset()")
    other, _ = ids(tab)
    tab.run("plait.add('mat-1'); plait.flush()")

    shop.server.eventually(lambda: any(one["signal"] == "add" for one in shop.told(other)))
    assert other != device
    dwells: dict[str, float] = {}
    for one in shop.server.profile("user:ada-of-the-acts", include="events")["events"] + shop.told(other):
        if one["signal"] == "dwell" and one["about"].get("section"):
            kind = one["who"][0].partition(":")[0]
            dwells[kind] = max(dwells.get(kind, 0), one["properties"]["visible"])
    assert 0.9 < dwells["user"] < 1.8  # the second stretch alone
    assert dwells.get("anonymous", 0) < 0.9


def test_the_shops_own_data_layer_is_read_where_it_asks_for_that(shop: Shop, tab: Tab) -> None:
    layer = "<script>dataLayer = [{event: 'view_item', ecommerce: {items: [{item_id: 'tent-2'}]}}]</script>"
    visits(shop, tab, "<h1>shop</h1>", head=layer, tag="data-ga4")

    tab.run(
        "dataLayer.push({event: 'add_to_cart', ecommerce: {items: [{item_id: 'tent-2', price: 20, quantity: 2}, {item_id: 'mat-1'}]}}); dataLayer.push({event: 'gtm.js'})"
    )

    found = sees(shop, tab, ("view", ""), ("view", "tent-2"), ("add", "tent-2"), ("add", "mat-1"))
    assert 40 in [one.get("value") for one in found]


def test_a_product_that_the_data_layer_names_on_its_own_page_is_viewed_once(shop: Shop, tab: Tab) -> None:
    layer = "<script>dataLayer = [{event: 'view_item', ecommerce: {items: [{item_id: 'tent-2'}, {item_id: 'mat-1'}]}}]</script>"
    visits(shop, tab, ITEM, head=layer, tag="data-ga4")
    tab.run("dataLayer.push({event: 'view_item', ecommerce: {items: [{item_id: 'tent-2'}]}})")

    sees(shop, tab, ("view", "tent-2"), ("view", "mat-1"))


def test_a_page_says_itself_which_product_it_is_about(shop: Shop, tab: Tab) -> None:
    told = json.dumps(
        {
            "@context": "https://schema.org",
            "@graph": [{"@type": ["Product"], "sku": "tent-9", "name": "Tent"}],
        }
    )
    visits(shop, tab, "<h1>Tent</h1>", head=f'<script type="application/ld+json">{told}</script>')

    sees(shop, tab, ("view", "tent-9"))


def test_sections_are_learned_from_headings_where_the_shop_asks_for_that(shop: Shop, tab: Tab) -> None:
    block = "<section style='height:300px'><h2>{}</h2></section>"
    visits(shop, tab, ITEM + block.format("Size Guide") + block.format("Care"), tag="data-learn")
    anonymous, _ = ids(tab)
    time.sleep(1)
    tab.run("plait.flush()")

    shop.server.eventually(lambda: {"size-guide", "care"} <= shop.clocks(anonymous).keys())


def test_a_button_of_a_slot_that_is_kept_out_is_no_click_on_its_item(shop: Shop, tab: Tab) -> None:
    shop.server.ask("POST", "/v1/items", {"items": [{"id": "mat-1", "title": "Mat"}]})
    slot = '<plait-placement id="home.hero"><template><article><h3 data-field="title"></h3><button data-plait-off>why</button><b>more</b></article></template></plait-placement>'
    visits(shop, tab, f"{ITEM}{slot}")
    tab.until("!!document.querySelector('[data-plait-item] > button')")
    anonymous = tab.run("plait.ids().anonymous")
    for within in ("button", "b"):
        tab.run(f"document.querySelector('[data-plait-item] > {within}').click()")
    tab.run("plait.flush()")

    shop.server.eventually(lambda: any(one["signal"] == "click" for one in shop.told(anonymous)))
    assert [one["signal"] for one in shop.told(anonymous)].count("click") == 1
