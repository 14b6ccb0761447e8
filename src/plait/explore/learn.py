"""Learning from the lake what tried items came to: with every fit, in the fit's process."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from plait.events import ACTIVITY, DAY
from plait.explore import FEATURES, Explorer, learned, likeliest, save
from plait.explore.offpolicy import Rounds, report
from plait.lake import Lake, open_lake
from plait.settings import Settings

WINDOW = 60 * DAY  # what is older says little of today's candidates
WITHIN = DAY  # after a decision, an act on what it tried is its reward
WAIT = DAY // 48  # half an hour: a younger decision's reward may be still to come
MOST = 200_000  # choices, the newest
AGAINST = ("remove", "form_abandon")

_TRIED = """
select decision, happened_at, who[1] as person, properties->>'explored' as explored from events
where signal = 'decided' and item is null and happened_at between $since and $until and properties->>'explored' is not null
order by happened_at desc limit $most
"""
_CAME = """
select decision, item, min(happened_at) as at from events
where decision is not null and item is not null and op = 'assert' and list_contains($signals, signal)
  and happened_at between $since and $until
group by all
"""


class Tried(msgspec.Struct):
    """One choice, as the ``decided`` event keeps it: the candidates, their chances and features, and which was shown."""

    chosen: int
    items: list[str]
    chances: list[float]
    features: list[list[float]]


_tried = msgspec.json.Decoder(dict[str, list[Tried]])


def learn(settings: Settings, *, now: int | None = None, seed: int = 0) -> Explorer | None:
    """Learn from what the lake holds, and keep it; ``None`` when nothing was tried yet.

    Args:
        settings: of the installation.
        now: ms since the epoch.
        seed: of the draws.

    Raises:
        Unavailable: it cannot be saved.
    """
    now = time.time_ns() // 1_000_000 if now is None else now
    lake = open_lake(settings.url("lake"))
    try:
        rounds = rounds_of(lake, now=now)
    finally:
        lake.close()
    if not len(rounds):
        return None
    explorer = learned(rounds.shown, rounds.rewards, np.random.default_rng(seed), learned_at=now)
    explorer = msgspec.structs.replace(explorer, report=report(rounds, likeliest))
    save(explorer, Path(settings.data))
    return explorer


def rounds_of(lake: Lake, *, now: int) -> Rounds:
    """The choices in a lake that are old enough to know what came of them."""
    span = {"since": now - WINDOW, "until": now - WAIT}
    signals = sorted(str(one) for one in ACTIVITY if one not in AGAINST)
    tried = lake.query(_TRIED, span | {"most": MOST})
    if not tried:
        return rounds_from([], {})
    came = lake.query(_CAME, {"since": now - WINDOW, "until": now, "signals": signals})
    return rounds_from(tried, {(row["decision"], row["item"]): row["at"] for row in came})


def rounds_from(tried: Iterable[dict[str, Any]], came: Mapping[tuple[str, str], int]) -> Rounds:
    """Rounds of rows with ``decision, happened_at, person, explored``; ``came``: (decision, item) -> when it was acted on.

    Choices that were made by other features than today's are left out.
    """
    people: dict[str, int] = {}
    found: list[tuple[Tried, float, int]] = []
    for row in tried:
        person = people.setdefault(row["person"], len(people))
        for one in chain.from_iterable(_tried.decode(row["explored"]).values()):
            if _whole(one):
                at = came.get((row["decision"], one.items[one.chosen]))
                found.append((one, float(at is not None and at - row["happened_at"] <= WITHIN), person))
    widest = max((len(one.items) for one, _, _ in found), default=1)
    features = np.zeros((len(found), widest, len(FEATURES)))
    chances = np.zeros((len(found), widest))
    for number, (one, _, _) in enumerate(found):
        features[number, : len(one.items)] = one.features
        chances[number, : len(one.items)] = one.chances
    return Rounds(
        features,
        chances,
        np.array([one.chosen for one, _, _ in found], np.int64),
        np.array([reward for _, reward, _ in found]),
        np.array([person for _, _, person in found], np.int64),
    )


def _whole(one: Tried) -> bool:
    size = len(one.items)
    fits = len(one.chances) == len(one.features) == size and 0 <= one.chosen < size
    return fits and all(len(row) == len(FEATURES) for row in one.features) and one.chances[one.chosen] > 0
