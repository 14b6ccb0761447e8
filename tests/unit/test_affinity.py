"""Who likes several posts of one author is drawn to that author's posts, and hears why."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as arguing
from hypothesis import strategies as st
from tests.scripted import remembered

from plait.affinity import Authors, at_home, with_affinity
from plait.catalog import Catalog, Item
from plait.decide import Asked, Decider, Question
from plait.events import DAY
from plait.graph import FEWEST
from plait.models.fit import fit
from plait.models.table import table_of
from plait.profiles.profile import Entry, Profile
from plait.profiles.subjects import SEP

NOW = 1_780_000_000_000
HALF_LIFE = 14 * DAY
BRAND = "bluesky:brand.example"


def post(id, *items, author=BRAND, **more):
    return Item(id=id, kind="post", for_=items, attributes={"source": author}, **more)


def like(id, signal="like", *, source="bluesky:shop", weight=1.0, at=NOW):
    return Entry(source, signal, "post", id, "", 1, weight, at, False)


def shelf():
    items = [Item(id=one) for one in ("tent", "stove", "boat")]
    return Catalog(
        [
            *items,
            post("p1", "tent"),
            post("p2", "tent"),
            post("p3", "stove"),
            post("q1", "boat", author="other"),
        ]
    )


def page(catalog, entries, n=3):
    decider = Decider(catalog)
    decider._refresh()
    profile = Profile(["bluesky:me"], [*entries, *decider.ranker.drawn([], entries)])
    asked = Question(placements=(Asked("home.grid", n),), explain=True)
    return decider.decide(asked, profile, now=NOW, id="d").placements["home.grid"].items


def test_two_likes_of_one_author_make_one_entry():
    (entry,) = Authors(shelf()).drawn([like("p1"), like("p2", weight=0.5, at=NOW - 5)])

    assert (entry.source, entry.signal, entry.kind, entry.id) == ("bluesky:shop", "like~", "author", BRAND)
    assert (entry.section, entry.count, entry.weight, entry.at) == ("2", 2, 1.5, NOW)


def test_one_post_is_no_affinity():
    assert Authors(shelf()).drawn([like("p1"), like("q1")]) == []


def test_a_like_and_a_share_are_two_ways():
    found = Authors(shelf()).drawn([like("p1"), like("p2"), like("p1", "share"), like("p3", "share")])

    assert sorted(one.signal for one in found) == ["like~", "share~"]


def test_words_that_blame_draw_nobody():
    assert Authors(shelf()).drawn([like("p1", "reply", weight=0.0), like("p2", "reply", weight=0.0)]) == []


def test_who_likes_a_brands_posts_sees_what_its_other_posts_are_about():
    found = {one.item: one for one in page(shelf(), [like("p1"), like("p2")])}

    assert found["stove"].score > found["boat"].score
    assert [(one.source, one.signal, one.about) for one in found["stove"].because] == [
        ("bluesky:shop", "like", f"2 posts by {BRAND}")
    ]


def test_contributions_sum_to_the_score():
    for one in page(shelf(), [like("p1"), like("p2"), like("p3", "share"), like("p1", "share")]):
        assert math.fsum(why.contribution for why in one.because) == pytest.approx(one.score, abs=1e-6)


def test_an_account_that_is_not_the_companys_is_named_to_nobody():
    stranger = "at://did:plc:ann/app.bsky.feed.post/"
    posts = [Item(id=f"{stranger}{n}", kind="post", for_=("tent",)) for n in range(3)]
    catalog = Catalog([Item(id="tent"), *posts[:2]])
    catalog.delete([one.id for one in posts])  # the shop does not know them any more

    (entry,) = Authors(catalog).drawn([like(one.id) for one in posts])
    decider = Decider(catalog)

    assert entry.id == "bluesky:did:plc:ann"
    assert decider.ranker._about(entry) == "3 posts by one account"


def test_nobody_elses_posts_leave_a_name_in_mind():
    authors = Authors(shelf())

    assert authors.of("at://did:plc:stranger/app.bsky.feed.post/1") == "bluesky:did:plc:stranger"
    assert authors.of("p1") == BRAND
    assert "did:plc:stranger" not in remembered(authors)


def test_what_pages_keep_in_mind_is_let_go_when_somebody_was_erased():
    catalog = shelf()
    decider, asked = Decider(catalog), Question(placements=(Asked("home.grid", 3),))
    follows = Entry("bluesky:shop", "follow", "account", "bluesky:did:plc:gone", "", 1, 1.0, NOW, False)
    liked = like("at://did:plc:gone/app.bsky.feed.post/1")
    decider.decide(asked, Profile(["bluesky:me"], [follows, liked]), now=NOW, id="d")
    assert "did:plc:gone" in remembered(decider)

    catalog.touch()
    decider.decide(asked, Profile(["bluesky:me"], [like("p1")]), now=NOW, id="e")

    assert "did:plc:gone" not in remembered(decider)


def test_a_new_post_counts_and_one_that_went_does_not():
    catalog = shelf()
    authors = Authors(catalog)
    assert set(authors.items("other")) == {catalog.rows["boat"]}

    catalog.upsert([post("q2", "tent", author="other")])
    assert set(authors.items("other")) == {catalog.rows["boat"], catalog.rows["tent"]}

    catalog.delete(["q1"])
    assert set(authors.items("other")) == {catalog.rows["tent"]}


likes = st.lists(
    st.builds(like, st.sampled_from(["p1", "p2", "p3", "q1"]), st.sampled_from(["like", "share"])),
    unique_by=lambda one: (one.id, one.signal),
)


@arguing(deadline=None)
@given(likes, st.randoms())
def test_the_order_of_likes_does_not_show(entries, random):
    authors = Authors(shelf())

    assert sorted(authors.drawn(entries)) == sorted(authors.drawn(random.sample(entries, len(entries))))


def test_a_fit_learns_what_an_authors_friends_want():
    """Posts are tied to nothing; who likes those of the one author looks at tents, of the other at boats."""
    random = np.random.default_rng(0)
    catalog = Catalog(
        [Item(id=f"{kind}-{n}") for kind in ("tent", "boat") for n in range(12)]
        + [
            post(f"{kind}-post-{n}", author=f"author of {kind}s")
            for kind in ("tent", "boat")
            for n in range(300)
        ]
    )

    def people():
        for person in range(300):
            kind = ("tent", "boat")[person % 2]
            liked = [like(f"{kind}-post-{n}", at=NOW - 9 * DAY) for n in random.choice(300, 3, replace=False)]
            views = [
                Entry("web", "view", "item", f"{kind}-{n}", "", 1, 1.0, NOW - day * DAY, False)
                for day, n in enumerate(random.choice(12, 4, replace=False))
            ]
            yield f"user:{person}", views + liked

    model = fit(with_affinity(people(), catalog, lambda row: [row]), catalog, now=NOW, half_life=HALF_LIFE)

    assert ("bluesky", "like~") in model.manifest.channels
    mine = [like("tent-post-0"), like("tent-post-299")]  # few others liked these very posts
    decider = Decider(catalog, model)
    profile = Profile(["bluesky:me"], [*mine, *Authors(catalog).drawn(mine)])
    shown = decider.decide(
        Question(placements=(Asked("home.grid", 6),), explain=True), profile, now=NOW, id="d"
    )
    items = shown.placements["home.grid"].items
    assert {one.item.partition("-")[0] for one in items} == {"tent"}
    assert "2 posts by author of tents" in {why.about for one in items for why in one.because}


# -- communities -----------------------------------------------------------------------------------------------

TOOT = like("p1", source="mastodon:shop@shop.example")


def test_an_account_lives_on_a_server():
    (entry,) = at_home(["user:1", "mastodon:ann@art.example"], [TOOT])

    assert (entry.source, entry.kind, entry.id) == ("mastodon:shop@shop.example", "community", "art.example")
    assert Decider(shelf()).ranker._about(entry) == "people of art.example"


@pytest.mark.parametrize(
    ("identifiers", "entries"),
    [
        (["bluesky:did:plc:ann"], [TOOT]),
        (["mastodon:ann@art.example"], []),  # consent let nothing of it through
        (["mastodon:ann@art.example"], [like("p1")]),
        (["mastodon:broken"], [TOOT]),
    ],
)
def test_nothing_is_said_of_where_somebody_lives_without_their_social_yes(identifiers, entries):
    assert at_home(identifiers, entries) == []


@pytest.mark.parametrize(("people", "known"), [(FEWEST - 1, False), (FEWEST, True)])
@pytest.mark.parametrize("kind", ["account", "author", "community"])
def test_a_model_knows_accounts_and_communities_by_name_from_five_people_on(kind, people, known):
    viewed = Entry("web", "view", "item", "tent", "", 1, 1.0, NOW, False)
    near = Entry("bluesky:shop", "follow", kind, "somebody", "", 1, 1.0, NOW, False)
    rows = [(f"user:{n}", [viewed, near] if n < people else [viewed]) for n in range(9)]

    table = table_of(rows, shelf(), now=NOW, half_life=HALF_LIFE)

    assert (f"{kind}{SEP}somebody" in table.entities) is known
    assert (table.channels.index(("bluesky", "follow")) in table.channel) is known
    assert table.topics.shape[0] == len(table.entities)
