"""What goes with what in one visit: what somebody looks at now brings up what others looked at in the same visit.

Rows of B are of all that people ever did, and answer what kind of person somebody is; what they are after today is in the last few things they
looked at. Nearest neighbours among past visits find that (STAN, Garg et al. 2019; V-STAN, Ludewig et al. 2021, "Empirical
analysis of session-based recommendation algorithms"): a visit that shares more with the one of now counts more, and of it what stands near what is
shared. Their cut to the nearest visits is left out here, since without it the score is a sum over acts, as every score is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from plait.models import HISTORY, loops
from plait.models.gates import HELD_OUT_BY_TIME, PEOPLE, TOP, Groups, Split, ndcg
from plait.models.kernels import FADES, GAP
from plait.models.linear import largest
from plait.models.shape import is_timed
from plait.models.table import Table

NAME = "visit"
FAR = 8  # acts between two of one visit, at most; further off they say next to nothing of each other
NEAR = 2.0  # acts in which that fades by e
FREQUENCY = 0.5  # what is wanted often says less about those who want it, to this power
KEEP = 200  # values of each row
MOST = 2_000_000  # wants, the newest, that visits are made of
LADDER = (0.1, 0.3, 1.0, 3.0, 10.0)  # of the other parts of a score, in standard deviations
CLEARLY = 2.0  # standard errors that a gate must gain: it is the best of five
FEWEST = 50  # questions; fewer place no gate


class Visits(NamedTuple):
    """Rows of a model, and what they were divided by.

    Attributes:
        held: (rows,) the item of each.
        rows: (rows, items).
        often: (items,) how often each was wanted, to the power of ``FREQUENCY``.
        since: ms since the epoch; older wants are not read.
    """

    held: NDArray[np.intp]
    rows: sp.csr_matrix
    often: NDArray[np.float64]
    since: int

    def said(self, so_far: sp.csr_matrix) -> NDArray[np.float64]:
        """What goes with what people wanted in a visit so far, (people, items), of the same shape."""
        found: NDArray[np.float64] = (so_far.tocsc()[:, self.held].tocsr() @ self.rows).toarray()
        return found


def visits(table: Table) -> Visits | None:
    """The rows of all who wanted several things in one visit; ``None`` where it is not known when, or nobody did."""
    if not is_timed(table):
        return None
    began = table.began[table.wanted]
    since = 0 if len(began) <= MOST else int(np.partition(began, len(began) - MOST)[len(began) - MOST])
    often = np.maximum(np.bincount(_wants(table, since)[1], minlength=table.items), 1.0) ** FREQUENCY
    rows = largest(together(table, often, since), KEEP)
    held = np.flatnonzero(np.diff(rows.indptr))
    return Visits(held, rows[held], often, since) if len(held) else None


def together(table: Table, often: NDArray[np.float64], since: int) -> sp.csr_matrix:
    """(items, items) how much each item was wanted in one visit with each other, by how near to it: float32.

    Args:
        table: what is read; a sum over its people.
        often: see ``Visits``.
        since: likewise.
    """
    person, item, at = _wants(table, since)
    number = _numbered(person, at)
    size = np.sqrt(np.bincount(number))[number] if len(number) else np.zeros(0)
    found = sp.csr_matrix((table.items, table.items), dtype=np.float32)
    for step in range(1, FAR + 1):
        one = np.flatnonzero(number[step:] == number[:-step])
        weight = np.exp(-step / NEAR) / size[one]
        pairs = sp.csr_matrix((weight.astype(np.float32), (item[one], item[one + step])), shape=found.shape)
        found = found + pairs + pairs.T
    return (sp.diags(1.0 / often).astype(np.float32) @ found).tocsr()


def _wants(table: Table, since: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Person, item and time of all wants, each thing once, by person and then by time."""
    kept = np.flatnonzero(table.wanted & (table.began >= since))
    person, item, at = table.person[kept], table.entity[kept], table.began[kept]
    order = np.lexsort((at, item, person))
    pair = (person * table.items + item)[order]
    order = order[np.diff(pair, prepend=-1) != 0]
    order = order[np.lexsort((at[order], person[order]))]
    return person[order], item[order], at[order]


def _numbered(person: NDArray[np.int64], at: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which visit each of ``_wants`` belongs to, ascending from 0."""
    begins = np.ones(len(person), np.bool_)
    begins[1:] = (person[1:] != person[:-1]) | (at[1:] - at[:-1] > GAP)
    return np.cumsum(begins) - 1


def questions(table: Table, random: np.random.Generator) -> tuple[Split, sp.csr_matrix]:
    """What people went on to want in a visit of the newest tenth, of which the beginning is known.

    Returns:
        what is known of them, and what they went on to want; and what they wanted in the visit so far, (people, items),
        the less the longer ago, as ``kernels.hear`` has it.
    """
    person, item, at = _wants(table)
    number = _numbered(person, at)
    moment = np.quantile(at, 1 - HELD_OUT_BY_TIME)
    begins = np.flatnonzero(np.diff(number, prepend=-1))
    sizes = np.diff(np.append(begins, len(number)))
    begins, sizes = begins[(at[begins] > moment) & (sizes > 1)], sizes[(at[begins] > moment) & (sizes > 1)]
    # One visit of each person, so that nobody's habits count twice.
    drawn = random.permutation(len(begins))
    _, first = np.unique(person[begins[drawn]], return_index=True)
    drawn = random.permutation(drawn[first])[:PEOPLE]
    begins, sizes = begins[drawn], sizes[drawn]
    known = begins + random.integers(1, sizes)  # where what is asked about begins
    when = np.zeros(table.people, np.int64)
    when[person[begins]] = at[known]
    seen = table.only(table.began < when[table.person])
    shape = (table.people, table.items)
    asked = np.repeat(known, begins + sizes - known) + _counted(begins + sizes - known)
    truth = sp.csr_matrix((np.ones(len(asked)), (person[asked], item[asked])), shape=shape)
    told = np.repeat(begins, known - begins) + _counted(known - begins)
    ago = when[person[told]] - at[told]
    heard = np.where(ago <= GAP, np.exp2(-ago / FADES), 0.0)
    return Split(seen, truth), sp.csr_matrix((heard, (person[told], item[told])), shape=shape)


def _counted(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, 2 ... for each of ``sizes``, one after the other."""
    ends = np.cumsum(sizes)
    found: NDArray[np.int64] = np.arange(int(sizes.sum())) - np.repeat(ends - sizes, sizes)
    return found


def placed(asked: Groups) -> tuple[NDArray[np.float64], dict[str, float]]:
    """How loud a visit is beside the rest of a score: the rung on which most of what was wanted comes out on top.

    Args:
        asked: features are the rest of a score by each bucket's gates, and what the visit says.

    Returns:
        (buckets of history,) gates; and what they were worth, for the manifest.
    """
    number = len(asked.bucket)
    silent = np.zeros(len(HISTORY))
    if number < FEWEST:
        return silent, {}
    rest, said = asked.features[:, 0], asked.features[:, 1]
    width = rest.std() / max(float(said.std()), 1e-12)
    begins = np.append(np.flatnonzero(np.diff(asked.group, prepend=-1)), len(asked.group))
    best, held = 0.0, ndcg(asked, np.array([1.0, 0.0]))
    before = held
    for rung in LADDER:
        values = loops.gains(rest + rung * width * said, asked.truth, begins, TOP) / asked.ideal
        gain = values - before
        if values.mean() > held.mean() and gain.mean() > CLEARLY * gain.std() / np.sqrt(number):
            best, held = rung * width, values
    told = {
        "people": number,
        "without": round(float(before.mean()), 4),
        "model": round(float(held.mean()), 4),
    }
    return silent + best, told
