"""Performance claims, each measured beside a floor or a peer in the same run.

A module of this package that has ``measure(quick)`` is a bench: it yields ``Line``. ``python -m bench`` runs all,
``python -m bench collect`` one, ``--quick`` smaller ones that only show that the bench works.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """One claim.

    ``ratio`` is ours over ``to`` (the floor or peer, by name), measured in this run; ``bar`` is what design asks
    of ``value`` or, with ``bar_on="ratio"``, of ``ratio``; ``least`` tells whether the bar is a minimum.
    """

    what: str
    value: float
    unit: str
    to: str = ""
    ratio: float | None = None
    bar: float | None = None
    bar_on: str = "value"
    least: bool = True

    @property
    def met(self) -> bool | None:
        """Whether the bar is met, ``None`` without one."""
        told = self.ratio if self.bar_on == "ratio" else self.value
        if self.bar is None or told is None:
            return None
        return told >= self.bar if self.least else told <= self.bar
