"""Ties between people as numbers: what those whom you follow did, and whom they are tied to."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as arguing
from hypothesis import strategies as st

from plait.adjacency import Rows
from plait.graph import FEWEST, QUARTER, Graph, node_key, pseudonym

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


@arguing(deadline=None)
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


@arguing(deadline=None)
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


# -- who did the same ------------------------------------------------------------------------------------------


def together(made, *did):
    return made.together(made.known([ME]), dict.fromkeys(did, 1.0), 100)


def test_who_did_the_same_rare_thing_is_nearer_than_who_did_what_everybody_did():
    rare = {f"rare{n}": ([], ["rare", "tent"]) for n in range(FEWEST)}
    common = {f"common{n}": ([], ["common", "stove"]) for n in range(3 * FEWEST)}
    made = graph(**rare, **common)

    found = together(made, "rare", "common")

    each = {one: weight / count for one, weight, count, _ in zip(*found, strict=True)}
    assert each["tent"] > each["stove"]


def test_what_you_did_yourself_is_not_told():
    made = graph(**{f"p{n}": ([], ["tent", "stove"]) for n in range(FEWEST)})

    assert together(made, "tent", "stove").things == []


def test_what_everybody_did_ties_nobody(monkeypatch):
    monkeypatch.setattr("plait.graph.MOST_STEPS", 9)
    made = graph(**{f"p{n}": ([], ["tent", "stove"]) for n in range(10)})

    assert together(made, "tent").things == []


did = st.dictionaries(people, st.lists(st.sampled_from("abcdef"), unique=True), max_size=12)


@arguing(deadline=None)
@given(did, st.lists(st.sampled_from("abcdefg"), unique=True), st.randoms())
def test_who_did_the_same_is_counted_plainly_and_in_any_order(world, mine, random):
    names = {str(n): ([], acts) for n, acts in world.items()}
    turned = random.sample(sorted(names), len(names))

    found = together(graph(**names), *mine)
    again = together(graph(**{one: names[one] for one in turned}), *mine)

    near = [acts for acts in world.values() if set(acts) & set(mine)]
    wanted = {one: sum(one in acts for acts in near) for one in "abcdef" if one not in mine}
    assert dict(zip(found.things, found.people, strict=True)) == {
        one: count for one, count in wanted.items() if count >= FEWEST
    }
    assert dict(zip(again.things, again.weights, strict=True)) == pytest.approx(
        dict(zip(found.things, found.weights, strict=True))
    )


@arguing(deadline=None)
@given(did, st.lists(st.sampled_from("abcdef"), unique=True), st.randoms())
def test_who_is_nearest_of_many_does_not_depend_on_who_came_first(world, mine, random):
    names = {str(n): ([], acts) for n, acts in world.items()}
    turned = random.sample(sorted(names), len(names))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("plait.graph.MOST_NEAR", 2)
        patched.setattr("plait.graph.FEWEST", 1)

        found = together(graph(**names), *mine)
        again = together(graph(**{one: names[one] for one in turned}), *mine)

    assert dict(zip(again.things, again.people, strict=True)) == dict(
        zip(found.things, found.people, strict=True)
    )


def test_a_thing_that_nobody_does_anything_with_any_more_has_no_name():
    made = graph(ann=([], ["at://bob/1", "tent"]), cleo=([], ["tent"]))
    made.put("bluesky:ann", None, {"tent": 1.0})
    made.put("bluesky:cleo", None, {"stove": 1.0})

    assert sorted(made._thing) == ["stove", "tent"]
    assert "at://bob/1" not in made._things
    found = made.shared(*follow(made, "ann", "cleo"), 10)
    assert dict(zip(found.things, found.people, strict=True)) == {"stove": 1, "tent": 1}


@arguing(deadline=None)
@given(st.lists(st.tuples(people, st.lists(st.sampled_from("abcdef"), unique=True)), max_size=30))
def test_things_know_who_did_something_with_them_whatever_was_put_before(told):
    kept, last = Graph(), dict(told)
    for who, acts in told:
        kept.put(str(who), None, dict.fromkeys(acts, 1.0))

    for thing, number in kept._thing.items():
        nodes, _ = kept._by.row(number)
        whom = {str(who) for who, acts in last.items() if thing in acts}
        assert sorted(nodes.tolist()) == sorted(kept.known(whom).tolist())
    assert set(kept._thing) == {thing for acts in last.values() for thing in acts}


@arguing(deadline=None)
@given(did)
def test_moments_are_those_of_the_newest_that_counts(world):
    made = Graph(dated=True)
    at = {(who, one): QUARTER * (1 + 7 * who + ord(one) % 5) for who, acts in world.items() for one in acts}
    for who, acts in world.items():
        made.put(str(who), None, dict.fromkeys(acts, 1.0), {one: at[who, one] for one in acts})

    nodes = made.known(map(str, world))
    found = made.shared(nodes, np.ones(len(nodes), np.float32), 100, np.zeros(len(nodes), np.float32))

    newest = {one: max(at[who, one] for who, acts in world.items() if one in acts) for one in found.things}
    assert dict(zip(found.things, found.at, strict=True)) == newest
    assert not made._sum.any()
    assert not made._count.any()


@pytest.mark.parametrize("most", [1, 3])
def test_only_the_strongest_of_very_many_are_looked_at(monkeypatch, most):
    monkeypatch.setattr("plait.graph.MOST_FOLLOWED", most)
    made = graph(**{f"f{n}": ([], [f"t{n}"]) for n in range(5)})

    found = made.shared(made.known([f"bluesky:f{n}" for n in range(5)]), np.arange(5, dtype=np.float32), 10)

    assert sorted(found.things) == sorted(f"t{n}" for n in range(5 - most, 5))
