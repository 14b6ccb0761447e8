"""How the loops that numpy cannot say are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """The function in machine code, without the interpreter's lock.

    The code is kept on disk (beside the source, else in the user's cache, else where NUMBA_CACHE_DIR says), so only the
    first start after an installation pays for the compiler.
    """
    try:
        found: Any = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # there is no place that may be written: every start pays
        found = numba.njit(nogil=True)(function)
    return cast("F", found)
