"""Ties between people as numbers: what those whom you follow did, and whom they are tied to."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.adjacency import Rows
from plait.graph import FEWEST, Graph, node_key, pseudonym

ME = "bluesky:me"


def graph(**people):
    """Of each person the ties and the acts, every one with weight 1."""
    made = Graph("pepper")
    for name, (ties, acts) in people.items():
        made.put(f"bluesky:{name}", {f"bluesky:{one}": 1.0 for one in ties}, dict.fromkeys(acts, 1.0))
    return made


def follow(made, *names, strength=1.0):
    return made.known([f"bluesky:{one}" for one in names]), np.full(len(names), strength, np.float32)


def test_what_several_whom_you_follow_liked_comes_first():
    made = graph(ann=([], ["tent"]), bob=([], ["tent", "stove"]), cleo=([], ["pot"]))

    found = made.shared(*follow(made, "ann", "bob"), 10)

    assert dict(zip(found.things, found.people, strict=True)) == {"tent": 2, "stove": 1}
    assert found.things[0] == "tent"


def test_a_stronger_tie_counts_more():
    made = graph(ann=([], ["tent"]), bob=([], ["stove"]))
    nodes, _ = follow(made, "ann", "bob")

    found = made.shared(nodes, np.array([1.0, 3.0], np.float32), 10)

    assert found.things == ["stove", "tent"]


def test_who_is_nobody_here_did_nothing():
    made = graph(ann=([], ["tent"]))

    assert made.shared(*follow(made, "stranger"), 10).things == []


def test_what_was_known_of_somebody_is_replaced():
    made = graph(ann=([], ["tent"]))
    made.put("bluesky:ann", {}, {"stove": 1.0})

    assert made.shared(*follow(made, "ann"), 10).things == ["stove"]


def test_who_is_dropped_did_nothing():
    made = graph(ann=(["bob"], ["tent"]))
    made.drop("bluesky:ann")

    assert made.shared(*follow(made, "ann"), 10).things == []
    assert made.ties == 0


def test_friends_of_friends_are_told_of_in_sums_of_five():
    far = {f"far{n}": ([], ["tent", *(["stove"] if n else [])]) for n in range(FEWEST)}
    made = graph(ann=(list(far), []), **far)

    found = made.beyond(made.known([ME]), *follow(made, "ann"), 10)

    assert (found.things, found.people) == (["tent"], [FEWEST])


def test_friends_of_friends_are_neither_you_nor_your_friends():
    made = graph(me=(["ann", "bob"], []), ann=(["me", "bob", "cleo"], []))

    nodes, _ = made.friends_of_friends(ME, 10)

    assert nodes.tolist() == made.known(["bluesky:cleo"]).tolist()


def test_who_is_near_by_more_ways_comes_first():
    made = graph(me=(["ann", "bob"], []), ann=(["cleo", "dan"], []), bob=(["dan"], []))

    nodes, weights = made.friends_of_friends(ME, 10)

    assert nodes.tolist() == made.known(["bluesky:dan", "bluesky:cleo"]).tolist()
    assert weights.tolist() == [2.0, 1.0]


def test_the_graph_knows_nobody_by_name():
    made = graph(me=(["ann"], ["tent"]))

    assert b"ann" not in b"".join(one.tobytes() for one in vars(made).values() if isinstance(one, np.ndarray))
    assert node_key("bluesky:ann", "pepper") != node_key("bluesky:ann", "another")


def test_a_pseudonym_is_the_same_node_as_the_name():
    made = graph(ann=([], ["tent"]))

    assert made.known([pseudonym("bluesky:ann", "pepper")]).tolist() == made.known(["bluesky:ann"]).tolist()


def test_somebody_tied_by_name_and_by_number_is_one():
    made = Graph("pepper")
    made.put(ME, {"bluesky:ann": 1.0, pseudonym("bluesky:ann", "pepper"): 2.0}, {})

    assert (made.ties, made.strength(ME, "bluesky:ann")) == (1, 2.0)


def test_many_ties_at_once_are_as_many_ties_one_by_one():
    names = [f"bluesky:{n}" for n in range(3_000)]
    at_once = Graph("pepper")
    keys = at_once.keys(names)
    at_once.tie(keys[:-1], keys[1:], np.full(len(keys) - 1, 0.5, np.float32))

    assert at_once.ties == len(names) - 1
    assert all(at_once.strength(*pair) == 0.5 for pair in pairwise(names[:50]))


rows = st.dictionaries(st.integers(0, 40), st.floats(0.5, 4.0, width=32), max_size=30)
changes = st.lists(
    st.tuples(st.integers(0, 7), rows) | st.tuples(st.integers(0, 7), st.integers(0, 40)), max_size=40
)


@given(changes)
def test_rows_hold_what_a_dictionary_would(told):
    held, plain = Rows(), {n: {} for n in range(8)}
    held.room(8)
    for row, what in told:
        if isinstance(what, int):
            held.add(np.array([row], np.int32), np.array([what], np.int32), np.array([1.0], np.float32))
            plain[row][what] = 1.0
        else:
            ids = np.array(sorted(what), np.int32)
            held.put(row, ids, np.array([what[one] for one in sorted(what)], np.float32))
            plain[row] = dict(what)

    assert held.size == sum(map(len, plain.values()))
    for row, what in plain.items():
        ids, weights = held.row(row)
        assert dict(zip(ids.tolist(), weights.tolist(), strict=True)) == what
        assert sorted(ids.tolist()) == ids.tolist()


people = st.integers(0, 12)
worlds = st.dictionaries(
    people, st.tuples(st.lists(people, unique=True, max_size=8), st.lists(st.sampled_from("abcd"), unique=True)),
    max_size=12,
)  # fmt: skip


@given(worlds, st.lists(people, unique=True, min_size=1, max_size=6))
def test_sums_are_those_of_a_plain_count(world, followed):
    made = graph(**{str(n): (list(map(str, ties)), acts) for n, (ties, acts) in world.items()})
    nodes, strength = follow(made, *map(str, followed))

    found = made.shared(nodes, strength, 100)
    far = made.beyond(made.known([ME]), nodes, strength, 100)

    counted: dict[str, int] = {}
    for one in followed:
        for thing in world.get(one, ([], []))[1]:
            counted[thing] = counted.get(thing, 0) + 1
    assert dict(zip(found.things, found.people, strict=True)) == counted
    beyond = {other for one in followed for other in world.get(one, ([], []))[0]} - set(followed)
    reached = [thing for one in beyond for thing in world.get(one, ([], []))[1]]
    wanted = {thing: reached.count(thing) for thing in set(reached) if reached.count(thing) >= FEWEST}
    assert dict(zip(far.things, far.people, strict=True)) == wanted
    assert not made._sum.any()
    assert not made._count.any()
    assert not made._last.any()


@pytest.mark.parametrize("most", [1, 3])
def test_only_the_strongest_of_very_many_are_looked_at(monkeypatch, most):
    monkeypatch.setattr("plait.graph.MOST_FOLLOWED", most)
    made = graph(**{f"f{n}": ([], [f"t{n}"]) for n in range(5)})

    found = made.shared(made.known([f"bluesky:f{n}" for n in range(5)]), np.arange(5, dtype=np.float32), 10)

    assert sorted(found.things) == sorted(f"t{n}" for n in range(5 - most, 5))
