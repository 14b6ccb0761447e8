"""Taking people out of a model that was learned from them, without learning it again.

Beside a model lies what that takes: the acts that it was learned from, under hashes of who did them, and the regressions that its rows
come from, each as the rows of its own matrices (``downdate``). It is as personal as the state, leaves with whoever is erased, and goes
with its model. What is kept of each row stays which it is, like the weights of items: its values become those without them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import msgspec
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from plait.models import Model, loops
from plait.models.downdate import Regression, change
from plait.models.linear import Rows
from plait.models.parts import popularity
from plait.models.table import Table, returns
from plait.models.visits import together

NAME = "learned"  # in a model's folder, ".json" and ".npz"
MOST = 20_000_000  # values of all regressions together: what lies on the disk for each model, some 200 MB
PEOPLE = 100  # who leave at once; more are learned without anew
NOISE = 1e-6  # of the largest value: what rounding leaves of a value that is gone
_FORMAT = 2


@dataclass(frozen=True)
class Source:
    """What a block of a model's rows got from a regression: rows ``first`` to ``last`` of its B.

    Attributes:
        damped: (last - first,) what each of them was multiplied by; ``None`` for 1.
        items: (items,) what each column was.
        via: (entities, last - first) whose product they are, see ``Rows``.
    """

    regression: int
    first: int
    last: int
    damped: NDArray[np.float64] | None
    items: NDArray[np.float64]
    via: sp.csr_matrix | None


@dataclass(frozen=True)
class Block:
    """Rows ``first`` to ``last`` of a model, and where they come from."""

    first: int
    last: int
    sources: list[Source]


@dataclass(frozen=True)
class VisitRows:
    """Rows ``first`` to ``last`` of a model, which are of visits; ``since`` and ``often`` as ``visits.Visits`` has them."""

    first: int
    last: int
    since: int
    often: NDArray[np.float64]


class Ledger:
    """Writes down where the rows of a model come from while they are stacked."""

    def __init__(self, by: NDArray[np.float64]) -> None:
        """``by``: (items,) what all columns are multiplied by."""
        self._by = by
        self.regressions: list[Regression] = []
        self.blocks: list[Block] = []
        self.visits: VisitRows | None = None
        self.complete = True

    def put(self, first: int, last: int, parts: Iterable[tuple[float, str, Rows]]) -> None:
        """Rows ``first`` to ``last`` are the sum of parts: their weight, name, and rows."""
        sources = []
        for weight, name, rows in parts:
            if rows.origin is not None:
                sources.append(self._source(weight, rows))
            elif name != "friends":  # what friends wanted is of nobody else, and goes with its row
                self.complete = False
        self.blocks.append(Block(first, last, sources))

    def _source(self, weight: float, rows: Rows) -> Source:
        origin = rows.origin
        assert origin is not None
        known = [n for n, one in enumerate(self.regressions) if one is origin.regression]
        if not known:
            self.regressions.append(origin.regression)
        items = weight * self._by * (1.0 if origin.items is None else origin.items)
        number = known[0] if known else len(self.regressions) - 1
        return Source(number, origin.rows.start, origin.rows.stop, origin.damped, items, rows.via)


@dataclass(frozen=True)
class Learned:
    """What a model was learned from.

    Attributes:
        who: (people,) hashes, 0 for those who left.
        table: the acts.
        half_life: of popularity, ms.
        regressions, blocks, visits: where its rows come from.
    """

    who: NDArray[np.uint64]
    table: Table
    half_life: float
    regressions: list[Regression]
    blocks: list[Block]
    visits: VisitRows | None = None

    @property
    def small(self) -> bool:
        """Whether it is worth the room on the disk."""
        return bool(sum(one.x.nnz + one.y.nnz for one in self.regressions) <= MOST)

    def leaving(self, who: NDArray[np.uint64], now: Table) -> NDArray[np.int64]:
        """People who have to be taken out: those who are there no more, or of whose acts some are not.

        Args:
            who: hashes of the people of ``now``.
            now: the acts that may be learned from today. What came since is no reason to leave.
        """
        place = {one: number for number, one in enumerate(who.tolist())}
        person = np.array([place.get(one, -1) if one else -1 for one in self.who.tolist()], np.int64)
        entity = _numbers(self.table.entities, now.entities)
        channel = _numbers(self.table.channels, now.channels)
        table = self.table
        old = (person[table.person], channel[table.channel], entity[table.entity])
        width, depth = len(now.entities) + 1, len(now.channels) + 1
        held = np.minimum.reduce(old) >= 0
        keys = (old[0] * depth + old[1]) * width + old[2]
        held &= np.isin(keys, (now.person * depth + now.channel) * width + now.entity)
        return np.union1d(table.person[~held], np.flatnonzero((person < 0) & (self.who > 0)))

    def without(self, model: Model, people: NDArray[np.int64]) -> tuple[Model, Learned]:
        """The model without some people, and what it is learned from then.

        Args:
            model: whose this is.
            people: by their numbers in ``table``.
        """
        values = model.values.astype(np.float32)
        entity = _entities(model)
        told = [change(one, people) for one in self.regressions]
        for block in self.blocks:
            here = slice(int(model.indptr[block.first]), int(model.indptr[block.last]))
            for one in block.sources:
                left, right = _of_source(one, *told[one.regression])
                loops.add_products(
                    block.first, block.last, model.indptr, model.columns, entity, left, right, values
                )
            values[here][np.abs(values[here]) < NOISE * np.abs(values[here]).max(initial=0.0)] = 0.0
        if self.visits is not None:
            _leave_visits(self.visits, self.table.of(people), model, entity, values)
        gone = np.isin(np.arange(len(self.who)), people)
        kept = ~gone[self.table.person]
        table = replace(self.table.only(kept), entities=list(self.table.entities))
        nobodys = np.bincount(table.entity, minlength=len(table.entities)) == 0
        selves = table.self_of[people]
        nobodys[selves[selves >= 0]] = True
        for number in np.flatnonzero(nobodys[table.items :]) + table.items:
            table.entities[number] = (
                ""  # an item is the shop's; a word, a post or a person may tell who it was
            )
        table = replace(table, self_of=np.where(gone, -1, table.self_of))
        learned = Learned(
            np.where(gone, np.uint64(0), self.who), table, self.half_life,
            [one.without(people) for one in self.regressions],
            [_without_rows(one, nobodys) for one in self.blocks], self.visits,
        )  # fmt: skip
        return _model(model, table, values, nobodys, self.half_life, len(people)), learned

    # -- on disk

    def save(self, folder: Path) -> None:
        """Write it into a model's folder."""
        arrays: dict[str, NDArray[Any]] = {"who": self.who}
        table = self.table
        for name in ("person", "channel", "entity"):
            arrays[f"table.{name}"] = getattr(table, name).astype(np.int32)
        for name in ("value", "again", "at", "self_of"):
            arrays[f"table.{name}"] = getattr(table, name)
        for number, one in enumerate(self.regressions):
            arrays |= _told(f"regression.{number}", one)
        blocks = []
        for number, block in enumerate(self.blocks):
            for place, source in enumerate(block.sources):
                arrays |= _told(f"source.{number}.{place}", source)
            sources = [[one.regression, one.first, one.last] for one in block.sources]
            blocks.append([block.first, block.last, sources])
        told = {
            "format": _FORMAT,
            "people": table.people,
            "half_life": self.half_life,
            "regressions": [[one.ridge, one.broadly] for one in self.regressions],
            "blocks": blocks,
            "visits": None,
        }
        if self.visits is not None:
            told["visits"] = [self.visits.first, self.visits.last, self.visits.since]
            arrays["visits.often"] = self.visits.often
        with (folder / f"{NAME}.npz").open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        (folder / f"{NAME}.json").write_bytes(msgspec.json.encode(told))

    @classmethod
    def load(cls, folder: Path, model: Model) -> Learned | None:
        """What lies in a model's folder; ``None`` where there is nothing, or nothing that can be read."""
        try:
            told = msgspec.json.decode((folder / f"{NAME}.json").read_bytes())
            if told["format"] != _FORMAT:
                return None
            with np.load(folder / f"{NAME}.npz", allow_pickle=False) as found:
                arrays = dict(found)
            return _read(told, arrays, model)
        except (OSError, EOFError, ValueError, KeyError, TypeError, BadZipFile, msgspec.MsgspecError):
            return None


def hashes(names: Sequence[str], pepper: str) -> NDArray[np.uint64]:
    """What stands for identifiers in ``Learned.who``; never 0."""
    key = pepper.encode()[:64]
    found = [hashlib.blake2b(one.encode(), key=key, digest_size=8).digest() for one in names]
    return np.frombuffer(b"".join(found), np.uint64) | np.uint64(1)


def _numbers(old: Sequence[Any], new: Sequence[Any]) -> NDArray[np.int64]:
    """For each of ``old`` its number in ``new``, -1 where it is not there."""
    place = {(tuple(one) if isinstance(one, list) else one): number for number, one in enumerate(new)}
    return np.array([place.get(tuple(one) if isinstance(one, list) else one, -1) for one in old], np.int64)


def _entities(model: Model) -> NDArray[np.int64]:
    """(rows,) the entity of each row."""
    found = np.zeros(len(model.indptr) - 1, np.int64)
    for block in model.place:
        known = np.flatnonzero(block >= 0)
        found[block[known]] = known
    return found


def _leave_visits(
    block: VisitRows, theirs: Table, model: Model, entity: NDArray[np.int64], values: NDArray[np.float32]
) -> None:
    """Take what people's own visits brought out of rows that are of visits, which are sums over people; of what is kept of each row."""
    here = slice(int(model.indptr[block.first]), int(model.indptr[block.last]))
    brought = together(theirs, block.often, block.since)[entity[block.first : block.last]].tocoo()
    sizes = np.diff(model.indptr[block.first : block.last + 1])
    kept = np.repeat(np.arange(len(sizes)), sizes) * theirs.items + model.columns[here]
    key = brought.row.astype(np.int64) * theirs.items + brought.col
    at = np.minimum(np.searchsorted(kept, key), max(0, len(kept) - 1))
    known = kept[at] == key if len(kept) else np.zeros(len(key), np.bool_)
    values[here][at[known]] -= brought.data[known]
    values[here][np.abs(values[here]) < NOISE * np.abs(values[here]).max(initial=0.0)] = 0.0


def _of_source(
    source: Source, left: NDArray[np.float64], right: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What a regression changes by, as it changes the rows that come from it: (entities, thin), (items, thin)."""
    mine = left[source.first : source.last]
    if source.damped is not None:
        mine = source.damped[:, None] * mine
    if source.via is not None:
        mine = source.via @ mine
    return np.ascontiguousarray(mine, np.float32), np.ascontiguousarray((right * source.items).T, np.float32)


def _model(
    model: Model,
    table: Table,
    values: NDArray[np.float32],
    nobodys: NDArray[np.bool_],
    half_life: float,
    fewer: int,
) -> Model:
    rows = sp.csr_matrix((values, model.columns, model.indptr), shape=(len(model.indptr) - 1, table.items))
    spoken = (~nobodys).astype(np.float32)
    rows = (sp.diags(spoken[_entities(model)]) @ rows @ sp.diags(spoken[: table.items])).tocsr()
    rows.eliminate_zeros()
    rows.sort_indices()
    manifest = msgspec.structs.replace(
        model.manifest, people=model.manifest.people - fewer, acts=len(table.person)
    )
    return Model(
        manifest, table.entities, np.where(nobodys, np.int32(-1), model.place), rows.indptr.astype(np.int64),
        rows.indices.astype(np.int32), rows.data.astype(np.float32),
        popularity(table, half_life).astype(np.float32), model.gates, model.visit, returns(table),
    )  # fmt: skip


def _without_rows(block: Block, nobodys: NDArray[np.bool_]) -> Block:
    """The block, knowing nothing any more of what those did who are nobody's."""
    spoken = sp.diags((~nobodys).astype(np.float64))
    sources = [
        one if one.via is None else replace(one, via=(spoken @ one.via).tocsr()) for one in block.sources
    ]
    return replace(block, sources=sources)


def _told(name: str, one: Regression | Source) -> dict[str, NDArray[Any]]:
    """The arrays of one, by name; of a sparse matrix its four."""
    found: dict[str, NDArray[Any]] = {}
    for field in ("person", "x", "y", "held", "u", "squares", "damped", "items", "via"):
        value: Any = getattr(one, field, None)
        if sp.issparse(value):
            value = value.tocsr()
            value.eliminate_zeros()
            found |= {
                f"{name}.{field}.{part}": getattr(value, part) for part in ("data", "indices", "indptr")
            }
            found[f"{name}.{field}.shape"] = np.array(value.shape)
        elif value is not None:
            found[f"{name}.{field}"] = value
    return found


def _fields(name: str, arrays: dict[str, NDArray[Any]], fields: Iterable[str]) -> Iterator[Any]:
    for field in fields:
        if f"{name}.{field}.shape" in arrays:
            data, indices, indptr, shape = (
                arrays[f"{name}.{field}.{part}"] for part in ("data", "indices", "indptr", "shape")
            )
            yield sp.csr_matrix((data, indices, indptr), shape=tuple(shape.tolist()))
        else:
            yield arrays.get(f"{name}.{field}")


def _read(told: dict[str, Any], arrays: dict[str, NDArray[Any]], model: Model) -> Learned:
    items = model.manifest.items
    person, channel, entity = (
        arrays[f"table.{one}"].astype(np.int64) for one in ("person", "channel", "entity")
    )
    table = Table(
        [(kind, signal) for kind, signal in model.manifest.channels], model.entities, items, told["people"],
        person, channel, entity, arrays["table.value"], arrays["table.again"], arrays["table.at"],
        sp.csr_matrix((len(model.entities), 1)), arrays["table.self_of"],
    )  # fmt: skip
    regressions = []
    for number, (ridge, broadly) in enumerate(told["regressions"]):
        who, x, y, held, u, squares = _fields(
            f"regression.{number}", arrays, ("person", "x", "y", "held", "u", "squares")
        )
        regressions.append(Regression(who, x, y, ridge, held, broadly, u, squares))
    blocks = []
    for number, (first, last, sources) in enumerate(told["blocks"]):
        found = []
        for place, (regression, begin, end) in enumerate(sources):
            damped, by, via = _fields(f"source.{number}.{place}", arrays, ("damped", "items", "via"))
            found.append(Source(regression, begin, end, damped, by, via))
        blocks.append(Block(first, last, found))
    beside = None
    if told["visits"]:
        first, last, since = told["visits"]
        beside = VisitRows(first, last, since, arrays["visits.often"])
    return Learned(arrays["who"], table, told["half_life"], regressions, blocks, beside)
