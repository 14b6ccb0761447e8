"""What another way to choose would have been worth, from choices that were made with known chances.

Three estimates of the same number, the rewards per choice: by inverse propensity (IPS), which is unbiased and wide; the same divided by
the sum of its weights (SNIPS); and doubly robust (DR), which lets a regression tell what it can and weights only what that missed. Intervals count
people, not choices: one person's choices are not independent.

Horvitz and Thompson 1952; Swaminathan and Joachims 2015; Dudik, Langford and Li 2011, with the regression fitted on the other half.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

Array = NDArray[np.float64]
SUSPICIOUS = 4.5  # standard errors: of honest propensities one in 150,000 is further off
FEW = 50  # choices that the weights must stand for; intervals from fewer cover too little (docs/how-to/explore.md)
_RIDGE = 1.0


@dataclass(frozen=True)
class Rounds:
    """Choices that were made.

    Attributes:
        features: (rounds, candidates, features); rows beyond a round's candidates are zero.
        chances: (rounds, candidates) how likely each was; zero beyond a round's candidates.
        chosen: (rounds,) which was shown.
        rewards: (rounds,) what came of it.
        person: (rounds,) numbers of the people; equal for the same one.
    """

    features: Array
    chances: Array
    chosen: NDArray[np.int64]
    rewards: Array
    person: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def shown(self) -> Array:
        """(rounds, features) of what was shown."""
        found: Array = self.features[np.arange(len(self)), self.chosen]
        return found


Policy = Callable[[Rounds], Array]  # (rounds, candidates) chances, each row sums to 1
Belief = Callable[[Array, Array], Array]  # features of what was shown and rewards -> (features,) weights


def uniform(rounds: Rounds) -> Array:
    """Any candidate alike."""
    there = rounds.chances > 0
    found: Array = there / np.maximum(there.sum(axis=1, keepdims=True), 1)
    return found


def ranked(rounds: Rounds) -> Array:
    """Always the best score: candidates come in that order."""
    found = np.zeros(rounds.chances.shape)
    found[:, 0] = 1.0
    return found


def greedy(weights: Array) -> Policy:
    """Always what these weights, (features,), like best."""

    def policy(rounds: Rounds) -> Array:
        liking = np.where(rounds.chances > 0, rounds.features @ weights, -np.inf)
        found = np.zeros(rounds.chances.shape)
        found[np.arange(len(rounds)), liking.argmax(axis=1)] = 1.0
        return found

    return policy


def believed(belief: Belief) -> Policy:
    """Always what is liked best by weights learned from the other half of people.

    From the same rounds they would be weights that these rounds happened to reward: where no feature tells anything, the best of
    twenty looked a quarter better than it was.
    """

    def policy(rounds: Rounds) -> Array:
        half = _half(rounds)
        found = np.zeros(rounds.chances.shape)
        for one in (0, 1):
            weights = belief(rounds.shown[half != one], rounds.rewards[half != one])
            found[half == one] = greedy(weights)(rounds)[half == one]
        return found

    return policy


def estimates(rounds: Rounds, policy: Policy) -> dict[str, Any]:
    """What a policy would have been worth, three times.

    Returns:
        ``{"effective": how many choices the weights stand for, "ips", "snips", "dr": {"value", "ci95"}}``, without
        estimates where those are too few.
    """
    wanted = policy(rounds)
    rows = np.arange(len(rounds))
    weight = wanted[rows, rounds.chosen] / rounds.chances[rows, rounds.chosen]
    effective = round(float(weight.sum() ** 2 / max((weight**2).sum(), 1e-12)), 1)
    if effective < FEW:
        return {"effective": effective}
    plain = weight * rounds.rewards
    mean = max(float(weight.mean()), 1e-12)
    normal = float(plain.mean()) / mean
    guess = _crossed(rounds)
    mended = (wanted * guess).sum(axis=1) + weight * (rounds.rewards - guess[rows, rounds.chosen])
    return {
        "effective": effective,
        "ips": _told(plain, rounds.person),
        # The delta method: how the ratio moves with each person.
        "snips": _told(weight * (rounds.rewards - normal) / mean, rounds.person, around=normal),
        "dr": _told(mended, rounds.person),
    }


def _told(each: Array, person: NDArray[np.int64], around: float = 0.0) -> dict[str, Any]:
    value = float(each.mean())
    sums = np.bincount(person, weights=each - value)[np.unique(person)] ** 2
    people = len(sums)
    error = float(np.sqrt(sums.sum() * people / max(1, people - 1))) / len(each)
    # A few people with large weights decide the variance, too: the interval's degrees of freedom are how many they
    # stand for (Satterthwaite), not how many there are.
    freedom = max(1.0, float(sums.sum() ** 2 / max((sums**2).sum(), 1e-300)) - 1.0)
    wide = float(t.ppf(0.975, freedom)) * error
    value += around
    return {"value": value, "ci95": [value - wide, value + wide]}


def _crossed(rounds: Rounds) -> Array:
    """What each candidate is expected to bring, (rounds, candidates), by a regression that did not see its person."""
    half = _half(rounds)
    guess = np.zeros(rounds.chances.shape)
    for one in (0, 1):
        seen, asked = half != one, half == one
        x = rounds.shown[seen]
        gram = x.T @ x + _RIDGE * np.eye(x.shape[1])
        weights = np.linalg.solve(gram, x.T @ rounds.rewards[seen])
        guess[asked] = rounds.features[asked] @ weights
    return guess


def _half(rounds: Rounds) -> NDArray[np.int64]:
    """(rounds,) in which half of the people each is, 0 or 1."""
    # Numbers as they come may follow what was chosen.
    found: NDArray[np.int64] = rounds.person * 2_654_435_761 >> 16 & 1
    return found


def suspicion(rounds: Rounds) -> dict[str, float]:
    """How far what was shown is from what the chances said, in standard errors, by feature and by place in the order.

    If the logged chances were those that things were chosen with, each is about normal. One far out means that the
    estimates rest on wrong propensities.
    """
    place = np.broadcast_to(np.arange(rounds.chances.shape[1], dtype=float), rounds.chances.shape)
    columns = {f"feature {n}": rounds.features[:, :, n] for n in range(rounds.features.shape[2])} | {
        "place": place
    }
    found = {}
    rows = np.arange(len(rounds))
    for name, column in columns.items():
        expected = (rounds.chances * column).sum(axis=1)
        spread = (rounds.chances * column**2).sum(axis=1) - expected**2
        total = float(np.sqrt(np.maximum(spread, 0.0).sum()))
        if total > 1e-9:
            found[name] = float((column[rows, rounds.chosen] - expected).sum()) / total
    return found


def report(rounds: Rounds, belief: Belief) -> dict[str, Any]:
    """What is known from the log: estimates for each way to choose, and whether to believe them.

    Args:
        rounds: what was chosen.
        belief: how the bandit learns; ``greedy`` goes by it.

    Returns:
        ``{"rounds", "rewards", "shown", "policies": {name: estimates}, "suspect": names of what is off}``; without policies
        below ``FEW`` rounds.
    """
    told: dict[str, Any] = {"rounds": len(rounds), "rewards": int(rounds.rewards.sum())}
    if len(rounds) < FEW:
        return told | {"policies": {}, "suspect": []}
    sums = np.abs(rounds.chances.sum(axis=1) - 1.0) > 1e-3  # they are logged with six digits
    off = {name: round(far, 1) for name, far in suspicion(rounds).items() if abs(far) > SUSPICIOUS}
    return told | {
        "shown": _told(rounds.rewards, rounds.person),
        "policies": {
            "uniform": estimates(rounds, uniform),
            "ranked": estimates(rounds, ranked),
            "greedy": estimates(rounds, believed(belief)),
        },
        "suspect": [
            *(f"{name}: {far} standard errors" for name, far in off.items()),
            *(["chances that do not sum to 1"] if sums.any() else []),
        ],
    }
