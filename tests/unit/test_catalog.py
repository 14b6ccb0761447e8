"""Items and placements: what may be said of them, and how the server finds them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from plait.catalog import (
    DEFAULT_PLACEMENTS,
    Catalog,
    Item,
    checked_item,
    checked_placement,
    decode_item,
    fold_items,
)
from plait.errors import Corrupt, Rejected
from plait.events import Record
from plait.store import open_store


def item(id: str, **told: Any) -> Item:
    return checked_item({"id": id, **told}, field="item")


PRICED = item("a", price=0), item("a", price=1)


def record(kind: str = "items", *, at: int = 1_000, **changes: Any) -> Record:
    return Record(kind=kind, source="web", received_at=at, body=msgspec.json.encode(changes))


def names(catalog: Catalog, mask: Any) -> set[str]:
    return {catalog.ids[row] for row in mask.nonzero()[0]}


# --- what an item may be


def test_an_item_is_kept_in_its_one_right_form():
    told = {
        "id": 17, "title": "  Tent\n for two ", "topics": ["tents", " tents ", "", "family"], "price": 99,
        "url": "https://shop.example/t", "image": "/t.jpg", "sections": ["specs"], "starts": "2026-05-01T09:00:00+02:00",
        "attributes": {"color": "red", "sizes": ["M", 42, "M"], "old": None}, "available": None, "cap": 3,
    }  # fmt: skip

    assert checked_item(told, field="item") == Item(
        id="17",
        title="Tent for two",
        topics=("tents", "family"),
        price=99.0,
        url="https://shop.example/t",
        image="/t.jpg",
        sections=("specs",),
        starts=1_777_618_800_000,
        attributes={"color": "red", "sizes": ["M", 42]},
        cap=3,
    )


@pytest.mark.parametrize(("told", "field"), [
    ({}, "items[3].id"), ({"id": ""}, "items[3].id"), ({"id": True}, "items[3].id"), ({"id": "a\x00b"}, "items[3].id"),
    ({"id": "\ud800"}, "items[3].id"), ({"id": "é" * 129}, "items[3].id"), ([], "items[3]"), (None, "items[3]"),
    ({"id": "a", "colour": 1}, "items[3].colour"), ({"id": "a", "price": -1}, "items[3].price"),
    ({"id": "a", "price": "9"}, "items[3].price"), ({"id": "a", "price": 10**400}, "items[3].price"),
    ({"id": "a", "topics": "tents"}, "items[3].topics"), ({"id": "a", "topics": ["x", 3]}, "items[3].topics[1]"),
    ({"id": "a", "topics": ["x"] * 65}, "items[3].topics"), ({"id": "a", "available": "yes"}, "items[3].available"),
    ({"id": "a", "url": "javascript:alert(1)"}, "items[3].url"), ({"id": "a", "url": "//evil.example"}, "items[3].url"),
    ({"id": "a", "url": "/\\evil.example"}, "items[3].url"), ({"id": "a", "image": "data:image/png;base64,"}, "items[3].image"),
    ({"id": "a", "url": "https://[bad"}, "items[3].url"), ({"id": "a", "url": "https://"}, "items[3].url"),
    ({"id": "a", "starts": "soon"}, "items[3].starts"), ({"id": "a", "starts": 2, "ends": 2}, "items[3].ends"),
    ({"id": "a", "cap": 0}, "items[3].cap"), ({"id": "a", "cap": 1.5}, "items[3].cap"),
    ({"id": "a", "attributes": {"x": {"y": 1}}}, "items[3].attributes.x"),
    ({"id": "a", "attributes": {"x": [[1]]}}, "items[3].attributes.x"), ({"id": "a", "attributes": {"": 1}}, "items[3].attributes"),
    ({"id": "a", "attributes": {"x": "y" * 2_001}}, "items[3].attributes.x"), ({"id": "a", "title": "x" * 501}, "items[3].title"),
    ({"id": "a", "attributes": {str(i): i for i in range(65)}}, "items[3].attributes"),
    ({"id": "a", "attributes": {"x": 10**400}}, "items[3].attributes.x"), ({"id": "a", "title": "\x1b[31m"}, "items[3].title"),
    ({"id": "a", "starts": 10**30}, "items[3].starts"), ({"id": "a", "starts": "9999-99-99"}, "items[3].starts"),
])  # fmt: skip
def test_what_is_wrong_is_told_with_its_field(told, field):
    with pytest.raises(Rejected) as refused:
        checked_item(told, field="items[3]")

    assert (refused.value.code, refused.value.field) == ("invalid_item", field)


@pytest.mark.parametrize(("told", "code", "field"), [
    ({"id": "a", "n": 0}, "invalid_placement", "placement.n"), ({"id": "a", "n": 101}, "invalid_placement", "placement.n"),
    ({"id": "a", "n": "3"}, "invalid_placement", "placement.n"), ([], "invalid_placement", "placement"),
    ({"n": 3}, "invalid_placement", "placement.id"), ({"id": "a", "colour": 3}, "invalid_placement", "placement.colour"),
    ({"id": "a/b"}, "invalid_placement", "placement.id"), ({"id": ""}, "invalid_placement", "placement.id"),
    ({"id": "a", "where": "price <"}, "invalid_expression", "placement.where"),
    ({"id": "a", "where": "colr = 'x'"}, "invalid_expression", "placement.where"),
    ({"id": "a", "kinds": ["x"] * 33}, "invalid_placement", "placement.kinds"),
    ({"id": "a", "kinds": ["x", 3]}, "invalid_placement", "placement.kinds[1]"),
])  # fmt: skip
def test_a_placement_that_cannot_work_is_refused(told, code, field):
    with pytest.raises(Rejected) as refused:
        checked_placement(told, field="placement", attributes={"color"})

    assert (refused.value.code, refused.value.field) == (code, field)


# --- the fold


def test_an_update_does_not_make_an_item_new():
    first = fold_items(record(put=[{"id": "a"}], at=1_000), lambda *_: None)["items"]
    again = fold_items(record(put=[{"id": "a", "price": 2.0}], at=9_000), lambda _, key: first[key])["items"]

    assert decode_item(again[b"a"]) == Item(id="a", price=2.0, published=1_000)


def test_within_one_record_the_last_telling_wins():
    changed = fold_items(
        record(put=[{"id": "a", "price": 1.0}, {"id": "a", "price": 2.0}], delete=["b"]), lambda *_: None
    )

    assert {key: raw and decode_item(raw).price for key, raw in changed["items"].items()} == {
        b"a": 2.0,
        b"b": None,
    }


def test_a_record_that_we_did_not_write_stops_the_fold():
    with pytest.raises(Corrupt):
        fold_items(record(put=[{"title": "without an id"}]), lambda *_: None)


def test_a_catalog_is_loaded_from_the_state_and_goes_on_with_the_log(tmp_path):
    store = open_store(f"lmdb://{tmp_path / 'store'}", write=True)
    told = record(
        put=[item("a", topics=["tents"], price=5, attributes={"color": "red"}), item("b", kind="post")]
    )
    placed = record("placements", put=[{"id": "home.grid", "n": 3, "where": "price < 9"}])
    store.commit(
        {**fold_items(told, lambda *_: None), **fold_items(placed, lambda *_: None)}, position=2, expected=0
    )

    with store.snapshot() as snapshot:
        catalog = Catalog.load(snapshot)
    catalog.apply(record(put=[item("c", topics=["tents"], price=1)], delete=["b"], at=2_000))

    assert {one.id for one in catalog} == {"a", "c"}
    assert names(catalog, catalog.mask("color = 'red' or price = 1")) == {"a", "c"}
    assert [catalog.ids[row] for row in catalog.newest("tents")] == ["c", "a"]
    assert catalog.placements["home.grid"].n == 3
    store.close()


# --- in memory


def test_a_new_item_is_in_the_very_next_answer():
    catalog = Catalog([item("a", price=5)])
    catalog.mask("price < 9")

    catalog.upsert([item("b", price=7)])

    assert names(catalog, catalog.mask("price < 9")) == {"a", "b"}


def test_a_whole_import_is_in_the_very_next_answer():
    catalog = Catalog([item("a", price=5)])
    catalog.mask("price < 9")

    catalog.upsert(item(f"i{n}", price=n % 2 * 10) for n in range(1_000))

    assert len(names(catalog, catalog.mask("price < 9"))) == 501


def test_conditions_without_end_are_not_all_kept_and_still_answered():
    catalog = Catalog(item(str(n), price=n) for n in range(10))

    for _ in range(2):
        assert [int(catalog.mask(f"price < {n}").sum()) for n in range(400)] == [
            min(n, 10) for n in range(400)
        ]


def test_changes_without_end_are_not_all_noted_and_still_known(monkeypatch):
    monkeypatch.setattr("plait.catalog.MOST_NOTED", 500)
    catalog = Catalog([item("a", price=5), item("b", price=5)])
    for n in range(1_203):
        if n % 40 == 0:
            assert names(catalog, catalog.mask("price = 5")) == {"b"} | ({"a"} if n == 0 else set())
        catalog.upsert([PRICED[n % 2]])

    assert names(catalog, catalog.mask("price = 0")) == {"a"}


def test_a_deleted_item_is_in_no_answer():
    catalog = Catalog([item("a"), item("b")])
    catalog.mask("true")

    catalog.delete(["a", "unknown"])

    assert names(catalog, catalog.mask("true")) == {"b"} == names(catalog, catalog.live)
    assert ("a" in catalog, catalog.get("a"), len(catalog)) == (False, None, 1)


def test_an_item_that_comes_back_has_its_old_row():
    catalog = Catalog([item("a"), item("b")])
    catalog.delete(["a"])

    catalog.upsert([item("c"), item("a")])

    assert catalog.rows == {"a": 0, "b": 1, "c": 2}


def test_posts_and_promotions_are_shown_only_where_a_placement_asks_for_them():
    catalog = Catalog(
        [item("a"), item("b", kind="article"), item("c", kind="post"), item("d", kind="promotion")]
    )

    assert names(catalog, catalog.of_kinds()) == {"a", "b"}
    assert names(catalog, catalog.of_kinds(("promotion", "article"))) == {"b", "d"}


def test_a_promotion_runs_from_its_start_until_just_before_its_end():
    catalog = Catalog([item("a", kind="promotion", starts=100, ends=200), item("b")])

    running = [now for now in (99, 100, 199, 200) if "a" in names(catalog, catalog.running(now))]

    assert running == [100, 199]


def test_a_promotion_is_tied_to_items_and_topics_by_name():
    catalog = Catalog([
        item("tent-2", topics=["tents"]), item("boots", topics=["boots"]), item("gone"),
        item("sale", kind="promotion", **{"for": ["tent-2", "tents", "item:boots", "topic:boots", "gone", "nothing"]}),
        item("boots only", kind="promotion", **{"for": ["boots"]}), item("the topic", kind="post", **{"for": ["topic:boots"]}),
    ])  # fmt: skip
    catalog.delete(["gone"])

    assert catalog.ties(3) == ({0: 1.0, 1: 1.0}, {"tents": 1.0, "boots": 1.0})
    assert catalog.ties(4) == ({1: 1.0}, {"boots": 1.0})
    assert catalog.ties(5) == ({}, {"boots": 1.0})


def test_a_name_that_no_item_has_is_refused_but_not_in_a_stored_placement():
    catalog = Catalog([item("a", attributes={"color": "red"})])

    with pytest.raises(Rejected, match="did you mean color"):
        catalog.mask("colour = 'red'")
    assert not catalog.mask("colour = 'red'", strict=False).any()
    with pytest.raises(Rejected, match="did you mean color"):
        catalog.mask("colour = 'red'")


def test_an_attribute_is_known_as_long_as_an_item_has_it():
    catalog = Catalog([item("a", attributes={"color": "red"}), item("b", attributes={"color": "blue"})])
    catalog.delete(["a"])
    assert catalog.attributes == {"color"}

    catalog.upsert([item("b")])

    assert catalog.attributes == frozenset()


def test_a_mask_cannot_be_written_to():
    catalog = Catalog([item("a")])

    with pytest.raises(ValueError, match="read-only"):
        catalog.mask("true")[0] = False


def test_the_newest_of_a_topic_come_first_and_no_more_than_asked_for():
    catalog = Catalog(item(f"i{n}", topics=["t"], published=n % 300) for n in range(500))

    assert [catalog.published[row] for row in catalog.newest("t", n=3)] == [299, 298, 297]
    assert len(catalog.newest()) == 200
    assert len(catalog.newest("unknown")) == 0


def test_items_are_listed_page_by_page():
    catalog = Catalog(item(id) for id in "abcde")
    catalog.delete(["b"])

    assert [one.id for one in catalog.page(None, 2)] == ["a", "c"]
    assert [one.id for one in catalog.page("c", 9)] == ["d", "e"]
    assert catalog.page("unknown", 9) == []


def test_a_new_installation_has_a_grid_on_its_home_page():
    assert Catalog().placements["home.grid"] in DEFAULT_PLACEMENTS


def test_a_default_placement_that_is_deleted_is_as_it_was():
    catalog = Catalog()
    catalog.apply(record("placements", put=[{"id": "home.grid", "n": 3}, {"id": "mine"}]))

    catalog.apply(record("placements", delete=["home.grid", "mine"]))

    assert catalog.placements == {one.id: one for one in DEFAULT_PLACEMENTS}
