"""The demo's page in Chromium: it draws, measures and changes, and what others wrote stays text."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.peers, pytest.mark.timeout(300)]

AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)
_spec = importlib.util.spec_from_file_location(
    "demo_at_work", Path(__file__).parent.parent / "e2e" / "test_demo.py"
)
assert _spec is not None
assert _spec.loader is not None
_at_work = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_at_work)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    one = _at_work.Demo(tmp_path_factory.mktemp("demo") / "data")
    try:
        yield one
    finally:
        one.stop()


@pytest.fixture
def page(browser, demo) -> Iterator[Any]:
    """The open shop; whatever the browser complains about fails the test."""
    context = browser.new_context(user_agent=AGENT, viewport={"width": 1400, "height": 1000})
    one = context.new_page()
    wrong: list[str] = []
    elsewhere: list[str] = []
    one.on("pageerror", lambda error: wrong.append(str(error)))
    one.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    one.on(
        "request", lambda asked: elsewhere.append(asked.url) if not asked.url.startswith(demo.url) else None
    )
    one.goto(demo.url)
    one.wait_for_selector("html[data-ready]")
    yield one
    context.close()
    assert (wrong, elsewhere) == ([], [])


def become(page: Any, name: str) -> None:
    page.click("#who")
    page.click(f"#sheet button:has-text('{name}')")
    page.wait_for_function("name => document.querySelector('#who-name').textContent === name", arg=name)


def titles(page: Any) -> list[str]:
    return page.locator("main .grid .card h3").all_inner_texts()


def test_a_newcomer_sees_a_full_shop(page):
    page.wait_for_selector("main .grid .card")

    assert page.locator("main .grid .card").count() == 12
    assert page.locator(".hero h1").count() == 1
    assert page.locator(".post").count() == 3


def test_every_picture_is_drawn(page):
    page.wait_for_selector("main .grid .card")
    page.evaluate("Promise.all([...document.images].map((one) => one.decode()))")

    assert page.evaluate("[...document.images].every((one) => one.naturalWidth > 0)")


def test_a_saved_product_changes_the_page_under_the_hand(page):
    page.wait_for_selector("main .grid .card")
    before = titles(page)
    page.click("main .grid .card .save >> nth=3")
    page.wait_for_function(
        "() => !document.querySelector('main .head p').textContent.startsWith('Everybody')"
    )

    assert titles(page) != before
    assert "Because you saved" in page.inner_text("main .grid")


def test_reading_a_section_is_measured(page, demo):
    page.click("main .grid .card h3 a >> nth=0")
    page.wait_for_selector("#specs")
    page.locator("#specs").scroll_into_view_if_needed()
    page.wait_for_function(
        "() => /read for [3-9] s/.test(document.querySelector('#specs .read').textContent)"
    )
    page.click(".tabs >> text=Live")

    page.wait_for_selector(".events li:has-text('read “Specification”')")


def test_somebody_elses_page_is_another_page(page):
    page.wait_for_selector("main .grid .card")
    before = titles(page)
    become(page, "Jonas Frei")
    page.wait_for_function(
        "() => document.querySelector('main .why .line')?.textContent.startsWith('Because')"
    )

    assert titles(page) != before


def test_the_whole_sum_is_shown_on_demand(page):
    become(page, "Mara Lindqvist")
    page.wait_for_function(
        "() => document.querySelector('main .grid .why .line')?.textContent.startsWith('Because')"
    )
    page.click("main .grid .why >> nth=0")
    page.wait_for_selector("#sheet .sum")

    shares = [
        float(one.replace("−", "-").rstrip(" %"))
        for one in page.locator("#sheet .sum td:last-child").all_inner_texts()
    ]
    # Rounded to a tenth each; what is against it is shown with its sign.
    assert sum(abs(one) for one in shares) == pytest.approx(100, abs=3)


def test_markup_in_what_others_wrote_stays_text(page):
    evil = "<img src=x onerror=document.body.remove()>"
    page.fill("#find input", evil)
    page.press("#find input", "Enter")
    page.wait_for_selector("main h2")
    page.click(".tabs >> text=Live")
    page.wait_for_selector(".events li:has-text('searched for')")

    assert "<img src=x" in page.inner_text(".events").lower()
    assert page.locator("img[src=x]").count() == 0


def test_nothing_runs_that_is_not_the_shops(browser, demo):
    context = browser.new_context(user_agent=AGENT)
    page = context.new_page()
    page.goto(demo.url)
    ran = page.evaluate(
        """() => new Promise((done) => {
            const script = document.createElement("script");
            script.textContent = "window.ran = true";
            document.body.append(script);
            setTimeout(() => done(window.ran === true), 50);
        })"""
    )

    assert not ran
    context.close()


def test_a_phone_shows_it_without_scrolling_sideways(browser, demo):
    context = browser.new_context(user_agent=AGENT, viewport={"width": 360, "height": 740})
    page = context.new_page()
    for path in ("/", "/p/tarn-2", "/c/Shelter", "/basket"):
        page.goto(demo.url + path)
        page.wait_for_selector("html[data-ready]")

        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
    context.close()


def test_the_keyboard_reaches_what_matters(page):
    page.wait_for_selector("main .grid .card")
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.className || document.activeElement.tagName"))

    assert any(re.search("save", one) for one in reached)
    assert any(re.search("why", one) for one in reached)
