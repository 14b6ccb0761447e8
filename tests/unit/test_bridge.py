"""What a fact of a network becomes, and what a post of the company is about."""

from __future__ import annotations

import pytest

from plait.bridge import NOBODY, interest, item_of, ties_of, told_of
from plait.catalog.checks import checked_item
from plait.connectors import Fact, Post
from plait.events import About, Signal
from plait.intake.places import PageRule, Places
from plait.text import Names

SOURCE = "bluesky:shop.example"
ITEMS = [
    {"id": "tarn-2", "title": "Tarn 2 Trekking Tent", "topics": ["camping", "tents"], "url": "/p/tarn-2"},
    {"id": "tarn-3", "title": "Tarn 3 Trekking Tent", "topics": ["camping", "tents"], "url": "/p/tarn-3"},
    {"id": "fleet", "title": "Fleet Trail Running Shoes", "topics": ["trail-running"],
     "url": "https://shop.example/p/fleet", "attributes": {"aliases": ["フリート"]}},
    {"id": "socks", "title": "Diabetes Socks", "topics": ["diabetes", "socks"]},
    {"id": "at://shop/post/1", "kind": "post", "title": "Three nights", "for": ["tarn-2", "camping"]},
]  # fmt: skip
NAMES = Names(
    [checked_item(one, field="item") for one in ITEMS], Places([PageRule(url="https://sho.rt/{item}")])
)


def fact(text=None, signal=Signal.REPLY, **more):
    given = {"id": "at://her/post/9", "at": 1_000, "actor": "bluesky:did:her", "record": "at://her/post/9",
             "about": About(post="at://shop/post/1")}  # fmt: skip
    return Fact(signal=signal, text=text, **(given | more))


def by_about(events):
    return {one.about.item or one.about.topic or one.about.post: one for one in events}


def test_a_like_becomes_itself():
    [event] = told_of(fact(signal=Signal.LIKE), SOURCE, NAMES)

    assert (event.signal, event.about.post, event.value, event.properties) == (
        "like",
        "at://shop/post/1",
        None,
        {},
    )


def test_a_reply_that_praises_a_product_is_interest_in_the_post_and_in_the_product():
    told = by_about(told_of(fact("The Tarn 3 is amazing!"), SOURCE, NAMES))

    assert told.keys() == {"at://shop/post/1", "tarn-3"}
    assert told["tarn-3"].value > 0.8
    assert told["at://shop/post/1"].properties["intent"] == "praise"


def test_of_two_products_one_may_be_praised_and_the_other_blamed():
    told = by_about(told_of(fact("The Tarn 2 is perfect, the Tarn 3 leaks."), SOURCE, NAMES))

    assert told["tarn-2"].value > 0.8
    assert told["tarn-3"].value == 0


def test_a_complaint_is_no_interest_in_anything():
    told = told_of(fact("My Tarn 3 leaked, I want a refund."), SOURCE, NAMES)

    assert [one.value for one in told] == [0, 0]
    assert told[0].properties["intent"] == "complaint"


def test_no_word_of_the_text_goes_on():
    told = told_of(fact("My secret-handshake Tarn 3 leaked near Elbonia, refund!"), SOURCE, NAMES)

    assert "Elbonia" not in repr(told)
    assert "handshake" not in repr(told)


def test_all_that_comes_of_a_record_bears_its_name_so_that_it_can_be_taken_back():
    told = told_of(fact("Tarn 2 and Tarn 3, both great"), SOURCE, NAMES)

    assert {one.record for one in told} == {"at://her/post/9"}
    assert len({one.id for one in told}) == len(told) == 3


def test_the_same_fact_becomes_the_same_events_however_often():
    assert told_of(fact("Tarn 2 is great"), SOURCE, NAMES) == told_of(fact("Tarn 2 is great"), SOURCE, NAMES)


def test_a_link_to_a_products_page_names_it():
    told = by_about(
        told_of(fact("this one!", links=("https://shop.example/p/fleet?utm_source=x",)), SOURCE, NAMES)
    )

    assert told["fleet"].properties["how"] == "link"


def test_what_the_conversation_is_about_is_not_told_twice():
    told = told_of(fact("Tarn 2 is great", about=About(item="tarn-2")), SOURCE, NAMES)

    assert len(told) == 1


def test_taking_back_is_not_read():
    [event] = told_of(fact("Tarn 2 is great", op="retract"), SOURCE, NAMES)

    assert (event.op, event.value, event.properties) == ("retract", None, {})


def test_without_names_the_mood_is_read_all_the_same():
    [event] = told_of(fact("wonderful, I love it"), SOURCE)

    assert event.properties["sentiment"] > 0.5
    assert len(NOBODY) == 0


@pytest.mark.parametrize(
    ("sentiment", "intent", "shown"),
    [
        (0.9, "praise", 0.95),
        (0.0, "question", 0.5),
        (-0.5, None, 0.0),
        (0.9, "complaint", 0.0),
        (0.0, "purchase", 1.0),
    ],
)
def test_how_much_interest_a_text_shows(sentiment, intent, shown):
    assert interest(sentiment, intent) == shown


def tied(**post):
    given = {"id": "p", "at": 1} | post
    return {one.to: (one.confidence, one.how) for one in ties_of(Post(**given), NAMES)}


def test_a_post_is_tied_by_link_tag_hashtag_and_name():
    told = tied(
        text="The Tarn 3, at last", links=("https://shop.example/p/fleet?utm_campaign=may#x",), products=("tarn-2",),
        tags=("TrailRunning",),
    )  # fmt: skip

    assert told == {
        "item:fleet": (0.98, "link"), "item:tarn-2": (0.98, "product tag"), "topic:trail-running": (0.8, "hashtag"),
        "item:tarn-3": (0.95, "name"),
    }  # fmt: skip


@pytest.mark.parametrize(
    "link",
    ["https://shop.example/p/fleet", "http://shop.example/p/fleet/", "https://shop.example/p/fleet?utm_source=a&gclid=b",
     "https://sho.rt/fleet"],
)  # fmt: skip
def test_links_to_one_page_are_one(link):
    assert tied(links=(link,)) == {"item:fleet": (0.98, "link")}


@pytest.mark.parametrize(
    "link", ["https://sho.rt/unknown", "javascript:alert(1)", "https://[::1", "", "/p/none", "x" * 9_999]
)
def test_a_link_that_leads_to_no_item_ties_nothing(link):
    assert tied(links=(link,)) == {}


def test_an_alias_in_another_script_ties():
    assert tied(text="新しいフリートです") == {"item:fleet": (0.95, "name")}


@pytest.mark.parametrize("tag", ["diabetes", "Diabetes", "#diabetes"])
def test_a_special_category_is_no_tie_by_hashtag_or_name(tag):
    assert tied(text=f"for people with {tag}", tags=(tag,)) == {}


def test_a_post_as_the_catalog_takes_it_passes_the_catalogs_own_door():
    item = item_of(Post(id="at://p", at=5, text="The Tarn 3\n at last", url="javascript:x"), SOURCE, NAMES)

    told = checked_item(item, field="item")
    assert (told.kind, told.title, told.url, told.published) == ("post", "The Tarn 3 at last", None, 5)
    assert [one.to for one in told.tied()] == ["item:tarn-3"]


def test_who_blames_below_a_post_about_a_product_complains():
    [event] = told_of(fact("Mine broke after a week, awful."), SOURCE, NAMES)

    assert (event.value, event.properties["intent"]) == (0, "complaint")


def test_who_blames_the_weather_complains_of_nothing():
    [event] = told_of(fact("Awful, cold and wet up there today", about=About()), SOURCE, NAMES)

    assert "intent" not in event.properties


def test_ids_as_long_as_they_may_be_stay_apart():
    told = told_of(fact("Tarn 2 and Tarn 3, both great", id="x" * 256), SOURCE, NAMES)
    other = told_of(fact("Tarn 2 and Tarn 3, both great", id="x" * 255 + "y"), SOURCE, NAMES)

    assert len({one.id for one in (*told, *other)}) == 6
    assert max(len(one.id) for one in told) <= 256
