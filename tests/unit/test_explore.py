"""Trying what is not proven: chances are exact, learning finds what is good, and the log tells what else would have been worth."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import msgspec
import numpy as np
import pytest

from plait import explore
from plait.catalog import Catalog, Item, Placement
from plait.decide import Asked, Decider, Question
from plait.events import DAY, Event, Signal
from plait.explore import (
    CANDIDATES,
    FEATURES,
    FLOOR,
    Explorer,
    chance_of,
    features_of,
    learned,
    likeliest,
    pick,
    prior,
)
from plait.explore.learn import WAIT, WITHIN, learn, rounds_of
from plait.explore.offpolicy import Rounds, estimates, greedy, ranked, report, suspicion, uniform
from plait.lake import open_lake
from plait.profiles.profile import Entry, Profile
from plait.settings import Settings

NOW = 1_780_000_000_000
TRUTH = np.array([0.05, 0.10, 0.25, 0.0, 0.0])  # what a candidate's features are worth, in rewards


def made(
    random: np.random.Generator, rounds: int, explorer: Explorer, candidates: int = 8
) -> tuple[Rounds, np.ndarray]:
    """Rounds that a bandit chose in a world whose truth is known, and how likely each candidate was to be rewarded."""
    features = np.zeros((rounds, candidates, len(FEATURES)))
    features[:, :, 0] = 1.0
    features[:, :, 1] = -np.sort(-random.random((rounds, candidates)), axis=1)
    features[:, :, 2] = random.random((rounds, candidates)) ** 4
    features[:, :, 3:] = features[:, :, 1:3] * random.random((rounds, 1, 1))
    votes = (features @ np.array(explorer.draws).T).argmax(axis=1)
    counted = (votes[:, :, None] == np.arange(candidates)).mean(axis=1)
    chances = (1 - FLOOR) * counted + FLOOR / candidates
    chosen = np.minimum((chances.cumsum(axis=1) <= random.random((rounds, 1))).sum(axis=1), candidates - 1)
    truth = features @ TRUTH
    rewards = (random.random(rounds) < truth[np.arange(rounds), chosen]).astype(float)
    return Rounds(features, chances, chosen, rewards, np.arange(rounds) // 2), truth


# -- choosing


def test_the_chance_of_a_candidate_is_how_often_it_is_chosen():
    explorer = prior(np.random.default_rng(3))
    features = np.random.default_rng(4).random((5, len(FEATURES)))
    chances = explorer.chances(features)

    often = (
        np.bincount([pick(chances, chance_of("d", str(number))) for number in range(20_000)], minlength=5)
        / 20_000
    )

    assert chances.sum() == pytest.approx(1.0)
    assert np.abs(often - chances).max() < 0.015  # sd of a share of 20,000 is at most 0.0035


def test_every_candidate_has_a_chance_that_weights_can_be_made_of():
    sure = Explorer([0.0] * 5, [[0.0, 1.0, 0.0, 0.0, 0.0]] * 64)
    chances = sure.chances(features_of(np.array([3.0, 2.0, 1.0]), 3.0, np.full(3, np.nan), 0.0))

    assert chances.tolist() == pytest.approx([1 - FLOOR + FLOOR / 3, FLOOR / 3, FLOOR / 3])


def test_one_decision_tries_the_same_item_whenever_it_is_asked_again():
    assert (
        chance_of("d_1", "home.grid", "0")
        == chance_of("d_1", "home.grid", "0")
        != chance_of("d_2", "home.grid", "0")
    )


def test_the_bandit_finds_what_is_rewarded():
    random, explorer = np.random.default_rng(5), prior()
    seen: list[Rounds] = []
    worth = []
    for _ in range(12):
        rounds, truth = made(random, 400, explorer)
        worth.append(truth[np.arange(400), rounds.chosen].mean() / truth.max(axis=1).mean())
        seen.append(rounds)
        explorer = learned(
            np.concatenate([one.shown for one in seen]), np.concatenate([one.rewards for one in seen]), random
        )

    assert worth[0] < 0.75  # of the best there was
    assert worth[-1] > 0.85  # a tenth goes to candidates at random


def test_the_order_of_what_was_seen_does_not_matter():
    rounds, _ = made(np.random.default_rng(6), 300, prior())
    there = learned(rounds.shown, rounds.rewards, np.random.default_rng(0))
    back = learned(rounds.shown[::-1], rounds.rewards[::-1], np.random.default_rng(0))

    assert there.mean == pytest.approx(back.mean, abs=1e-12)


# -- what else would have been worth


@pytest.fixture(scope="module")
def covered() -> dict[tuple[str, str], int]:
    """How many of 200 intervals held the truth, by policy and estimate."""
    ways = {"uniform": uniform, "ranked": ranked, "greedy": greedy(TRUTH)}
    random = np.random.default_rng(7)
    explorer = learned(*_seen(random), random)
    found = dict.fromkeys(product(ways, ("ips", "snips", "dr")), 0)
    for _ in range(200):
        rounds, truth = made(random, 2_000, explorer)
        for policy, way in ways.items():
            value, told = (way(rounds) * truth).sum(axis=1).mean(), estimates(rounds, way)
            for name in ("ips", "snips", "dr"):
                low, high = told.get(name, {"ci95": [-1.0, 2.0]})["ci95"]
                found[policy, name] += low <= value <= high
    return found


@pytest.mark.parametrize("name", ["ips", "snips", "dr"])
@pytest.mark.parametrize("policy", ["uniform", "ranked", "greedy"])
def test_the_interval_covers_the_truth(covered: dict[tuple[str, str], int], policy: str, name: str):
    # 95 % of 200 is 190, sd 3.1; few large weights cost some points.
    assert 178 <= covered[policy, name] <= 199


def test_where_nothing_tells_anything_the_bandits_choice_looks_no_better_than_it_is(monkeypatch):
    monkeypatch.setattr(f"{__name__}.TRUTH", np.array([0.05, 0.0, 0.0, 0.0, 0.0]))
    random = np.random.default_rng(12)
    told = []
    for _ in range(300):
        seen, _ = made(random, 300, prior())
        rounds, _ = made(random, 1_000, learned(seen.shown, seen.rewards, random))
        told += [report(rounds, likeliest)["policies"]["greedy"].get("dr", {}).get("value")]
    values = np.array([one for one in told if one is not None])

    # By weights of the same rounds the mean was 0.0635; it is within three standard errors of the truth.
    assert abs(values.mean() - 0.05) < 3 * values.std() / np.sqrt(len(values))


def test_too_few_choices_are_not_summed_up():
    rounds, _ = made(np.random.default_rng(7), 30, prior())

    assert set(estimates(rounds, ranked)) == {"effective"}


def _seen(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    rounds, _ = made(random, 300, prior())
    return rounds.shown, rounds.rewards


def test_a_regression_makes_the_interval_narrower():
    random = np.random.default_rng(8)
    rounds, _ = made(random, 4_000, learned(*_seen(random), random))
    found = estimates(rounds, uniform)
    width = {name: found[name]["ci95"][1] - found[name]["ci95"][0] for name in ("ips", "snips", "dr")}

    assert width["dr"] <= width["snips"] < width["ips"]


def test_people_who_chose_often_count_once():
    random = np.random.default_rng(9)
    rounds, _ = made(random, 1_000, prior())
    alone = estimates(rounds, uniform)["ips"]["ci95"]
    tenfold = repeated(rounds, 10)
    together = estimates(tenfold, uniform)["ips"]["ci95"]

    assert together[1] - together[0] == pytest.approx(alone[1] - alone[0], rel=1e-6)


def repeated(rounds: Rounds, times: int) -> Rounds:
    """The same rounds several times, by the same people."""
    return Rounds(
        *(
            np.concatenate([getattr(rounds, name)] * times)
            for name in ("features", "chances", "chosen", "rewards", "person")
        )
    )


def test_honest_propensities_are_not_suspected():
    random = np.random.default_rng(10)
    far = [max(map(abs, suspicion(made(random, 400, prior(random))[0]).values())) for _ in range(100)]

    assert max(far) < 4.5


@pytest.mark.parametrize("how", ["uniform", "of another model", "halved"])
def test_a_broken_propensity_is_noticed(how: str):
    random = np.random.default_rng(11)
    rounds, _ = made(random, 1_000, learned(*_seen(random), random))
    told = {
        "uniform": lambda: uniform(rounds),
        "of another model": lambda: np.array([prior(random).chances(one) for one in rounds.features]),
        "halved": lambda: rounds.chances / 2,
    }[how]()
    broken = Rounds(rounds.features, told, rounds.chosen, rounds.rewards, rounds.person)

    assert not report(rounds, likeliest)["suspect"]
    assert report(broken, likeliest)["suspect"]


# -- on a page


def shelf(explore_slots: int, items: int = 60) -> Catalog:
    return Catalog(
        [Item(id=f"tent-{n}", topics=("tents",), published=NOW - n * DAY) for n in range(items)],
        [Placement(id="grid", n=6, explore=explore_slots), Placement(id="more", n=6)],
    )


def decided(slots: int, *, id: str = "d_1", explain: bool = True, known: bool = True, items: int = 60):
    entry = Entry("web", "view", "item", "tent-3", "", 1, 1.0, NOW, False)
    profile = Profile(["anonymous:a"], [entry], counts={}) if known else None
    question = Question(placements=(Asked("grid"), Asked("more")), explain=explain)
    return Decider(shelf(slots, items)).decide(question, profile, now=NOW, id=id)


def test_tries_come_after_the_best_and_have_a_reason_but_no_score():
    plain, tried = decided(0).placements["grid"].items, decided(2).placements["grid"].items

    assert [one.item for one in tried[:4]] == [one.item for one in plain[:4]]
    assert len(tried) == 6
    for one in tried[4:]:
        assert json.loads(msgspec.json.encode(one)) == {
            "item": one.item, "because": [{"source": "plait", "signal": "exploring", "contribution": 0.0, "share": 1.0}],
        }  # fmt: skip


def test_what_is_tried_stands_nowhere_else_on_the_page():
    for number in range(50):
        page = decided(3, id=f"d_{number}").placements
        items = [one.item for shown in page.values() for one in shown.items]
        assert len(items) == len(set(items)) == 12


def test_the_log_gets_every_candidate_with_its_chance():
    answer = decided(2)
    for number, one in enumerate(answer.explored["grid"]):
        assert len(one["items"]) == len(one["chances"]) == len(one["features"]) == CANDIDATES
        assert sum(one["chances"]) == pytest.approx(1.0, abs=1e-4)
        assert one["items"][one["chosen"]] == answer.placements["grid"].items[4 + number].item


def test_chances_told_are_those_that_were_chosen_by():
    told = [decided(1, id=f"d_{number}").explored["grid"][0] for number in range(1_000)]
    often = np.bincount([one["chosen"] for one in told], minlength=CANDIDATES) / 1_000

    assert np.abs(often - np.array(told[0]["chances"])).max() < 0.06  # sd is at most 0.016


@pytest.mark.parametrize("how", [{"slots": 0}, {"slots": 2, "known": False}])
def test_nothing_is_tried_where_nobody_asked_for_it_or_could_learn_from_it(how: dict[str, int | bool]):
    answer = decided(how.pop("slots"), **how)

    assert not answer.explored
    assert len(answer.placements["grid"].items) == 6


def test_a_short_shelf_tries_what_there_is():
    answer = decided(3, items=5)

    assert len(answer.placements["grid"].items) == 5
    assert [len(one["items"]) for one in answer.explored["grid"]] == [2, 1]


def test_without_explanations_the_same_items_are_chosen():
    with_reasons, without = decided(2).placements["grid"], decided(2, explain=False).placements["grid"]

    assert [one.item for one in with_reasons.items] == [one.item for one in without.items]


# -- from the lake


def told_of(decision: str, chosen: int, at: int, *, person: str = "user:a") -> Event:
    one = {
        "chosen": chosen,
        "items": ["x", "y"],
        "chances": [0.5, 0.5],
        "features": [[1.0, 1.0, 0.0, 0.5, 0.0], [1.0, 0.5, 1.0, 0.25, 0.5]],
    }
    return Event(
        id=decision, source="plait", signal=Signal.DECIDED, at=at, received_at=at, who=(person,), decision=decision,
        properties=msgspec.Raw(json.dumps({"items": {}, "explored": {"grid": [one]}}).encode()),
    )  # fmt: skip


def acted(decision: str | None, item: str, at: int, signal: Signal = Signal.CLICK) -> Event:
    return Event(
        id=f"{decision}{item}{at}",
        source="web",
        signal=signal,
        at=at,
        received_at=at,
        who=("user:a",),
        about=_about(item),
        decision=decision,
    )


def _about(item: str):
    from plait.events import About

    return About(item=item)


def lake_of(folder: Path, events: list[Event]):
    lake = open_lake(f"parquet://{folder}")
    lake.write(1, len(events), list(enumerate(events, 1)))
    return lake


@pytest.mark.parametrize(
    ("acts", "reward"),
    [
        ([acted("d_1", "y", NOW + 1_000)], 1.0),
        ([acted("d_1", "y", NOW + WITHIN + 1)], 0.0),
        ([acted("d_1", "x", NOW + 1_000)], 0.0),
        ([acted(None, "y", NOW + 1_000)], 0.0),
        ([acted("d_1", "y", NOW + 1_000, Signal.REMOVE)], 0.0),
        ([acted("d_1", "y", NOW + 1_000), acted("d_1", "y", NOW + 2_000, Signal.PURCHASE)], 1.0),
    ],
)
def test_a_reward_is_an_act_on_what_was_tried_within_a_day(tmp_path: Path, acts: list[Event], reward: float):
    lake = lake_of(tmp_path, [told_of("d_1", 1, NOW), *acts])
    rounds = rounds_of(lake, now=NOW + 3 * DAY)
    lake.close()

    assert rounds.rewards.tolist() == [reward]
    assert rounds.shown.tolist() == [[1.0, 0.5, 1.0, 0.25, 0.5]]


def test_a_decision_of_a_moment_ago_is_left_for_later(tmp_path: Path):
    lake = lake_of(tmp_path, [told_of("d_1", 1, NOW - WAIT + 1_000)])

    assert not len(rounds_of(lake, now=NOW))
    lake.close()


def test_what_was_learned_is_kept_and_taken_up(tmp_path: Path):
    settings = Settings(data=str(tmp_path))
    events = [told_of(f"d_{n}", n % 2, NOW + n, person=f"user:{n}") for n in range(400)]
    events += [
        acted(f"d_{n}", "y", NOW + n + 10) for n in range(1, 400, 4)
    ]  # half of the times that y was tried
    lake_of(Path(settings.url("lake").removeprefix("parquet://")), events).close()

    assert explore.current(tmp_path).learned_at == 0
    learn(settings, now=NOW + DAY)
    found = explore.current(tmp_path)

    assert (found.rounds, found.rewards, found.report["suspect"]) == (400, 100, [])
    # y is newer, and its score is lower: the bandit prefers it now.
    assert found.chances(np.array([[1.0, 1.0, 0.0, 0.5, 0.0], [1.0, 0.5, 1.0, 0.25, 0.5]]))[1] > 0.9
    assert found.report["policies"]["greedy"]["dr"]["value"] == pytest.approx(0.5, abs=0.05)
    assert found.report["policies"]["ranked"]["dr"]["value"] == pytest.approx(0.0, abs=0.05)


def test_a_lake_without_tries_teaches_nothing(tmp_path: Path):
    assert learn(Settings(data=str(tmp_path)), now=NOW) is None


@pytest.mark.parametrize("text", ["{", '{"mean": [], "draws": []}', '{"mean": [1], "draws": [[1]]}'])
def test_a_damaged_file_is_passed_over(tmp_path: Path, text: str):
    (tmp_path / explore.FILE).write_text(text)

    assert explore.current(tmp_path) == prior()
