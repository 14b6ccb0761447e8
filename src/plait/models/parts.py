"""Which rows a channel may have, and how well each would do: learned apart, weighed together.

A channel's rows are a sum of parts, each ridge regression of its own:

- ``own``: from what the channel tells to what people wanted;
- ``pool``: from all channels together, the strongest act each;
- for ties, ``alone``: what a person's friends explain, with everybody a friend of themselves;
- for ties, ``joint``: what they explain beside what the person did;
- for ties, ``friends``: what the friend wanted, as it is;
- for ties, ``through``: what the friend wanted, by the pool's rows.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from plait.models.linear import FREQUENCY, RIDGE, Rows, frequency, ridge_rows
from plait.models.table import Table

CLOCKS = (1.0, 4.0, 16.0)  # times the half-life
FEW = 20  # people; a channel of fewer has no rows of its own


class Shape(NamedTuple):
    """What is tried out before gates are learned.

    Attributes:
        ridge: times the mean square of a person's row.
        frequency: what an item foretells is scaled by the number of people who wanted it, to this power.
        half_life: of popularity now, ms; 0 for never fading.
        broadly: how much of the pool's rows is what people have in common at large,
        tastes: by so many directions.
    """

    ridge: float = RIDGE
    frequency: float = FREQUENCY
    half_life: float = 0.0
    broadly: float = 0.0
    tastes: float = 0.0


class Part(NamedTuple):
    """Rows for the acts of a channel."""

    channel: int
    name: str
    rows: Rows


def pool_of(
    table: Table, heard: NDArray[np.bool_], shape: Shape, also: sp.csr_matrix | None = None
) -> tuple[Rows | None, Rows | None]:
    """The rows of all channels together, and those of ``also``; ``None`` where there are no items to learn from."""
    x = items_only(table.hearing(heard))
    if not x.nnz and also is None:
        return None, None
    rows, theirs = ridge_rows(
        x,
        table.target(),
        own=True,
        ridge=shape.ridge,
        also=also,
        broadly=shape.broadly,
        tastes=int(shape.tastes),
    )
    return (rows if x.nnz else None), theirs


def items_only(table: Table) -> sp.csr_matrix:
    """(people, entities) of all that people did themselves, without people."""
    return table.only(table.own & ~table.tied[table.channel]).matrix()


def parts_of(
    table: Table, heard: NDArray[np.bool_], shape: Shape, wanted: Collection[tuple[int, str]] | None = None
) -> tuple[list[Part], Rows | None]:
    """Every part of every channel that is heard, and the pool.

    Args:
        table: what is learned from.
        heard: (channels,).
        shape: of the pool.
        wanted: (channel, name) of the parts that are asked for; all by default.
    """
    found: list[Part] = []
    target = table.target()
    items = heard & ~table.tied[:-1]
    pool, _ = pool_of(table, items, shape)
    plain = [int(one) for one in np.flatnonzero(items)]

    def asked(channel: int, name: str) -> bool:
        return wanted is None or (channel, name) in wanted

    for channel in plain:
        if pool is not None and asked(channel, "pool"):
            found.append(Part(channel, "pool", pool))
        if len(plain) < 2 or not asked(channel, "own"):
            continue
        x = table.matrix(channel)
        if np.count_nonzero(np.diff(x.indptr)) >= FEW:
            rows, _ = ridge_rows(x, target, own=table.targets[channel], ridge=shape.ridge)
            found.append(Part(channel, "own", rows))
    for channel in np.flatnonzero(heard & table.tied[:-1]).tolist():
        x = table.matrix(channel)
        if np.count_nonzero(np.diff(x.indptr)) < FEW:
            continue
        if asked(channel, "friends"):
            found.append(Part(channel, "friends", _wanted_by_friends(table, target)))
        for name, beside in (("alone", np.zeros_like(items)), ("joint", items)):
            if asked(channel, name) and (name == "alone" or pool is not None):
                _, theirs = pool_of(table, beside, shape, _near(table, x))
                if theirs is not None:
                    found.append(Part(channel, name, theirs))
        if pool is not None and asked(channel, "through"):
            told = _of_friends(table, items_only(table.hearing(items)))
            found.append(Part(channel, "through", pool.before(told)))
    return found, pool


def _near(table: Table, x: sp.csr_matrix) -> sp.csr_matrix:
    """(people, entities) whom each follows and themselves, who count as one more; rows of length one."""
    known = np.flatnonzero(table.self_of >= 0)
    selves = sp.csr_matrix((np.ones(len(known)), (known, table.self_of[known])), shape=x.shape)
    count = np.diff(x.indptr)
    theirs = sp.diags(np.sqrt(np.maximum(count, 1.0) / (count + 1.0)))
    return (theirs @ x + sp.diags(1 / np.sqrt(count + 1.0)) @ selves).tocsr()


def _of_friends(table: Table, x: sp.csr_matrix) -> sp.csr_matrix:
    """(entities, columns) what the person that an entity is did, each damped by how much they did."""
    known = np.flatnonzero(table.self_of >= 0)
    quiet = sp.diags(1 / np.sqrt(np.maximum(np.diff(x.indptr), 1.0)))
    place = sp.csr_matrix(
        (np.ones(len(known)), (table.self_of[known], known)), shape=(len(table.entities), table.people)
    )
    return (place @ quiet @ x).tocsr()


def _wanted_by_friends(table: Table, target: sp.csr_matrix) -> Rows:
    binary = target.copy()
    binary.data[:] = 1.0
    return Rows(
        (_of_friends(table, binary) @ sp.diags(1 / frequency(target))).tocsr().astype(np.float32), None
    )


def scale(table: Table, shape: Shape) -> NDArray[np.float64]:
    """(items,) what each column of rows is multiplied by."""
    kept = table.wanted
    counts = np.bincount(table.entity[kept], minlength=table.items).astype(np.float64)
    found: NDArray[np.float64] = np.maximum(counts, 1.0) ** shape.frequency
    return found


def popularity(table: Table, half_life: float) -> NDArray[np.float64]:
    """(items,) 0..1: how many people wanted each, on a scale of logarithms.

    Where it fades, it fades by several clocks at a time: what the last days tell is of the moment and of few acts, and
    which half-life foretells best changes from month to month.
    """
    told = [recent(table, half_life * clock) for clock in (CLOCKS if half_life else CLOCKS[:1])]
    most = max(float(told[0].max(initial=0.0)), 1e-9)
    mixed = sum(one / max(float(one.max(initial=0.0)), 1e-9) for one in told) / len(told)
    found = np.log1p(most * mixed)
    scaled: NDArray[np.float64] = found / max(float(found.max(initial=0.0)), 1e-9)
    return scaled


def recent(table: Table, half_life: float) -> NDArray[np.float64]:
    """(items,) how many people wanted each, faded to the newest act; a half-life of 0 never fades."""
    kept = table.wanted
    weights = None
    if half_life:
        newest = int(table.at.max()) if len(table.at) else 0
        weights = np.exp2((table.at[kept] - newest) / half_life)
    return np.bincount(table.entity[kept], weights=weights, minlength=table.items).astype(np.float64)
