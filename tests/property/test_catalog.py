"""Whatever happened to a catalog, it answers as one that was told the outcome only; and as the state does."""

from __future__ import annotations

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from plait.catalog import Catalog, Item, checked_item, decode_item, fold_items
from plait.events import Record

IDS = st.sampled_from("abcdefg")
TOPICS = ("t1", "t2", "t3")
ITEMS = st.fixed_dictionaries(
    {
        "id": IDS,
        "kind": st.sampled_from(["product", "post", "promotion"]),
        "topics": st.lists(st.sampled_from(TOPICS), max_size=3),
        "price": st.none() | st.sampled_from([1, 2.5, 9]),
        "available": st.booleans(),
        "published": st.none() | st.integers(1, 9),
        "ends": st.none() | st.integers(1, 9),
        "attributes": st.dictionaries(
            st.sampled_from("xy"),
            st.sampled_from(["p", "q", 1, 2.5, True, ["p", 1]]),
            max_size=2,
        ),
    }
).map(lambda told: checked_item(told, field="item"))
CHANGES = st.tuples(st.lists(ITEMS, max_size=4), st.lists(IDS, max_size=2))
ASKED = (
    "price < 3 and available",
    "'t1' in topics or x = 'p'",
    "y is null and not 'p' in attributes.x",
    "kind <> 'post' and (attributes.x or published > 4)",
)


def record(number: int, change: tuple[list[Item], list[str]]) -> Record:
    body = msgspec.json.encode({"put": change[0], "delete": change[1]})
    return Record(kind="items", source="web", received_at=100 * (number + 1), body=body)


def answers(catalog: Catalog) -> dict[str, object]:
    def ids(mask: np.ndarray) -> set[str]:
        return {catalog.ids[row] for row in np.flatnonzero(mask)}

    def dates(rows: np.ndarray) -> list[float]:
        return catalog.published[rows].tolist()

    return {
        "items": {one.id: one for one in catalog},
        "size": len(catalog),
        "attributes": catalog.attributes,
        "masks": [ids(catalog.mask(text, strict=False)) for text in ASKED],
        "live": ids(catalog.live),
        "available": ids(catalog.available),
        "shown": ids(catalog.of_kinds()),
        "running": ids(catalog.running(5)),
        "newest": {topic: dates(catalog.newest(topic)) for topic in (None, *TOPICS)},
        "topics": {id: catalog.topics_of(catalog.rows[id]) for id in sorted(ids(catalog.live))},
    }


@given(st.lists(CHANGES, min_size=1, max_size=8))
def test_a_catalog_that_lived_through_changes_answers_as_a_new_one(changes):
    lived = Catalog()
    answers(lived)  # masks and orders are kept from here on
    for number, change in enumerate(changes):
        lived.apply(record(number, change))
        answers(lived)

    assert answers(lived) == answers(Catalog(lived))


@given(st.lists(CHANGES, min_size=1, max_size=8))
def test_the_server_and_the_state_know_the_same_items(changes):
    catalog, table = Catalog(), dict[bytes, bytes | None]()
    for number, change in enumerate(changes):
        told = record(number, change)
        catalog.apply(told)
        table.update(fold_items(told, lambda _, key: table.get(key))["items"])

    assert {one.id: one for one in catalog} == {
        key.decode(): decode_item(raw) for key, raw in table.items() if raw is not None
    }


@given(CHANGES, CHANGES)
def test_a_record_that_is_applied_twice_changes_nothing(first, second):
    catalog = Catalog()
    catalog.apply(record(0, first))
    catalog.apply(record(1, second))
    once = answers(catalog)

    catalog.apply(record(1, second))

    assert answers(catalog) == once
