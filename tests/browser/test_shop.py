"""The demo's shop in a real browser: a page, an act, exactly these events and no others; and it is a page that stands still."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.browser.chromium import Chromium, Failed, Tab
from tests.demo import Demo

pytestmark = pytest.mark.timeout(240)

# What the browser itself counts as layout that moved, input or not.
SHIFTS = """
(() => { window.shifted = 0; new PerformanceObserver((list) => { for (const one of list.getEntries()) window.shifted += one.value; })
  .observe({ type: "layout-shift", buffered: true }); })()
"""

# Reads of where something stands: once the browser is idle the page is laid out, before that it would be for this alone.
READS = """
(() => {
  window.reads = { idle: 0, hasty: 0 };
  let idle = false;
  const plain = requestIdleCallback, left = Object.getOwnPropertyDescriptor(HTMLElement.prototype, "offsetLeft");
  window.requestIdleCallback = (work) => plain(() => { idle = true; work(); idle = false; });
  Object.defineProperty(HTMLElement.prototype, "offsetLeft", { get() { reads[idle ? "idle" : "hasty"]++; return left.get.call(this); } });
})()
"""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    one = Demo(tmp_path_factory.mktemp("shop") / "data", people=150)
    try:
        yield one
    finally:
        one.stop()


@pytest.fixture
def tab(chromium: Chromium) -> Iterator[Tab]:
    """A tab of a visitor nobody saw before; the browser complains about nothing: scripts, policy, trusted types."""
    one = chromium.tab(context=chromium.context(), size=(1440, 900))
    # A hand waits until the page stands still; here nothing glides.
    one.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
    yield one
    assert one.errors == []
    with contextlib.suppress(Failed):
        one.close()


def opens(demo: Demo, tab: Tab, path: str) -> None:
    """Open a page of the shop, and wait until it stands."""
    tab.open(demo.url + path)
    ready(tab, path)


def ready(tab: Tab, path: str) -> None:
    tab.until(f"document.documentElement.dataset.ready === {json.dumps(path.partition('?')[0])}")


def device(tab: Tab) -> str:
    found: str = tab.run("plait.ids().anonymous")
    return found


def told(demo: Demo, who: str) -> list[dict[str, Any]]:
    """Everything of somebody but time spent and what was only shown, oldest first."""
    known = demo.profile(who)
    events = reversed(known["events"]) if known else []
    return [one for one in events if one["signal"] not in ("dwell", "shown", "decided")]


def sees(demo: Demo, tab: Tab, *expected: tuple[str, str], who: str = "") -> list[dict[str, Any]]:
    """Exactly these events came, in any order: ``(signal, item, topic, query, name of the form, or path)``; returns them."""
    who = who or f"anonymous:{device(tab)}"
    tab.run("plait.flush()")
    until = time.monotonic() + 8
    while len(told(demo, who)) < len(expected) and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.4)  # what should not come would come now
    found = told(demo, who)
    assert sorted(_what(one, demo) for one in found) == sorted(expected)
    return found


def _what(one: dict[str, Any], demo: Demo) -> tuple[str, str]:
    if one["signal"].startswith("form_"):
        return one["signal"], one["properties"]["form"]
    about = one.get("about", {})
    named = about.get("item") or about.get("topic") or about.get("query") or about.get("url", "")
    return one["signal"], named.removeprefix(demo.url)


def fill(tab: Tab, selector: str, text: str) -> None:
    tab.click(selector)
    tab.call("Input.insertText", text=text)


def to_bag(demo: Demo, tab: Tab, item: str) -> None:
    opens(demo, tab, f"/p/{item}")
    tab.click("#add")
    tab.until("!document.querySelector('#bag-count').hidden")


def test_the_home_page_is_one_view_and_a_full_shop(demo: Demo, tab: Tab) -> None:
    opens(demo, tab, "/")
    tab.until("document.querySelectorAll('#home\\\\.grid > [data-plait-item]').length === 12")
    tab.until("document.querySelectorAll('main .hero h1, main .offer h2').length === 2")

    assert (
        tab.run("document.querySelectorAll('#home\\\\.journal article, #home\\\\.posts article').length") == 6
    )
    sees(demo, tab, ("view", "/"))


ALL_CARDS = "document.querySelectorAll('main .hero h1, main .offer h2, main .card h3, main .story-card h3, main .post .said').length"
TEXTS = """[...document.querySelectorAll('main plait-placement > [data-plait-item]')].map((one) => [one.dataset.plaitItem, one.innerText.replace("New for you\\n", ""), [...one.querySelectorAll('img')].map((image) => image.getAttribute('src')).join()])"""


def test_the_home_page_is_whole_before_any_script_ran(demo: Demo, tab: Tab) -> None:
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    tab.open(demo.url + "/")
    # Asking needs no script of the page: the debugger's own is not one.
    assert tab.run(ALL_CARDS) == 1 + 12 + 1 + 3 + 3
    assert tab.run(
        "[...document.querySelectorAll('main .card .price')].every((one) => /^€\\d/.test(one.textContent))"
    )
    assert tab.run("document.querySelector('main .hero').checkVisibility({visibilityProperty: true})")


def test_a_page_that_the_server_drew_looks_as_when_the_browser_draws_it(demo: Demo, tab: Tab) -> None:
    opens(demo, tab, "/")
    tab.until("document.querySelectorAll('main [data-plait-shown^=d_]').length === 20")
    drawn_by_the_server = tab.run(TEXTS)
    tab.run("document.querySelector('#bag-link').click()")
    ready(tab, "/bag")
    tab.run("document.querySelector('.brand').click()")
    ready(tab, "/")
    tab.until("document.querySelectorAll('main [data-plait-shown^=d_]').length === 20")

    seen = {item: rest for item, *rest in tab.run(TEXTS)}
    both = [one for one in drawn_by_the_server if one[0] in seen]
    assert len(both) > 15
    for item, *rest in both:
        assert rest == seen[item]


def test_the_answer_has_no_page_laid_out_for_it(demo: Demo, tab: Tab) -> None:
    tab.call("Page.addScriptToEvaluateOnNewDocument", source=READS)
    opens(demo, tab, "/")
    tab.until("!!document.querySelector('#home\\\\.grid [data-plait-shown^=d_]')")
    tab.until("reads.idle > 0")

    assert tab.run("reads.hasty") == 0


def test_who_comes_again_gets_a_page_that_was_made_for_them_and_asks_for_no_other(
    demo: Demo, tab: Tab
) -> None:
    opens(demo, tab, "/p/otter-raft")
    tab.run("plait.add('otter-raft')")
    tab.run("plait.flush()")
    until = time.monotonic() + 8
    while "add" not in {one["signal"] for one in told(demo, f"anonymous:{device(tab)}")}:
        assert time.monotonic() < until
        time.sleep(0.05)
    opens(demo, tab, "/")
    tab.until("document.querySelectorAll('main [data-plait-shown^=d_]').length === 20")
    time.sleep(0.5)

    assert (
        tab.run(
            "performance.getEntriesByType('resource').filter((one) => /personalize/.test(one.name)).length"
        )
        == 0
    )
    assert "otter-raft" in tab.run("document.querySelector('#home\\\\.grid').dataset.answer")
    assert "Because" in tab.run("document.querySelector('#home\\\\.grid .why .line').textContent")
    decision = tab.run("document.querySelector('main [data-plait-shown]').dataset.plaitShown")
    time.sleep(1)
    tab.run("plait.flush()")

    def seen() -> set[str]:
        known = demo.profile(f"anonymous:{device(tab)}")
        return {one.get("decision", "") for one in known["events"] if one["signal"] == "shown"}  # type: ignore[index]

    until = time.monotonic() + 8
    while decision not in seen():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_product_is_viewed_and_put_into_the_bag(demo: Demo, tab: Tab) -> None:
    to_bag(demo, tab, "tarn-2")

    added = sees(demo, tab, ("view", "tarn-2"), ("add", "tarn-2"))[-1]
    assert added["value"] == 379


def test_walking_through_the_shop_is_a_view_for_each_page(demo: Demo, tab: Tab) -> None:
    opens(demo, tab, "/c/climbing")
    tab.run("document.querySelector('main > div.grid h3 a').click()")
    item = tab.until(
        "document.documentElement.dataset.ready.startsWith('/p/') && document.querySelector('main').dataset.plaitItem"
    )
    tab.run("history.back()")
    ready(tab, "/c/climbing")
    tab.run("history.forward()")
    ready(tab, f"/p/{item}")

    sees(demo, tab, ("view", "climbing"), ("view", item), ("view", "climbing"), ("view", item))


def test_a_search_is_told_by_its_address(demo: Demo, tab: Tab) -> None:
    opens(demo, tab, "/account")
    fill(tab, "#find input", "merino")
    tab.key("\r")
    ready(tab, "/search")

    assert tab.run("document.querySelectorAll('main > .grid .card').length") > 3
    sees(demo, tab, ("view", "/account"), ("view", "/search?q=merino"), ("search", "merino"))


def test_a_card_that_plait_chose_is_clicked_with_its_decision(demo: Demo, tab: Tab) -> None:
    opens(demo, tab, "/")
    # What the server filled in for nobody in particular holds the place until it was decided.
    item = tab.until(
        "document.querySelector('#home\\\\.grid > [data-plait-item][data-plait-shown^=d_]')?.dataset.plaitItem"
    )
    tab.click("#home\\.grid h3 a")
    ready(tab, f"/p/{item}")

    found = sees(demo, tab, ("view", "/"), ("click", item), ("view", item))
    assert next(one for one in found if one["signal"] == "click")["decision"].startswith("d_")


def test_signing_in_links_the_device_and_the_customer(demo: Demo, tab: Tab) -> None:
    opens(demo, tab, "/p/otter-raft")
    mine = device(tab)
    tab.run("document.querySelector('#who').click()")
    ready(tab, "/account")
    fill(tab, "#sign-in [name=name]", "Ada Lovelace")
    fill(tab, "#sign-in [name=email]", "ada@browser.example")
    tab.click("#sign-in button")
    tab.until("document.querySelector('#who-name').textContent === 'Ada Lovelace'")
    tab.until("document.querySelector('main h1').textContent === 'Hello, Ada'")
    tab.run("plait.flush()")
    customer = tab.run("JSON.parse(decodeURIComponent(document.cookie.match(/plait=([^;]+)/)[1])).user")

    until = time.monotonic() + 8
    while not ((known := demo.profile(f"user:{customer}")) and f"anonymous:{mine}" in known["identifiers"]):
        assert time.monotonic() < until, known
        time.sleep(0.05)
    assert "otter-raft" in {one.get("item") for one in known["interests"]}
    form = next(one for one in told(demo, f"anonymous:{mine}") if one["signal"] == "form_submit")
    assert form["properties"]["field_names"] == ["name", "email"]
    assert "ada@browser.example" not in json.dumps(known["events"])


def test_no_more_is_collected_once_consent_is_off(demo: Demo, tab: Tab) -> None:
    opens(demo, tab, "/p/tarn-3")
    was = device(tab)
    tab.run("plait.flush()")
    tab.run("document.querySelector('#who').click()")
    ready(tab, "/account")
    tab.click("main [data-purpose=collect]")
    tab.until("!/%22id%22/.test(document.cookie)")
    time.sleep(0.5)
    before = told(demo, f"anonymous:{was}")
    tab.run("document.querySelector('#bag-link').click()")
    ready(tab, "/bag")
    opens(demo, tab, "/p/tarn-1")
    time.sleep(0.6)

    assert [_what(one, demo) for one in before][:2] == [("view", "tarn-3"), ("view", "/account")]
    assert told(demo, f"anonymous:{was}") == before
    assert demo.profile(f"anonymous:{device(tab)}") is None
    assert tab.run("document.querySelectorAll('main .card').length") == 4


def test_the_checkout_tells_names_of_fields_and_what_was_bought(demo: Demo, tab: Tab) -> None:
    to_bag(demo, tab, "tarn-2")
    to_bag(demo, tab, "spark-stove")
    tab.run("document.querySelector('#bag-link').click()")
    ready(tab, "/bag")
    tab.click("#to-checkout")
    ready(tab, "/checkout")
    values = {"name": "Ada Secret", "email": "ada@secret.example", "street": "Secret Street 1", "postcode": "12345", "city": "Secretville"}  # fmt: skip
    for name, value in values.items():
        fill(tab, f"#checkout [name={name}]", value)
    tab.click("#checkout [name=terms]")
    tab.click("#checkout button")
    ready(tab, "/thanks")

    found = sees(
        demo, tab,
        ("view", "tarn-2"), ("add", "tarn-2"), ("view", "spark-stove"), ("add", "spark-stove"),
        ("view", "/bag"), ("checkout", "tarn-2"), ("checkout", "spark-stove"), ("view", "/checkout"),
        ("form_start", "checkout"), ("form_submit", "checkout"), ("purchase", "tarn-2"), ("purchase", "spark-stove"),
        ("view", tab.run("location.pathname + location.search")),
    )  # fmt: skip
    form = next(one for one in found if one["signal"] == "form_submit")["properties"]
    assert (form["form"], form["field_names"]) == ("checkout", [*values, "terms"])
    assert not any(value in json.dumps(found) for value in values.values())
    assert sum(one["value"] for one in found if one["signal"] == "purchase") == 379 + 49


def test_a_checkout_that_was_begun_and_left_is_given_up(demo: Demo, tab: Tab) -> None:
    to_bag(demo, tab, "tarn-2")
    tab.run("document.querySelector('#bag-link').click()")
    ready(tab, "/bag")
    tab.click("#to-checkout")
    ready(tab, "/checkout")
    fill(tab, "#checkout [name=name]", "Ada")
    fill(tab, "#checkout [name=email]", "ada@")
    tab.run("document.querySelector('.brand').click()")
    ready(tab, "/")

    found = sees(
        demo, tab, ("view", "tarn-2"), ("add", "tarn-2"), ("view", "/bag"), ("checkout", "tarn-2"), ("view", "/checkout"),
        ("form_start", "checkout"), ("form_abandon", "checkout"), ("view", "/"),
    )  # fmt: skip
    left = next(one for one in found if one["signal"] == "form_abandon")
    assert (left["properties"]["field_names"], left["properties"]["last_field"]) == (
        ["name", "email"],
        "email",
    )


def test_what_is_wrong_in_the_checkout_stands_under_its_field(demo: Demo, tab: Tab) -> None:
    to_bag(demo, tab, "tarn-2")
    opens(demo, tab, "/checkout")
    fill(tab, "#checkout [name=email]", "ada@")
    tab.click("#checkout .button")
    wrong = "[...document.querySelectorAll('#checkout .wrong')].filter((one) => one.checkVisibility()).map((one) => one.id)"

    assert (
        tab.run(wrong)
        == [f"wrong-{name}" for name in ("name", "email", "street", "postcode", "city", "terms")]
    )  # fmt: skip
    assert tab.run("document.activeElement.name") == "name"
    fill(tab, "#checkout [name=name]", "Ada")
    assert tab.run(wrong)[0] == "wrong-email"


@pytest.mark.parametrize("width", [1440, 1280, 390])
def test_no_slot_leaves_a_hole_in_its_rows(demo: Demo, tab: Tab, width: int) -> None:
    tab.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    opens(demo, tab, "/p/tarn-2")
    columns = "getComputedStyle(document.querySelector('main plait-placement.grid')).gridTemplateColumns.split(' ').length"

    assert 4 % tab.run(columns) == 0  # so are twelve


def test_reading_a_section_changes_the_home_grid_and_is_the_reason(demo: Demo, tab: Tab) -> None:
    opens(demo, tab, "/")
    grid = "[...document.querySelectorAll('#home\\\\.grid > [data-plait-item]')].map((one) => one.dataset.plaitItem)"
    before = tab.until(f"{grid}.length === 12 && {grid}")
    tab.run("document.querySelector('a[href=\"/c/water\"]').click()")
    ready(tab, "/c/water")
    opens(demo, tab, "/p/otter-raft")
    tab.run("document.querySelector('#specs').scrollIntoView({behavior: 'instant', block: 'center'})")
    time.sleep(3)
    tab.run("document.querySelector('.brand').click()")
    ready(tab, "/")

    tab.until(f"{grid}.length === 12 && {grid}.join() !== {json.dumps(','.join(before))}")
    reasons = tab.run("plait.personalize([{id: 'home.grid', n: 12}], {explain: true})")["placements"][
        "home.grid"
    ]["items"]
    assert ("dwell", "otter-raft#specs") in {
        (why["signal"], why.get("about")) for one in reasons for why in one["because"]
    }


def test_the_clocks_of_the_sections_run_in_the_drawer(demo: Demo, tab: Tab) -> None:
    opens(demo, tab, "/p/otter-raft")
    tab.click("#tab-sections")
    tab.run("document.querySelector('#specs').scrollIntoView({behavior: 'instant', block: 'center'})")

    tab.until(
        "/^[2-9]/.test([...document.querySelectorAll('.clocks li')].find((one) => /Specification/.test(one.textContent))?.querySelector('b').textContent ?? '')"
    )


def test_a_drawer_that_was_closed_stays_closed_when_the_window_is_made_small_and_large(
    demo: Demo, tab: Tab
) -> None:
    opens(demo, tab, "/")
    tab.until("!!document.querySelector('.drawer .tabs button')")
    tab.click("#eye")
    for width in (900, 1440):
        tab.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
        )
        tab.until(f"innerWidth === {width} && document.querySelector('.drawer').offsetParent === null")

    assert tab.run("document.getElementById('eye').getAttribute('aria-expanded')") == "false"
    assert tab.run("getComputedStyle(document.querySelector('.drawer')).display") == "none"


def test_a_story_moves_the_interests_in_its_topics(demo: Demo, tab: Tab) -> None:
    opens(demo, tab, "/journal/five-lakes")

    sees(demo, tab, ("view", "journal-five-lakes"))
    known = demo.profile(f"anonymous:{device(tab)}")
    assert known is not None
    assert {"paddling", "camping"} <= {one.get("topic") for one in known["interests"]}
    tab.until(
        "[...document.querySelectorAll('.likes .name')].some((one) => one.textContent.startsWith('paddling'))"
    )


def test_looking_through_other_eyes_is_another_page(demo: Demo, tab: Tab) -> None:
    opens(demo, tab, "/")
    mine = device(tab)
    tab.until("!!document.querySelector('.drawer .quiet')")
    tab.click(".drawer .quiet")
    tab.until("document.querySelector('#sheet').open")
    tab.run(
        "[...document.querySelectorAll('#sheet button')].find((one) => /Mara/.test(one.textContent)).click()"
    )
    tab.until("document.querySelector('#who-name').textContent === 'Mara Lindqvist'")

    tab.until("/^Because/.test(document.querySelector('#home\\\\.grid .why .line')?.textContent ?? '')")
    assert device(tab) != mine
    assert tab.run("document.querySelectorAll('.bar .s-bluesky, .bar .s-mastodon').length") > 0


def test_the_day_on_bluesky_is_watched_act_by_act_and_again(demo: Demo, tab: Tab) -> None:
    opens(demo, tab, "/social")
    tab.until("!document.querySelector('#day-step').disabled && !!document.querySelector('.seen .shown-one')")
    tab.click("#day-again")
    tab.until(
        "document.querySelector('.how').textContent.startsWith('0 of') && !document.querySelector('#day-step').disabled"
    )
    likes = "+document.querySelector('[data-post=ridge-nights] .sum-of b').textContent"
    before = tab.run(likes)
    for number in range(1, 31):
        tab.click("#day-step")
        tab.until(
            f"document.querySelector('.how').textContent.startsWith('{number} of') && !document.querySelector('#day-step').disabled"
        )

    assert tab.run(likes) > before + 5
    assert tab.run("document.querySelectorAll('.lately li').length") == 7
    assert "changed" in tab.run("document.querySelector('[data-guest=noor] .changed').textContent")
    assert "liked" in tab.run("document.querySelector('[data-guest=noor] .now .fresh .line').textContent")
    tab.click("#day-play")
    tab.until("parseInt(document.querySelector('.how').textContent) > 31")
    tab.click("#day-play")
    tab.until("document.querySelector('#day-play').textContent === 'Play'")
    tab.until("!document.querySelector('#day-again').disabled")
    tab.click("#day-again")
    tab.until(f"{likes} === {before}")
    assert tab.run("document.querySelector('[data-guest=noor] .changed').textContent") == "the same"
    seen = "Promise.all(['/social', '/shop/day'].map((path) => fetch(path).then((one) => one.text())))"
    assert not any(demo.secret in text for text in tab.run(seen))


def test_the_tour_is_there_once(demo: Demo, tab: Tab) -> None:
    opens(demo, tab, "/")
    assert tab.until("document.querySelectorAll('#tour:not([hidden]) li').length") == 3
    tab.click("#tour header button")
    opens(demo, tab, "/p/tarn-2")

    assert tab.run("document.querySelector('#tour').hidden")


@pytest.mark.parametrize("path", ["/", "/p/squall-jacket-w", "/c/climbing", "/journal/five-lakes"])
def test_nothing_moves_while_a_page_fills(demo: Demo, tab: Tab, path: str) -> None:
    tab.call("Page.addScriptToEvaluateOnNewDocument", source=SHIFTS)
    opens(demo, tab, path)
    tab.until(
        "document.querySelectorAll('plait-placement [data-plait-item]').length > 2 || !document.querySelector('plait-placement')"
    )
    time.sleep(0.6)

    # 0.1 is what the web calls good; here a pixel of a line of text may move.
    assert tab.run("window.shifted") < 0.01


@pytest.mark.parametrize("width", [360, 390, 820, 1440])
def test_no_page_scrolls_sideways(demo: Demo, tab: Tab, width: int) -> None:
    tab.call("Emulation.setDeviceMetricsOverride", width=width, height=844, deviceScaleFactor=1, mobile=False)
    for path in ("/", "/p/squall-jacket-w", "/c/climbing", "/bag", "/account", "/journal/five-lakes"):
        opens(demo, tab, path)

        assert tab.run("document.documentElement.scrollWidth") <= width, path


def test_a_shop_whose_plait_is_blocked_goes_on_selling(demo: Demo, tab: Tab) -> None:
    tab.call("Network.enable")
    tab.call("Network.setBlockedURLs", urls=["*/plait.js?*"])
    opens(demo, tab, "/")
    tab.until("document.querySelectorAll('#home\\\\.grid .card').length === 12")
    to_bag(demo, tab, "tarn-2")

    assert tab.run("document.querySelector('#bag-count').textContent") == "1"


def test_what_others_wrote_stays_text(demo: Demo, tab: Tab) -> None:
    evil = "<img src=x onerror=document.body.remove()>"
    opens(demo, tab, "/account")
    fill(tab, "#find input", evil)
    tab.key("\r")
    ready(tab, "/search")
    tab.click("#tab-live")

    tab.until("/<img src=x/i.test(document.querySelector('.events')?.textContent ?? '')")
    assert tab.run("document.querySelectorAll('img[src=x]').length") == 0
