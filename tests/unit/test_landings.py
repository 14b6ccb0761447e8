"""Which post brought somebody to the site."""

from __future__ import annotations

import msgspec
import pytest

from plait.errors import Rejected
from plait.events import Record
from plait.intake.records import events_of
from plait.intake.signals import compile_signals, load_signals

SHOP = "https://shop.example"


def page(url, signals=None, **context):
    call = {"type": "page", "messageId": "m", "anonymousId": "a", "context": {"page": {"url": url}} | context}
    return of(call, signals)


def of(call, signals=None):
    record = Record(
        kind="segment",
        source="web",
        received_at=1_750_000_000_000,
        body=msgspec.json.encode({"batch": [call]}),
    )
    return events_of(record, signals or load_signals())[0]


def test_a_visit_by_a_posts_link_is_about_the_post():
    event = page(f"{SHOP}/?utm_source=bluesky&utm_medium=social&utm_content=post-7&utm_campaign=may")

    assert event.about.post == "post-7"
    assert event.properties["landing"] == {"network": "bluesky", "post": "post-7", "campaign": "may"}


def test_the_page_of_an_item_is_about_the_item_and_the_post():
    signals = compile_signals(
        [("own", '[[page]]\nurl = "/p/{item}"\n[[landing]]\nquery = {from = "*"}\npost = "{from}"\n')]
    )
    event = page(f"{SHOP}/p/tent?from=post-7", signals)

    assert (event.about.item, event.about.post) == ("tent", "post-7")


def test_a_rule_spells_a_networks_long_name_of_a_post():
    rule = '[[landing]]\nquery = {utm_source = "bluesky", utm_content = "*"}\npost = "at://did:plc:shop/app.bsky.feed.post/{utm_content}"\nnetwork = "bluesky"\n'
    event = page(f"{SHOP}/?utm_source=Bluesky&utm_content=3kx", compile_signals([("own", rule)]))

    assert event.about.post == "at://did:plc:shop/app.bsky.feed.post/3kx"


def test_what_a_network_knows_people_by_is_let_go():
    event = page(f"{SHOP}/?fbclid=IwAR-whoever")

    assert event.properties["landing"] == {"network": "facebook"}
    assert event.about.post is None
    assert "whoever" not in repr((event.about, event.properties))


def test_a_campaign_of_the_segment_protocol_says_the_same():
    campaign = {"source": "mastodon", "medium": "social", "content": "110", "name": "spring"}
    event = page(f"{SHOP}/", campaign=campaign)

    assert (event.about.post, event.properties["landing"]["network"]) == ("110", "mastodon")


def test_an_event_in_our_own_words_lands_likewise():
    told = {
        "id": "1",
        "signal": "view",
        "who": ["anonymous:a"],
        "about": {"url": f"{SHOP}/?plait_post=p1&a=b"},
    }
    record = Record(
        kind="events", source="web", received_at=1_750_000_000_000, body=msgspec.json.encode([told])
    )
    [event] = events_of(record, load_signals())

    assert (event.about.post, event.about.url) == ("p1", f"{SHOP}/?plait_post=p1&a=b")


def test_nobody_is_known_by_where_they_came_from():
    assert page(f"{SHOP}/?plait_post=p1&fbclid=x").who == ("anonymous:a",)


def test_only_views_land():
    call = {"type": "track", "event": "Product Added", "messageId": "m", "anonymousId": "a",
            "properties": {"product_id": "tent"}, "context": {"page": {"url": f"{SHOP}/?plait_post=p1"}}}  # fmt: skip

    assert of(call).about.post is None


def test_a_landing_that_a_sender_claims_is_not_one():
    call = {
        "type": "page",
        "messageId": "m",
        "anonymousId": "a",
        "properties": {"landing": {"post": "p9"}, "url": f"{SHOP}/"},
    }

    assert of(call).about.post is None


@pytest.mark.parametrize(
    "url",
    [
        "?plait_post=",
        "?plait_post=%00%01",
        "?" + "a=b&" * 500 + "plait_post=p",
        "?utm_medium=email&utm_content=x",
        "/%%%?=&&&",
        "?",
    ],
)
def test_what_is_no_landing_is_an_ordinary_visit(url):
    assert page(f"{SHOP}/{url}").about.post is None


@pytest.mark.parametrize("url", ["https://[broken/?plait_post=p", f"{SHOP}/?plait_post=" + "é" * 9_999])
def test_a_broken_or_endless_address_breaks_nothing(url):
    assert len(page(url).about.post or "") <= 256


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("query = {}\npost = 'p'", "fits every address"),
        ("query = {a = '*'}", "post or network"),
        ("query = {a = '*'}\npost = '{b}'", "{b} is not in"),
        ("query = {a = 1}\npost = 'p'", "Expected `str`"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused_with_its_line(rule, why):
    with pytest.raises(Rejected, match=r"signals\.toml, line") as caught:
        compile_signals([("signals.toml", f"[[landing]]\n{rule}\n")])

    assert why in caught.value.message
