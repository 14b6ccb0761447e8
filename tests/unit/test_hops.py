"""Scarce calls go where they tell most: our people first, then those whom many of them follow, and nobody for ever."""

from hypothesis import given
from hypothesis import settings as arguing
from hypothesis import strategies as st

from plait.connectors._hops import Hops


def read(follows, ours, *, size=2, **more):
    """Whose pages are read, in order, of a network where everybody follows whom ``follows`` says."""
    hops, asked = Hops(ours, **{"hops": 2, "calls": 1_000, **more}), []
    while (turn := hops.next()) is not None:
        one, cursor = turn
        start, listed = int(cursor or 0), follows.get(one, [])
        asked.append(one)
        end = start + size
        hops.told(one, listed[start:end], str(end) if end < len(listed) else None)
    return asked


def test_who_acts_most_is_read_first():
    assert read({}, {"ann": 1, "bob": 7, "cleo": 3}) == ["bob", "cleo", "ann"]


def test_everybodys_first_page_comes_before_anybodys_second():
    follows = {"ann": ["a", "b", "c", "d"], "bob": ["e"]}

    assert read(follows, {"ann": 9, "bob": 1}, hops=1) == ["ann", "bob", "ann"]


def test_whom_many_of_ours_follow_is_read_before_whom_one_follows():
    follows = {name: ["known", f"own-{name}"] for name in "abcd"} | {"e": []}

    asked = read(follows, dict.fromkeys("abcde", 1))

    assert asked[5:7] == ["known", "own-a"]


def test_whom_all_of_ours_follow_tells_nobody_apart():
    follows = {name: ["all", "some" if name in "ab" else f"own-{name}"] for name in "abcd"}

    asked = read(follows, dict.fromkeys("abcd", 1))

    assert asked[4] == "some"


def test_one_hop_reads_whom_our_people_follow_and_nobody_else():
    assert read({"ann": ["bob"], "bob": ["cleo"]}, {"ann": 1}, hops=1) == ["ann"]
    assert read({"ann": ["bob"], "bob": ["cleo"], "cleo": ["dan"]}, {"ann": 1}) == ["ann", "bob"]
    assert read({"ann": ["bob"]}, {"ann": 1}, hops=0) == []


def test_one_who_follows_thousands_does_not_take_all_calls():
    follows = {"ann": [f"x{n}" for n in range(5_000)], "bob": []}

    assert read(follows, {"ann": 1, "bob": 1}, hops=1, most=10).count("ann") == 10


names = st.sampled_from("abcdefghij")
worlds = st.dictionaries(names, st.lists(names, unique=True, max_size=9), max_size=10)


@arguing(deadline=None)
@given(worlds, st.sets(names, min_size=1, max_size=4), st.integers(0, 30))
def test_calls_are_kept_to_and_no_page_is_read_twice(follows, ours, calls):
    asked = read(follows, dict.fromkeys(sorted(ours), 1), calls=calls)

    assert len(asked) <= calls
    assert all(asked.count(one) <= max(1, -(-len(follows.get(one, [])) // 2)) for one in asked)
    assert set(asked[: len(ours)]) <= ours


@arguing(deadline=None)
@given(worlds, st.sets(names, min_size=1, max_size=4))
def test_with_calls_enough_all_is_read(follows, ours):
    asked = read(follows, dict.fromkeys(sorted(ours), 1))

    assert set(asked) == ours | {other for one in ours for other in follows.get(one, [])}
