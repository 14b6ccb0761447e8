"""The model laid over the catalog: what one person's acts say about each item, and why.

The model has its own numbers for the items it was fitted on, the catalog has rows, and both change: the model whole, the
catalog item by item. A ``Ranker`` holds the way between them and the room that one answer needs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plait.catalog import Catalog
from plait.models import Model, bucket_of, kernels, rarity
from plait.models.meaning import Meanings
from plait.models.table import AGAINST, channel_of, read, wants
from plait.profile import SEP, Entry

Label = tuple[str, str, str]  # source, signal, about

LIKED_TOPICS = 8  # the most liked, whose newest items are looked at
NEWEST = 40  # of each
HEAD = 100  # most popular items, looked at always
SMALLEST_BASE = 1e-9  # so that popularity orders those that nothing else tells apart
TRENDING: Label = ("catalog", "trending", "")


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
    rows: NDArray[np.int64]
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
        self._channels: dict[tuple[str, str], tuple[int, bool, bool]] = {}
        self._version = -1
        self._rows = 0
        self._to_row = np.full(max(1, model.manifest.items), -1, np.int32)
        self._from_row = np.full(0, -1, np.int32)
        self._base = np.zeros(0, np.float32)
        self._order = np.zeros(0, np.int32)
        self._scores = np.zeros(0)
        self._seen = np.zeros(0, np.bool_)
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
        rows = len(self.catalog.ids)
        if rows > self._rows:
            self._grow(self.catalog.ids)
        self._topics = self.catalog.topics.pool(rows)
        words = len(self.catalog.topics.words)
        # How rare a topic is changes slowly: a thousand changes of items hardly show.
        if words > len(self._rare) or abs(self._version - self._rare_as_of) > 1_000:
            _, spans = self.catalog.topics.spans(rows)
            counts = np.bincount(spans, minlength=words)
            self._rare = np.maximum(rarity(counts, max(1, len(self.catalog))), 0.0)
            self._rare_as_of = self._version

    def _grow(self, ids: Sequence[str]) -> None:
        rows = len(ids)
        room = max(64, rows + rows // 4)
        if rows > len(self._scores):
            self._from_row = _grown(self._from_row, room, -1)
            self._base = _grown(self._base, room, 0)
            self._scores = np.zeros(room)
            self._seen = np.zeros(room, np.bool_)
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
        model = self.model
        meaning_of = self._meanings.of
        heard = [
            (entry, value, meaning_of(entry.kind, entry.id), self._channel(entry.source, entry.signal))
            for entry, value in read(entries, now=now, half_life=model.manifest.half_life)
        ]
        wanted = frozenset(
            row for _, value, meaning, (_, shows, _) in heard if shows and value > 0 for row in meaning.rows
        )
        gates = model.gates[:, bucket_of(len(wanted))].tolist()
        lines = _Lines()
        total = math.sqrt(max(1.0, sum(abs(value) for _, value, _, (_, _, speaks) in heard if speaks)))
        topic_gate = gates[-2] / total
        for entry, value, meaning, (channel, shows, speaks) in heard:
            label = lines.label(entry.source, entry.signal, about_of(entry))
            weight = gates[channel] * value
            if weight:
                place = model.place[channel]
                for row in meaning.rows:
                    known = self._from_row[row]
                    at = place[known] if known >= 0 else -1
                    if at >= 0:
                        lines.row(at, weight * meaning.share, label)
                    if at < 0 or shows:
                        lines.point(row, weight * meaning.share * model.returns[channel], label)
                if meaning.own and (own := model.entity.get(meaning.own)) is not None:
                    lines.row(place[own], weight, label)
            if topic_gate and meaning.topics and speaks:
                lines.topics(meaning.topics, topic_gate * value / math.sqrt(len(meaning.topics)), label)
        if page is not None:
            self._relate(page, lines, gates)
        return lines.acts(self._rare, max(gates[-1], SMALLEST_BASE), wanted)

    def _channel(self, source: str, signal: str) -> tuple[int, bool, bool]:
        """The number of a channel, whether its acts show that an item was wanted, and whether they speak for it at all."""
        found = self._channels.get((source, signal))
        if found is None:
            manifest = self.model.manifest
            number = self.model.channel.get(channel_of(source, signal), len(manifest.channels))
            wanted = manifest.wanted[number] if number < len(manifest.channels) else wants(signal)
            found = self._channels[source, signal] = (number, wanted, signal not in AGAINST)
        return found

    def _relate(self, page: int, lines: _Lines, gates: list[float]) -> None:
        """Let the item of the page speak louder than all that the person did before."""
        others = len(self.model.manifest.channels)
        loud = 3.0 * max(1.0, *gates[: others + 1])
        label = lines.label("catalog", "related", self.catalog.ids[page])
        meaning = self._meanings.of("item", self.catalog.ids[page])
        for row in meaning.rows:
            if self._from_row[row] >= 0:
                lines.row(self.model.place[-1, self._from_row[row]], loud, label)
        if meaning.topics:
            lines.topics(meaning.topics, 3.0 * max(1.0, gates[-2]) / math.sqrt(len(meaning.topics)), label)

    # --- scoring

    def score(self, acts: Acts) -> None:
        """Score what the acts touch; ``best`` may be asked until ``clear``."""
        model = self.model
        self.clear()
        count = kernels.add_neighbours(
            acts.rows, acts.row_weights, model.indptr, model.columns, model.values, self._to_row,
            self._scores, self._seen, self._touched, 0,
        )  # fmt: skip
        count = kernels.add_points(
            acts.points, acts.point_weights, self._scores, self._seen, self._touched, count
        )
        if len(acts.topics):
            liking = np.zeros(len(self._rare))
            np.add.at(liking, acts.topics, acts.topic_weights)
            count = self._look_around(liking, count)
            kernels.add_topics(liking, *self._topics, self._scores, self._touched, count)
        self._count = count

    def _look_around(self, liking: NDArray[np.float64], count: int) -> int:
        """Touch what liked topics may bring up though no neighbour does: their newest items, and the most popular."""
        liked = np.flatnonzero(liking)
        liked = liked[np.argsort(-liking[liked], kind="stable")[:LIKED_TOPICS]]
        words = self.catalog.topics.words
        more = [self.catalog.newest(str(words[code]), n=NEWEST) for code in liked]
        rows = np.concatenate([*more, self._order[:HEAD]]).astype(np.int32)
        return int(
            kernels.add_points(rows, np.zeros(len(rows)), self._scores, self._seen, self._touched, count)
        )

    def best(self, n: int, allowed: NDArray[np.bool_], base_gate: float) -> tuple[list[int], list[float]]:
        """The best ``n`` rows that are allowed and not ``used``, and their scores."""
        rows, scores = kernels.best(
            n, self._scores, self._seen, self._touched, self._count, self._base, base_gate, self._order,
            allowed, self.used,
        )  # fmt: skip
        return rows.tolist(), scores.tolist()

    def clear(self) -> None:
        """Forget the scores of the last acts."""
        kernels.forget(self._touched, self._count, self._scores, self._seen)
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


class _Lines:
    """Collects what entries say; lists first, since most people did little."""

    def __init__(self) -> None:
        self._labels: dict[Label, int] = {}
        self._rows: list[tuple[int, float, int]] = []
        self._points: list[tuple[int, float, int]] = []
        self._topics: list[tuple[int, float, int]] = []

    def label(self, source: str, signal: str, about: str) -> int:
        return self._labels.setdefault((source, signal, about), len(self._labels))

    def row(self, row: int, weight: float, label: int) -> None:
        if row >= 0:
            self._rows.append((row, weight, label))

    def point(self, row: int, weight: float, label: int) -> None:
        self._points.append((row, weight, label))

    def topics(self, codes: Sequence[int], weight: float, label: int) -> None:
        self._topics += [(code, weight, label) for code in codes]

    def acts(self, rare: NDArray[np.float64], base_gate: float, wanted: frozenset[int]) -> Acts:
        rows, row_weights, row_label = _columns(self._rows)
        points, point_weights, point_label = _columns(self._points)
        topics, topic_weights, topic_label = _columns(self._topics)
        if len(topics):
            topic_weights = topic_weights * rare[topics]
        return Acts(
            list(self._labels), rows.astype(np.int64), row_weights, row_label, points, point_weights,
            point_label, topics, topic_weights, topic_label, base_gate, wanted,
        )  # fmt: skip


def _columns(
    lines: list[tuple[int, float, int]],
) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.int32]]:
    if not lines:
        return np.zeros(0, np.int32), np.zeros(0), np.zeros(0, np.int32)
    first, weights, labels = zip(*lines, strict=True)
    return np.array(first, np.int32), np.array(weights, float), np.array(labels, np.int32)


def _grown(array: NDArray[Any], room: int, empty: float) -> NDArray[Any]:
    grown: NDArray[Any] = np.full(room, empty, array.dtype)
    grown[: len(array)] = array
    return grown


def about_of(entry: Entry) -> str:
    """What an act was about, as answers say it: ``tent-2``, ``tent-2#specs``, ``post:77``, ``topic:tents``."""
    name = entry.id if entry.kind in ("item", "url") else f"{entry.kind}:{entry.id}"
    return f"{name}#{entry.section}" if entry.section else name
