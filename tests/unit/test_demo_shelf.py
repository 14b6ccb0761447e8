"""The demo's shop and its visitors, without a server."""

from __future__ import annotations

import re
from collections import Counter
from xml.etree import ElementTree

import pytest

from plait.catalog import checked_item
from plait.demo import pictures
from plait.demo.details import details
from plait.demo.shelf import items, shelf
from plait.demo.visitors import GUESTS, TASTES, story, telling, visitors

NOW = 1_760_000_000_000


def test_the_shelf_holds_about_two_hundred_products_with_names_of_their_own():
    titles = [one.title for one in shelf().products]

    assert 200 <= len(set(titles)) == len(titles)


def test_everything_on_the_shelf_is_taken_by_the_catalog():
    for number, told in enumerate(items(shelf(), now=NOW)):
        assert checked_item(told, field=f"items[{number}]").id == told["id"]


def test_posts_and_promotions_are_tied_to_what_there_is():
    stock = shelf()
    known = {one.id for one in stock.products} | {
        topic for one in stock.products for topic in stock.topics_of(one)
    }

    assert {name for one in (*stock.posts, *stock.promotions) for name in one.for_} <= known


@pytest.mark.parametrize("one", shelf().products, ids=lambda one: one.id)
def test_every_product_has_a_picture_in_its_colours(one):
    drawn = pictures.product(one.kind, one.colour)
    ElementTree.fromstring(drawn)

    paints = set(re.findall(r'(?:fill|stroke|stop-color)="([^"]+)"', drawn))
    assert all(paint.startswith(("#", "url(#", "none")) for paint in paints)
    assert pictures.COLOURS[one.colour] in paints or one.kind in {"board", "table", "spoon", "dogpack"}


@pytest.mark.parametrize("view", pictures.VIEWS)
@pytest.mark.parametrize("kind", sorted(pictures.kinds()))
def test_every_view_of_a_product_is_a_picture(kind, view):
    drawn = pictures.product(kind, "moss", view, "lake")

    ElementTree.fromstring(drawn)
    assert not re.findall(r'(?:fill|stroke)="(?!#|url\(#|none)[^"]*"', drawn)


@pytest.mark.parametrize("one", shelf().products, ids=lambda one: one.id)
def test_every_product_has_reviews_and_answers_of_its_own(one):
    told = details(one, shelf())

    assert told == details(one, shelf())
    texts = [review.text for review in told.reviews] + [said.answer for said in told.questions]
    assert len(set(texts)) == len(texts) >= 5
    assert not [text for text in texts if "{" in text]
    assert sum(told.spread) == told.ratings
    assert min(told.spread) >= 0
    assert 1 <= told.stars <= 5


def test_what_is_worn_has_sizes_and_a_guide():
    stock = shelf()
    worn = [one for one in stock.products if stock.kinds[one.kind].department in ("Clothing", "Footwear")]
    without = [one.id for one in worn if details(one, stock).guide is None]

    assert {next(p for p in worn if p.id == id).kind for id in without} <= {"tube"}


def test_stories_are_tied_to_what_there_is():
    stock = shelf()
    products = {one.id for one in stock.products}
    topics = {topic for one in stock.products for topic in one.topics}

    assert all(set(one.for_) <= products and set(one.topics) <= topics for one in stock.articles)
    assert all(one.scene in pictures.SCENES for one in stock.articles)


def test_somebody_who_comes_now_comes_now():
    tell = telling(shelf(), seed=3)
    calls = tell(visitors(5, seed=5)[-1], NOW)

    assert calls[0]["timestamp"].startswith("2025-10-09T08:53:20")
    assert calls[0]["messageId"] != telling(shelf(), seed=4)(visitors(5, seed=5)[-1], NOW)[0]["messageId"]


@pytest.mark.parametrize("name", pictures.SCENES)
def test_a_landscape_is_always_drawn_the_same(name):
    first = pictures.scene(name, 3)
    pictures.scene.cache_clear()

    assert pictures.scene(name, 3) == first


def test_the_same_seed_tells_the_same_story():
    first = story(shelf(), visitors(40, seed=5), seed=5, now=NOW)

    assert story(shelf(), visitors(40, seed=5), seed=5, now=NOW) == first


def test_nothing_happens_after_now():
    told = story(shelf(), visitors(200, seed=5), seed=5, now=NOW)

    assert max(event["at"] for event in told.social) < NOW
    assert max(call["timestamp"] for call in told.calls) < "2025-10-09T08:53:21"


def test_every_act_is_told_under_an_id_of_its_own():
    told = story(shelf(), visitors(100, seed=5), seed=5, now=NOW)
    ids = [call["messageId"] for call in told.calls] + [event["id"] for event in told.social]

    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("taste", ["climber", "paddler", "gravel rider", "trail runner"])
def test_people_look_at_what_they_care_about(taste):
    stock = shelf()
    topic = max(TASTES[taste], key=TASTES[taste].__getitem__)
    about = {one.id: topic in one.topics for one in stock.products}
    people = {one.anonymous for one in visitors(600, seed=2) if list(one.tastes) == [taste]}
    told = story(stock, visitors(600, seed=2), seed=2, now=NOW)
    seen = Counter(
        about[call["properties"]["product_id"]]
        for call in told.calls
        if call.get("event") == "Product Viewed" and call["anonymousId"] in people
    )

    # Drawing from the shelf at random would find the topic in one of seven: a sixth of what it does not find.
    assert seen[True] > seen[False]


def test_a_guest_without_visits_is_known_by_likes_alone():
    noor = next(one for one in visitors(0, seed=1) if one.user == "noor")
    told = story(shelf(), visitors(0, seed=1), seed=1, now=NOW)

    assert not [call for call in told.calls if call.get("userId") == "noor"]
    assert len([event for event in told.social if event["who"][0] in noor.accounts]) >= GUESTS[4].social
