"""The laws of the fold: what is told twice counts once, and the order of arrival does not show."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.property.facts import (
    ANYBODY,
    NOW,
    OPEN,
    ROBOT,
    SIGNALS,
    STRONG,
    Fact,
    PlainLog,
    abouts,
    acts,
    close,
    folded,
    histories,
    networks,
    numbered,
    record_of,
    records,
    same,
    sources,
    ties,
    times,
    told,
)

from plait.events import decode_record, strongest_first
from plait.intake.records import events_of
from plait.profiles.fragment import VISIT_GAP, attention, decode_fragment
from plait.workers import compare


@given(histories, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_show(facts: list[Fact], random: Any) -> None:
    shuffled = random.sample(facts, len(facts))

    one, other = folded(facts), folded(shuffled)

    same(one, other)
    for identifier in ANYBODY:
        assert told(one, identifier) == told(other, identifier)


@given(histories, st.lists(st.tuples(st.integers(0, 13), st.integers(0, 30)), max_size=8))
def test_told_twice_counts_once(facts: list[Fact], again: list[tuple[int, int]]) -> None:
    repeated = list(facts)
    for which, where in again:
        if facts:
            fact = facts[which % len(facts)]
            first = repeated.index(fact)
            repeated.insert(first + 1 + where % (len(repeated) - first), fact)

    same(folded(repeated), folded(facts))


@given(histories, st.integers(1, 20), st.integers(1, 5))
def test_the_size_of_steps_and_requests_does_not_show(facts: list[Fact], step: int, request: int) -> None:
    trusted = [fact for fact in facts if fact.get("trusted", True)]
    requests = [trusted[start : start + request] for start in range(0, len(trusted), request)]

    same(folded(trusted, step=1), folded(requests, step=step))
    assert list(compare(folded(trusted, step=1), folded(trusted, step=step))) == []


lone = acts(st.just(["user:u"])).filter(lambda fact: fact["signal"] != "view" and not fact.get("counter"))


@given(
    st.lists(lone, max_size=12).map(numbered),
    st.lists(st.sampled_from([*STRONG, "anonymous:a"]), min_size=12, max_size=12),
)
def test_how_events_are_split_between_a_persons_identifiers_does_not_show(
    facts: list[Fact], whose: list[str]
) -> None:
    # Views are left out: what comes between two of them is inferred within one identifier.
    tied: list[Fact] = [
        {"id": f"l{n}", "who": ["user:u", other], "signal": "link", "at": NOW, "trusted": True}
        for n, other in enumerate([*STRONG[1:], "anonymous:a"])
    ]
    split = [{**fact, "who": [who]} for fact, who in zip(facts, whose, strict=False)]

    one, other = told(folded([*facts, *tied]), "user:u"), told(folded([*split, *tied]), "user:u")

    assert one == other


@given(st.lists(ties(), max_size=12).map(numbered), st.randoms(use_true_random=False))
def test_links_and_unlinks_in_any_order_give_the_persons_that_the_edges_give(
    facts: list[Fact], random: Any
) -> None:
    store = folded(random.sample(facts, len(facts)))
    edges = _edges(facts)
    for identifier in ANYBODY:
        found = told(store, identifier)
        if found is not None and not _spoke_of_linking(facts):
            assert set(found["identifiers"]) == _person(identifier, edges)


def _spoke_of_linking(facts: list[Fact]) -> bool:
    return any("link" in (fact.get("consent") or {}) for fact in facts)


def _edges(facts: list[Fact]) -> dict[frozenset[str], str]:
    """Independent of the product's code: pair -> proven or claimed, of the edges that hold."""
    asserted: dict[tuple[frozenset[str], bool], int] = {}
    unlinked: dict[frozenset[str], int] = {}
    named: set[frozenset[str]] = set()
    for fact in facts:
        for pair in {frozenset((a, b)) for a in fact["who"] for b in fact["who"] if a != b}:
            if all(one.startswith("anonymous:") for one in pair):
                continue
            proven = fact["trusted"]
            if fact["signal"] == "unlink":
                unlinked[pair] = max(unlinked.get(pair, 0), fact["at"])
            elif fact["signal"] in ("link", "identify"):
                asserted[pair, proven] = max(asserted.get((pair, proven), 0), fact["at"])
            elif any(one.startswith("anonymous:") for one in pair):
                named.add(pair)
    found = {}
    for pair in {pair for pair, _ in asserted} | named:
        since = unlinked.get(pair, -1)
        if asserted.get((pair, True), -1) > since:
            found[pair] = "proven"
        elif asserted.get((pair, False), -1) > since or (pair in named and since < 0):
            found[pair] = "claimed"
    return found


def _person(identifier: str, edges: dict[frozenset[str], str]) -> set[str]:
    if identifier.startswith("anonymous:"):
        return {identifier}
    found = {identifier}
    for _ in ANYBODY:
        for pair, proof in edges.items():
            strong = [one for one in pair if not one.startswith("anonymous:")]
            if len(strong) == 2 and proof == "proven" and found & pair:
                found |= pair
    return found | {
        one
        for pair in edges
        for one in pair
        if one.startswith("anonymous:") and any(other in found for other in pair if other != one)
    }


views = st.fixed_dictionaries(
    {"who": st.just(["user:u"]), "signal": st.just("view"), "at": times, "source": sources, "about": abouts}
)


@given(st.lists(views, max_size=16).map(numbered), st.randoms(use_true_random=False))
def test_dwell_inferred_from_views_is_what_lies_between_them(facts: list[Fact], random: Any) -> None:
    found = told(folded(random.sample(facts, len(facts))), "user:u")

    inferred = {
        key[:5]: (n, weight)
        for key, (n, _, weight) in (found or {"entries": {}})["entries"].items()
        if key[5]
    }
    assert inferred == _between(facts)


def _between(facts: list[Fact]) -> dict[tuple[str, ...], tuple[int, float]]:
    """Independent of the product's code, but for the order of views in the same moment."""
    from plait.profiles.state import mark_of

    found: dict[tuple[str, ...], list[float]] = {}
    for source in ("web", "app"):
        events = [
            event
            for fact in facts
            if fact["source"] == source
            for event in events_of(decode_record(record_of(fact)), SIGNALS)
        ]
        events.sort(key=lambda event: (event.at, mark_of(event)))
        for event, after in pairwise(events):
            if 0 < after.at - event.at <= VISIT_GAP:
                about = event.about
                for kind in ("item", "post", "topic", "query", "url"):
                    if (id := getattr(about, kind)) is not None:
                        key = (source, "dwell", kind, id, about.section or "")
                        break
                else:
                    key = (source, "dwell", "", "", "")
                decayed = math.exp2((event.at - NOW) / 86_400_000)
                found.setdefault(key, []).append(attention((after.at - event.at) / 1000) * decayed)
    return {key: (len(parts), close(math.fsum(parts))) for key, parts in found.items()}


edges = st.fixed_dictionaries(
    {
        "who": st.just(["user:u"]),
        "signal": st.sampled_from(["like", "follow", "share"]),
        "op": st.sampled_from(["assert", "retract"]),
        "at": times,
        "source": sources,
        "about": st.just({"post": "77"}),
    }
)


@given(st.lists(edges, max_size=10).map(numbered), st.randoms(use_true_random=False))
def test_what_is_so_or_not_so_is_as_the_last_word_has_it(facts: list[Fact], random: Any) -> None:
    found = told(folded(random.sample(facts, len(facts))), "user:u")

    last: dict[tuple[str, str], Fact] = {}
    for fact in sorted(facts, key=lambda fact: (fact["at"], fact["id"])):
        last[fact["source"], fact["signal"]] = fact
    holds = {key for key, fact in last.items() if fact["op"] == "assert"}
    assert {key[:2] for key in (found or {"entries": {}})["entries"]} == holds


@given(st.lists(networks(), max_size=14).map(numbered), st.randoms(use_true_random=False))
def test_what_was_taken_back_is_as_if_it_had_never_been_told(facts: list[Fact], random: Any) -> None:
    held = [fact for fact in facts if _takes_back(fact) or _is_bot(fact) or not _is_gone(fact, facts)]

    found, without = folded(random.sample(facts, len(facts))), folded(held)

    for identifier in ANYBODY:
        # Each alone: what names two together ties them, also when the act itself is gone.
        one, other = (told(store, identifier, linked=False) for store in (found, without))
        assert _learned(one) == _learned(other)


def _is_gone(fact: Fact, facts: list[Fact]) -> bool:
    """Whether who told it, or the network without a name, took it back."""
    if fact.get("record") is None:
        return False
    return any(
        (one["source"], one["record"]) == (fact["source"], fact["record"])
        and (not one["who"] or strongest_first(one["who"])[0] == strongest_first(fact["who"])[0])
        for one in facts
        if _takes_back(one)
    )


def _takes_back(fact: Fact) -> bool:
    return fact.get("record") is not None and fact.get("op") in ("retract", "erase")


def _is_bot(fact: Fact) -> bool:
    return fact.get("context") == ROBOT


def _learned(profile: Any) -> Any:
    """What a profile says but for when somebody was seen, which a record that is gone tells too."""
    return (profile or {"entries": {}})["entries"], (profile or {"counts": {}})["counts"]


@given(records.map(numbered), st.randoms(use_true_random=False))
def test_a_like_holds_as_long_as_one_of_its_records_does(facts: list[Fact], random: Any) -> None:
    found = told(folded(random.sample(facts, len(facts))), "bluesky:x") or {"entries": {}}

    assert {key[:5] for key in found["entries"] if key[1] == "like"} == _liked(facts)


def _liked(facts: list[Fact]) -> set[tuple[str, ...]]:
    """Independent of the product's code: what is liked, by the last word of what is left."""
    last: dict[tuple[str, ...], Fact] = {}
    for fact in sorted(facts, key=lambda fact: (fact["at"], fact["id"])):
        left = not _takes_back(fact) and not _is_gone(fact, facts)
        if fact["signal"] == "like" and left and fact.get("op") != "snapshot" and not _is_bot(fact):
            about = fact["about"]
            section = about.get("section", "")
            for kind in ("item", "post", "topic", "query", "account", "url"):
                if kind in about:
                    last[fact["source"], "like", kind, about[kind], section] = fact
            if not about:
                last[fact["source"], "like", "", "", ""] = fact
    return {key for key, fact in last.items() if fact.get("op") != "retract"}


@given(histories, st.lists(acts() | networks(), max_size=4))
def test_what_came_with_the_question_counts_as_if_it_were_folded(
    facts: list[Fact], fresh: list[Fact]
) -> None:
    # A view that is older than the newest splits an inference; that waits for the fold.
    inline = [{**fact, "id": f"i{n}", "at": NOW + n} for n, fact in enumerate(fresh)]
    events = [event for fact in inline for event in events_of(decode_record(record_of(fact)), SIGNALS)]
    before, after = folded(facts), folded([*facts, *inline])

    for identifier in ANYBODY:
        then = told(after, identifier)
        assert told(before, identifier, inline=events) == then or then is None
        assert told(after, identifier, inline=events) == then


@given(st.lists(ties() | acts(), max_size=12).map(numbered), st.randoms(use_true_random=False))
def test_consent_is_the_newest_word_and_ties_deny(facts: list[Fact], random: Any) -> None:
    store = folded(random.sample(facts, len(facts)))
    for weak in ("anonymous:a", "anonymous:b"):
        said = [
            (fact["at"], not fact["consent"]["personalize"])
            for fact in facts
            if weak in fact["who"] and isinstance((fact.get("consent") or {}).get("personalize"), bool)
        ]
        found = told(store, weak)
        if said:
            assert found is not None
            assert found["consents"]["personalize"] is not max(said)[1]


def test_the_fold_refuses_a_log_that_does_not_go_on_where_it_stands() -> None:
    import pytest
    from tests.property.facts import PlainStore

    from plait.errors import Corrupt
    from plait.profiles.fold import Fold

    store = PlainStore()
    fold = Fold(store, OPEN, SIGNALS, log=PlainLog())

    with pytest.raises(Corrupt, match="the log goes on at 2"):
        fold.step([(2, record_of({"id": "1", "who": ["user:u"], "signal": "view"}))])


_wide = st.fixed_dictionaries(
    {
        "who": st.just(["user:u"]),
        "at": times,
        "signal": st.sampled_from(["view", "view", "add", "save", "like"]),
        "op": st.sampled_from(["assert", "assert", "retract"]),
        "about": st.integers(0, 40).map(lambda n: {"item": f"i{n}"}),
        "traits": st.none() | st.integers(0, 9).map(lambda n: {f"t{n}": n}),
    }
)


@given(st.lists(_wide, min_size=12, max_size=40).map(numbered), st.randoms(use_true_random=False))
def test_what_stays_of_too_many_things_does_not_depend_on_their_order(facts: list[Fact], random: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("plait.profiles.fragment.MOST_THINGS", 8)

        one, other = folded(facts), folded(random.sample(facts, len(facts)))

    same(one, other)
    assert all(decode_fragment(raw).things <= 8 for raw in one.tables["fragments"].values())


@given(st.lists(_wide, min_size=12, max_size=40).map(numbered))
def test_what_stays_of_too_many_things_weighs_what_it_weighed(facts: list[Fact]) -> None:
    whole = decode_fragment(folded(facts).tables["fragments"][b"user:u"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("plait.profiles.fragment.MOST_THINGS", 8)
        some = decode_fragment(folded(facts).tables["fragments"][b"user:u"])

    assert some.counts == whole.counts
    assert {key: whole.weights[key].count for key in some.weights} == {
        key: weight.count for key, weight in some.weights.items()
    }
    for key, weight in some.weights.items():
        assert math.isclose(weight.weight, whole.weights[key].weight, rel_tol=1e-9, abs_tol=1e-200)
