"""What combining is worth on somebody's own data: hold a part back, foretell it from each kind of data, compare.

The steps, each a module of its own: ``dataset`` reads a folder into numbers, ``split`` holds back, ``lines`` fits the model
that a live installation serves once for each kind of data, ``metrics`` compares rankings person by person. Nothing but
the train rows that are left is seen before the rankings are made.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np

from plait.errors import Rejected
from plait.evaluate import lines, metrics, split
from plait.evaluate.dataset import ALSO_CALLED, Dataset, read
from plait.evaluate.metrics import Array, Ints
from plait.events import Signal
from plait.models import HISTORY, Model
from plait.models.batch import history_of
from plait.models.table import Table

SOCIAL_SIGNALS = lines.SOCIAL_SIGNALS
COMPARED = ("activity", "social")
LIFTED = ("ndcg@10", "ndcg@20", "recall@10", "recall@20")


def evaluate(
    folder: Path,
    *,
    test: Path | None = None,
    keep: int | None = None,
    seed: int = 0,
    social: Collection[str] = SOCIAL_SIGNALS,
    told: Callable[[str], object] = lambda _: None,
) -> dict[str, Any]:
    """Evaluate the model on a folder of files.

    Args:
        folder: see ``dataset.read``.
        test: another test file than the folder's.
        keep: rows of activity that are kept of people whose history is cut; ``None`` cuts nobody's.
        seed: of the split, the cut, the part that the model holds out itself, and the bootstrap.
        social: signals that are social, as a file may call them; ties always are; all others are activity.
        told: is told what is being done.

    Returns:
        What ``plait evaluate --json`` prints (docs/reference/evaluate.md).

    Raises:
        Rejected: the folder cannot be read, or there is nobody to ask about.
    """
    told("reading")
    dataset = read(folder, test=test)
    social = frozenset(ALSO_CALLED.get(one, one) for one in social)
    unheard = sorted(social - set(map(str, Signal)) - set(dataset.signals))
    dataset.notes.extend(f'no row has the signal "{one}" that was to be social' for one in unheard)
    dataset = split.split(dataset, seed=seed, social=social)
    if keep is not None:
        dataset = split.cold(dataset, keep, seed=seed, social=social)
    return report(split.reachable(dataset), seed=seed, social=social, told=told)


def report(
    dataset: Dataset,
    *,
    seed: int,
    social: Collection[str],
    told: Callable[[str], object] = lambda _: None,
    table: Table | None = None,
    now: int = 0,
    half_life: int = lines.HALF_LIFE,
) -> dict[str, Any]:
    """Fit each line on the train rows of a dataset and compare them on its test.

    Args:
        dataset: train rows and test.
        seed: see ``evaluate``.
        social: see ``evaluate``.
        told: see ``evaluate``.
        table: of the train rows, where they are not the dataset's own.
        now: the time that ``table`` was read at, ms since the epoch.
        half_life: of what people did, ms.

    Raises:
        Rejected: the test asks about nobody.
    """
    if not len(dataset.test_person):
        raise Rejected(
            "the test asks about nothing but what people have train rows with",
            code="test_empty",
            field="test",
        )
    told("fitting")
    if table is None:
        table, now = lines.table_of(dataset, social, half_life=half_life)
    models = lines.fitted(table, now, social, seed=seed, half_life=half_life)
    told("ranking")
    people, sizes = np.unique(dataset.test_person, return_counts=True)
    order = np.lexsort((dataset.test_item, dataset.test_person))
    truth, starts = dataset.test_item[order], np.concatenate([[0], np.cumsum(sizes)])
    ranked = {
        name: rank(dataset, model, lines.heard_by(table, name, social), people)
        for name, model in models.items()
    }
    each = {name: metrics.by_person(one, truth, starts) for name, one in ranked.items()}
    shelf = len(rankable(dataset))
    combined = models["combined"].manifest
    return {
        "people": len(people),
        "items": shelf,
        "train_rows": len(dataset.person),
        "ties": len(dataset.tie_from),
        "seed": seed,
        "fit_seconds": combined.seconds,
        "tuning_seconds": combined.tuning_seconds,
        "lines": {name: metrics.summary(each[name], ranked[name], shelf, seed=seed) for name in models},
        "lift": _lifts(each, seed),
        "by_history": _by_history(each, history_of(table)[people], seed),
        "gates": _gates(models["combined"]),
        "visit": combined.quality.get("visit", {}),
        "gated_off": combined.gated_off,
        "notes": dataset.notes,
    }


def _gates(model: Model) -> dict[str, Any]:
    """How loud each channel is, by history, and where combining was held back to a part, or 0, of itself."""
    names = ["/".join(one) for one in model.manifest.channels]
    lately = model.gates[len(names) + 1 : -3]
    gates = [*model.gates[: len(names)], *lately, *model.gates[-2:]]
    names += [f"{name} lately" for name in names]
    held = {
        least: one["held_back_to"]
        for least, one in model.manifest.quality.get("by_history", {}).items()
        if "held_back_to" in one
    }
    return {
        "history": list(HISTORY),
        "channels": {
            name: [round(float(one), 4) for one in row]
            for name, row in zip([*names, "topics", "popularity"], gates, strict=True)
        },
        "held_back_to": held,
    }


def rankable(dataset: Dataset) -> Ints:
    """The items that are ranked: all of train and test."""
    return np.union1d(dataset.item, dataset.test_item)


def rank(dataset: Dataset, model: Model, table: Table, people: Ints) -> Ints:
    """The 20 best items for each of some people, without their own train items: (people, 20), -1 where there are no more."""
    shelf = rankable(dataset)
    place = np.full(len(dataset.items), -1, np.int64)
    place[shelf] = np.arange(len(shelf))
    number = np.full(len(dataset.people), -1, np.int64)
    number[people] = np.arange(len(people))
    own = np.flatnonzero(number[dataset.person] >= 0)
    row, column = number[dataset.person[own]], place[dataset.item[own]]
    found = []
    size = max(1, lines.AT_ONCE // max(1, len(dataset.items)))
    for at in range(0, len(people), size):
        some = people[at : at + size]
        scores = lines.scores(model, table, some)[:, shelf]
        excluded = np.zeros(scores.shape, np.bool_)
        here = (row >= at) & (row < at + len(some))
        excluded[row[here] - at, column[here]] = True
        best = metrics.best(scores, excluded)
        found.append(np.where(best >= 0, shelf[best], -1))
    return np.concatenate(found)


def _lifts(each: dict[str, dict[str, Array]], seed: int) -> dict[str, Any]:
    others = (*COMPARED, "popularity")
    values = np.stack([each[name][metric] for name in ("combined", *others) for metric in LIFTED])
    wide = len(LIFTED)
    pairs = [(at, wide * (other + 1) + at) for other in range(len(others)) for at in range(wide)]
    found = iter(metrics.lifts(values, pairs, seed=seed))
    return {f"combined_vs_{name}": {metric: next(found) for metric in LIFTED} for name in others}


def _by_history(each: dict[str, dict[str, Array]], bucket: Ints, seed: int) -> list[dict[str, Any]]:
    found = []
    for number, least in enumerate(HISTORY):
        here = bucket == number
        if not here.any():
            continue
        mine = {name: {metric: values[here] for metric, values in one.items()} for name, one in each.items()}
        found.append({
            "from": least,
            "below": HISTORY[number + 1] if number + 1 < len(HISTORY) else None,
            "people": int(here.sum()),
            "lines": {name: {metric: metrics.mean(values) for metric, values in one.items()} for name, one in mine.items()},
            "lift": _lifts(mine, seed),
        })  # fmt: skip
    return found
