"""A condition says the same of all items at once, of one item, and to SQLite."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from plait.catalog.columns import Column
from plait.catalog.expressions import compile

WORDS = st.sampled_from(["", "a", "b", "A", "ab", "ba", "a%b", "é", "it's", "zz"])
NUMBERS = st.sampled_from([-1.5, 0, 1, 2, 2.0, 3.25, 1e9])


def some(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


TYPED = st.fixed_dictionaries(
    {
        "price": some(NUMBERS),
        "cap": some(NUMBERS),
        "title": some(WORDS),
        "kind": some(WORDS),
        "available": some(st.booleans()),
        "topics": st.lists(WORDS, max_size=3, unique=True),
    }
)
ANYTHING = some(WORDS | NUMBERS | st.booleans() | st.lists(WORDS | NUMBERS, max_size=3, unique=True))
FREE = st.fixed_dictionaries({f"attributes.{name}": ANYTHING for name in "xyz"})


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def comparisons(
    numbers: list[str], texts: list[str], flags: list[str], lists: list[str]
) -> st.SearchStrategy[str]:
    number, text, flag, many = map(st.sampled_from, (numbers, texts, flags, lists))
    sign = st.sampled_from(["=", "<>", "<", "<=", ">", ">=", "!=", "=="])
    word = WORDS.map(quoted)
    return st.one_of(
        st.tuples(number, sign, NUMBERS).map("{0[0]} {0[1]} {0[2]}".format),
        st.tuples(NUMBERS, sign, number).map("{0[0]} {0[1]} {0[2]}".format),
        st.tuples(number, sign, number).map("{0[0]} {0[1]} {0[2]}".format),
        st.tuples(text, sign, word).map("{0[0]} {0[1]} {0[2]}".format),
        st.tuples(number, NUMBERS, NUMBERS).map("{0[0]} between {0[1]} and {0[2]}".format),
        st.tuples(number, NUMBERS, NUMBERS).map("{0[0]} not between {0[1]} and {0[2]}".format),
        st.tuples(text, st.lists(word, min_size=1, max_size=3)).map(
            lambda t: f"{t[0]} in ({', '.join(t[1])})"
        ),
        st.tuples(text, st.lists(word, min_size=1, max_size=3)).map(
            lambda t: f"{t[0]} not in ({', '.join(t[1])})"
        ),
        st.tuples(
            text, st.sampled_from(["a%", "%b", "_", "%a%b%", "", "%", "a_b", "%it's%"]).map(quoted)
        ).map("{0[0]} like {0[1]}".format),
        st.tuples(number | text | flag, st.sampled_from(["is null", "is not null"])).map(" ".join),
        st.tuples(flag, st.sampled_from(["", "= true", "= false", "is true", "is not true", "is false"])).map(
            " ".join
        ),
        st.tuples(word, many).map("{0[0]} in {0[1]}".format),
        st.tuples(word, many).map("{0[0]} not in {0[1]}".format),
        st.sampled_from(["true", "false", "null"]),
    )


def conditions(leaves: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from(["and", "or"]), inner).map("({0[0]} {0[1]} {0[2]})".format),
            st.tuples(inner, st.sampled_from(["and", "or"]), inner).map("{0[0]} {0[1]} {0[2]}".format),
            inner.map("not ({})".format),
        ),
        max_leaves=6,
    )


STRICT = conditions(comparisons(["price", "cap"], ["title", "kind"], ["available"], ["topics"]))
LOOSE = conditions(comparisons(["x", "y", "z"], ["x", "y", "z"], ["x", "y", "z"], ["x", "y", "z"]))


def mask(text: str, rows: list[dict[str, Any]]) -> list[bool]:
    condition = compile(text)
    columns = {name: Column() for name in condition.names}
    for number, row in enumerate(rows):
        for name, column in columns.items():
            column.put(number, row.get(name))
    return condition.mask(columns, len(rows)).tolist()


def sqlite(text: str, rows: list[dict[str, Any]]) -> list[bool]:
    db = sqlite3.connect(":memory:")
    db.execute("pragma case_sensitive_like = on")
    db.execute("create table items (n, price, cap, title, kind, available, topics)")
    for number, row in enumerate(rows):
        topics = json.dumps(row["topics"])
        values = [row[name] for name in ("price", "cap", "title", "kind", "available")]
        db.execute("insert into items values (?, ?, ?, ?, ?, ?, ?)", [number, *values, topics])
    # The one thing of ours that is not SQL.
    asked = text.replace("in topics", "in (select value from json_each(topics))")
    held = {number for (number,) in db.execute(f"select n from items where {asked}")}
    db.close()
    return [number in held for number in range(len(rows))]


@given(STRICT, st.lists(TYPED, min_size=1, max_size=6))
def test_sqlite_says_the_same(text, rows):
    assert mask(text, rows) == sqlite(text, rows)


@given(STRICT, st.lists(TYPED, min_size=1, max_size=6))
def test_all_items_at_once_or_one_by_one_is_the_same(text, rows):
    condition = compile(text)

    assert mask(text, rows) == [condition.test(row) for row in rows]


@given(LOOSE, st.lists(FREE, min_size=1, max_size=6))
def test_attributes_of_any_type_or_of_several_are_compared_alike(text, rows):
    condition = compile(text)

    assert mask(text, rows) == [condition.test(row) for row in rows]


@given(LOOSE, FREE)
def test_a_condition_and_its_opposite_never_both_hold(text, row):
    assert not (compile(text).test(row) and compile(f"not ({text})").test(row))


@given(STRICT, st.lists(st.tuples(st.integers(0, 5), TYPED), min_size=1, max_size=12))
def test_a_row_put_again_is_as_if_put_once(text, puts):
    last = dict(puts)
    rows = [last.get(number, {}) for number in range(6)]
    condition = compile(text)
    columns = {name: Column() for name in condition.names}
    for number, row in puts:
        for name, column in columns.items():
            column.put(number, row[name])

    assert condition.mask(columns, 6).tolist() == [condition.test(row) for row in rows]
