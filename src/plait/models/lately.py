"""What people like you wanted lately: rows that foretell what is of the moment, where it is known when things happened.

Where most of what people go on to want is new, what goes with what is found out too late. But the first who found it had
wanted much else before, and who wanted the same is likely to follow them. So beside the rows that foretell whatever was
wanted there are rows that foretell what was wanted lately: the same regression on the same acts, with every want faded by how long
it is past and each item damped by its age. They speak by gates of their own, since how much the moment counts depends on
what else is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from plait.events import DAY
from plait.models.linear import Rows, frequency, ridge_rows
from plait.models.parts import Shape, items_only, scale
from plait.models.shape import is_timed
from plait.models.table import Table

NAME = "lately"
LONGER = 10.0  # times the half-life of popularity: neighbours are fewer than everybody, so they are heard for longer
STRICTER = 10.0  # times the ridge: what is of the moment rests on few acts
AGED = 0.3  # an item is damped by its age to this power
YOUNGEST = 0.05 * DAY  # what is younger counts as this old
KEEP = 200  # values of each row: few items are of the moment
NEWEST = 0.1  # part of all wants
NEW = 0.3  # part of these that is about items new to everybody: from here on the moment decides
STRETCHES = 4  # of the past that gates are learned on; one tells more of its own days than of the next
SMALL = 400_000  # acts; where there are more, one stretch has questions enough


def turns_over(table: Table) -> bool:
    """Whether much of what is wanted is new: of the newest wants at least ``NEW`` are of items that nobody wanted before."""
    if not is_timed(table):
        return False
    kept = table.wanted
    item, began = table.entity[kept], table.began[kept]
    first = np.full(table.items, np.iinfo(np.int64).max)
    np.minimum.at(first, item, began)
    moment = np.quantile(began, 1 - NEWEST)
    late = began > moment
    return bool(late.any() and (first[item[late]] > moment).mean() >= NEW)


def lately_rows(table: Table, heard: NDArray[np.bool_], shape: Shape) -> Rows | None:
    """The rows of all channels together, ties apart; ``None`` where the moment does not matter.

    Args:
        table: what is learned from.
        heard: (channels,).
        shape: of the fit.
    """
    if not shape.half_life or not turns_over(table):
        return None
    x = items_only(table.hearing(heard))
    if not x.nnz:
        return None
    x = present(x)
    faded = _faded(table, LONGER * shape.half_life)
    rows, _ = ridge_rows(x, faded, own=False, ridge=STRICTER * shape.ridge)
    young = frequency(faded) * _age(table) ** -AGED / np.maximum(scale(table, shape), 1e-9)
    if rows.right is None:
        return Rows((rows.left @ sp.diags(young)).tocsr().astype(np.float32), None, own=True)
    origin = None if rows.origin is None else replace(rows.origin, items=young)
    if rows.core is not None:
        wanted = (rows.right @ sp.diags(young)).tocsc().astype(np.float32)
        return Rows(rows.left, wanted, own=True, origin=origin, core=rows.core)
    return Rows(rows.left, rows.right * young.astype(np.float32), own=True, origin=origin)


def present(x: sp.csr_matrix) -> sp.csr_matrix:
    """Whether somebody touched something, however often and however long ago: it tells whom they are like."""
    found = x.copy()
    found.data = np.sign(found.data)
    return found


def _faded(table: Table, half_life: float) -> sp.csr_matrix:
    """(people, items): what each wanted, by how long it is past."""
    kept = table.only(table.wanted)
    kept.value = np.exp2((kept.began - int(table.at.max())) / half_life)
    found: sp.csr_matrix = kept.target()
    found.data = np.maximum(found.data, 1e-9)  # so that nothing is lost that ``frequency`` counts
    return found


def _age(table: Table) -> NDArray[np.float64]:
    """(items,) days since somebody first wanted each."""
    now = int(table.at.max())
    kept = table.wanted
    first = np.full(table.items, now, np.int64)
    np.minimum.at(first, table.entity[kept], table.began[kept])
    days: NDArray[np.float64] = np.maximum(now - first, YOUNGEST) / DAY
    return days


def stretches(table: Table, part: float) -> Iterator[Table]:
    """The table as it was at several times, the newest first, each without the newest ``part`` of the one before."""
    yield table
    if len(table.person) > SMALL or not turns_over(table):
        return
    for _ in range(STRETCHES - 1):
        moment = int(np.quantile(table.began[table.wanted], 1 - part))
        table = table.only(table.began <= moment)
        table.at = np.minimum(table.at, moment)
        if not turns_over(table):
            return
        yield table
