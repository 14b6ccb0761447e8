"""What a post is tied to: told, read, or said by a person; and what that makes of an act on it."""

from __future__ import annotations

import pytest

from plait.catalog import Catalog, fold_items
from plait.catalog.checks import checked_item
from plait.catalog.items import Item, Tie
from plait.errors import Rejected
from plait.events import Record
from plait.models.meaning import Meanings

TENT, BOOT = Item(id="tent", topics=("tents",)), Item(id="boot", topics=("boots",))


def post(**more):
    return Item(id="p", kind="post", **more)


def tied(item):
    return [(one.to, one.confidence, one.how) for one in item.tied()]


def shares(item):
    catalog = Catalog([TENT, BOOT, item])
    meaning = Meanings(catalog).of("post", "p")
    return dict(zip((catalog.ids[row] for row in meaning.rows), meaning.shares, strict=True))


def test_a_person_has_the_last_word():
    item = post(
        for_=("tent",),
        ties=(Tie("item:boot", 0.6, "name"),),
        confirmed={"item:tent": False, "item:boot": True},
    )

    assert tied(item) == [("item:boot", 1.0, "person")]


def test_what_is_told_is_surer_than_what_is_read():
    item = post(for_=("tent",), ties=(Tie("item:boot", 0.6, "name"), Tie("topic:tents", 0.8, "hashtag")))

    assert tied(item) == [("tent", 1.0, "told"), ("topic:tents", 0.8, "hashtag"), ("item:boot", 0.6, "name")]


def test_sure_ties_share_an_act_by_the_root_of_their_number():
    assert shares(post(for_=("tent", "boot"))) == {
        "tent": pytest.approx(0.5**0.5),
        "boot": pytest.approx(0.5**0.5),
    }


def test_a_doubtful_tie_counts_by_its_doubt():
    assert shares(post(ties=(Tie("item:boot", 0.4, "name"),))) == {"boot": 0.4}


def test_a_doubtful_tie_hardly_takes_from_a_sure_one():
    told = shares(post(for_=("tent",), ties=(Tie("item:boot", 0.1, "name"),)))

    assert told["tent"] > 0.95
    assert told["boot"] < 0.1


def test_what_a_person_said_outlasts_a_telling_that_does_not_name_it():
    said = b'{"put":[{"id":"p","kind":"post","confirmed":{"item:tent":true}}],"delete":[]}'
    again = b'{"put":[{"id":"p","kind":"post","title":"again"}],"delete":[]}'
    live, table = Catalog([TENT]), {}
    for at, body in enumerate((said, again)):
        record = Record(kind="items", source="web", received_at=at, body=body)
        live.apply(record)
        table |= fold_items(record, lambda _, key, table=table: table.get(key))["items"]

    assert live.get("p").confirmed == {"item:tent": True}
    assert live.get("p").title == "again"
    assert Catalog([TENT]).get("p") is None
    assert table[b"p"] is not None
    assert b"item:tent" in table[b"p"]


@pytest.mark.parametrize(
    ("told", "field", "code"),
    [
        ({"ties": [{"to": "tent"}]}, "item.ties[0].to", "invalid_item"),
        ({"ties": [{"to": "item:tent", "confidence": 2}]}, "item.ties[0].confidence", "invalid_item"),
        ({"ties": [{"to": "item:tent", "sure": 1}]}, "item.ties[0]", "invalid_item"),
        ({"ties": [{"to": "item:t"}] * 65}, "item.ties", "invalid_item"),
        ({"ties": {"item:tent": 1}}, "item.ties", "invalid_item"),
        ({"ties": [{"to": "topic:Depression"}]}, "item.ties[0].to", "special_category"),
        ({"confirmed": {"topic:halal": False}}, "item.confirmed.topic:halal", "special_category"),
        ({"confirmed": []}, "item.confirmed", "invalid_item"),
        ({"topics": ["politics"]}, "item.topics[0]", "special_category"),
        ({"for": ["topic:gay"]}, "item.for[0]", "special_category"),
        ({"for": ["tent", "Gewerkschaft"]}, "item.for[1]", "special_category"),
    ],
)  # fmt: skip
def test_ties_that_cannot_be_are_refused_by_their_field(told, field, code):
    with pytest.raises(Rejected) as caught:
        checked_item({"id": "p", "kind": "post", **told}, field="item")

    assert (caught.value.field, caught.value.code) == (field, code)


def test_an_item_may_be_called_what_it_is():
    item = checked_item({"id": "x", "topics": ["diabetes"]}, field="item")

    assert item.topics == ("diabetes",)
    assert checked_item({"id": "p", "kind": "post", "for": ["item:gay-pride-flag"]}, field="item").for_
