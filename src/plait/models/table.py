"""What people did, as numbers: the table that a model is fitted on, and the same reading of one person's profile."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from plait.catalog import Catalog
from plait.events import ACTIVITY, SYSTEM
from plait.graph import FEWEST
from plait.models import Channel
from plait.models.meaning import Meanings
from plait.profiles.profile import Entry
from plait.profiles.subjects import AUTHOR, COMPLAINT, SEP, is_derived

AGAINST = frozenset({"remove"})  # acts that speak against; learned from, never wanted
TIES = "ties"  # the kind of source whose acts are about people: who follows whom
MOST_ENTRIES = (
    400  # of one person that are read, the heaviest; more would slow every answer and say little new
)
_OF_PEOPLE = frozenset(
    {"account", AUTHOR, "community"}
)  # kinds of things that are people, or a circle of them
SLICE = 1_000_000  # acts that are Python's at one time
Columns = tuple[
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.float64],
    NDArray[np.bool_],
    NDArray[np.int64],
]


@lru_cache(10_000)
def channel_of(source: str, signal: str) -> Channel:
    """The channel of an entry: ``bluesky:shop.example`` is of kind ``bluesky``."""
    return source.partition(":")[0], signal


def wants(signal: str) -> bool:
    """Whether an act shows that an item was wanted: what the model learns to foretell."""
    return signal in ACTIVITY and signal not in AGAINST


def counts(entry: Entry) -> bool:
    """Whether an entry is read at all: what is about nothing in particular, a complaint, or the system's own says nothing."""
    return bool(entry.kind) and entry.kind != COMPLAINT and entry.signal not in SYSTEM


def heaviest(entries: Sequence[Entry]) -> list[Entry]:
    """The ``MOST_ENTRIES`` heaviest of those that count."""
    heard = [one for one in entries if one.weight and counts(one)]
    return sorted(heard, key=lambda one: (-abs(one.weight), one))[:MOST_ENTRIES]


def read(entries: Sequence[Entry], *, now: int, half_life: int) -> list[tuple[Entry, float]]:
    """The entries that count, each with its intensity.

    Weights are taken relative to the person's newest act, so somebody who comes back after a year is known again. All
    that one channel says about one thing saturates together: intensity = log2(1 + |w|), of which each entry has its part. Ties
    of one person weigh together as the square root of their number: who follows thousands does not drown in them.

    Args:
        entries: weights decayed to ``now``.
        now: ms since the epoch.
        half_life: ms.
    """
    heard = [one for one in entries if one.weight and counts(one)]
    if len(heard) > MOST_ENTRIES:
        heard = heaviest(heard)
    if not heard:
        return []
    newest = max([one.at for one in heard if not is_derived(one.signal)], default=now)
    fresh = math.exp2(min((now - newest) / half_life, 1_000.0))
    total: dict[tuple[Channel, str, str], float] = {}
    keys = []
    for one in heard:
        key = channel_of(one.source, one.signal), one.kind, one.id
        keys.append(key)
        total[key] = total.get(key, 0.0) + one.weight * fresh
    ties = [one for one in keys if one[0][0] == TIES]
    told = {key: saturated(weight) for key, weight in total.items()}
    for key in dict.fromkeys(ties):
        told[key] = told[key] / math.sqrt(len(ties))
    return [(one, one.weight * fresh * told[key]) for key, one in zip(keys, heard, strict=True)]


def saturated(weight: float) -> float:
    """What one unit of a weight says: ``log2(1 + |w|) / |w|``, near 1 for a single act."""
    size = abs(weight)
    return math.log2(1.0 + size) / size if size > 1e-9 else 1.0 / math.log(2.0)


@dataclass
class Table:
    """Acts in coordinate form, one per (person, channel, entity); the arrays are aligned.

    An *entity* is what the model knows by name: the catalog's items first, then posts, queries, topics and pages that are
    no item.
    """

    channels: list[Channel]
    entities: list[str]  # ``kind SEP id``
    items: int
    people: int
    person: NDArray[np.int64]
    channel: NDArray[np.int64]
    entity: NDArray[np.int64]
    value: NDArray[np.float64]
    again: NDArray[np.bool_]  # whether it was done more than once
    at: NDArray[np.int64]
    topics: sp.csr_matrix  # (entities, topics), rows of items that have n topics hold 1/sqrt(n)
    self_of: NDArray[np.int64]  # (people,) the entity that each is to others, -1 for none
    first: NDArray[np.int64] | None = None  # the oldest of each, where it is known; else ``at`` stands for it

    @property
    def began(self) -> NDArray[np.int64]:
        """When each was first done, as far as is known, ms since the epoch."""
        return self.at if self.first is None else self.first

    @property
    def tied(self) -> NDArray[np.bool_]:
        """(channels + 1,) which channels tell of ties between people; past the last there is none."""
        found = np.zeros(len(self.channels) + 1, np.bool_)
        found[: len(self.channels)] = [kind == TIES for kind, _ in self.channels]
        return found

    @property
    def own(self) -> NDArray[np.bool_]:
        """Which acts are the person's own, as they did them; the rest was made of these, or of what others did."""
        mine = np.array([not is_derived(signal) for _, signal in self.channels] or [True])
        found: NDArray[np.bool_] = mine[self.channel]
        return found

    def only(self, kept: NDArray[np.bool_] | NDArray[np.intp]) -> Table:
        """The table without the acts that are not kept: a mask, or their places in order."""
        return Table(
            self.channels, self.entities, self.items, self.people, self.person[kept], self.channel[kept],
            self.entity[kept], self.value[kept], self.again[kept], self.at[kept], self.topics, self.self_of,
            None if self.first is None else self.first[kept],
        )  # fmt: skip

    def of(self, people: NDArray[np.int64]) -> Table:
        """The table with only the acts of some people, by the same numbers: what is asked of few need not read all."""
        starts = np.searchsorted(self.person, people)
        sizes = np.searchsorted(self.person, people, side="right") - starts
        kept = np.repeat(starts - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
        return self.only(np.sort(kept))

    def hearing(self, heard: NDArray[np.bool_]) -> Table:
        """The table without the acts of channels that are not heard, (channels,)."""
        return self if heard.all() else self.only(heard[self.channel])

    @property
    def targets(self) -> list[bool]:
        """Which channels show that something was wanted: activity, or whatever there is where there is none."""
        found = [wants(signal) for _, signal in self.channels]
        return found if any(found) else [signal not in AGAINST for _, signal in self.channels]

    @property
    def wanted(self) -> NDArray[np.bool_]:
        """Which acts show that an item was wanted."""
        yes = np.array([*self.targets, False])
        found: NDArray[np.bool_] = yes[self.channel] & (self.entity < self.items) & (self.value > 0)
        return found

    def matrix(self, channel: int | None = None) -> sp.csr_matrix:
        """(people, entities) of one channel; without one, of all that speak for something, the strongest act each."""
        if channel is not None:
            kept = self.channel == channel
        else:
            pooled = np.array([signal not in AGAINST for _, signal in self.channels] or [False])
            kept = pooled[self.channel] & (self.value > 0)
        return _strongest(
            self.person[kept], self.entity[kept], self.value[kept], (self.people, len(self.entities))
        )

    def target(self) -> sp.csr_matrix:
        """(people, items): what each wanted, the strongest act each."""
        kept = self.wanted
        return _strongest(self.person[kept], self.entity[kept], self.value[kept], (self.people, self.items))


def _strongest(
    row: NDArray[np.int64], col: NDArray[np.int64], value: NDArray[np.float64], shape: tuple[int, int]
) -> sp.csr_matrix:
    key = row * shape[1] + col
    if (key[1:] < key[:-1]).any():  # one channel's acts are in order already
        order = np.argsort(key, kind="stable")
        key, value = key[order], value[order]
    first = np.flatnonzero(np.diff(key, prepend=-1)) if len(key) else np.zeros(0, np.int64)
    if len(first) < len(key):
        high, low = np.maximum.reduceat(value, first), np.minimum.reduceat(value, first)
        value = np.where(high >= -low, high, low)
    row, col = np.divmod(key[first], shape[1])
    starts = np.searchsorted(row, np.arange(shape[0] + 1))
    return sp.csr_matrix((value, col, starts), shape=shape)


def table_of(
    rows: Iterable[tuple[str, Sequence[Entry]]], catalog: Catalog, *, now: int, half_life: int
) -> Table:
    """The table of training rows.

    Args:
        rows: an id and entries, a person or a shared device each; weights decayed to ``now``.
        catalog: what may be shown; other kinds than posts and promotions are its items.
        now: ms since the epoch.
        half_life: ms.
    """
    meanings = Meanings(catalog)
    shown = np.flatnonzero(catalog.of_kinds())
    number = np.full(len(catalog.ids) + 1, -1, np.int64)
    number[shown] = np.arange(len(shown))
    entities = [f"item{SEP}{catalog.ids[row]}" for row in shown]
    named = {name: place for place, name in enumerate(entities)}
    channels: dict[Channel, int] = {}
    topics: dict[int, tuple[int, ...]] = {}
    acts: list[tuple[int, int, int, float, bool, int]] = []
    slices: list[tuple[NDArray[Any], ...]] = []
    people: list[str] = []
    for person, (identifier, entries) in enumerate(rows):
        people.append(identifier)
        if len(acts) >= SLICE:  # people come whole, so slices add up to the table of all
            slices.append(summed(*_columns(acts)))
            acts.clear()
        for entry, value in read(entries, now=now, half_life=half_life):
            channel = channels.setdefault(channel_of(entry.source, entry.signal), len(channels))
            meaning = meanings.of(entry.kind, entry.id)
            again = entry.count > 1
            acts += [
                (person, channel, int(number[row]), value * share, again, entry.at)
                for row, share in zip(meaning.rows, meaning.shares, strict=True)
                if number[row] >= 0
            ]
            if meaning.own:
                place = named.get(meaning.own)
                if place is None:
                    place = named[meaning.own] = len(entities)
                    entities.append(meaning.own)
                    topics[place] = meaning.topics
                acts.append((person, channel, place, value, again, entry.at))
    slices.append(summed(*_columns(acts)))
    acts.clear()
    table = Table(
        list(channels), entities, len(shown), len(people), *_joined(slices),
        _topics(catalog, shown, topics, len(entities)),
        np.array([named.get(f"person{SEP}{one}", -1) for one in people], np.int64),
    )  # fmt: skip
    return _without_few(table)


def _without_few(table: Table) -> Table:
    """The table without the names of accounts, authors and communities that fewer than ``FEWEST`` people have to do with.

    What is learned of one is told to others who follow the same, and of so few that would be what somebody wanted.
    """
    of_people = np.array([one.partition(SEP)[0] in _OF_PEOPLE for one in table.entities] or [False])
    if not of_people.any():
        return table
    here = of_people[table.entity]
    pairs = np.unique(table.entity[here] * table.people + table.person[here])
    many = np.bincount(pairs // max(1, table.people), minlength=len(table.entities))
    kept = ~of_people | (many >= FEWEST)
    number = np.cumsum(kept) - 1
    table = table.only(kept[table.entity])
    table.entity = number[table.entity]
    table.entities = [one for one, stays in zip(table.entities, kept.tolist(), strict=True) if stays]
    table.topics = table.topics[np.flatnonzero(kept)]
    table.self_of = np.where(table.self_of >= 0, number[table.self_of], -1)
    return table


def _columns(acts: list[tuple[int, int, int, float, bool, int]]) -> list[NDArray[Any]]:
    told = list(zip(*acts, strict=True)) if acts else [()] * 6
    dtypes = (np.int64, np.int64, np.int64, np.float64, np.bool_, np.int64)
    return [np.array(one, dtype) for one, dtype in zip(told, dtypes, strict=True)]


def _joined(slices: list[tuple[NDArray[Any], ...]]) -> Columns:
    found = []
    while slices[0]:  # one by one, so that no more than one column is there twice
        found.append(np.concatenate([one[0] for one in slices]))
        slices[:] = [one[1:] for one in slices]
    person, channel, entity, value, again, at = found
    return person, channel, entity, value, again, at


def summed(
    person: NDArray[np.int64],
    channel: NDArray[np.int64],
    entity: NDArray[np.int64],
    value: NDArray[np.float64],
    again: NDArray[np.bool_],
    at: NDArray[np.int64],
) -> Columns:
    """One act per (person, channel, entity): sections of an item add up, as they do in an answer."""
    if not len(person):
        return person, channel, entity, value, again, at
    key = (person * (channel.max() + 1) + channel) * (entity.max() + 1) + entity
    order = np.argsort(key, kind="stable")
    person, channel, entity = person[order], channel[order], entity[order]
    fresh = np.ones(len(order), np.bool_)
    fresh[1:] = (person[1:] != person[:-1]) | (channel[1:] != channel[:-1]) | (entity[1:] != entity[:-1])
    first = np.flatnonzero(fresh)
    return (
        person[first], channel[first], entity[first], np.add.reduceat(value[order], first),
        np.logical_or.reduceat(again[order], first), np.maximum.reduceat(at[order], first),
    )  # fmt: skip


def _topics(
    catalog: Catalog, shown: NDArray[np.intp], more: dict[int, tuple[int, ...]], entities: int
) -> sp.csr_matrix:
    starts, codes = catalog.topics.spans(len(catalog.ids))
    everything = sp.csr_matrix(
        (np.ones(len(codes)), codes, starts), shape=(len(catalog.ids), max(1, len(catalog.topics.words)))
    )
    found = [everything[shown]]
    if entities > len(shown):
        others = [more.get(place, ()) for place in range(len(shown), entities)]
        ends = np.cumsum([0, *map(len, others)])
        flat = np.array([code for one in others for code in one], np.int64)
        found.append(
            sp.csr_matrix((np.ones(len(flat)), flat, ends), shape=(len(others), everything.shape[1]))
        )
    topics = sp.vstack(found).tocsr()
    sizes = np.diff(topics.indptr)
    topics.data /= np.repeat(np.sqrt(np.maximum(sizes, 1)), sizes)
    return topics


def returns(table: Table) -> NDArray[np.float64]:
    """How often people come back to what they touched, per channel, then over all; a tenth at least, a half at most."""
    found = np.zeros(len(table.channels) + 1)
    for channel in range(len(table.channels)):
        here = (table.channel == channel) & (table.entity < table.items)
        again = table.again[here]
        # Ten acts of which one came again stand for what we believe before we saw any.
        found[channel] = min(0.5, max(0.1, (again.sum() + 1.0) / (len(again) + 10.0)))
    found[-1] = found[:-1].mean() if len(table.channels) else 0.1
    return found
