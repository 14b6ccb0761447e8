"""When to look again: often where looking tells much, seldom where it tells nothing, and never beyond the budget."""

from __future__ import annotations

from collections.abc import Mapping

from plait.driver.budget import Budget

SOONEST, LATEST = 20.0, 900.0  # seconds between two looks
_FIRST = {True: 300.0, False: 60.0}  # beside a stream, a look only reconciles what is not pushed
_PART = 0.5  # of the narrowest budget that looking may take; the rest is for sending, backfills and renewals


class Plan:
    """The pause between two polls of one account.

    A look that told something halves the pause, one that told nothing makes it half as long again; so calls go where
    they tell most. Its floor is what the budget can bear: a look that needs 100 calls of 300 in five minutes comes
    every 200 s at the soonest.

    Args:
        streams: whether the network also pushes.
    """

    def __init__(self, *, streams: bool) -> None:
        self._pause = _FIRST[streams]
        self._soonest = SOONEST * (3 if streams else 1)

    def told(self, *, calls: int, facts: int, limits: Mapping[str, Budget]) -> None:
        """Take in what the last look cost and told.

        Args:
            calls: it made.
            facts: that were new or may have been.
            limits: of the network; the narrowest counts.
        """
        self._pause *= 0.5 if facts else 1.5
        dearest = max(
            (calls * one.limit.seconds / (one.most * _PART) for one in limits.values()), default=0.0
        )
        self._pause = max(self._soonest, dearest, min(self._pause, LATEST))

    def pause(self) -> float:
        """Seconds until the next look."""
        return self._pause
