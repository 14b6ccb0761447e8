"""Whatever is wrong with the page, the browser or the line: the page stays whole, and what can be known is."""

from __future__ import annotations

import time

import httpx
import pytest
from tests.browser.chromium import Tab
from tests.browser.conftest import Clocks, Shop, ids, script_ms, section
from tests.browser.test_acts import ITEM, sees, visits


def looked(shop: Shop, tab: Tab, name: str, least: float) -> Clocks:
    """What Plait has of a section, once it is at least so many seconds."""
    anonymous, _ = ids(tab)
    tab.run("plait.flush()")
    shop.server.eventually(lambda: shop.clocks(anonymous).get(name, Clocks()).visible >= least)
    return shop.clocks(anonymous)[name]


def test_a_page_of_ten_thousand_sections_does_not_stop(shop: Shop, tab: Tab) -> None:
    tab.call("Performance.enable", timeDomain="threadTicks")
    visits(shop, tab, ITEM + "".join(f'<p data-plait-section="s{n}">{n}</p>' for n in range(10_000)))
    time.sleep(1.5)
    assert looked(shop, tab, "s0", 0.5).visible > 0.5

    before = script_ms(tab)
    for step in range(10):
        tab.run(f"scrollTo(0, {step * 400})")
        time.sleep(0.1)
    tab.run("document.body.append(document.createElement('p'))")
    time.sleep(0.5)

    assert script_ms(tab) - before < 200  # a second and a half of scrolling, and a look at all ten thousand
    assert (
        len({one["about"].get("section") for one in shop.told(ids(tab)[0]) if one["signal"] == "dwell"}) < 200
    )
    assert tab.errors == []


def test_what_has_no_size_is_not_seen(shop: Shop, tab: Tab) -> None:
    visits(
        shop,
        tab,
        section("flat", height=0) + section("there") + '<div data-plait-section="hidden" hidden>x</div>',
    )
    time.sleep(1)
    looked(shop, tab, "there", 0.5)

    assert shop.clocks(ids(tab)[0]).keys() == {"", "there"}


def test_sections_within_a_shadow_are_seen(shop: Shop, tab: Tab) -> None:
    script = "<script>document.querySelector('#host').attachShadow({mode: 'open'}).innerHTML = '<p data-plait-section=inside>in the shadow</p>'</script>"
    visits(shop, tab, f'{ITEM}<div id="host" data-plait-shadow></div>{script}')
    time.sleep(1)

    assert looked(shop, tab, "inside", 0.5).visible > 0.5


def test_sections_that_come_later_are_seen_and_those_that_go_are_not(shop: Shop, tab: Tab) -> None:
    visits(shop, tab, ITEM + section("first", height=200))
    tab.run("document.body.insertAdjacentHTML('beforeend', '<p data-plait-section=late>late</p>')")
    time.sleep(1)
    tab.run("document.querySelector('[data-plait-section=first]').remove()")
    time.sleep(1.5)

    late = looked(shop, tab, "late", 2)
    assert looked(shop, tab, "first", 0.5).visible < late.visible - 0.8


def test_sections_that_overlap_are_each_seen_and_share_the_attention(shop: Shop, tab: Tab) -> None:
    over = "position:absolute;left:0;top:{}px;width:600px;height:200px"
    visits(
        shop, tab,
        "<body style='min-height:700px'>" + "".join(f'<section data-plait-section="{name}" style="{over.format(top)}">{"word " * 300}</section>' for name, top in (("under", 100), ("above", 160))),
    )  # fmt: skip
    time.sleep(2)

    looked(shop, tab, "above", 1.5)
    clocks = shop.clocks(ids(tab)[0])
    above, under = clocks["above"], clocks["under"]
    assert above.visible == pytest.approx(under.visible, abs=0.1)
    assert above.attention == pytest.approx(under.attention, abs=0.1)
    assert above.attention + under.attention < above.visible + 0.1


def test_a_section_that_is_filled_later_is_read_as_long_as_it_takes_then(shop: Shop, tab: Tab) -> None:
    visits(shop, tab, ITEM + section("reviews", words=2))
    anonymous, _ = ids(tab)
    tab.run("document.querySelector('[data-plait-section]').append('word '.repeat(400))")
    time.sleep(1)
    looked(shop, tab, "reviews", 0.5)

    (told,) = [
        one["properties"]["expected"]
        for one in shop.told(anonymous)
        if one["signal"] == "dwell" and one["about"].get("section")
    ][-1:]
    assert told > 100  # a quarter of a second for each word


def test_a_clock_that_is_wrong_and_jumps_changes_nothing(shop: Shop, tab: Tab) -> None:
    year_ahead = (
        "<script>const now = Date.now; let ahead = 366 * 864e5; Date.now = () => now() + ahead</script>"
    )
    visits(shop, tab, ITEM + section("specs"), head=year_ahead)
    time.sleep(1)
    tab.run("ahead = -5 * 366 * 864e5")
    time.sleep(1)

    assert 1.5 < looked(shop, tab, "specs", 1.5).visible < 4
    anonymous, _ = ids(tab)
    now = time.time() * 1000
    for one in shop.told(anonymous):
        assert abs(one["at"] - now) < 60_000
        if "counter" in one:
            assert abs(one["counter"]["started_at"] - now) < 11 * 60_000


def test_storage_that_throws_is_done_without(shop: Shop, tab: Tab) -> None:
    blocked = """<script>
      for (const [owner, name] of [[window, "localStorage"], [window, "indexedDB"], [Document.prototype, "cookie"]])
        Object.defineProperty(owner, name, { get() { throw new Error("no") }, set() { throw new Error("no") } });
    </script>"""
    visits(shop, tab, ITEM + section("specs"), head=blocked)
    time.sleep(1)

    assert looked(shop, tab, "specs", 0.5).visible > 0.5
    assert tab.errors == []


def test_a_wrong_key_is_told_once_and_ends_it(shop: Shop, tab: Tab) -> None:
    tag = f'<script async src="{shop.server.url}/plait.js" data-key="nobodys"></script>'
    tab.open(shop.page("/wrong", ITEM + "<h1>whole</h1>", tag=tag, diary=False))
    ids(tab)
    tab.run(
        "window.asked = 0; const plain = fetch; window.fetch = (...told) => { asked++; return plain(...told) }"
    )
    tab.run("plait.flush()")
    time.sleep(1)
    tab.run("asked = 0; plait.add('mat-1'); plait.flush()")
    time.sleep(1)

    assert tab.run("asked") == 0
    assert tab.run("document.querySelector('h1').textContent") == "whole"
    assert tab.errors == []


def test_a_server_that_is_down_leaves_the_page_whole_and_is_told_when_it_is_back(
    shop: Shop, tab: Tab
) -> None:
    visits(shop, tab, ITEM)
    anonymous, _ = ids(tab)
    tab.call("Network.enable")
    tab.call(
        "Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0
    )
    tab.run("plait.add('mat-1')")
    time.sleep(1)
    assert tab.run("plait.personalize(['home.hero']).catch(() => 'no answer')") == "no answer"
    tab.call(
        "Network.emulateNetworkConditions",
        offline=False,
        latency=0,
        downloadThroughput=-1,
        uploadThroughput=-1,
    )

    shop.server.eventually(lambda: [one["signal"] for one in shop.told(anonymous)].count("add") == 1)
    assert tab.errors == []


def test_a_page_whose_script_is_blocked_stays_whole(shop: Shop, tab: Tab) -> None:
    tab.call("Network.enable")
    tab.call("Network.setBlockedURLs", urls=["*plait.js*"])
    stub = "<script>window.plait = window.plait || function () { (plait.q = plait.q || []).push(arguments) }</script>"
    body = (
        ITEM
        + '<plait-placement id="home.hero"><template><p data-field="title"></p></template>Our best</plait-placement>'
    )
    tab.open(shop.page("/blocked", body, head=stub, diary=False))
    tab.run("plait('add', 'mat-1')")

    assert tab.run("document.querySelector('plait-placement').innerText") == "Our best"
    assert tab.errors == []


def test_the_strictest_policy_of_a_page_is_kept(shop: Shop, tab: Tab) -> None:
    here = shop.server.url
    shop.site.headers["/strict"] = {
        "Content-Security-Policy": f"default-src 'none'; script-src {here}; connect-src {here}; require-trusted-types-for 'script'; trusted-types 'none'"
    }
    body = '<main data-plait-item="tent-2"><plait-placement id="home.hero"><template><p data-field="item"></p></template></plait-placement><p data-plait-section="specs">specs</p></main>'
    visits(shop, tab, body, path="/strict")
    time.sleep(1)

    assert looked(shop, tab, "specs", 0.5).visible > 0.5
    assert tab.errors == []


def test_a_call_that_cannot_be_sent_costs_no_other(shop: Shop, tab: Tab) -> None:
    visits(shop, tab, ITEM)
    tab.run(
        "const round = {}; round.round = round; plait.track('add', {properties: round}); plait('identify', 'ada', round); 0"
    )
    tab.run(
        "plait.track('add', {properties: {big: 10n}}); plait.personalize().catch(() => 0); plait.identify({id: 42}); 0"
    )
    tab.run("const box = {name: 'red'}; plait.add('mat-1', {properties: box}); box.name = 'blue'; 0")

    found = sees(shop, tab, ("view", "tent-2"), ("add", "mat-1"))
    assert next(one for one in found if one["signal"] == "add")["properties"]["name"] == "red"


def test_an_event_that_is_too_large_costs_no_other(shop: Shop, tab: Tab) -> None:
    visits(shop, tab, ITEM)
    tab.run(
        "plait.add('mat-1'); plait.add('mat-2', {properties: {picture: 'x'.repeat(600_000)}}); plait.add('mat-3'); 0"
    )

    sees(shop, tab, ("view", "tent-2"), ("add", "mat-1"), ("add", "mat-3"))


def test_what_the_server_refuses_costs_no_other(shop: Shop, tab: Tab) -> None:
    body = f"{ITEM}<button data-plait-track='add' data-plait-value='12 EUR'>add</button>"
    visits(shop, tab, body)
    tab.run(
        "plait.track('like', {about: {post: 'p'}}); plait.track('no-such-thing'); plait.search('x'.repeat(3000)); 0"
    )
    tab.click("button")

    found = sees(shop, tab, ("view", "tent-2"), ("add", "tent-2"))
    assert all(one.get("value") is None for one in found)


def test_a_form_within_a_shadow_is_sent_and_not_given_up(shop: Shop, tab: Tab) -> None:
    script = "<script>document.querySelector('#host').attachShadow({mode: 'open'}).innerHTML = '<form name=inner><input name=mail><button>send</button></form>'; document.querySelector('#host').shadowRoot.addEventListener('submit', (event) => event.preventDefault())</script>"
    visits(shop, tab, f'{ITEM}<div id="host"></div>{script}')
    anonymous, _ = ids(tab)
    tab.run("document.querySelector('#host').shadowRoot.querySelector('input').focus()")
    tab.key("a")
    tab.run("document.querySelector('#host').shadowRoot.querySelector('button').click()")
    sees(shop, tab, ("view", "tent-2"), ("form_start", "tent-2"), ("form_submit", "tent-2"))
    tab.open(shop.page("/elsewhere", "elsewhere", tag=" ", diary=False))
    time.sleep(0.5)

    forms = [one["properties"]["form"] for one in shop.told(anonymous) if one["signal"].startswith("form_")]
    assert forms == ["inner", "inner"]


def test_two_tags_of_one_page_are_one(shop: Shop, tab: Tab) -> None:
    again = f'<script src="{shop.server.url}/plait.js" data-key="{shop.server.write}"></script>'
    visits(shop, tab, f'{ITEM}{again}<button data-plait-track="add">add</button>', head=again)
    tab.click("button")

    sees(shop, tab, ("view", "tent-2"), ("add", "tent-2"))


def test_what_others_wrote_where_plait_keeps_things_does_no_harm(shop: Shop, tab: Tab) -> None:
    junk = "<script>document.cookie = 'plait=%E0%A4%A'; localStorage.setItem('plait', 'NaN'); indexedDB.open('plaitKEY', 7)</script>"
    junk = junk.replace("KEY", shop.server.write)  # a version that is not ours: it cannot be opened
    visits(shop, tab, ITEM, head=junk)
    first, _ = ids(tab)
    tab.open(shop.site.url + "/p")

    found = sees(shop, tab, ("view", "tent-2"))
    assert all(one["context"]["seq"] >= 1 for one in found)
    assert ids(tab)[0] != first  # the page wrote its junk again, and that is nobody


def test_a_page_with_an_endless_address_is_told(shop: Shop, tab: Tab) -> None:
    visits(shop, tab, section("specs"), query="?" + "&".join(f"f{n}=0123456789" for n in range(300)))

    (view,) = sees(shop, tab, ("view", ""))
    assert len(view["about"]["url"]) <= 1024


# -- a page that answers -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stocked(shop: Shop) -> Shop:
    items = [
        {
            "id": f"t-{n}",
            "title": f"Tent <b>{n}</b>",
            "url": f"https://shop.example/t-{n}",
            "price": 100 + n,
            "topics": ["tents"],
        }
        for n in range(30)
    ]
    items.append({"id": "trap", "title": "Trap", "topics": ["tents"], "price": 1})
    assert shop.server.ask("POST", "/v1/items", {"items": items}).status_code == 200
    return shop


SLOTS = """<body><style>article {{ height: 60px }} plait-placement {{ display: block; min-height: 60px }} #home\\.grid {{ min-height: 360px }}</style>
<plait-placement id="home.hero"><template><article><a data-href="url" data-field="title"></a></article></template></plait-placement>
<plait-placement id="home.grid" n="6" {more}><template><article><a data-href="url" data-field="title"></a><i data-field="why"></i></article></template></plait-placement>
<p id="below">below</p>"""


def test_slots_fill_themselves_as_text_with_no_item_twice_and_nothing_moves(stocked: Shop, tab: Tab) -> None:
    watch = "<script>window.shifts = 0; new PerformanceObserver((list) => list.getEntries().forEach((one) => shifts += one.value)).observe({type: 'layout-shift', buffered: true})</script>"
    visits(stocked, tab, SLOTS.format(more=""), head=watch, path="/home")
    tab.until("document.querySelectorAll('[data-plait-item]').length === 7")
    time.sleep(0.3)

    titles = tab.run("[...document.querySelectorAll('article a')].map((one) => one.textContent)")
    assert len(set(titles)) == 7
    assert all(one.startswith("Tent <b>") for one in titles if one != "Trap")
    assert tab.run("document.querySelectorAll('article b').length") == 0
    assert tab.run("shifts") == 0
    assert tab.errors == []


def test_what_was_shown_for_a_second_is_told_once_with_its_decision(stocked: Shop, tab: Tab) -> None:
    visits(stocked, tab, SLOTS.format(more="") + "<div style='height:3000px'></div>", path="/home2")
    tab.until("document.querySelectorAll('[data-plait-item]').length === 7")
    anonymous, _ = ids(tab)
    time.sleep(0.5)
    assert [one for one in stocked.told(anonymous) if one["signal"] == "shown"] == []  # not for a second yet
    time.sleep(1.5)
    tab.run("plait.flush()")

    stocked.server.eventually(
        lambda: len([one for one in stocked.told(anonymous) if one["signal"] == "shown"]) == 7
    )
    shown = [one for one in stocked.told(anonymous) if one["signal"] == "shown"]
    assert len({one["about"]["item"] for one in shown}) == 7
    assert all(one["decision"].startswith("d_") for one in shown)


def test_what_was_just_read_counts_in_the_next_answer(stocked: Shop, tab: Tab) -> None:
    visits(stocked, tab, "<main>home</main>", path="/plain")
    before = tab.run("plait.personalize([{id: 'home.grid', n: 6}], {explain: true})")
    assert {
        cause["signal"] for one in before["placements"]["home.grid"]["items"] for cause in one["because"]
    } == {"trending"}

    tab.run("plait.add('t-7'); plait.track('dwell', {about: {item: 't-7', section: 'specs'}, value: 40})")
    after = tab.run("plait.personalize([{id: 'home.grid', n: 6}], {explain: true})")

    causes = [cause for one in after["placements"]["home.grid"]["items"] for cause in one["because"]]
    assert "t-7" in {(cause.get("about") or "").partition("#")[0] for cause in causes}
    anonymous, _ = ids(tab)
    time.sleep(1)
    assert [one["signal"] for one in stocked.told(anonymous)].count("add") == 1


def test_a_slot_for_a_known_person_carries_the_token_of_the_shops_server(stocked: Shop, tab: Tab) -> None:
    from plait.keys import Keys

    stocked.server.ask(
        "POST",
        "/v1/events",
        [{"signal": "purchase", "who": ["user:ada-of-the-slots"], "about": {"item": "t-3"}, "id": "p1"}],
    )
    stocked.server.eventually(lambda: stocked.server.profile("user:ada-of-the-slots"))
    token = Keys(write=stocked.server.write, secret=stocked.server.secret, pepper="").token(
        "user:ada-of-the-slots", int(time.time() * 1000) + 60_000
    )
    visits(stocked, tab, SLOTS.format(more=f'data-token="{token}"'), path="/mine")
    tab.until("document.querySelectorAll('[data-plait-item]').length === 7")

    assert tab.run("document.querySelectorAll('[data-plait-item=t-3]').length") == 0  # bought already
    assert "t-3" in "".join(tab.run("[...document.querySelectorAll('i')].map((one) => one.title)"))


# -- what the server hands out and counts ------------------------------------------------------------------


def test_the_script_is_kept_for_ever_under_its_version_and_asked_for_again_without(shop: Shop) -> None:
    first = shop.server.ask("GET", "/plait.js", key=None)
    version = first.headers["etag"].strip('"')

    assert first.headers["content-encoding"] == "gzip"
    assert "immutable" not in first.headers["cache-control"]
    assert "immutable" in shop.server.ask("GET", f"/plait.js?v={version}", key=None).headers["cache-control"]
    assert "immutable" not in shop.server.ask("GET", "/plait.js?v=old", key=None).headers["cache-control"]
    again = shop.server.ask("GET", "/plait.js", key=None, headers={"if-none-match": f'"{version}"'})
    assert (again.status_code, again.content) == (304, b"")


def test_events_that_never_arrived_are_told_in_the_metrics(own_server) -> None:  # type: ignore[no-untyped-def]
    server = own_server.start()
    for numbers in ([1, 2], [5], [4], [5]):
        events = [
            {"id": f"e{n}", "signal": "view", "who": ["anonymous:a1"], "context": {"seq": n}} for n in numbers
        ]
        answer = httpx.post(
            f"{server.url}/v1/events",
            content=_plain({"writeKey": server.write, "events": events}),
            headers={"content-type": "text/plain"},
            trust_env=False,
        )
        assert answer.status_code == 200, answer.text

    told = server.ask("GET", "/metrics").text
    assert "plait_numbered_events 5.0" in told
    assert "plait_missing_events 1.0" in told


def _plain(told: object) -> bytes:
    import json

    return json.dumps(told).encode()
