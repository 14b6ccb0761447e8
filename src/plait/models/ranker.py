"""The model laid over the catalog: what one person's acts say about each item, and why.

The model has its own numbers for the items it was fitted on, the catalog has rows, and both change: the model whole, the
catalog item by item. A ``Ranker`` gives each item a slot, which is the model's number where it has one, and holds the
room that one answer needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from plait.affinity import at_home
from plait.catalog import Catalog
from plait.models import Channel, Model, kernels, rarity
from plait.models import reasons as writing
from plait.models.meaning import Meaning, Meanings
from plait.models.table import AGAINST, MOST_ENTRIES, TIES, channel_of, counts, heaviest, wants
from plait.profiles.profile import Entry
from plait.profiles.subjects import AUTHOR, BEYOND, COMMUNITY, FOLLOWED, SEP, TOGETHER, is_derived, verb

Label = tuple[str, str, str]  # source, signal, about

LIKED_TOPICS = 8  # the most liked, whose newest items are looked at
NEWEST = 40  # of each
MOST_SAID = 100_000  # entries whose sayings are remembered
HEAD = 100  # most popular items, looked at always
MOST_REASONS = 16  # of one item; the smallest beyond go under one line, so that all still sum to the score
TRENDING: Label = ("catalog", "trending", "")
OTHER: Label = ("other", "other", "")
CIRCLE = {
    FOLLOWED: ("{} people you follow liked this", "{} person you follow liked this"),
    BEYOND: ("{} people around those you follow liked this",) * 2,
    TOGETHER: ("{} people who liked what you liked like this, too",) * 2,
}
_NONE = np.zeros(0, np.int32)


class Acts(NamedTuple):
    """What a person's entries say, ready for the kernels; one answer's gates are in the weights.

    Attributes:
        labels: numbers of what the weights are told under, see ``Sayings``.
        rows, row_weights, row_label: rows of B.
        points, point_weights, point_label: slots of items that were touched themselves.
        topics, topic_weights, topic_label: codes of topics.
        base_gate: what popularity counts.
    """

    labels: NDArray[np.int32]
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
        self._items = model.manifest.items
        self._meanings = Meanings(catalog)
        self._said: dict[tuple[Any, ...], int] = {}
        self._sayings = Sayings()
        self._newest: dict[int, NDArray[np.int32]] = {}
        self._version = -1
        self._slot = np.zeros(0, np.int32)  # of each catalog row
        self._row = np.full(
            max(1, self._items), -1, np.int32
        )  # of each slot, -1 where there is none (any more)
        self._slots = self._items  # that are taken
        self._order = _NONE  # slots, the most popular first
        self._pool = _NONE  # topics, see kernels.inline
        self._lines = np.zeros((0, 8), np.int32)  # see kernels.score
        self._room(self._items + 64)
        self.used = np.zeros(64, np.bool_)
        self._count = self._stamp = 0
        self._rare = np.zeros(0)
        self._rare_as_of = -1
        self._liking = np.zeros(1)
        self._grow(ids)

    def refresh(self) -> None:
        """Bring everything up to date with the catalog; cheap when little changed."""
        if self._version == self.catalog.version:
            return
        self._version = self.catalog.version
        self._forget()
        self._newest.clear()
        rows = len(self.catalog.ids)
        if rows > len(self._slot):
            self._grow(self.catalog.ids)
        words = len(self.catalog.topics.words)
        # How rare a topic is changes slowly: a thousand changes of items hardly show.
        if words > len(self._rare) or abs(self._version - self._rare_as_of) > 1_000:
            _, spans = self.catalog.topics.spans(rows)
            counted = np.bincount(spans, minlength=words)
            self._rare = np.maximum(rarity(counted, max(1, len(self.catalog))), 0.0)
            self._rare_as_of = self._version
        self._liking = np.zeros(
            words + 1
        )  # the last one is liked by nobody: it stands where there is no topic
        start, length, self._pool = self.catalog.topics.pool(rows)
        kernels.inline(self._slot, start, length, self._pool, words, self._lines)

    def _forget(self) -> None:
        self._said.clear()
        self._sayings = Sayings()

    def _room(self, slots: int) -> None:
        """Make room for so many slots."""
        lines = np.zeros((slots, 8), np.int32)
        lines[: len(self._lines)] = self._lines
        self._lines, self._facts = lines, lines.view(np.float32)
        self._row = _grown(self._row, slots, -1)
        self._sums = np.full(slots, -0.0)
        self._met = np.zeros(slots + 1, np.int32)  # the kernel writes one further than it counts
        self._total = np.zeros(slots)
        self._marks = np.zeros(slots, np.bool_)

    def _grow(self, ids: Sequence[str]) -> None:
        """Give new catalog rows their slots."""
        before, rows = len(self._slot), len(ids)
        if self._slots + rows - before > len(self._lines):
            self._room(self._slots + rows - before + rows // 4)
        if rows > len(self.used):
            self.used = np.zeros(rows + rows // 4, np.bool_)
        slots, known = [], False
        for row in range(before, rows):
            slot = self.model.entity.get(f"item{SEP}{ids[row]}", self._items)
            if slot < self._items:
                popularity = float(self.model.popularity[slot])
                self._facts[slot, kernels.BASE] = popularity
                known = known or popularity > 0
            else:
                slot = self._slots
                self._slots += 1
            self._row[slot] = row
            slots.append(slot)
        fresh = np.array(slots, np.int32)
        self._slot = np.concatenate([self._slot, fresh])
        if known or not len(self._order):
            base = self._facts[self._slot, kernels.BASE]
            self._order = self._slot[np.argsort(-base, kind="stable")]
        else:
            self._order = np.concatenate([self._order, fresh])

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
        if len(entries) > MOST_ENTRIES:
            entries = heaviest(entries)
        said, read = self._said.get, self._read
        numbers = [said(entry[:5]) or read(entry) for entry in entries]
        about = -1 if page is None else self._related(page)
        sayings = self._sayings
        what, weight, label, points, topics, labels, base_gate = kernels.hear(
            np.array(numbers, np.int32), np.array([one.weight for one in entries], np.float64),
            np.array([one.at for one in entries], np.int64), now, self.model.manifest.half_life, about,
            sayings.spans, sayings.facts, sayings.what, sayings.share, self.model.gates, self.model.visit,
            sayings.sums, sayings.places, self._marks,
        )  # fmt: skip
        return Acts(
            labels, what[:points], weight[:points], label[:points], what[points:topics],
            weight[points:topics], label[points:topics], what[topics:], weight[topics:], label[topics:], base_gate,
        )  # fmt: skip

    def _read(self, entry: Entry) -> int:
        """The number of what an entry says, however strongly; remembered until catalog or topics change."""
        model, channels = self.model, len(self.model.manifest.channels)
        channel = channel_of(entry.source, entry.signal)
        number = model.channel.get(channel, channels)
        shows = model.manifest.wanted[number] if number < channels else wants(entry.signal)
        meaning = self._meanings.of(entry.kind, entry.id)
        rows, lately, visit, points = [], [], [], []
        for slot, share in zip(self._slot[list(meaning.rows)].tolist(), meaning.shares, strict=True):
            at, soon = self._row_of(number, slot), self._row_of(channels + 1, slot)
            if at >= 0:
                rows.append((at, share))
            if soon >= 0:
                lately.append((soon, share))
            beside = self._row_of(channels + 2, slot) if shows else -1
            if beside >= 0:
                visit.append((beside, share))
            # A channel that foretells may not let an item explain itself; that they come back to it is told apart. What
            # friends like, or an author's other posts are about, is no coming back, and speaks for itself until the model has
            # learned how loudly.
            if at < 0 or shows or (is_derived(entry.signal) and number == channels):
                points.append((slot, share * float(model.returns[number])))
        own = self._row_of(number, model.entity.get(meaning.own, -1)) if meaning.own else -1
        if own >= 0:
            rows.append((own, 1.0))
        soon = self._row_of(channels + 1, model.entity.get(meaning.own, -1)) if meaning.own else -1
        if soon >= 0:
            lately.append((soon, 1.0))
        said = self._said[entry[:5]] = self._sayings.add(
            rows, lately, visit, points, self._topics_of(meaning) if entry.signal not in AGAINST else [],
            [(slot, 1.0) for slot in self._slot[list(meaning.rows)].tolist()] if shows else [],
            label=(entry.source, verb(entry.signal), self._about(entry)), channel=number,
            group=(channel, entry.kind, entry.id), counts=counts(entry),
        )  # fmt: skip
        return said

    def _about(self, entry: Entry) -> str:
        """What an act was about, as answers say it. Accounts are named that are the company's own, and no others."""
        if entry.signal == COMMUNITY:
            return f"people of {entry.id}"
        if entry.kind != AUTHOR:
            return about_of(entry)
        whose = entry.id if self._meanings.authors.is_own(entry.id) else "one account"
        return f"{entry.section} posts by {whose}"

    def drawn(self, identifiers: Sequence[str], entries: Sequence[Entry]) -> list[Entry]:
        """To whose posts, and where, somebody is drawn, as entries beside theirs."""
        return self._meanings.authors.drawn(entries) + at_home(identifiers, entries)

    def _related(self, page: int) -> int:
        """The number of what the item of a page says about others."""
        known = self._said.get((page,))
        if known is None:
            id = self.catalog.ids[page]
            meaning = self._meanings.of("item", id)
            pool = len(self.model.manifest.channels)
            at = [self._row_of(pool, slot) for slot in self._slot[list(meaning.rows)].tolist()]
            known = self._said[page,] = self._sayings.add(
                [(one, 1.0) for one in at if one >= 0], [], [], [], self._topics_of(meaning), [],
                label=("catalog", "related", id), channel=-1, group=(("catalog", "related"), "item", id),
            )  # fmt: skip
        return known

    def _row_of(self, channel: int, entity: int) -> int:
        """The row of B that an entity has in a channel's block, -1 for none; an item's slot is its entity."""
        return int(self.model.place[channel, entity]) if 0 <= entity < self.model.place.shape[1] else -1

    def _topics_of(self, meaning: Meaning) -> list[tuple[int, float]]:
        many = max(1.0, sum(meaning.sure)) ** -0.5
        return [
            (code, sure * many * float(self._rare[code]))
            for code, sure in zip(meaning.topics, meaning.sure, strict=True)
        ]

    # --- scoring

    def score(self, acts: Acts) -> None:
        """Score what the acts touch; ``best`` may be asked until the next."""
        model = self.model
        more = self._look_around(acts) if len(acts.topics) else _NONE
        self._stamp += 1
        if self._stamp == 1 << 31:  # after weeks of questions
            self._lines[:, kernels.STAMP], self._stamp = 0, 1
        self._count = kernels.score(
            acts.rows, acts.row_weights, acts.points, acts.point_weights, more, model.indptr, model.columns,
            model.values, acts.topics, self._liking, self._pool, self._lines, acts.base_gate, self._stamp,
            self._sums, self._met, self._total,
        )  # fmt: skip

    def _look_around(self, acts: Acts) -> NDArray[np.int32]:
        """What liked topics may bring up though no neighbour does: their newest items, and the most popular."""
        codes = kernels.liked(acts.topics, acts.topic_weights, self._liking, LIKED_TOPICS)
        return np.concatenate([*map(self._newest_of, codes.tolist()), self._order[:HEAD]])

    def _newest_of(self, code: int) -> NDArray[np.int32]:
        known = self._newest.get(code)
        if known is None:
            found = self.catalog.newest(str(self.catalog.topics.words[code]), n=NEWEST)
            known = self._newest[code] = self._slot[found]
        return known

    def best(self, n: int, allowed: NDArray[np.bool_], base_gate: float) -> tuple[list[int], list[float]]:
        """The best ``n`` rows that are allowed and not ``used``, and their scores."""
        rows, scores = kernels.best(
            n, self._met, self._total, self._count, self._stamp, self._lines, base_gate, self._order, self._row,
            allowed, self.used,
        )  # fmt: skip
        return rows.tolist(), scores.tolist()

    # --- saying why

    def told(self, rows: Sequence[int], acts: Acts) -> NDArray[np.float64]:
        """What each label gave to each item, popularity last: (rows, labels + 1). Rows sum to the scores."""
        model = self.model
        found: NDArray[np.float64] = kernels.told(
            self._slot[np.array(rows, np.int64)], self._items, *acts[1:-1], model.indptr, model.columns,
            model.values, self._pool, self._lines, acts.base_gate, len(acts.labels),
        )  # fmt: skip
        return found

    def reasons(self, told: NDArray[np.float64], acts: Acts) -> tuple[list[float], list[bytes]]:
        """The score of each item, and its reasons as JSON, the strongest first.

        They sum to the score, their shares' absolute values to 1.

        Args:
            told: (items, labels + 1), see ``told``.
            acts: what it was told of.
        """
        sayings = self._sayings
        text, ends, scores = writing.written(told, MOST_REASONS, acts.labels, *sayings.texts)
        raw, begin, found = text.tobytes(), 0, []
        for end in ends.tolist():
            found.append(raw[begin:end])
            begin = end
        return scores.tolist(), found

    def told_of_ties(self, row: int, acts: Acts) -> NDArray[np.float64]:
        """The same for a post or promotion: the mean over the items it is tied to, and its topics; (labels + 1,)."""
        items, names = self.catalog.ties(row)
        found = np.zeros(len(acts.labels) + 1)
        if items:
            weights = np.array(list(items.values()))
            found += weights @ self.told(list(items), acts) / max(1.0, weights.sum())
        codes = [
            (code, sure) for name, sure in names.items() if (code := self.catalog.topics.code(name)) >= 0
        ]
        many = max(1.0, sum(sure for _, sure in codes)) ** 0.5
        for code, sure in codes:
            here = acts.topics == code
            np.add.at(found, acts.topic_label[here], acts.topic_weights[here] * (sure / many))
        if not items and not names:
            found += self.told([row], acts)[0]
        return found


class Sayings:
    """All that entries say of their own, before anybody's weight and gate, side by side in arrays that only grow.

    Saying 0 says nothing; nor is it found by ``get``. What saying ``s`` says stands in ``what`` and ``share``: rows of B from ``spans[s, 0]``, rows of what
    is wanted lately from ``spans[s, 1]``, of what goes with it in one visit from ``spans[s, 2]``, slots that were touched themselves from
    ``spans[s, 3]``, topics' codes from ``spans[s, 4]``, and slots that it shows to be wanted from ``spans[s, 5]`` up to ``spans[s, 6]``. ``facts[s]`` holds its channel in the model (one past the last for those
    that the model does not know), the number of its label, the number of the group that it saturates with, and flags
    (``kernels.COUNTS``, ``kernels.ON_TOPIC``, ``kernels.TIED``).
    """

    def __init__(self) -> None:
        self.spans, self.facts = np.zeros((64, 7), np.int32), np.zeros((64, 4), np.int32)
        self.what, self.share = np.zeros(512, np.int32), np.zeros(512)
        self.sums, self.places = np.zeros(64), np.full(64, -1, np.int32)  # room for ``kernels.hear``
        self._labels: dict[Label, int] = {}
        self._text, self._ends = np.zeros(4_096, np.uint8), np.zeros(64, np.int32)
        self._groups: dict[tuple[Channel, str, str], int] = {}
        self._count, self._filled = 0, 0
        for label in (TRENDING, OTHER):  # their numbers are known to ``reasons.written``
            self._label(label)
        self.add([], [], [], [], [], [], label=OTHER, channel=-1, group=(("", ""), "", ""), counts=False)

    @property
    def texts(self) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """How the JSON of each label's reasons begins, and where each begins, for ``reasons.written``."""
        return self._text, self._ends

    def _label(self, label: Label) -> int:
        """The number of a label."""
        number = self._labels.get(label)
        if number is None:
            number = self._labels[label] = len(self._labels)
            source, signal, about = label
            told = {"source": source, "signal": signal} | ({"about": about} if about else {})
            raw = msgspec.json.encode(told)[:-1] + b',"contribution":'
            begin = int(self._ends[number])
            end = begin + len(raw)
            if end > len(self._text):
                self._text = _grown(self._text, 2 * end, 0)
            if number + 1 == len(self._ends):
                self._ends = _grown(self._ends, 2 * len(self._ends), 0)
            self._text[begin:end] = np.frombuffer(raw, np.uint8)
            self._ends[number + 1] = end
        return number

    def add(
        self,
        rows: list[tuple[int, float]],
        lately: list[tuple[int, float]],
        visit: list[tuple[int, float]],
        points: list[tuple[int, float]],
        topics: list[tuple[int, float]],
        wanted: list[tuple[int, float]],
        *,
        label: Label,
        channel: int,
        group: tuple[Channel, str, str],
        counts: bool = True,
    ) -> int:
        """Keep a saying: pairs of what and share. Returns its number."""
        parts = (rows, lately, visit, points, topics, wanted)
        number, said = self._count, [one for part in parts for one in part]
        end = self._filled + len(said)
        if number == len(self.spans):
            self.spans, self.facts = (
                np.concatenate([one, np.zeros_like(one)]) for one in (self.spans, self.facts)
            )
        if end > len(self.what):
            self.what, self.share = _grown(self.what, 2 * end, 0), _grown(self.share, 2 * end, 0)
        self.spans[number] = list(accumulate(map(len, parts), initial=self._filled))
        if said:
            self.what[self._filled : end], self.share[self._filled : end] = zip(*said, strict=True)
        labelled = self._label(label)
        grouped = self._groups.setdefault(group, len(self._groups))
        if max(labelled, grouped) >= len(self.sums):
            self.sums, self.places = np.zeros(2 * len(self.sums)), np.full(2 * len(self.sums), -1, np.int32)
        flags = (
            counts * kernels.COUNTS + bool(topics) * kernels.ON_TOPIC + (group[0][0] == TIES) * kernels.TIED
        )
        self.facts[number] = channel, labelled, grouped, flags
        self._count, self._filled = number + 1, end
        return number


def _grown(array: NDArray[Any], room: int, empty: float) -> NDArray[Any]:
    grown: NDArray[Any] = np.full(room, empty, array.dtype)
    grown[: len(array)] = array
    return grown


def about_of(entry: Entry) -> str:
    """What an act was about, as answers say it: ``tent-2``, ``tent-2#specs``, ``post:77``, ``topic:tents``.

    Of what others did it says how many they were, and nobody's name.
    """
    if entry.signal in CIRCLE:
        return CIRCLE[entry.signal][entry.section == "1"].format(entry.section)
    name = entry.id if entry.kind in ("item", "url") else f"{entry.kind}:{entry.id}"
    return f"{name}#{entry.section}" if entry.section else name
