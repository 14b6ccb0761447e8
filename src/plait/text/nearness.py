"""Topics that a text is near to by meaning, with static word vectors: for posts that name nothing.

The vectors come with the extra: ``pip install "plait[text]"`` (wordllama, English, 256 dimensions; nothing is fetched). They
find a topic for three of four posts that name nothing, and three of four of these are right: so sure is what they tie.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plait.delicate import refused

CONFIDENCE = 0.6  # measured on the demo's posts: docs/explanation/text.md
LEAST = 0.2  # cosine; below it nothing is near
MOST = 2  # topics of one text
OF_TOPIC = 50  # titles that tell what a topic is about
MANY = 8  # topics whose mean is what they share
FEWEST = 3  # items that a topic needs, or its vector is one item's


class Nearness:
    """Topics as vectors: the mean of what its items are called, and its own name."""

    def __init__(self, titles: Mapping[str, list[str]]) -> None:
        """Learn topics.

        Args:
            titles: of the items of each topic; those of a special category are left out.
        """
        self._embed = _embedder()
        kept = {topic: some for topic, some in titles.items() if len(some) >= FEWEST and not refused(topic)}
        self._topics = list(kept)
        rows = [
            _unit(self._embed([topic.replace("-", " "), *some[:OF_TOPIC]])).mean(axis=0)
            for topic, some in kept.items()
        ]
        if not rows:
            return
        every: NDArray[Any] = np.array(rows, np.float32)
        # What all topics share (the trade itself) tells none of them; of a few topics it is hardly known.
        self._centre = every.mean(axis=0) if len(rows) >= MANY else np.zeros(every.shape[1])
        self._vectors = _unit(every - self._centre)

    @staticmethod
    def installed() -> bool:
        """Whether the extra is there."""
        return find_spec("wordllama") is not None

    def topics(self, text: str) -> list[tuple[str, float]]:
        """The topics nearest to a text, with their confidence; none when nothing is near."""
        if not self._topics or not text.strip():
            return []
        found = self._vectors @ _unit(self._embed([text[:2_000]]) - self._centre)[0]
        best = np.argsort(-found, kind="stable")[:MOST]
        return [(self._topics[at], CONFIDENCE) for at in best.tolist() if found[at] >= LEAST]


def _unit(rows: NDArray[Any]) -> NDArray[Any]:
    length: NDArray[Any] = np.linalg.norm(rows, axis=-1, keepdims=True)
    found: NDArray[Any] = rows / np.maximum(length, 1e-9)
    return found


def _embedder() -> Any:
    import wordllama  # an extra

    folder = Path(wordllama.__file__).parent
    model = wordllama.WordLlama.load(cache_dir=folder, disable_download=True, dim=256)
    return lambda texts: np.asarray(model.embed(texts), np.float32)
