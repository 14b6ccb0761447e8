"""What a fit learns: worlds whose right answer is obvious by construction."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from plait.catalog import Catalog, Item
from plait.decide import Asked, Decider, Question
from plait.errors import Corrupt
from plait.events import DAY
from plait.models import Model, current, drop_old, gates
from plait.models.fit import fit
from plait.models.table import table_of
from plait.profiles.profile import Entry, Profile
from plait.profiles.subjects import FOLLOWED

NOW = 1_780_000_000_000
HALF_LIFE = 14 * DAY


def entry(item, *, source="web", signal="view", kind="item", section="", days=0.0, count=1, weight=1.0):
    at = NOW - int(days * DAY)
    return Entry(source, signal, kind, item, section, count, weight * 2 ** (-days / 14), at, False)


def catalog(topics=False):
    return Catalog(
        Item(id=f"{kind}-{number}", topics=(kind,) if topics else ())
        for kind in ("tent", "boat")
        for number in range(12)
    )


def people(number=200, *, also=lambda random, kind: [], seed=0):
    """Half of them look at tents, half at boats, five each."""
    random = np.random.default_rng(seed)
    for person in range(number):
        kind = ("tent", "boat")[person % 2]
        chosen = random.choice(12, 5, replace=False)
        views = [entry(f"{kind}-{one}", days=float(day)) for day, one in enumerate(chosen)]
        yield f"user:{person}", views + also(random, kind)


def shown(model, shelf, entries, n=6, **more):
    question = Question(placements=(Asked("home.grid", n),), explain=True, **more)
    answer = Decider(shelf, model).decide(question, Profile(["user:x"], entries), now=NOW, id="d")
    return answer.placements["home.grid"].items


def test_who_looks_at_tents_is_shown_tents():
    shelf = catalog()
    model = fit(people(), shelf, now=NOW, half_life=HALF_LIFE)

    found = shown(model, shelf, [entry("tent-3"), entry("tent-4")])

    assert {one.item.partition("-")[0] for one in found} == {"tent"}


def test_the_model_foretells_better_than_popularity():
    model = fit(people(600), catalog(), now=NOW, half_life=HALF_LIFE)

    known = model.manifest.quality["by_history"]["4"]  # of 147 people; 1.4 times, for whichever 600 are drawn
    assert known["model"] > 1.3 * known["popularity"]  # half of the items are out of the question


def test_a_new_item_comes_by_its_topics():
    shelf = catalog(topics=True)
    model = fit(people(), shelf, now=NOW, half_life=HALF_LIFE)
    shelf.upsert(
        [Item(id="tent-new", topics=("tent",), published=NOW), Item(id="boat-new", topics=("boat",))]
    )

    found = [one.item for one in shown(model, shelf, [entry("tent-3")], n=13)]

    assert "tent-new" in found
    assert "boat-new" not in found


def test_one_visitor_does_not_make_a_boat_related_to_a_tent():
    shelf = catalog(topics=True)
    rows = [
        ("user:a", [entry("tent-1"), entry("boat-1")]),
        *((f"user:{n}", [entry("tent-2")]) for n in range(3)),
    ]
    model = fit(rows, shelf, now=NOW, half_life=HALF_LIFE)
    decider = Decider(shelf, model)

    question = Question(placements=(Asked("item.related", n=1, item="tent-1"),))
    (first,) = decider.decide(question, None, now=NOW, id="d").placements["item.related"].items

    assert first.item.startswith("tent")


def test_likes_of_posts_tell_what_somebody_will_look_at():
    shelf = catalog()
    shelf.upsert([Item(id="77", kind="post"), Item(id="78", kind="post")])

    def likes(random, kind):
        return [
            entry("77" if kind == "tent" else "78", source="bluesky:shop", signal="like", kind="post", days=9)
        ]

    model = fit(people(also=likes), shelf, now=NOW, half_life=HALF_LIFE)

    found = shown(model, shelf, [entry("77", source="bluesky:shop", signal="like", kind="post")])
    assert {one.item.partition("-")[0] for one in found} == {"tent"}
    assert {(why.source, why.signal, why.about) for why in found[0].because} >= {
        ("bluesky:shop", "like", "post:77")
    }


def test_a_channel_that_tells_nothing_is_hardly_heard_and_costs_nothing():
    shelf = catalog()

    def noise(random, kind):
        liked = random.choice(24, 3, replace=False)
        return [
            entry(f"{('tent', 'boat')[one // 12]}-{one % 12}", source="bluesky:shop", signal="like", days=30)
            for one in liked
        ]

    loud = []
    for seed in range(5):  # one draw in three has noise that seems to help
        model = fit(people(600, also=noise, seed=seed), shelf, now=NOW, half_life=HALF_LIFE)
        gates = dict(zip(model.manifest.channels, model.gates, strict=False))
        loud.append(gates["bluesky", "like"].max() / gates["web", "view"].max())
        quality = model.manifest.quality
        assert quality["model"] >= 0.997 * quality.get("activity", quality["model"])

    assert np.median(loud) < 0.2


def test_gates_are_never_negative():
    model = fit(people(), catalog(topics=True), now=NOW, half_life=HALF_LIFE)

    assert (model.gates >= 0).all()


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [("user:a", [])],
        [("user:a", [entry("tent-1")])],
        [("user:a", [entry("of-no-catalog")])],
        [("user:a", [entry("tent-1", signal="like", source="bluesky:x")])],
        [("user:a", [entry("tent", kind="topic")])],
        [("user:a", [entry("tent-1", signal="rate", weight=-0.5)])],
        [(f"user:{one}", [entry("tent-1")]) for one in range(40)],
    ],
)
def test_however_little_there_is_a_model_comes_of_it(rows):
    shelf = catalog(topics=True)

    model = fit(rows, shelf, now=NOW, half_life=HALF_LIFE)

    found = shown(model, shelf, [entry("tent-2")], n=24)
    assert len(found) == 24
    assert found[0].item.startswith("tent")


def test_an_empty_catalog_gives_an_empty_page():
    shelf = Catalog()

    assert shown(fit(people(4), shelf, now=NOW, half_life=HALF_LIFE), shelf, [entry("tent-2")]) == []


def test_a_saved_model_answers_the_same(tmp_path):
    shelf = catalog(topics=True)
    model = fit(people(), shelf, now=NOW, half_life=HALF_LIFE)

    model.save(tmp_path)

    again = current(tmp_path)
    assert shown(again, shelf, [entry("boat-2")]) == shown(model, shelf, [entry("boat-2")])


def test_the_newest_model_is_the_current_one(tmp_path):
    for day in range(4):
        fit(people(10), catalog(), now=NOW + day * DAY, half_life=HALF_LIFE).save(tmp_path)

    newest = current(tmp_path)

    assert newest.fitted_at == NOW + 3 * DAY
    assert current(tmp_path, known=newest.id) is None
    drop_old(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_half_written_model_is_not_seen(tmp_path):
    (tmp_path / ".half.123").mkdir()

    assert current(tmp_path) is None


def test_what_a_killed_fit_left_is_removed_and_what_is_being_written_is_not(tmp_path):
    """It holds what people did, as a whole model does."""
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        pass
    for name in (f".killed.{dead.pid}", f".writing.{os.getpid()}", ".odd"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "learned.npz").write_bytes(b"acts")

    drop_old(tmp_path)

    assert [one.name for one in tmp_path.iterdir()] == [f".writing.{os.getpid()}"]


def test_a_damaged_model_is_told(tmp_path):
    folder = fit(people(10), catalog(), now=NOW, half_life=HALF_LIFE).save(tmp_path)
    (folder / "values.npy").write_bytes(b"")

    with pytest.raises(Corrupt, match=r"model"):
        Model.load(folder)


def test_a_damaged_model_is_passed_over_for_the_one_before(tmp_path):
    older = fit(people(10), catalog(), now=NOW, half_life=HALF_LIFE)
    older.save(tmp_path)
    folder = fit(people(10), catalog(), now=NOW + DAY, half_life=HALF_LIFE).save(tmp_path)
    (folder / "values.npy").write_bytes(b"")

    assert current(tmp_path).id == older.id


def test_the_same_rows_give_the_same_model():
    one, other = (fit(people(), catalog(), now=NOW, half_life=HALF_LIFE) for _ in range(2))

    assert np.array_equal(one.gates, other.gates)
    assert np.array_equal(one.values, other.values)


def test_who_comes_back_after_a_year_is_known_again():
    shelf = catalog()
    model = fit(people(), shelf, now=NOW, half_life=HALF_LIFE)

    now, then = ([entry("tent-3", days=days)] for days in (0, 365))

    assert [one.item for one in shown(model, shelf, then)] == [one.item for one in shown(model, shelf, now)]


def ties(friends):
    return [Entry("ties:net", "follow", "person", one, "", 1, 1.0, NOW, False) for one in friends]


def befriended(number=200):
    """As above, and all follow three of their own kind."""
    random = np.random.default_rng(1)
    for person, (_, views) in enumerate(people(number)):
        friends = random.choice(number // 2, 3, replace=False) * 2 + person % 2
        yield f"user:{person}", views + ties(f"user:{one}" for one in friends)


def test_who_follows_people_that_look_at_tents_is_shown_tents():
    model = fit(befriended(), catalog(), now=NOW, half_life=HALF_LIFE)

    found = shown(model, catalog(), ties(["user:2", "user:4", "user:8"]))

    assert {one.item.partition("-")[0] for one in found} == {"tent"}
    assert found[0].because[0].signal == "follow"


def test_friends_who_say_nothing_are_gated_off_or_held_back():
    random = np.random.default_rng(2)
    rows = [
        (name, views + ties(f"user:{one}" for one in random.choice(400, 3, replace=False)))
        for name, (_, views) in zip((f"user:{n}" for n in range(400)), people(400), strict=True)
    ]

    quality = fit(rows, catalog(), now=NOW, half_life=HALF_LIFE).manifest.quality

    assert quality["model"] >= 0.997 * max(quality.get("activity", 0.0), quality.get("social", 0.0))


def test_a_history_that_is_cut_is_cut_before_anything_is_learned():
    table = table_of(befriended(), catalog(), now=NOW, half_life=HALF_LIFE)

    cut = gates.split(table, np.random.default_rng(0))

    history = np.diff(cut.rest.target().indptr)
    asked = np.flatnonzero(np.diff(cut.truth.indptr))
    assert {0, 1, 2} <= set(history[asked].tolist())
    known = cut.rest.target()
    assert known.multiply(cut.truth).nnz == 0


def with_friends(days, number=500):
    """Everybody looks at what a few friends liked; of when the friends liked it the model may only hear before."""
    random = np.random.default_rng(5)
    for person in range(number):
        chosen = random.choice(24, 8, replace=False)
        names = [f"{('tent', 'boat')[one % 2]}-{one // 2}" for one in chosen]
        views = [entry(name, days=float(day)) for day, name in enumerate(names[:5])]
        told = [entry(name, source="bluesky", signal=FOLLOWED, section="2", days=days) for name in names]
        yield f"user:{person}", views + told


def test_what_friends_liked_before_foretells():
    model = fit(with_friends(30.0), catalog(), now=NOW, half_life=HALF_LIFE)

    known = model.manifest.quality
    assert known["model"] > 1.5 * known["popularity"]
    assert "bluesky/follow~" not in model.manifest.gated_off


def test_what_friends_liked_later_is_not_heard_of_before():
    model = fit(with_friends(0.0), catalog(), now=NOW, half_life=HALF_LIFE)

    known = model.manifest.quality
    assert known["model"] < 1.1 * known["popularity"]  # everybody looks at anything alike
