"""Pages that come and go in other ways than by being opened: prepared, copied, framed, moved within; and parts that rules name."""

from __future__ import annotations

import base64
import struct
import time
from pathlib import Path

import pytest
from tests.browser.chromium import Chromium, Tab
from tests.browser.conftest import Clocks, Shop, Site, ids, section
from tests.browser.test_acts import ITEM, sees, visits
from tests.conftest import Server

GOES = """<script type="speculationrules">{"prerender": [{"source": "list", "urls": ["/next"], "eagerness": "immediate"}]}</script>
<script>setTimeout(() => location.href = "/next", 3000)</script>"""
CALLS = "<script>window.plait = window.plait || function () { (plait.q = plait.q || []).push(arguments) }; plait('add', 'mat-1')</script>"
TELLS = """<script>const told = setInterval(() => {
  if (document.prerendering || !plait.ids) return;
  clearInterval(told);
  navigator.sendBeacon("/diary?prepared", JSON.stringify({...plait.ids(), after: performance.getEntriesByType("navigation")[0].activationStart}));
  setTimeout(() => location.href = "/done", 1500);
}, 50)</script>"""


def test_a_page_that_is_prepared_is_viewed_when_somebody_comes(shop: Shop) -> None:
    shop.page("/first", f"<h1>first</h1>{GOES}", diary=False)
    shop.page("/next", ITEM + section("specs"), head=CALLS + TELLS, diary=False)
    shop.page("/done", "done", tag=" ", diary=False)
    # Nobody may look over its shoulder: Chromium prepares nothing while a tab is driven.
    context = shop.browser.context()
    shop.browser.send("Target.createTarget", url=shop.site.url + "/first", browserContextId=context)
    told = shop.server.eventually(lambda: shop.site.diaries.get("prepared"))
    shop.server.eventually(lambda: "/done" in shop.site.asked)
    shop.server.eventually(lambda: "specs" in shop.clocks(told["anonymous"], told["view"]))
    time.sleep(0.5)

    assert told["after"] > 1000, "it was not prepared"
    assert shop.site.asked.count("/next") == 1
    what = [
        (one["signal"], one["about"].get("item"))
        for one in shop.told(told["anonymous"])
        if one["signal"] != "dwell"
    ]
    assert sorted(what, key=str) == [("add", "mat-1"), ("view", "tent-2"), ("view", None)]
    # Since somebody was there, not since it was prepared.
    assert 1.2 < shop.clocks(told["anonymous"], told["view"])["specs"].visible < 2.4
    shop.browser.leave(context)


def test_a_tab_that_is_copied_is_a_page_view_of_its_own(shop: Shop, tab: Tab) -> None:
    visits(shop, tab, ITEM + section("specs"))
    anonymous, first = ids(tab)
    tab.run("sessionStorage.setItem('mark', 'here')")
    before = {one["targetId"] for one in shop.browser.send("Target.getTargets")["targetInfos"]}
    tab.run(
        "void window.open(location.href)"
    )  # storage of the session is copied, as when a tab is duplicated
    (target,) = [
        one["targetId"] for one in shop.browser.send("Target.getTargets")["targetInfos"]
        if one["targetId"] not in before and one["type"] == "page"
    ]  # fmt: skip
    copy = Tab(shop.browser, target)
    copy.until("typeof plait === 'function' && !!plait.ids")
    same, second = ids(copy)

    assert copy.run("sessionStorage.getItem('mark')") == "here"
    assert (same == anonymous, second == first) == (True, False)
    copy.run("plait.add('mat-1')")
    copy.close()
    sees(shop, tab, ("view", "tent-2"), ("view", "tent-2"), ("add", "mat-1"))


def test_an_address_that_is_only_tidied_up_is_the_same_page(shop: Shop, tab: Tab) -> None:
    visits(shop, tab, ITEM, query="?utm_source=mail")
    first = ids(tab)[1]
    tab.run("history.replaceState({}, '', '/p')")
    time.sleep(1.2)
    assert ids(tab)[1] == first

    tab.run("history.pushState({}, '', '/p?page=2')")

    sees(shop, tab, ("view", "tent-2"), ("view", "tent-2"))


def test_in_a_frame_plait_is_silent(shop: Shop, tab: Tab) -> None:
    inner = shop.page("/inner", '<body data-plait-item="inner">', diary=False)
    visits(shop, tab, f'{ITEM}<iframe src="{inner}"></iframe>')
    time.sleep(0.8)

    sees(shop, tab, ("view", "tent-2"))


def test_in_a_frame_plait_measures_where_the_shop_asks_for_that(shop: Shop, tab: Tab) -> None:
    tag = (
        f'<script async src="{shop.server.url}/plait.js" data-key="{shop.server.write}" data-frame></script>'
    )
    inner = shop.page(
        "/framed",
        '<body data-plait-item="inner"><input>' + section("inside", height=100),
        diary=False,
        tag=tag,
    )
    visits(
        shop,
        tab,
        f'{ITEM}{section("outside", height=200)}<iframe src="{inner}" width="600" height="300"></iframe>',
    )
    anonymous, view = ids(tab)
    time.sleep(0.5)
    tab.run("frames[0].document.querySelector('input').focus()")
    time.sleep(1.5)

    sees(shop, tab, ("view", "tent-2"), ("view", "inner"))
    tab.run("plait.flush(); frames[0].plait.flush()")
    shop.server.eventually(lambda: shop.clocks(anonymous).get("inside", Clocks()).visible > 1.5)
    outer = shop.clocks(anonymous, view)[""]
    assert outer.focused == pytest.approx(outer.visible, abs=0.25)  # who types in the frame is on the page


def _silence(seconds: float) -> str:
    rate = 8000
    data = bytes([128]) * int(rate * seconds)
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 1, 1, rate, rate, 1, 8, b"data", len(data))  # fmt: skip
    return "data:audio/wav;base64," + base64.b64encode(head + data).decode()


def test_what_is_played_is_told_in_seconds_also_when_the_page_goes_meanwhile(shop: Shop, tab: Tab) -> None:
    visits(
        shop, tab, f'{ITEM}<audio id="song" src="{_silence(20)}"></audio><audio src="{_silence(1)}"></audio>'
    )
    anonymous, _ = ids(tab)
    tab.run("document.querySelector('#song').play()")
    time.sleep(1)
    tab.run("document.querySelector('#song').pause()")
    time.sleep(1)
    tab.run("Promise.all([...document.querySelectorAll('audio')].map((one) => one.play()))")
    time.sleep(1.5)
    tab.open(shop.page("/elsewhere", "elsewhere", tag=" "))

    def played() -> dict[str, float]:
        found: dict[str, float] = {}
        for one in shop.told(anonymous):
            if one["signal"] == "play":
                name = one["about"].get("section", "")
                found[name] = max(found.get(name, 0), one["value"])
        return found

    shop.server.eventually(lambda: played().get("song", 0) > 2.2)
    assert 2.2 < played()["song"] < 4
    assert 0.8 < played()[""] < 1.6  # the one without a name ended by itself
    assert all(one["about"]["item"] == "tent-2" for one in shop.told(anonymous) if one["signal"] == "play")


RULES = """
[[page]]
url = "/p/{item}"

[[page]]
url = "/c/{topic}"

[[section]]
selector = "#tab-specs"
section = "specs"

[[section]]
selector = ".card"
section = "card"
item = "@data-sku"

[[section]]
selector = "[[["
section = "nonsense"
"""


def test_rules_of_the_operator_name_pages_and_sections_that_nobody_marked(
    own_server: Server, chromium: Chromium
) -> None:
    own_server.data.mkdir(parents=True, exist_ok=True)
    (own_server.data / "signals.toml").write_text(RULES)
    site = Site()
    shop = Shop(own_server.start(), site, chromium)
    tab = chromium.tab(context=chromium.context())
    body = '<main><div id="tab-specs" style="height:200px">words</div><div class="card" data-sku="mat-1" style="height:200px"><button data-plait-track="add">add</button></div></main>'
    visits(shop, tab, body, path="/p/tent-2")
    anonymous, _ = ids(tab)
    time.sleep(1)
    tab.click("button")
    sees(shop, tab, ("view", "tent-2"), ("add", "mat-1"))
    visits(shop, tab, "<main>all</main>", path="/c/tents")
    sees(shop, tab, ("view", "tent-2"), ("add", "mat-1"), ("view", "tents"))

    dwells = [one["about"] for one in shop.told(anonymous) if one["signal"] == "dwell"]
    named = {(one.get("item"), one.get("section")) for one in dwells}
    assert {("tent-2", None), ("tent-2", "specs"), ("mat-1", "card")} <= named
    etag = own_server.ask("GET", "/plait.js", key=None).headers["etag"]
    assert etag != shop_etag(Path(__file__).parents[2])
    tab.close()
    site.close()


def shop_etag(root: Path) -> str:
    """That of a server without rules."""
    import hashlib

    built = (root / "src/plait/http/static/plait.js").read_bytes()
    return f'"{hashlib.sha256(built).hexdigest()[:16]}"'


ROUTER = """<script>
window.draws = (title, item) => { document.title = title; document.querySelector("main").dataset.plaitItem = item;
  document.querySelector("main").innerHTML = '<section data-plait-section="specs" style="height:300px">' + item + "</section>"; };
window.goes = (path, title, item, ms, before = 0) => {
  const move = () => history.pushState({}, "", path), draw = () => draws(title, item);
  if (before) draw();
  move();
  if (!before) ms === null || setTimeout(draw, ms);
};
</script>"""
FIRST = '<main data-plait-item="tent-2"><section data-plait-section="specs" style="height:300px">tent</section></main>'


def _views(shop: Shop, anonymous: str) -> list[tuple[str | None, str]]:
    """What each page view was about, and the title it had, in order of time."""
    found = [one for one in shop.told(anonymous) if one["signal"] == "view"]
    return [
        (one["about"].get("item"), one["context"]["title"])
        for one in sorted(found, key=lambda one: one["at"])
    ]


def _counters(shop: Shop, anonymous: str) -> set[tuple[str, str | None]]:
    """Page views and what their sections and they themselves spent time on."""
    return {
        (one["counter"]["view"], one["about"].get("item"))
        for one in shop.told(anonymous)
        if one["signal"] == "dwell"
    }


@pytest.mark.parametrize(("ms", "before"), [(400, 0), (0, 0), (0, 1)])
def test_within_an_app_a_view_is_of_the_page_that_is_drawn_late_at_once_or_before(
    shop: Shop, tab: Tab, ms: int, before: int
) -> None:
    visits(shop, tab, FIRST, head=ROUTER)
    anonymous, first = ids(tab)
    time.sleep(1)
    tab.run(f"goes('/p/mat-1', 'Mat', 'mat-1', {ms}, {before})")
    second = ids(tab)[1]
    time.sleep(2)
    tab.close()

    shop.server.eventually(lambda: len(_views(shop, anonymous)) == 2)
    assert [item for item, _ in _views(shop, anonymous)] == ["tent-2", "mat-1"]
    assert _views(shop, anonymous)[1][1] == "Mat"
    shop.server.eventually(lambda: "specs" in shop.clocks(anonymous, second))
    # Nothing of the new page view is told of the old page, not even the time before it was drawn.
    assert _counters(shop, anonymous) == {(first, "tent-2"), (second, "mat-1")}
    told = shop.clocks(anonymous, second)
    assert told[""].visible - told["specs"].visible == pytest.approx(ms / 1000, abs=0.35)


def test_a_router_that_draws_nothing_is_believed_after_a_second_and_no_time_is_lost(
    shop: Shop, tab: Tab
) -> None:
    visits(shop, tab, FIRST, head=ROUTER)
    anonymous, _ = ids(tab)
    time.sleep(0.5)
    tab.run("goes('/p/same', '', '', null)")
    second = ids(tab)[1]
    time.sleep(2.5)
    tab.close()

    shop.server.eventually(lambda: len(_views(shop, anonymous)) == 2)
    assert [item for item, _ in _views(shop, anonymous)] == ["tent-2", "tent-2"]
    shop.server.eventually(lambda: "specs" in shop.clocks(anonymous, second))
    assert shop.clocks(anonymous, second)["specs"].visible == pytest.approx(2.5, abs=0.4)


def test_an_address_that_was_left_before_it_was_drawn_is_no_page_view(shop: Shop, tab: Tab) -> None:
    visits(shop, tab, FIRST, head=ROUTER)
    anonymous, _ = ids(tab)
    time.sleep(0.5)
    tab.run("goes('/p/lamp-1', 'Lamp', 'lamp-1', null); goes('/p/mat-1', 'Mat', 'mat-1', 200)")
    time.sleep(1.5)
    tab.close()

    shop.server.eventually(lambda: len(_views(shop, anonymous)) == 2)
    assert [item for item, _ in _views(shop, anonymous)] == ["tent-2", "mat-1"]


def test_a_title_that_counts_messages_is_no_other_page(shop: Shop, tab: Tab) -> None:
    visits(shop, tab, FIRST, head=ROUTER)
    anonymous, _ = ids(tab)
    tab.run("document.title = '(1) ' + document.title")
    time.sleep(1.2)
    tab.run("goes('/p/mat-1', 'Mat', 'mat-1', 600)")
    time.sleep(1.5)
    tab.close()

    shop.server.eventually(lambda: len(_views(shop, anonymous)) == 2)
    assert [item for item, _ in _views(shop, anonymous)] == ["tent-2", "mat-1"]


def test_an_app_that_says_when_it_is_drawn_is_waited_for(shop: Shop, tab: Tab) -> None:
    visits(shop, tab, FIRST, head=ROUTER)
    anonymous, _ = ids(tab)
    tab.run("plait.page(); goes('/p/mat-1', 'Mat', 'mat-1', 4000); setTimeout(() => plait.page(), 4050)")
    time.sleep(1.6)
    assert [item for item, _ in _views(shop, anonymous)] == ["tent-2"]
    tab.until("document.title === 'Mat'")
    time.sleep(0.5)
    tab.close()

    shop.server.eventually(lambda: len(_views(shop, anonymous)) == 2)
    # Their times are corrected by when a report came, so the two may stand in either order.
    assert sorted(item for item, _ in _views(shop, anonymous)) == ["mat-1", "tent-2"]


def test_a_question_from_a_page_that_is_drawn_takes_its_view_along(shop: Shop, tab: Tab) -> None:
    visits(shop, tab, FIRST, head=ROUTER)
    time.sleep(0.5)
    asked = tab.run("""(async () => {
      const plain = fetch, bodies = [];
      window.fetch = (url, more) => (String(url).includes("personalize") && bodies.push(JSON.parse(more.body)), plain(url, more));
      goes("/p/mat-1", "Mat", "mat-1", 0, 1);
      await plait.personalize(["x"]).catch(() => 0);
      return bodies[0].events;
    })()""")

    assert [one["about"]["item"] for one in asked if one["signal"] == "view"][-1:] == ["mat-1"]
