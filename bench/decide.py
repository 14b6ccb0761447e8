"""How long a decision takes at 100,000 items with all channels on: three placements, reasons for every item."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp

from bench import Line
from plait.catalog import Catalog, Item
from plait.decide import Asked, Decider, Question
from plait.models import HISTORY, Manifest, Model
from plait.models.fit import BUDGET, KEEP
from plait.models.ranker import Ranker
from plait.profiles.profile import Entry, Profile
from plait.profiles.subjects import BEYOND, FOLLOWED, SEP

NOW = 1_790_000_000_000
HALF_LIFE = 14 * 86_400_000
TOPICS = 400


def catalog_of(items: int) -> Catalog:
    """Items of three topics each, priced 5 to 505; nine in ten can be had."""
    random = np.random.default_rng(1)
    topics = random.zipf(1.3, size=(items, 3)) % TOPICS
    prices = random.uniform(5, 505, items).round(2)
    return Catalog(
        Item(
            id=f"item-{number}",
            title=f"Item {number}",
            topics=tuple(f"topic-{one}" for one in dict.fromkeys(topics[number].tolist())),
            price=float(prices[number]),
            available=bool(number % 10),
            published=NOW - number * 60_000,
        )
        for number in range(items)
    )


# kind of source and its name, signal, section, how often: what people did, and what those did whom they follow
CHANNELS = (
    ("web", "web", "view", "", 0.4),
    ("web", "web", "dwell", "specs", 0.2),
    ("web", "web", "add", "", 0.06),
    ("web", "web", "purchase", "", 0.04),
    ("bluesky", "bluesky:shop", "like", "", 0.1),
    ("bluesky", "bluesky:shop", FOLLOWED, "2", 0.1),
    ("bluesky", "bluesky:shop", BEYOND, "5", 0.1),
)


def model_of(items: int, *, keep: int | None = None) -> Model:
    """A model of the size and shape that a fit makes: rows for each channel, the pool, what is wanted lately among a fiftieth
    of the items, and what goes with what in one visit; of each row ``keep`` values, or as many as a fit of so many items keeps."""
    random = np.random.default_rng(2)
    channels = [(kind, signal) for kind, _, signal, _, _ in CHANNELS]
    keep = keep or max(10, min(KEEP, BUDGET // (items * (len(channels) + 1))))
    rows = items * (len(channels) + 3)
    columns = random.integers(0, items, (rows, keep), dtype=np.int32)
    columns[-2 * items : -items] %= max(keep, items // 50)
    columns = np.sort(columns, axis=1)
    values = (random.pareto(2.0, (rows, keep)) * 0.01).astype(np.float32)
    b = sp.csr_matrix((values.ravel(), columns.ravel(), np.arange(rows + 1) * keep), shape=(rows, items))
    b.sum_duplicates()
    popularity = random.pareto(1.2, items)
    return Model(
        Manifest(
            id="bench",
            half_life=HALF_LIFE,
            items=items,
            channels=channels,
            wanted=[kind == "web" for kind, _ in channels],
        ),
        [f"item{SEP}item-{number}" for number in range(items)],
        np.arange(rows, dtype=np.int32).reshape(len(channels) + 3, items),
        b.indptr.astype(np.int64),
        b.indices.astype(np.int32),
        b.data.astype(np.float32),
        (np.log1p(popularity) / np.log1p(popularity.max())).astype(np.float32),
        np.full((2 * len(channels) + 4, len(HISTORY)), 2.0),
        np.full(len(HISTORY), 2.0),
        np.full(len(channels) + 1, 0.2),
    )


def profiles(items: int, people: int) -> list[Profile]:
    """People with 3 to 60 entries, 20 in the middle, of all channels."""
    often = np.cumsum([one[-1] for one in CHANNELS])
    random = np.random.default_rng(3)
    found = []
    for _ in range(people):
        size = int(np.clip(random.lognormal(3.0, 0.7), 3, 60))
        entries = []
        for item in (random.zipf(1.2, size) % items).tolist():
            at = NOW - int(random.exponential(5 * 86_400_000))
            weight = 2.0 ** ((at - NOW) / HALF_LIFE)
            _, source, signal, section, _ = CHANNELS[int(np.searchsorted(often, random.random() * often[-1]))]
            entries.append(Entry(source, signal, "item", f"item-{item}", section, 1, weight, at, False))
        found.append(Profile(["anonymous:x"], entries))
    return found


def measure(quick: bool) -> Iterator[Line]:
    items = 100_000
    catalog, model = catalog_of(items), model_of(items)
    began = time.perf_counter()
    Ranker(model, catalog, catalog.ids)
    yield Line("laying a model over 100,000 items", (time.perf_counter() - began) * 1e3, "ms")
    decider = Decider(catalog, model)
    people = profiles(items, 200)
    question = Question(
        placements=(
            Asked("home.hero", 1),
            Asked("home.grid", 12, "price < 200 and available"),
            Asked("item.related", 6),
        ),
        explain=True,
    )
    for profile in people[:20]:
        decider.decide(question, profile, now=NOW, id="d")
    took, worked = [], []
    for number in range(400 if quick else 4_000):
        profile = people[number % len(people)]
        began, before = time.perf_counter(), time.thread_time()
        decider.decide(question, profile, now=NOW + number, id="d")
        took.append((time.perf_counter() - began) * 1e3)
        worked.append((time.thread_time() - before) * 1e3)
    yield Line(
        f"decision at 100,000 items, {len(CHANNELS)} channels, 3 placements, reasons on, p50",
        float(np.percentile(took, 50)),
        "ms",
        bar=1.0,
        least=False,
    )
    yield Line("the same, p99", float(np.percentile(took, 99)), "ms", bar=5.0, least=False)
    # What a busy machine makes it wait for is no part of this.
    yield Line("the same, of the processor, p50", float(np.percentile(worked, 50)), "ms")
    yield Line("the same, of the processor, p99", float(np.percentile(worked, 99)), "ms")
