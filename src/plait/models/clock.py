"""When a model is fitted, and when only its rows are learned anew.

Most of a fit goes into decisions (how strong the ridge, how loud each channel) that hold for hours. What people did since only
needs rows, so these are learned anew in between, as the last fit decided.
"""

from __future__ import annotations

from typing import Literal

from plait.settings import Settings

FIRST = 60.0  # seconds; a model is worth fitting again when the log doubled, but not more often than this
REST = 10.0  # times as long as rows took is waited before they are learned anew: a tenth of the time at most
Due = Literal["", "fit", "refit"]


class FitClock:
    """Says what is to be done.

    Args:
        settings: for the minutes of both.
        position: of the log, that the model has learned from.
        now: seconds of a clock that never goes back.
    """

    def __init__(self, settings: Settings, *, position: int, now: float) -> None:
        self._every, self._between = settings.fit_every_minutes * 60, settings.refit_every_minutes * 60
        self._fitted_to = self._learned_to = position
        self._fitted_at = self._learned_at = now
        self._took = 0.0

    def due(self, last: int, *, now: float) -> Due:
        """What is to be done now, and counts as begun; nothing without news.

        Args:
            last: the log's newest position.
            now: by the same clock.
        """
        if self._every <= 0:
            return ""
        waited = now - self._fitted_at
        grown = last > 2 * self._fitted_to and waited > FIRST
        if last != self._fitted_to and (grown or waited > self._every):
            self._fitted_to, self._fitted_at = last, now
        elif not (self._between > 0 and last != self._learned_to and self._rested(now)):
            return ""
        self._learned_to, self._learned_at = last, now
        return "fit" if self._fitted_at == now else "refit"

    def _rested(self, now: float) -> bool:
        return now - self._learned_at > max(self._between, REST * self._took)

    def done(self, what: Due, *, now: float) -> None:
        """What was due is done, or failed."""
        if what == "refit":
            self._took = now - self._learned_at
        self._learned_at = now
