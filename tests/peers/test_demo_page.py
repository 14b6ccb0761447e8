"""The demo's shop in playwright's Chromium: what it draws, who can use it, and what may not run in it.

Which events each act becomes, ``tests/browser/test_shop.py`` says, in ``make test``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from tests.demo import Demo

pytestmark = [pytest.mark.peers, pytest.mark.timeout(300)]

AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)
# Contrast of every text that can be seen on a plain ground, by the rule of WCAG 2.1; pictures behind a text are left out.
CONTRAST = """() => {
  const light = (c) => { const [r, g, b] = c.map((x) => { x /= 255; return x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const rgb = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const one = walker.currentNode.parentElement, box = one.getBoundingClientRect(), style = getComputedStyle(one);
    if (!walker.currentNode.textContent.trim() || !box.width || !box.height || style.visibility === "hidden" || style.opacity === "0") continue;
    if (one.closest(".hero, .offer, .banner, .story-head, .toast, .skip, noscript, [disabled]")) continue;
    let up = one, ground = null;
    while (up && !ground) { const [r, g, b, a = 1] = rgb(getComputedStyle(up).backgroundColor); if (r !== undefined && a === 1 && !getComputedStyle(up).backgroundColor.startsWith("color(")) ground = [r, g, b]; up = up.parentElement; }
    const [r, g, b] = rgb(style.color), pair = [light([r, g, b]), light(ground ?? [255, 255, 255])].sort((x, y) => y - x);
    const ratio = (pair[0] + 0.05) / (pair[1] + 0.05), large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) poor.push(`${one.className || one.tagName}: ${ratio.toFixed(2)} ${walker.currentNode.textContent.trim().slice(0, 30)}`);
  }
  return [...new Set(poor)];
}"""
# What can be pressed or filled and has no name that can be read out.
NAMELESS = """() => [...document.querySelectorAll("button, a[href], input, select")].filter((one) => one.checkVisibility() && !one.closest("[aria-hidden=true]"))
  .filter((one) => one.getAttribute("aria-hidden") !== "true" && !(one.getAttribute("aria-label") || one.textContent.trim() || one.labels?.length || one.title)).map((one) => one.outerHTML.slice(0, 120))"""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    one = Demo(tmp_path_factory.mktemp("demo") / "data")
    try:
        yield one
    finally:
        one.stop()


@pytest.fixture
def page(browser, demo) -> Iterator[Any]:
    """The open shop; whatever the browser complains about fails the test."""
    context = browser.new_context(user_agent=AGENT, viewport={"width": 1440, "height": 1000})
    one = context.new_page()
    wrong: list[str] = []
    elsewhere: list[str] = []
    one.on("pageerror", lambda error: wrong.append(str(error)))
    one.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    one.on(
        "request", lambda asked: elsewhere.append(asked.url) if not asked.url.startswith(demo.url) else None
    )
    opened(one, demo.url)
    yield one
    context.close()
    assert (wrong, elsewhere) == ([], [])


def opened(page: Any, url: str) -> None:
    page.goto(url)
    page.wait_for_selector("html[data-ready]", state="attached")


def become(page: Any, name: str) -> None:
    page.click(".drawer .quiet")
    page.click(f"#sheet button:has-text('{name}')")
    page.wait_for_function("name => document.querySelector('#who-name').textContent === name", arg=name)


def titles(page: Any) -> list[str]:
    return page.locator("#home\\.grid .card h3").all_inner_texts()


def test_every_picture_is_drawn(page, demo):
    for path in ("/", "/p/squall-jacket-w", "/journal"):
        opened(page, demo.url + path)
        page.wait_for_function("() => !document.querySelector('[data-plait-shown][aria-hidden]')")
        page.evaluate("Promise.all([...document.images].filter((one) => one.src).map((one) => { one.loading = 'eager'; return one.decode(); }))")  # fmt: skip

        assert page.evaluate("[...document.images].every((one) => one.naturalWidth > 0)"), path


def test_a_saved_product_changes_the_page_under_the_hand(page):
    page.wait_for_selector("#home\\.grid > [data-plait-item]")
    before = titles(page)
    page.click("#home\\.grid .card .save >> nth=3")
    page.wait_for_function("() => !document.querySelector('#grid-note').textContent.startsWith('Everybody')")

    assert titles(page) != before
    assert "Because you saved" in page.inner_text("#home\\.grid")


def test_a_save_that_is_taken_back_is_no_reason_any_more(page):
    page.click("#home\\.grid > [data-plait-item] .save >> nth=3")
    page.wait_for_selector("#home\\.grid .why:has-text('Because you saved')")
    page.click("#home\\.grid .save[aria-pressed=true]")
    page.wait_for_function(
        "() => !document.querySelector('#home\\\\.grid').textContent.includes('you saved')"
    )


def test_the_whole_sum_is_shown_on_demand(page):
    become(page, "Mara Lindqvist")
    page.wait_for_selector("#home\\.grid .why:has-text('Because')")
    page.click("#home\\.grid .why >> nth=0")
    page.wait_for_selector("#sheet .sum")

    shares = [
        float(one.replace("−", "-").rstrip(" %"))
        for one in page.locator("#sheet .sum td:last-child").all_inner_texts()
    ]
    # Rounded to a tenth each; what is against it is shown with its sign.
    assert sum(abs(one) for one in shares) == pytest.approx(100, abs=3)


def test_nothing_runs_that_is_not_the_shops(browser, demo):
    context = browser.new_context(user_agent=AGENT)
    page = context.new_page()
    page.goto(demo.url)
    ran = page.evaluate(
        """() => new Promise((done) => {
            try { const script = document.createElement("script"); script.textContent = "window.ran = true"; document.body.append(script); } catch {}
            try { document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.ran = true'>"); } catch {}
            setTimeout(() => done(window.ran === true), 100);
        })"""
    )

    assert not ran
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_written_can_be_read(browser, demo, scheme):
    context = browser.new_context(
        user_agent=AGENT,
        color_scheme=scheme,
        reduced_motion="reduce",
        viewport={"width": 1440, "height": 1000},
    )
    page = context.new_page()
    for path in (
        "/",
        "/p/squall-jacket-w",
        "/c/climbing",
        "/account",
        "/journal/five-lakes",
        "/social",
        "/search?q=wool",
    ):
        opened(page, demo.url + path)
        page.wait_for_function("() => !document.querySelector('[data-plait-shown][aria-hidden]')")
        page.wait_for_timeout(300)

        assert page.evaluate(CONTRAST) == [], path
        assert page.evaluate(NAMELESS) == [], path
    context.close()


def test_the_keyboard_reaches_what_matters(page):
    page.wait_for_selector("#home\\.grid > [data-plait-item]")
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.className || document.activeElement.tagName"))

    assert any(re.search("save", one) for one in reached)
    assert any(re.search("why", one) for one in reached)


def test_on_a_phone_the_drawer_is_a_sheet_that_escape_closes(browser, demo):
    context = browser.new_context(user_agent=AGENT, viewport={"width": 390, "height": 844})
    page = context.new_page()
    opened(page, demo.url)
    assert not page.is_visible("#drawer")
    page.click("#eye")
    page.wait_for_selector("#drawer", state="visible")
    assert page.evaluate("document.activeElement.closest('#drawer') !== null")
    page.keyboard.press("Escape")

    page.wait_for_selector("#drawer", state="hidden")
    assert page.evaluate("document.activeElement.id") == "eye"
    context.close()


def test_the_day_on_bluesky_tells_a_guest_how_many_of_those_they_follow_liked_a_post(page, demo):
    shop = demo.browser()
    day = shop.shop("day", do="again")
    heard: list[tuple[str, int]] = []  # (guest, place)
    while not heard and day["done"] < day["of"]:
        day = shop.shop("day", do="step")
        heard = [
            (seen["guest"], place)
            for seen in day["guests"]
            for place, one in enumerate(seen["now"])
            if any(re.match(r"[3-8] people you follow", str(cause.get("about"))) for cause in one["because"])
        ]
    assert heard
    guest, place = heard[0]

    opened(page, demo.url + "/social")
    page.click(f".seen[data-guest={guest}] .now .shown-one >> nth={place} >> .why")

    assert re.search(r"[3-8] people you follow liked this on Bluesky", page.inner_text("#sheet .sum"))
