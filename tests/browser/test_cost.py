"""What a page pays: nothing moves, nothing holds it up, nothing runs for each frame. The milliseconds are in `make bench`."""

from __future__ import annotations

import time

import pytest
from tests.browser.chromium import Tab
from tests.browser.conftest import Shop, ids, script_ms, section
from tests.browser.test_acts import ITEM

pytestmark = pytest.mark.alone

WATCH = """<script>
window.shifts = 0; window.frames_ = 0; window.timers = [];
new PerformanceObserver((list) => list.getEntries().forEach((one) => shifts += one.value)).observe({type: "layout-shift", buffered: true});
const frame = requestAnimationFrame, every = setInterval;
window.requestAnimationFrame = (...told) => { frames_++; return frame(...told) };
window.setInterval = (work, ms, ...more) => { timers.push(ms); return every(work, ms, ...more) };
</script>"""


def test_a_visit_moves_nothing_holds_nothing_up_and_runs_nothing_for_each_frame(shop: Shop, tab: Tab) -> None:
    body = ITEM + "".join(section(f"s{n}", height=160, words=30) for n in range(50))
    tab.call("Performance.enable", timeDomain="threadTicks")
    tab.open(shop.page("/watched", body, head=WATCH, diary=False))
    ids(tab)
    before = script_ms(tab)
    for step in range(12):
        tab.run(f"scrollTo(0, {step * 120})")
        tab.move(300 + step, 300)
        time.sleep(0.1)
    tab.run("document.body.insertAdjacentHTML('beforeend', '<p data-plait-section=late>late</p>')")
    time.sleep(5)  # a report and a dozen looks

    # All of it together is less than one long task, which begins at 50 ms.
    assert script_ms(tab) - before < 50
    assert (tab.run("shifts"), tab.run("frames_"), tab.run("timers")) == (0, 0, [1000])


def test_what_changes_all_the_time_is_no_reason_to_look_for_sections(shop: Shop, tab: Tab) -> None:
    look = "<script>window.looks = 0; const plain = Document.prototype.querySelectorAll; Document.prototype.querySelectorAll = function (...told) { if (told[0] === '[data-plait-section]') looks++; return plain.apply(this, told) }</script>"
    tab.open(shop.page("/ticks", f"{ITEM}<b>0</b><i></i>{section('specs')}", head=look, diary=False))
    ids(tab)
    time.sleep(0.5)
    before = tab.run("looks")
    tab.run(
        "let n = 0; setInterval(() => { document.querySelector('b').textContent = n++; document.querySelector('i').replaceChildren(document.createElement('u')) }, 20)"
    )
    time.sleep(1)
    assert tab.run("looks") == before

    tab.run("document.body.insertAdjacentHTML('beforeend', '<div><p data-plait-section=late>late</p></div>')")
    tab.until(f"looks > {before}")
    time.sleep(0.3)
    before = tab.run("looks")
    tab.run("document.querySelector('[data-plait-section=late]').parentElement.remove()")
    tab.until(f"looks > {before}")


def test_who_tells_something_waits_for_no_disk_and_it_is_kept_in_the_next_task(shop: Shop, tab: Tab) -> None:
    tab.open(shop.page("/told", ITEM, diary=False))
    ids(tab)
    time.sleep(0.5)
    numbers = tab.run(
        "(async () => { const found = [+localStorage.plait]; plait.add('tent'); found.push(+localStorage.plait);"
        " await new Promise((done) => setTimeout(done)); return [...found, +localStorage.plait] })()"
    )

    assert numbers == [numbers[0], numbers[0], numbers[0] + 1]
