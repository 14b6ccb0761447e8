"""All items, placements and audiences in memory, as the server asks them.

They arrive through the log like any other fact (``fold.py``), and the server keeps them in memory as a ``Catalog``, told of a
change as soon as it is durable. What an item is, ``items.py`` says, and ``checks.py`` what a sender may say of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plait.catalog.checks import checked_item, checked_placement
from plait.catalog.columns import Column, Lists, Mask, Value
from plait.catalog.conditions import Condition
from plait.catalog.expressions import ATTRIBUTE, FIELDS, compile
from plait.catalog.fold import (
    KINDS,
    changes_of,
    decode_audience,
    decode_item,
    decode_placement,
    fold_items,
    kept,
    packed,
)
from plait.catalog.items import (
    ASIDE,
    DEFAULT_PLACEMENTS,
    MAX_SHOWN,
    POST,
    PROMOTION,
    Audience,
    Item,
    Placement,
)
from plait.events import Record
from plait.store import Snapshot

__all__ = [
    "ASIDE", "DEFAULT_PLACEMENTS", "KINDS", "MAX_SHOWN", "POST", "PROMOTION", "Audience", "Catalog", "Item", "Placement",
    "checked_item", "checked_placement", "decode_item", "fold_items",
]  # fmt: skip

MASKS = 256  # conditions whose masks are kept
FEW = 32  # changed rows that are cheaper to ask one by one than all at once
MOST_NOTED = 100_000  # changes


@dataclass(slots=True)
class _Kept:
    """A mask, and how many changes it knows of."""

    condition: Condition
    mask: Mask
    told: int


class Catalog:
    """All items, placements and audiences in memory; items by row. Used from one thread.

    An item keeps its row as long as the catalog lives, also after it was deleted (``live`` tells) and came back; rows
    are never given to another item, and another catalog of the same items may have them in another order. Arrays that are
    handed out are views of length ``len(rows)``: do not write to them, and do not keep them over a change.

    Attributes:
        ids: id of each row.
        rows: row of each id, deleted ones too.
        version: counts changes of items.
        placements: by id, the defaults among them.
        audiences: by id.
    """

    def __init__(
        self,
        items: Iterable[Item] = (),
        placements: Iterable[Placement] = (),
        audiences: Iterable[Audience] = (),
    ) -> None:
        self.ids: list[str] = []
        self.rows: dict[str, int] = {}
        self.version = 0
        self.placements = {one.id: one for one in (*DEFAULT_PLACEMENTS, *placements)}
        self.audiences = {one.id: one for one in audiences}
        self._packed: list[bytes | None] = []  # a quarter of the memory that Items would take
        self._live = Column()
        self._columns: dict[str, Column] = {name: Column() for name in _ALWAYS}
        self._topics = self._columns["topics"].lists = Lists()
        self._attributes: dict[str, int] = {}  # name -> items that have it
        self._known: frozenset[str] | None = None
        self._masks: dict[str, _Kept] = {}
        self._changed: list[int] = []  # rows, in order
        self._newest: dict[str | None, NDArray[np.intp]] = {}
        self._size = 0
        self.upsert(items)

    @classmethod
    def load(cls, snapshot: Snapshot) -> Catalog:
        """The catalog as of a snapshot; ``apply`` the log's records after ``snapshot.position``."""
        catalog = cls(
            placements=(decode_placement(raw) for _, raw in snapshot.scan("placements")),
            audiences=(decode_audience(raw) for _, raw in snapshot.scan("audiences")),
        )
        catalog._fill([raw for _, raw in snapshot.scan("items")])
        for placement in catalog.placements.values():
            if placement.where is not None:  # so that the first page of a day is as quick as the second
                catalog.mask(placement.where, strict=False)
        return catalog

    def apply(self, record: Record) -> None:
        """Take in a record of one of ``KINDS``, as the fold does; the same one twice changes nothing."""
        changes = changes_of(record)
        if record.kind == "items":
            self.upsert(kept(item, self.get(item.id), record.received_at) for item in changes.put)
            self.delete(changes.delete)
            return
        named = self.placements if record.kind == "placements" else self.audiences
        named.update((one.id, one) for one in changes.put)
        for one in changes.delete:
            named.pop(one, None)
            if record.kind == "placements":
                self.placements.update((had.id, had) for had in DEFAULT_PLACEMENTS if had.id == one)

    def __len__(self) -> int:
        """How many items there are; deleted ones do not count."""
        return self._size

    def __contains__(self, id: str) -> bool:
        """Whether there is such an item, deleted ones apart."""
        return id in self.rows and self._packed[self.rows[id]] is not None

    def __iter__(self) -> Iterator[Item]:
        """All items, by row."""
        return (decode_item(raw) for raw in self._packed if raw is not None)

    def get(self, id: str) -> Item | None:
        """One item, ``None`` when there is none."""
        row = self.rows.get(id)
        raw = None if row is None else self._packed[row]
        return None if raw is None else decode_item(raw)

    def page(self, after: str | None, n: int) -> list[Item]:
        """The ``n`` items after the item ``after`` (from the first on), by row."""
        row = -1 if after is None else self.rows.get(after, len(self.ids))
        found: list[Item] = []
        for raw in self._packed[row + 1 :]:
            if len(found) == n:
                break
            if raw is not None:
                found.append(decode_item(raw))
        return found

    # --- changes

    def upsert(self, items: Iterable[Item]) -> None:
        """Put items; those that are there are replaced whole."""
        changed: list[int] = []
        for item in items:
            row = self.rows.get(item.id)
            if row is None:
                row = self.rows[item.id] = len(self.ids)
                self.ids.append(item.id)
                self._packed.append(None)
            changed.append(row)
            self._put(row, item)
        self._told(changed)

    def delete(self, ids: Iterable[str]) -> None:
        """Take items out; unknown ids are passed over."""
        changed: list[int] = []
        for id in ids:
            if id in self:
                changed.append(self.rows[id])
                self._put(self.rows[id], None)
        self._told(changed)

    def _fill(self, packed: list[bytes]) -> None:
        """Take in all items at once; only when there are none yet."""
        items = [decode_item(raw) for raw in packed]
        self._packed = list[bytes | None](packed)
        self.ids = [item.id for item in items]
        self.rows = {id: row for row, id in enumerate(self.ids)}
        self._size = len(items)
        self._live.fill([True] * len(items))
        for name, column in self._columns.items():
            column.fill(list(map(attrgetter(name), items)))  # none of _ALWAYS is called otherwise in Item
        self._topics = self._columns["topics"].lists or self._topics
        for item in items:
            for name in item.attributes:
                self._attributes[name] = self._attributes.get(name, 0) + 1
        self._known = None
        self.version += 1

    def touch(self) -> None:
        """Have everybody let go of what they remember by the version: it may name somebody who was erased."""
        self.version += 1

    def _put(self, row: int, item: Item | None) -> None:
        raw = self._packed[row]
        self._forget_order(row)
        if raw is not None:
            self._size -= 1
            self._count_attributes(decode_item(raw).attributes, -1)
        self._packed[row] = None if item is None else packed(item)
        self._live.put(row, item is not None)
        if item is not None:
            self._size += 1
            self._count_attributes(item.attributes, 1)
        for name, column in self._columns.items():
            column.put(row, None if item is None else _value(item, name))
        if item is not None:
            self._forget_order(row)

    def _count_attributes(self, attributes: Mapping[str, Any], step: int) -> None:
        for name in attributes:
            count = self._attributes.get(name, 0) + step
            if count <= 0:
                del self._attributes[name]
                self._known = None
            else:
                if count == step:
                    self._known = None
                self._attributes[name] = count

    def _forget_order(self, row: int) -> None:
        if self._newest:
            self._newest.pop(None, None)
            for code in self._topics.of(row):
                self._newest.pop(str(self._topics.words[code]), None)

    def _told(self, rows: Iterable[int]) -> None:
        """Note what changed, for masks that are asked for later. To bring all of them up to date at once would make one
        new price wait for every condition that anybody ever asked.
        """
        before = len(self._changed)
        self._changed.extend(rows)
        self.version += len(self._changed) > before
        if len(self._changed) > MOST_NOTED:
            self._changed.clear()
            self._masks.clear()

    # --- questions

    @property
    def attributes(self) -> frozenset[str]:
        """Names of the attributes that items have."""
        if self._known is None:
            self._known = frozenset(self._attributes)
        return self._known

    def mask(self, where: str, *, strict: bool = True) -> Mask:
        """The items that a condition holds for, deleted ones never; (rows,).

        Args:
            where: an expression (docs/reference/expressions.md).
            strict: refuse names that no item has. A placement's condition was checked when it was stored, and must not
                fail because the last item with an attribute has left.

        Raises:
            Rejected: ``invalid_expression``.
        """
        kept = self._masks.pop(where, None)
        if kept is None or strict:
            condition = compile(where, self.attributes if strict else None)
        if kept is None:
            if len(self._masks) >= MASKS:
                self._masks.pop(next(iter(self._masks)))  # the one asked longest ago
            kept = _Kept(condition, np.zeros(0, np.bool_), -MOST_NOTED)
        self._masks[where] = kept
        self._update(kept)
        view = kept.mask[: len(self.ids)]
        view.flags.writeable = False
        return view

    def _update(self, kept: _Kept) -> None:
        behind = len(self._changed) - kept.told
        kept.told = len(self._changed)
        if behind > FEW:
            columns = {name: self.column(name) for name in kept.condition.names}
            kept.mask = kept.condition.mask(columns, len(self.ids))
            kept.mask &= self.live
        elif behind:
            if len(kept.mask) < len(self.ids):
                grown = np.zeros(len(self.ids) + len(self.ids) // 8 + 64, np.bool_)
                grown[: len(kept.mask)] = kept.mask
                kept.mask = grown
            for row in set(self._changed[-behind:]):
                raw = self._packed[row]
                kept.mask[row] = raw is not None and kept.condition.test(_Row(decode_item(raw)))

    def column(self, name: str) -> Column:
        """The column of a field or ``attributes.…``; made at the first question, kept up to date from then on."""
        column = self._columns.get(name)
        if column is None:
            column = Column()
            if name in FIELDS or name.removeprefix(ATTRIBUTE) in self._attributes:
                column.fill([None if raw is None else _value(decode_item(raw), name) for raw in self._packed])
            self._columns[name] = column
        return column

    @property
    def live(self) -> Mask:
        """Rows that hold an item; (rows,)."""
        return self._live.flag(len(self.ids)).yes

    @property
    def available(self) -> Mask:
        """Rows that hold an item that is available; (rows,)."""
        return self._columns["available"].flag(len(self.ids)).yes

    def of_kinds(self, kinds: Sequence[str] = ()) -> Mask:
        """Rows of these kinds; without any, of all but posts and promotions. Deleted ones never; (rows,)."""
        rows = len(self.ids)
        column = self._columns["kind"]
        if kinds:
            mask = np.zeros(rows, np.bool_)
            for kind in kinds:
                mask |= column.compare("=", kind, rows).yes
            return mask
        mask = self.live.copy()
        for kind in ASIDE:
            mask &= ~column.compare("=", kind, rows).yes
        return mask

    def running(self, now: int) -> Mask:
        """Rows whose dates, where they have any, say that they may be shown at ``now`` (ms); (rows,)."""
        rows = len(self.ids)
        early = self._columns["starts"].compare(">", now, rows).yes
        late = self._columns["ends"].compare("<=", now, rows).yes
        return self.live & ~early & ~late

    @property
    def published(self) -> NDArray[np.float64]:
        """When each item was published, ms since the epoch, NaN without; (rows,)."""
        return self._columns["published"].number(len(self.ids))

    @property
    def topics(self) -> Lists:
        """Topics of each row: ``of(row)`` are codes into ``words``, ``rows(topic)`` its rows, ``spans(len(ids))`` all."""
        return self._topics

    def topics_of(self, row: int) -> list[str]:
        """The topics of a row, in the item's order."""
        return [str(self._topics.words[code]) for code in self._topics.of(row)]

    def newest(self, topic: str | None = None, *, n: int = 200) -> NDArray[np.intp]:
        """The rows published last, newest first, of a topic or of all; at most ``n`` <= 200."""
        kept = self._newest.get(topic)
        if kept is None:
            rows = np.flatnonzero(self.live) if topic is None else np.unique(self._topics.rows(topic))
            at = np.nan_to_num(self.published[rows], nan=-np.inf)
            if len(rows) > 200:
                best = np.argpartition(-at, 200)[:200]
                rows, at = rows[best], at[best]
            kept = self._newest[topic] = rows[np.lexsort((rows, -at))].astype(np.intp)
        return kept[:n]

    def ties(self, row: int) -> tuple[dict[int, float], dict[str, float]]:
        """What a promotion or post is tied to, and how surely (0..1): rows of live items, and topics that items have (had)."""
        raw = self._packed[row]
        items: dict[int, float] = {}
        topics: dict[str, float] = {}
        for tie in () if raw is None else decode_item(raw).tied():  # the surest first
            kind, _, name = tie.to.partition(":")
            for word in (tie.to, name if kind == "item" else tie.to):
                if word in self:
                    items.setdefault(self.rows[word], tie.confidence)
            for word in (tie.to, name if kind == "topic" else tie.to):
                if self._topics.code(word) >= 0:
                    topics.setdefault(word, tie.confidence)
        return items, topics

    def aimed(self, rows: NDArray[np.intp]) -> list[str | None]:
        """The audience of each of these rows, ``None`` without one."""
        column = self._columns["audience"]
        if column.texts is None:
            return [None] * len(rows)
        codes = column.text(len(self.ids))[rows].tolist()
        return [column.words[code] if code >= 0 else None for code in codes]

    @property
    def aims(self) -> bool:
        """Whether any item ever had an audience: quick, for pages of shops that have none."""
        return self._columns["audience"].texts is not None

    def users_of(self, audience: str) -> tuple[list[str], list[str]]:
        """Ids of the promotions and of the placements that are for an audience."""
        rows = np.flatnonzero(self._columns["audience"].compare("=", audience, len(self.ids)).yes)
        promotions = [self.ids[row] for row in rows.tolist()]
        return promotions, [id for id, one in sorted(self.placements.items()) if one.audience == audience]

    def cap(self, row: int) -> int | None:
        """How often one person sees it at most, ``None`` without a limit."""
        raw = self._packed[row]
        return None if raw is None else decode_item(raw).cap


# Columns that every page asks for. The rest is made when a condition first names it: most are never asked.
_ALWAYS = ("kind", "available", "price", "published", "starts", "ends", "topics", "audience")


def _value(item: Item, name: str) -> Value:
    if name.startswith(ATTRIBUTE):
        value: Value = item.attributes.get(name[len(ATTRIBUTE) :])
    else:
        value = getattr(item, "for_" if name == "for" else name)
    return value


class _Row(Mapping[str, Any]):
    """An item as a condition's ``test`` reads it."""

    def __init__(self, item: Item) -> None:
        self._item = item

    def __getitem__(self, name: str) -> Any:
        return _value(self._item, name)

    def __iter__(self) -> Iterator[str]:
        return iter((*FIELDS, *(ATTRIBUTE + name for name in self._item.attributes)))

    def __len__(self) -> int:
        return len(FIELDS) + len(self._item.attributes)
