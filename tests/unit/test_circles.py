"""What those whom you follow liked: how many they were, never who, and only with their consent."""

import math

import msgspec
import pytest
from bench.plain import PlainLog, PlainStore
from hypothesis import given
from hypothesis import settings as arguing
from hypothesis import strategies as st

from plait.catalog import Catalog, Item
from plait.circles import Circles, accounts_of, training_rows
from plait.decide import Asked, Decider, Question
from plait.events import DAY, Record, encode_record
from plait.graph import FEWEST, QUARTER, pseudonym
from plait.intake.signals import load_signals
from plait.models.ranker import about_of
from plait.profiles import everybody, people
from plait.profiles.fold import Fold
from plait.profiles.subjects import BEYOND, FOLLOWED, OTHERS, TOGETHER
from plait.settings import ConsentDefaults, Settings

NOW = 1_780_000_000_000
SIGNALS = load_signals()
OPEN = Settings(half_life_days=10.0, consent=ConsentDefaults(link=True, social=True))
ME = "bluesky:me"
CATALOG = Catalog(
    [Item(id="tent"), Item(id="stove"), Item(id="p1", kind="post", for_=("tent",))],
)


def fact(id, who, signal="like", about=None, **more):
    about = about or {"post": "p1"}
    return {
        "id": id,
        "source": "bluesky:shop",
        "who": [who],
        "signal": signal,
        "about": about,
        "at": NOW,
        **more,
    }


def follow(one, other, **more):
    return fact(f"{one}>{other}", one, "follow", {"account": other}, record=f"{one}>{other}", **more)


def world(*facts, settings=OPEN):
    log = PlainLog(
        [encode_record(Record(kind="events", source="web", received_at=NOW, trusted=True, body=msgspec.json.encode(list(facts))))]
    )  # fmt: skip
    store = PlainStore()
    Fold(store, settings, SIGNALS, log=log).step(log.read(0))
    return store, Circles(settings, "pepper", now=NOW).load(store)


def profile(store, who=ME, settings=OPEN):
    return people.interests(store, who, now=NOW, settings=settings)


def told(store, circles, who=ME, now=NOW):
    found = profile(store, who)
    return {(one.signal, one.id): one for one in circles.told(found.identifiers, found.entries, now=now)}


ANN_AND_BOB = [
    follow(ME, "bluesky:ann"), follow(ME, "bluesky:bob"),
    fact("1", "bluesky:ann"), fact("2", "bluesky:bob"),
]  # fmt: skip


def test_what_two_whom_you_follow_liked_counts_two_people():
    (entry,) = told(*world(*ANN_AND_BOB)).values()

    assert (entry.kind, entry.id, entry.count, entry.source) == ("post", "p1", 2, "bluesky:shop")
    assert entry.weight == pytest.approx(2.0)


def test_the_reason_says_how_many_and_names_nobody():
    store, circles = world(*ANN_AND_BOB)
    known = profile(store)
    known.entries += circles.told(known.identifiers, known.entries, now=NOW)

    page = Decider(CATALOG).decide(
        Question(placements=(Asked("home.grid", 2),), explain=True), known, now=NOW, id="d"
    )

    tent = page.placements["home.grid"].items[0]
    assert tent.item == "tent"
    assert ("bluesky:shop", "follow", "2 people you follow liked this") in [
        (one.source, one.signal, one.about) for one in tent.because
    ]
    assert math.fsum(one.contribution for one in tent.because) == pytest.approx(tent.score, abs=1e-6)
    assert b"ann" not in bytes(tent.reasons)
    assert b"bob" not in bytes(tent.reasons)


def test_one_person_is_told_as_one():
    store, circles = world(follow(ME, "bluesky:ann"), fact("1", "bluesky:ann"))

    assert about_of(*told(store, circles).values()) == "1 person you follow liked this"


def test_who_allows_no_social_use_is_in_nobody_elses_answer():
    no = {"id": "n", "signal": "consent", "who": ["bluesky:ann"], "consent": {"social": False}, "at": NOW}

    found = told(*world(*ANN_AND_BOB, no))

    assert [one.count for one in found.values()] == [1]


def test_nobody_is_where_social_is_off_until_given():
    settings = Settings(half_life_days=10.0)
    yes = {"id": "y", "signal": "consent", "who": [ME], "consent": {"social": True}, "at": NOW}
    store, circles = world(*ANN_AND_BOB, yes, settings=settings)

    found = profile(store, settings=settings)
    assert circles.told(found.identifiers, found.entries, now=NOW) == []


def test_what_a_friend_does_in_the_shop_is_told_to_nobody():
    bought = fact("3", "bluesky:ann", "purchase", {"item": "stove"})
    linked = {"id": "l", "signal": "link", "who": ["user:ann", "bluesky:ann"], "at": NOW}
    viewed = fact("4", "user:ann", "view", {"item": "stove"})

    found = told(*world(*ANN_AND_BOB, bought, linked, viewed))

    assert {id for _, id in found} == {"p1"}


def test_a_comment_may_be_a_complaint_so_it_is_no_like():
    store, circles = world(follow(ME, "bluesky:ann"), fact("1", "bluesky:ann", "comment"))

    assert told(store, circles) == {}


def test_an_unfollow_ends_it():
    gone = fact("u", ME, "follow", record=f"{ME}>bluesky:ann", op="retract")

    assert [one.count for one in told(*world(*ANN_AND_BOB, gone)).values()] == [1]


def test_an_unlike_ends_it_once_it_is_read():
    store, circles = world(*ANN_AND_BOB)
    log = PlainLog()
    log.records = [b""]  # where the first stands
    log.append([encode_record(Record(kind="events", source="web", received_at=NOW + 1, trusted=True, body=msgspec.json.encode([fact("9", "bluesky:ann", op="retract", at=NOW + 1)])))])  # fmt: skip
    Fold(store, OPEN, SIGNALS, log=log).step(log.read(1))

    circles.take(store, ["bluesky:ann"])

    assert [one.count for one in told(store, circles).values()] == [1]


def test_friends_of_friends_are_told_of_from_five_on():
    def around(count):
        far = [f"bluesky:f{n}" for n in range(count)]
        return told(*world(
            follow(ME, "bluesky:ann"), *(follow("bluesky:ann", one) for one in far),
            *(fact(f"l{one}", one) for one in far),
        ))  # fmt: skip

    assert around(FEWEST - 1) == {}
    assert around(FEWEST)[BEYOND, "p1"].count == FEWEST


def test_what_is_kept_up_is_what_is_made_anew():
    store, _ = world(*ANN_AND_BOB, follow("bluesky:ann", "bluesky:cleo"), fact("5", "bluesky:cleo"))
    kept = Circles(OPEN, "pepper", now=NOW)
    for one in ("bluesky:cleo", "bluesky:bob", ME, "bluesky:ann", "bluesky:bob"):
        kept.take(store, [one])

    anew = Circles(OPEN, "pepper", now=NOW).load(store)

    assert told(store, kept) == told(store, anew)
    assert (kept.graph.ties, kept.graph.nodes) == (anew.graph.ties, anew.graph.nodes)


@pytest.mark.parametrize("days", [0, 10, 200])
def test_what_friends_did_fades_as_what_you_did(days):
    store, circles = world(*ANN_AND_BOB)
    later = NOW + days * DAY
    found = people.interests(store, ME, now=later, settings=OPEN)

    (entry,) = circles.told(found.identifiers, found.entries, now=later)

    # Relative to the newest act, as models read it, it weighs what two likes of that age weigh.
    fresh = 2.0 ** (days / 10)
    assert entry.weight * fresh == pytest.approx(2.0 * 2.0 ** (-days / 10), rel=1e-5)


def test_what_is_learned_is_what_is_asked():
    store, circles = world(*ANN_AND_BOB)

    rows = dict(training_rows(store, OPEN, "pepper", now=NOW))

    mine = [one._replace(at=0) for one in rows[ME] if one.signal in OTHERS]
    assert mine == list(told(store, circles).values())


def test_what_is_learned_has_the_time_of_the_newest_follow_or_like_it_rests_on():
    def newest(followed, liked):
        store, _ = world(
            follow(ME, "bluesky:ann", at=NOW - followed * DAY), fact("1", "bluesky:ann", at=NOW - liked * DAY)
        )
        rows = dict(training_rows(store, OPEN, "pepper", now=NOW))
        (entry,) = (one for one in rows[ME] if one.signal == FOLLOWED)
        return entry.at

    assert 0 <= newest(3, 5) - (NOW - 3 * DAY) < QUARTER
    assert 0 <= newest(5, 3) - (NOW - 3 * DAY) < QUARTER


def test_the_time_of_what_friends_of_friends_liked_is_that_of_the_newest_tie_between():
    far = [f"bluesky:f{n}" for n in range(FEWEST)]
    store, _ = world(
        follow(ME, "bluesky:ann", at=NOW - 9 * DAY),
        *(follow("bluesky:ann", one, at=NOW - (2 if one == far[0] else 8) * DAY) for one in far),
        *(fact(f"l{one}", one, at=NOW - 7 * DAY) for one in far),
    )

    (entry,) = (
        one for one in dict(training_rows(store, OPEN, "pepper", now=NOW))[ME] if one.signal == BEYOND
    )

    assert 0 <= entry.at - (NOW - 2 * DAY) < QUARTER


PEOPLE = [f"bluesky:p{number}" for number in range(9)]
whens = st.integers(0, 20).map(lambda days: NOW - days * DAY)
follows = st.builds(
    lambda one, other, at: follow(one, other, at=at), st.sampled_from(PEOPLE), st.sampled_from(PEOPLE), whens
)
likes = st.builds(
    lambda one, post, at: fact(f"{one}+{post}", one, about={"post": post}, record=f"{one}+{post}", at=at),
    st.sampled_from(PEOPLE), st.sampled_from(["p1", "p2", "p3", "p4"]), whens,
)  # fmt: skip


def unlike(facts):
    return list({one["id"]: one for one in facts}.values())


def around(store, **more):
    found = {}
    for row, entries in training_rows(store, OPEN, "pepper", now=NOW, **more):
        for one in entries:
            if one.signal in OTHERS:
                found[row, one.signal, one.id] = (one.count, pytest.approx(one.weight, rel=1e-5))
    return found


@arguing(max_examples=60, deadline=None)
@given(st.lists(follows | likes, max_size=60).map(unlike), whens)
def test_as_of_a_moment_is_told_what_would_have_been_told_then(facts, moment):
    store, _ = world(*facts)
    then, _ = world(*(one for one in facts if one["at"] <= moment))

    assert around(store, until=moment) == around(then)


@arguing(max_examples=60, deadline=None)
@given(st.lists(follows | likes, max_size=60).map(unlike), st.randoms())
def test_the_order_in_which_facts_come_does_not_show(facts, random):
    other = random.sample(facts, len(facts))

    assert around(world(*facts)[0]) == around(world(*other)[0])


# -- who follows nobody ----------------------------------------------------------------------------------------

LOVERS = [f"bluesky:lover{number}" for number in range(FEWEST)]


def lovers(count=FEWEST):
    """Each likes what I like, and one thing more."""
    return [
        fact(f"{one}+{post}", one, about={"post": post}, record=f"{one}+{post}")
        for one in LOVERS[:count]
        for post in ("p1", "p2")
    ]


def test_who_follows_nobody_hears_of_those_who_liked_the_same():
    (entry,) = told(*world(fact("me", ME), *lovers())).values()

    assert (entry.signal, entry.id, entry.count) == (TOGETHER, "p2", FEWEST)
    assert about_of(entry) == "5 people who liked what you liked like this, too"


def test_of_those_who_liked_the_same_nothing_is_told_of_fewer_than_five():
    assert told(*world(fact("me", ME), *lovers(FEWEST - 1))) == {}


def test_those_who_liked_the_same_count_by_their_own_consent():
    no = {"id": "n", "signal": "consent", "who": [LOVERS[0]], "consent": {"social": False}, "at": NOW}

    assert told(*world(fact("me", ME), *lovers(), no)) == {}


def test_who_liked_the_same_and_took_it_back_is_not_near_any_more():
    store, circles = world(fact("me", ME), *lovers())
    log = PlainLog()
    log.records = [b""]
    gone = fact("gone", LOVERS[0], about={}, record=f"{LOVERS[0]}+p1", op="retract", at=NOW + 1)
    log.append([encode_record(Record(kind="events", source="web", received_at=NOW + 1, trusted=True, body=msgspec.json.encode([gone])))])  # fmt: skip
    Fold(store, OPEN, SIGNALS, log=log).step(log.read(1))

    circles.take(store, [LOVERS[0]])

    assert told(store, circles) == {}


def test_a_devices_word_is_that_of_its_persons_accounts():
    store, _ = world(
        {"id": "1", "signal": "link", "who": ["user:me", ME], "at": NOW},
        {"id": "2", "signal": "link", "who": ["user:me", "anonymous:a"], "at": NOW},
    )

    assert accounts_of(store, ["anonymous:a"], OPEN) == {ME}


FAR = pseudonym("bluesky:far", "pepper")


def test_somebody_two_ties_away_has_no_profile_and_teaches_nothing():
    store, _ = world(follow(FAR, pseudonym("bluesky:farther", "pepper")))

    assert people.profile(store, FAR, now=NOW, settings=OPEN, purpose=None) is None
    assert list(everybody.training_rows(store, OPEN, now=NOW)) == []


def test_ties_told_as_numbers_lead_to_those_who_are_known():
    far = [f"bluesky:f{n}" for n in range(FEWEST)]
    found = told(*world(
        follow(ME, "bluesky:far"), *(follow(FAR, pseudonym(one, "pepper")) for one in far),
        *(fact(f"l{one}", one) for one in far),
    ))  # fmt: skip

    assert found[BEYOND, "p1"].count == FEWEST


def test_who_is_known_by_name_and_by_number_is_one():
    ann = pseudonym("bluesky:ann", "pepper")
    far = [f"bluesky:f{n}" for n in range(FEWEST)]
    found = told(*world(
        *ANN_AND_BOB, *(follow(ann, pseudonym(one, "pepper")) for one in far), *(fact(f"l{one}", one) for one in far),
    ))  # fmt: skip

    assert (found[FOLLOWED, "p1"].count, found[BEYOND, "p1"].count) == (2, FEWEST)
