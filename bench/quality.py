"""Whether the model foretells better than popularity, on real data: a part of each training set is held out by us.

The sets lie in ``../shared/datasets`` (or where ``PLAIT_DATASETS`` says); a set that is not there is left out.
"""

from __future__ import annotations

import csv
import gzip
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench import Line
from plait.catalog import Catalog, Item
from plait.events import DAY
from plait.models.fit import fit
from plait.models.ranker import Ranker
from plait.profile import Entry

ROOT = Path(os.environ.get("PLAIT_DATASETS", Path(__file__).parent.parent.parent / "shared" / "datasets"))
HALF_LIFE = 14 * DAY
SOCIAL = {"like", "comment", "follow", "share"}
ASKED = 600  # people
TOP = 20


class Row(NamedTuple):
    person: str
    item: str
    signal: str
    at: int  # ms


def rows_of(folder: Path) -> list[Row]:
    path = next(iter(folder.glob("train.csv*")))
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", newline="") as file:
        return [
            Row(row["person"], row["item"], {"bookmark": "save"}.get(row["signal"], row["signal"]),
                int(float(row["at"]) * 1_000) if row["at"] else 0)
            for row in csv.DictReader(file)
        ]  # fmt: skip


def catalog_of(folder: Path, rows: list[Row]) -> Catalog:
    topics: dict[str, tuple[str, ...]] = {}
    for path in folder.glob("items.csv*"):
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", newline="") as file:
            topics = {
                row["item"]: tuple(filter(None, row["topics"].split(";"))) for row in csv.DictReader(file)
            }
    ids = {row.item for row in rows} | set(topics)
    return Catalog(Item(id=one, topics=tuple(dict.fromkeys(topics.get(one, ())))) for one in sorted(ids))


def split(rows: list[Row]) -> tuple[list[Row], dict[str, set[str]]]:
    """By time where there is any, the last tenth; else a fifth of each person's items, by seed."""
    if any(row.at for row in rows):
        rows = sorted(rows, key=lambda row: row.at)
        cut = len(rows) * 9 // 10
        kept, rest = rows[:cut], [row for row in rows[cut:] if row.signal == "view"]
    else:
        held = np.random.default_rng(7).random(len(rows)) < 0.2
        kept = [row for row, away in zip(rows, held, strict=True) if not away]
        rest = [row for row, away in zip(rows, held, strict=True) if away]
    known = {(row.person, row.item) for row in kept}
    truth: dict[str, set[str]] = defaultdict(set)
    for row in rest:
        if (row.person, row.item) not in known:
            truth[row.person].add(row.item)
    return kept, truth


def entries_of(rows: list[Row], now: int) -> dict[str, list[Entry]]:
    summed: dict[str, dict[tuple[str, str, str], list[float]]] = defaultdict(dict)
    for row in rows:
        source = "network" if row.signal in SOCIAL else "web"
        one = summed[row.person].setdefault((source, row.signal, row.item), [0, 0.0, 0])
        one[0] += 1
        one[1] += 2.0 ** ((row.at - now) / HALF_LIFE)
        one[2] = max(one[2], row.at)
    return {
        person: [
            Entry(source, signal, "item", item, "", int(count), weight, int(at), False)
            for (source, signal, item), (count, weight, at) in acts.items()
        ]
        for person, acts in summed.items()
    }


def ndcg(ranked: list[str], truth: set[str]) -> float:
    gain = sum(1 / np.log2(place + 2) for place, item in enumerate(ranked) if item in truth)
    return float(gain / sum(1 / np.log2(place + 2) for place in range(min(TOP, len(truth)))))


def measured(name: str) -> Iterator[Line]:
    folder = ROOT / name
    rows = rows_of(folder)
    kept, truth = split(rows)
    now = max(row.at for row in kept) + 1
    shelf, people = catalog_of(folder, rows), entries_of(kept, now)
    began = time.perf_counter()
    model = fit(people.items(), shelf, now=now, half_life=HALF_LIFE)
    yield Line(f"{name}: fit, gates learned", time.perf_counter() - began, "s")
    ranker = Ranker(model, shelf)
    ranker.refresh()
    everything = shelf.of_kinds().copy()
    asked = sorted(truth)
    asked = [asked[at] for at in np.random.default_rng(7).permutation(len(asked))[:ASKED]]
    scores: dict[str, list[float]] = {"model": [], "popularity": []}
    for person in asked:
        known = [shelf.rows[one.id] for one in people.get(person, [])]
        ranker.used[known] = True
        for line, entries in (("model", people.get(person, [])), ("popularity", [])):
            acts = ranker.acts(entries, now=now)
            ranker.score(acts)
            best, _ = ranker.best(TOP, everything, acts.base_gate)
            scores[line].append(ndcg([shelf.ids[row] for row in best], truth[person]))
        ranker.used[known] = False
    ours, theirs = (float(np.mean(scores[line])) for line in ("model", "popularity"))
    error = float(np.std(np.array(scores["model"]) - scores["popularity"]) / np.sqrt(len(asked)))
    yield Line(
        f"{name}: NDCG@20 over {len(asked)} people (difference +- {error:.4f})",
        ours,
        "",
        "popularity",
        ours / theirs,
        bar=1.0,
        bar_on="ratio",
    )


def measure(quick: bool) -> Iterator[Line]:
    for name in ("deskdrop",) if quick else ("deskdrop", "lastfm"):
        if (ROOT / name).is_dir():
            yield from measured(name)
