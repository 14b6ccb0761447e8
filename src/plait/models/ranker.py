"""The model laid over the catalog: what one person's acts say about each item, and why.

The model has its own numbers for the items it was fitted on, the catalog has rows, and both change: the model whole, the
catalog item by item. A ``Ranker`` holds the way between them and the room that one answer needs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plait.catalog import Catalog
from plait.models import Model, bucket_of, kernels, rarity
from plait.models.meaning import Meaning, Meanings
from plait.models.table import AGAINST, channel_of, read, wants
from plait.profile import SEP, Entry

Label = tuple[str, str, str]  # source, signal, about

LIKED_TOPICS = 8  # the most liked, whose newest items are looked at
NEWEST = 40  # of each
MOST_SAID = 100_000  # entries whose sayings are remembered
HEAD = 100  # most popular items, looked at always
SMALLEST_BASE = 1e-9  # so that popularity orders those that nothing else tells apart
TRENDING: Label = ("catalog", "trending", "")
_NO_ROWS = np.zeros(0, np.int32)


class Acts(NamedTuple):
    """What a person's entries say, ready for the kernels; one answer's gates are in the weights.

    Attributes:
        labels: what the weights are told under.
        rows, row_weights, row_label: rows of B.
        points, point_weights, point_label: catalog rows that were touched themselves.
        topics, topic_weights, topic_label: codes of topics.
        base_gate: what popularity counts.
        wanted: catalog rows that they wanted.
    """

    labels: list[Label]
    rows: NDArray[np.int32]
    row_weights: NDArray[np.float64]
    row_label: NDArray[np.int32]
    points: NDArray[np.int32]
    point_weights: NDArray[np.float64]
    point_label: NDArray[np.int32]
    topics: NDArray[np.int32]
    topic_weights: NDArray[np.float64]
    topic_label: NDArray[np.int32]
    base_gate: float
    wanted: frozenset[int]


class Said(NamedTuple):
    """What one entry says of its own, before anybody's weight and gate.

    Attributes:
        label: what it is told under.
        channel: its number in the model; one past the last for those the model does not know.
        wanted: catalog rows that it shows to be wanted.
        on_topic: whether it says something about topics; acts that speak against do not.
        number: of all that it says, in ``Sayings``.
    """

    label: Label
    channel: int
    wanted: tuple[int, ...]
    on_topic: bool
    number: int


class Ranker:
    """Scores the items of one catalog by one model. Made in any thread, then used from the catalog's."""

    def __init__(self, model: Model, catalog: Catalog, ids: Sequence[str] = ()) -> None:
        """Lay a model over a catalog.

        Args:
            model: the model.
            catalog: asked from ``refresh`` on, which is for the catalog's own thread.
            ids: of the catalog's rows, as far as they shall be looked up here and not at the first ``refresh``.
        """
        self.model = model
        self.catalog = catalog
        self._meanings = Meanings(catalog)
        self._said: dict[tuple[Any, ...], Said] = {}
        self._sayings = Sayings()
        self._newest: dict[int, NDArray[np.int32]] = {}
        self._version = -1
        self._rows = 0
        self._to_row = np.full(max(1, model.manifest.items), -1, np.int32)
        self._from_row = np.full(0, -1, np.int32)
        self._base = np.zeros(0, np.float32)
        self._order = np.zeros(0, np.int32)
        self._facts = np.zeros((0, 4), np.int32)  # see kernels.score
        self._bases = self._facts.view(np.float32)
        self._total = np.zeros(0)
        self._liking = np.zeros(0)
        self.used = np.zeros(0, np.bool_)
        self._touched = np.zeros(0, np.int32)
        self._count = 0
        self._rare = np.zeros(0)
        self._rare_as_of = -1
        self._grow(ids)

    def refresh(self) -> None:
        """Bring everything up to date with the catalog; cheap when little changed."""
        if self._version == self.catalog.version:
            return
        self._version = self.catalog.version
        self._forget()
        self._newest.clear()
        rows = len(self.catalog.ids)
        if rows > self._rows:
            self._grow(self.catalog.ids)
        self._topics = start, length, _ = self.catalog.topics.pool(rows)
        self._facts[:rows, 0], self._facts[:rows, 1] = start[:rows], length[:rows]
        words = len(self.catalog.topics.words)
        # How rare a topic is changes slowly: a thousand changes of items hardly show.
        if words > len(self._rare) or abs(self._version - self._rare_as_of) > 1_000:
            _, spans = self.catalog.topics.spans(rows)
            counts = np.bincount(spans, minlength=words)
            self._rare = np.maximum(rarity(counts, max(1, len(self.catalog))), 0.0)
            self._rare_as_of = self._version
            self._liking = np.zeros(words)

    def _forget(self) -> None:
        self._said.clear()
        self._sayings = Sayings()

    def _grow(self, ids: Sequence[str]) -> None:
        rows = len(ids)
        room = max(64, rows + rows // 4)
        if rows > len(self._total):
            self._from_row = _grown(self._from_row, room, -1)
            self._base = _grown(self._base, room, 0)
            self._facts = np.full((room, 4), -1, np.int32)
            self._bases = self._facts.view(np.float32)
            self._total = np.zeros(room)
            self.used = np.zeros(room, np.bool_)
            self._touched = np.zeros(room, np.int32)
        known = False
        items = self.model.manifest.items
        for row in range(self._rows, rows):
            place = self.model.entity.get(f"item{SEP}{ids[row]}", items)
            if place < items:
                self._from_row[row] = place
                self._to_row[place] = row
                self._base[row] = self.model.popularity[place]
                known = known or self._base[row] > 0
        self._bases[:, 2] = self._base
        if known or not len(self._order):
            self._order = np.argsort(-self._base[:rows], kind="stable").astype(np.int32)
        else:
            self._order = np.append(self._order, np.arange(self._rows, rows, dtype=np.int32))
        self._rows = rows

    def row_of_url(self, url: str) -> int | None:
        """The row of the item whose page is at ``url``."""
        rows = self._meanings.of("url", url).rows
        return rows[0] if rows else None

    # --- reading a person

    def acts(self, entries: Sequence[Entry], *, now: int, page: int | None = None) -> Acts:
        """What entries say.

        Args:
            entries: of a profile, weights decayed to ``now``.
            now: ms since the epoch.
            page: catalog row of the item that a page is about, whose relations count most; ``None`` elsewhere.
        """
        if len(self._said) >= MOST_SAID:
            self._forget()
        heard = [
            (self._said.get(entry[:5]) or self._read(entry), value)
            for entry, value in read(entries, now=now, half_life=self.model.manifest.half_life)
        ]
        wanted = frozenset(row for said, value in heard if value > 0 for row in said.wanted)
        gates = self.model.gates[:, bucket_of(len(wanted))].tolist()
        total = sum([abs(value) for said, value in heard if said.on_topic])
        topic_gate = gates[-2] / math.sqrt(max(1.0, total))
        labels: dict[Label, int] = {}
        numbers = [said.number for said, _ in heard]
        weights = [gates[said.channel] * value for said, value in heard]
        topic_weights = [topic_gate * value for _, value in heard]
        columns = [labels.setdefault(said.label, len(labels)) for said, _ in heard]
        if page is not None:
            # The item of the page speaks louder than all that the person did before.
            related = self._related(page)
            numbers.append(related.number)
            weights.append(3.0 * max(1.0, *gates[:-2]))
            topic_weights.append(3.0 * max(1.0, gates[-2]))
            columns.append(labels.setdefault(related.label, len(labels)))
        what, weight, label, points, topics = kernels.spread(
            np.array(numbers, np.int32), np.array(weights, np.float64), np.array(topic_weights, np.float64),
            np.array(columns, np.int32), *self._sayings.arrays,
        )  # fmt: skip
        return Acts(
            list(labels), what[:points], weight[:points], label[:points], what[points:topics],
            weight[points:topics], label[points:topics], what[topics:], weight[topics:], label[topics:],
            max(gates[-1], SMALLEST_BASE), wanted,
        )  # fmt: skip

    def _read(self, entry: Entry) -> Said:
        """What an entry says, however strongly; remembered until catalog or topics change."""
        model, channels = self.model, len(self.model.manifest.channels)
        number = model.channel.get(channel_of(entry.source, entry.signal), channels)
        shows = model.manifest.wanted[number] if number < channels else wants(entry.signal)
        meaning = self._meanings.of(entry.kind, entry.id)
        rows, points = [], []
        for row in meaning.rows:
            at = self._row_of(number, int(self._from_row[row]))
            if at >= 0:
                rows.append((at, meaning.share))
            # A channel that foretells may not let an item explain itself; that they come back to it is told apart.
            if at < 0 or shows:
                points.append((row, meaning.share * float(model.returns[number])))
        own = self._row_of(number, model.entity.get(meaning.own, -1)) if meaning.own else -1
        if own >= 0:
            rows.append((own, 1.0))
        topics = self._topics_of(meaning) if entry.signal not in AGAINST else []
        said = Said(
            (entry.source, entry.signal, about_of(entry)),
            number,
            meaning.rows if shows else (),
            bool(topics),
            self._sayings.add(rows, points, topics),
        )
        self._said[entry[:5]] = said
        return said

    def _related(self, page: int) -> Said:
        """What the item of a page says about others."""
        known = self._said.get((page,))
        if known is None:
            id = self.catalog.ids[page]
            meaning = self._meanings.of("item", id)
            at = [self._row_of(-1, int(self._from_row[row])) for row in meaning.rows]
            topics = self._topics_of(meaning)
            number = self._sayings.add([(one, 1.0) for one in at if one >= 0], [], topics)
            known = self._said[page,] = Said(("catalog", "related", id), -1, (), bool(topics), number)
        return known

    def _row_of(self, channel: int, entity: int) -> int:
        return int(self.model.place[channel, entity]) if entity >= 0 else -1

    def _topics_of(self, meaning: Meaning) -> list[tuple[int, float]]:
        share = len(meaning.topics) ** -0.5 if meaning.topics else 0.0
        return [(code, share * float(self._rare[code])) for code in meaning.topics]

    # --- scoring

    def score(self, acts: Acts) -> None:
        """Score what the acts touch; ``best`` may be asked until ``clear``."""
        model = self.model
        self.clear()
        more = self._look_around(acts) if len(acts.topics) else _NO_ROWS
        self._count = kernels.score(
            acts.rows, acts.row_weights, acts.points, acts.point_weights, more,
            model.indptr, model.columns, model.values, self._to_row, acts.topics, self._liking, self._topics[2],
            self._facts, self._bases, acts.base_gate, self._touched, self._total,
        )  # fmt: skip

    def _look_around(self, acts: Acts) -> NDArray[np.int32]:
        """What liked topics may bring up though no neighbour does: their newest items, and the most popular."""
        codes = kernels.liked(acts.topics, acts.topic_weights, self._liking, LIKED_TOPICS)
        return np.concatenate([*map(self._newest_of, codes.tolist()), self._order[:HEAD]])

    def _newest_of(self, code: int) -> NDArray[np.int32]:
        known = self._newest.get(code)
        if known is None:
            found = self.catalog.newest(str(self.catalog.topics.words[code]), n=NEWEST)
            known = self._newest[code] = found.astype(np.int32)
        return known

    def best(self, n: int, allowed: NDArray[np.bool_], base_gate: float) -> tuple[list[int], list[float]]:
        """The best ``n`` rows that are allowed and not ``used``, and their scores."""
        rows, scores = kernels.best(
            n, self._touched, self._total, self._count, self._facts, self._bases, base_gate, self._order,
            allowed, self.used,
        )  # fmt: skip
        return rows.tolist(), scores.tolist()

    def clear(self) -> None:
        """Forget the scores of the last acts."""
        if self._count:
            kernels.forget(self._touched, self._count, self._facts)
        self._count = 0

    # --- saying why

    def told(self, rows: Sequence[int], acts: Acts) -> NDArray[np.float64]:
        """What each label gave to each item, popularity last: (rows, labels + 1). Rows sum to the scores."""
        items = np.array(rows, np.int32)
        found = np.zeros((len(items), len(acts.labels) + 1))
        model = self.model
        kernels.shares_of_neighbours(
            items, acts.rows, acts.row_weights, acts.row_label, model.indptr, model.columns, model.values,
            self._from_row, found,
        )  # fmt: skip
        kernels.shares_of_points(items, acts.points, acts.point_weights, acts.point_label, found)
        kernels.shares_of_topics(
            items, acts.topics, acts.topic_weights, acts.topic_label, *self._topics, found
        )
        found[:, -1] = acts.base_gate * self._base[items]
        return found

    def told_of_ties(self, row: int, acts: Acts) -> NDArray[np.float64]:
        """The same for a post or promotion: the mean over the items it is tied to, and its topics; (labels + 1,)."""
        items, names = self.catalog.ties(row)
        found = np.zeros(len(acts.labels) + 1)
        if items:
            found += self.told(items, acts).mean(axis=0)
        codes = [code for name in names if (code := self.catalog.topics.code(name)) >= 0]
        for code in codes:
            here = acts.topics == code
            np.add.at(found, acts.topic_label[here], acts.topic_weights[here] / math.sqrt(len(codes)))
        if not items and not names:
            found += self.told([row], acts)[0]
        return found


class Sayings:
    """All that entries say of their own, in three parts each, side by side in two arrays that only grow."""

    def __init__(self) -> None:
        self._spans = np.zeros((64, 4), np.int32)
        self._what, self._share = np.zeros(512, np.int32), np.zeros(512)
        self._count = self._filled = 0

    @property
    def arrays(self) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]:
        """``spans, what, share`` for ``kernels.spread``; valid until the next ``add``."""
        return self._spans, self._what, self._share

    def add(self, *parts: list[tuple[int, float]]) -> int:
        """Keep (row of B, share), (catalog row, share) and (topic's code, share); returns the saying's number."""
        number, said = self._count, [one for part in parts for one in part]
        end = self._filled + len(said)
        if number == len(self._spans):
            self._spans = np.concatenate([self._spans, np.zeros_like(self._spans)])
        if end > len(self._what):
            self._what, self._share = _grown(self._what, 2 * end, 0), _grown(self._share, 2 * end, 0)
        ends = accumulate(map(len, parts), initial=self._filled)
        self._spans[number] = list(ends)
        if said:
            self._what[self._filled : end], self._share[self._filled : end] = zip(*said, strict=True)
        self._count, self._filled = number + 1, end
        return number


def _grown(array: NDArray[Any], room: int, empty: float) -> NDArray[Any]:
    grown: NDArray[Any] = np.full(room, empty, array.dtype)
    grown[: len(array)] = array
    return grown


def about_of(entry: Entry) -> str:
    """What an act was about, as answers say it: ``tent-2``, ``tent-2#specs``, ``post:77``, ``topic:tents``."""
    name = entry.id if entry.kind in ("item", "url") else f"{entry.kind}:{entry.id}"
    return f"{name}#{entry.section}" if entry.section else name
