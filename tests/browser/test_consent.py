"""Who says no is not collected, whichever way they say it; and what is kept on the device."""

from __future__ import annotations

import time

import pytest
from tests.browser.chromium import Tab
from tests.browser.conftest import Shop, ids, section
from tests.browser.test_acts import ITEM, sees, visits

pytestmark = pytest.mark.usefixtures("shop")


def kept(tab: Tab) -> tuple[str, int, int]:
    databases = "indexedDB.databases().then((all) => all.length)"
    return tab.run("document.cookie"), tab.run("localStorage.length"), tab.run(databases)


def test_nothing_is_kept_or_sent_before_consent_is_given(shop: Shop, tab: Tab) -> None:
    visits(shop, tab, ITEM + section("specs"), tag='data-consent="required"')
    before = ids(tab)[0]
    tab.run("plait.add('mat-1'); plait.flush()")
    time.sleep(1.5)

    assert kept(tab) == ("", 0, 0)
    assert shop.server.profile(f"anonymous:{before}") is None

    tab.run("plait.consent({collect: true})")

    sees(shop, tab, ("view", "tent-2"), ("consent", ""))
    assert "plait=" in kept(tab)[0]


def test_a_no_ends_it_and_takes_everything_off_the_device(shop: Shop, tab: Tab) -> None:
    visits(shop, tab, ITEM + section("specs"))
    anonymous, _ = ids(tab)
    time.sleep(1.2)
    tab.run("plait.consent({collect: false})")
    tab.run("plait.add('mat-1')")
    time.sleep(1.5)

    assert shop.server.profile(f"anonymous:{anonymous}")["consents"]["collect"] is False
    assert [one for one in shop.told(anonymous) if one["signal"] == "add"] == []
    assert anonymous not in kept(tab)[0]
    assert kept(tab)[1] == 0

    tab.open(shop.site.url + "/p")  # and the next page knows
    tab.until("typeof plait === 'function' && !!plait.ids")
    other, _ = ids(tab)
    time.sleep(1.2)
    assert shop.server.profile(f"anonymous:{other}") is None


def test_consent_of_a_banner_is_heard(shop: Shop, tab: Tab) -> None:
    mode = "<script>dataLayer = []; function gtag() { dataLayer.push(arguments) } gtag('consent', 'default', {analytics_storage: 'denied'})</script>"
    visits(shop, tab, ITEM, head=mode)
    before, _ = ids(tab)
    time.sleep(0.8)
    assert shop.told(before) == []

    tab.run("gtag('consent', 'update', {analytics_storage: 'granted', ad_personalization: 'denied'})")

    shop.server.eventually(lambda: shop.told(ids(tab)[0]))
    assert shop.server.profile(f"anonymous:{ids(tab)[0]}")["consents"]["personalize"] is False


def test_without_cookies_nothing_is_kept(shop: Shop, tab: Tab) -> None:
    visits(shop, tab, ITEM, tag="data-cookieless")
    first, _ = ids(tab)

    sees(shop, tab, ("view", "tent-2"))
    assert kept(tab) == ("", 0, 0)
    tab.open(shop.site.url + "/p")
    assert ids(tab)[0] != first


def test_a_change_of_mind_counts_on_the_same_page(shop: Shop, tab: Tab) -> None:
    visits(shop, tab, ITEM)
    tab.run("plait.consent({collect: false}); plait.consent({collect: true}); plait.add('mat-1')")
    time.sleep(5.5)  # what was asked to end then must not

    sees(shop, tab, ("view", "tent-2"), ("consent", ""), ("add", "mat-1"))
    assert ids(tab)[0] in kept(tab)[0]


def test_global_privacy_control_is_told_to_the_server_and_not_overruled(shop: Shop, tab: Tab) -> None:
    control = "<script>Object.defineProperty(navigator, 'globalPrivacyControl', {value: true})</script>"
    visits(shop, tab, ITEM, head=control)
    anonymous, _ = ids(tab)
    tab.run("plait.consent({link: true, personalize: true})")

    sees(shop, tab, ("view", "tent-2"), ("consent", ""), ("consent", ""))
    said = shop.server.profile(f"anonymous:{anonymous}")["consents"]  # type: ignore[index]
    assert said == {"link": False, "social": False, "personalize": True, "collect": True}

    tab.open(shop.site.url + "/p")
    ids(tab)
    sees(shop, tab, *[("view", "tent-2")] * 2, *[("consent", "")] * 2)  # it is said once


MODE = "<script>dataLayer = []; function gtag() { dataLayer.push(arguments) } gtag('consent', 'default', {analytics_storage: 'denied', ad_personalization: 'denied'})</script>"


def test_the_default_of_consent_mode_takes_no_consent_back(shop: Shop, tab: Tab) -> None:
    visits(shop, tab, ITEM, head=MODE)
    assert kept(tab) == ("", 0, 0)
    tab.run("gtag('consent', 'update', {analytics_storage: 'granted', ad_personalization: 'granted'})")
    anonymous, _ = ids(tab)

    tab.open(shop.site.url + "/p")  # where the default is said again, before the banner knows better

    assert ids(tab)[0] == anonymous
    said = shop.server.eventually(lambda: shop.server.profile(f"anonymous:{anonymous}"))["consents"]
    assert (said["collect"], said["personalize"]) == (True, True)


TCF = """<script>window.__tcfapi = (command, version, hear) => { window.banner = (status, ...given) =>
  hear({gdprApplies: true, eventStatus: status, purpose: {consents: Object.fromEntries(given.map((one) => [one, true]))}}, true); banner('cmpuishown') }</script>"""


def test_a_banner_of_the_tcf_is_waited_for_and_heard(shop: Shop, tab: Tab) -> None:
    visits(shop, tab, ITEM + section("specs"), head=TCF)
    tab.run("plait.add('mat-1')")
    time.sleep(1.2)
    assert kept(tab) == ("", 0, 0)

    tab.run("banner('useractioncomplete', 1, 8)")

    sees(shop, tab, ("view", "tent-2"), ("consent", ""))
    said = shop.server.profile(f"anonymous:{ids(tab)[0]}")["consents"]  # type: ignore[index]
    assert (said["collect"], said["personalize"]) == (True, False)


def test_a_banner_that_comes_after_plait_is_heard(shop: Shop, tab: Tab) -> None:
    visits(shop, tab, ITEM)
    anonymous, _ = ids(tab)
    tab.run(TCF.removeprefix("<script>").removesuffix("</script>").replace("banner('cmpuishown')", ""))
    tab.until("typeof banner === 'function'")

    tab.run("banner('tcloaded')")

    shop.server.eventually(
        lambda: (
            (shop.server.profile(f"anonymous:{anonymous}") or {"consents": {}})["consents"].get("collect")
            is False
        )
    )
    assert anonymous not in kept(tab)[0]


def test_what_another_tab_decided_holds_in_this_one_when_it_comes_to_the_front(shop: Shop, tab: Tab) -> None:
    visits(shop, tab, ITEM)
    first, _ = ids(tab)
    context = tab.call("Target.getTargetInfo")["targetInfo"]["browserContextId"]
    other = shop.browser.tab(shop.site.url + "/p", context=context)
    ids(other)
    other.run("plait.reset()")
    fresh, _ = ids(other)
    tab.front()
    tab.until(f"plait.ids().anonymous === '{fresh}'")

    other.front()
    other.run("plait.consent({collect: false})")
    tab.front()
    time.sleep(0.3)
    tab.run("plait.add('mat-1'); plait.flush()")
    time.sleep(1)

    assert first != fresh
    assert [one for one in shop.told(first) + shop.told(fresh) if one["signal"] == "add"] == []
    assert tab.errors == []
