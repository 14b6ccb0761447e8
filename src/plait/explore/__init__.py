"""Which unproven item to try: a linear bandit that knows how likely each of its choices was.

Thompson sampling as a lottery: of ``DRAWS`` weight vectors drawn from what is believed, one is taken for each choice, and its best
candidate is shown. So the chance of every candidate is a count and exact, which sampling anew for each choice would not give, and what was
shown can later say what other ways to choose would have been worth (``offpolicy``).

Agrawal and Goyal, Thompson Sampling for Contextual Bandits with Linear Payoffs, 2013; the finite set of draws is that of Lu and Van
Roy, Ensemble Sampling, 2017.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from plait.errors import Unavailable

Array = NDArray[np.float64]

# Of a candidate: 1, its score beside the best one's, how new it is, and the latter two for people of whom much is known.
FEATURES = ("always", "score", "new", "score_known", "new_known")
CANDIDATES = 20  # the best by score that were not shown anyway; one of them is tried
DRAWS = 64
FLOOR = (
    0.1  # of all choices go to a candidate at random, so that each has a chance that weights can be made of
)
BELIEF = 0.1  # standard deviation of a weight before anything was seen: rewards are a few in a hundred
FILE = "explorer.json"
_log = structlog.get_logger()


class Explorer(msgspec.Struct, frozen=True):
    """What is believed of the candidates' features.

    Attributes:
        mean: (features,) the weights that are most likely.
        draws: (draws, features) weights as they may be; each choice uses one.
        rounds, rewards: what was learned from.
        learned_at: ms since the epoch; 0 when never.
        report: what ``offpolicy.report`` says of the same rounds.
    """

    mean: list[float]
    draws: list[list[float]]
    rounds: int = 0
    rewards: int = 0
    learned_at: int = 0
    report: dict[str, Any] = {}

    def chances(self, features: Array) -> Array:
        """How likely each candidate is to be chosen, (candidates,); > 0, and they sum to 1.

        Args:
            features: (candidates, features), at least one candidate.
        """
        votes = np.argmax(np.asarray(self.draws) @ features.T, axis=1)
        counted = np.bincount(votes, minlength=len(features)) / len(self.draws)
        found: Array = (1.0 - FLOOR) * counted + FLOOR / len(features)
        return found


def prior(random: np.random.Generator | None = None) -> Explorer:
    """Before anything was seen: any weight is as likely as its opposite."""
    return _drawn(
        np.zeros(len(FEATURES)), np.eye(len(FEATURES)) * BELIEF**2, random or np.random.default_rng(0)
    )


def _drawn(mean: Array, covariance: Array, random: np.random.Generator, **more: Any) -> Explorer:
    draws = random.multivariate_normal(mean, covariance, size=DRAWS, method="cholesky")
    return Explorer(mean.tolist(), draws.tolist(), **more)


def learned(features: Array, rewards: Array, random: np.random.Generator, **more: Any) -> Explorer:
    """What is believed after some choices; the order of the rows does not matter.

    Args:
        features: (rounds, features) of what was chosen.
        rewards: (rounds,) 0 or 1.
        random: that the weights are drawn with.
        more: further fields of the ``Explorer``.
    """
    if not len(features):
        return msgspec.structs.replace(prior(random), **more)
    mean, covariance = _believed(features, rewards)
    return _drawn(mean, covariance, random, rounds=len(rewards), rewards=int(rewards.sum()), **more)


def likeliest(features: Array, rewards: Array) -> Array:
    """The weights, (features,), that are most likely after some choices; see ``learned``."""
    return _believed(features, rewards)[0]


def _believed(features: Array, rewards: Array) -> tuple[Array, Array]:
    rate = (rewards.sum() + 1.0) / (len(rewards) + 2.0)
    noise = rate * (1.0 - rate)
    precision = np.eye(features.shape[1]) / BELIEF**2 + features.T @ features / noise
    covariance = np.linalg.inv(precision)
    return covariance @ (features.T @ rewards) / noise, (covariance + covariance.T) / 2


def features_of(scores: Array, best: float, ages: Array, known: float) -> Array:
    """What a choice rests on, (candidates, ``FEATURES``), each 0..1.

    Args:
        scores: (candidates,) fused scores.
        best: the highest score of the page's placement; a candidate's counts in relation to it.
        ages: (candidates,) days since publication, NaN where nobody knows.
        known: 0..1, how much is known of the person.
    """
    relative = np.clip(scores / best, 0.0, 1.0) if best > 0 else np.zeros(len(scores))
    new = np.where(np.isnan(ages), 0.0, np.exp2(-np.maximum(np.nan_to_num(ages), 0.0) / 30.0))
    found: Array = np.stack([np.ones(len(scores)), relative, new, relative * known, new * known], axis=1)
    return found


def chance_of(*parts: str) -> float:
    """A number in [0, 1) that these texts decide: the same decision always tries the same item."""
    digest = blake2b("\0".join(parts).encode(), digest_size=7, person=b"plait explore").digest()
    return int.from_bytes(digest, "big") / 2**56


def pick(chances: Array, chance: float) -> int:
    """The candidate that a number in [0, 1) falls on."""
    return min(int(np.searchsorted(np.cumsum(chances), chance, side="right")), len(chances) - 1)


def save(explorer: Explorer, folder: Path) -> None:
    """Keep it in the data folder, whole or not at all.

    Raises:
        Unavailable: the disk is full or the folder read-only.
    """
    fresh = folder / f".{FILE}.{os.getpid()}"
    try:
        with fresh.open("wb") as file:
            file.write(msgspec.json.encode(explorer))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(folder / FILE)
    except OSError as exc:
        fresh.unlink(missing_ok=True)
        raise Unavailable(
            f"{folder / FILE} cannot be written: {exc.strerror}", code="explorer_not_saved"
        ) from exc


def current(folder: Path) -> Explorer:
    """What was kept, or the prior where that is nothing or damaged: it is learned anew with the next fit."""
    try:
        found = msgspec.json.decode((folder / FILE).read_bytes(), type=Explorer)
        if np.asarray(found.draws).shape[1:] == (len(FEATURES),):
            return found
        _log.error("explorer_passed_over", message="it knows other features")
    except FileNotFoundError:
        pass
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        _log.error("explorer_passed_over", message=str(error))
    return prior()
