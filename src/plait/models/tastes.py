"""What many people have in common: the few directions in which their rows differ most.

Ridge regression knows which two items go together and shrinks what is broad as much as what is a chance. People projected onto
the largest singular directions of what they touched are the reverse: all that is broad, and nothing else. It is as linear in the acts,
rests on the same matrix, and a little of it beside the ridge foretells more than either.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Floats = NDArray[np.float32]

BESIDE = 10  # directions more than are asked for, so that those that are asked for come out right
PASSES = 5


def directions(x: sp.csr_matrix, number: int) -> tuple[Floats, Floats]:
    """The largest left singular vectors of ``x``, (people, number), and the squares of their values.

    By subspace iteration, from the same beginning every time.

    Args:
        x: (people, columns), float32.
        number: how many; fewer where x has fewer.
    """
    width = min(number + BESIDE, *x.shape)
    found = np.random.default_rng(0).standard_normal((x.shape[0], width)).astype(np.float32)
    back = x.T.tocsr()
    for _ in range(PASSES):
        found, _ = np.linalg.qr(x @ (back @ found))
    across = back @ found
    squares, turned = np.linalg.eigh(across.T @ across)
    kept = slice(None, min(number, width))
    best: Floats = np.ascontiguousarray((found @ turned[:, ::-1])[:, kept])
    least = 1e-6 * max(float(squares[-1]), 1e-6)
    return best, np.maximum(squares[::-1][kept], least).astype(np.float32)


def broad(
    x: sp.csr_matrix, y: sp.csr_matrix, left: sp.csr_matrix, u: Floats, squares: Floats
) -> tuple[Floats, Floats]:
    """What stands beside ``left`` so that together they foretell ``y`` by directions of ``x`` alone, in the primal form.

    Args:
        x: (people, columns), damped as a regression's.
        y: (people, items), likewise.
        left: (columns, thin) of a regression's rows, each of one or no 1.
        u: the directions,
        squares: and their values, as ``directions`` has them.

    Returns:
        (thin, directions) and (directions, items): their product is to be added to the regression's own.
    """
    told: Floats = ((y.T @ u) / squares).T.astype(np.float32)
    begin: Floats = (left.T @ (x.T @ u)).astype(np.float32)
    return begin, told
