"""Whose follows are read next, page by page: of scarce calls each goes where it tells most.

First the newest page of everybody of ours, those who act most first. After that a page is worth as many as the people of ours it
tells of, and each page that was read of somebody halves what the next one is worth: lists begin with what is new. Of
somebody's own follows a page tells that one directly, which is worth as much as the ``NEAR`` that a sum of friends of friends takes. An
account that is followed by many of ours tells of them all what their friends' friends do, but one that all of them follow
tells nobody apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import heappop, heappush

NEAR = 5.0  # people; of fewer friends of friends nothing is told


class Hops:
    """What is left to be read of a network's follows. Whoever was read may be told anew: worth grows with who follows them.

    Args:
        people: of ours, and how much each acts; any names.
        hops: 0 reads nothing, 1 whom our people follow, 2 whom these follow, too.
        calls: pages at most.
        most: pages of one person.
    """

    def __init__(self, people: Mapping[str, float], *, hops: int, calls: int, most: int = 10) -> None:
        self._ours = dict(people)
        self._hops, self._left, self._most = hops, calls, most
        self._followed: dict[str, int] = {}  # by how many of ours
        self._pages: dict[str, int] = {}
        self._after: dict[str, str | None] = {}  # where each goes on that is not read to the end
        self._met: dict[str, int] = {}
        self._queue: list[tuple[float, int, str]] = []  # by worth, then who was met first
        if hops:
            for one in sorted(people, key=lambda one: -people[one]):
                self._wait(one, None)

    def next(self) -> tuple[str, str | None] | None:
        """Whose page is to be read, and its cursor; ``None`` when the calls or the lists are at their end."""
        while self._queue and self._left > 0:
            worth, _, one = heappop(self._queue)
            if one in self._after and -worth == self._worth(one):  # else it waits again under another worth
                self._left -= 1
                return one, self._after.pop(one)
        return None

    def told(self, one: str, whom: Iterable[str], after: str | None) -> None:
        """Take in a page.

        Args:
            one: whose, as ``next`` said.
            whom: they follow.
            after: cursor of the next page; ``None`` at the end.
        """
        self._pages[one] = self._pages.get(one, 0) + 1
        if one in self._ours and self._hops > 1:
            for other in whom:
                if other not in self._ours:
                    self._followed[other] = self._followed.get(other, 0) + 1
                    if other in self._after or other not in self._pages:
                        self._wait(other, self._after.get(other))
        if after is not None and self._pages[one] < self._most:
            self._wait(one, after)

    def _wait(self, one: str, after: str | None) -> None:
        self._after[one] = after
        heappush(self._queue, (-self._worth(one), self._met.setdefault(one, len(self._met)), one))

    def _worth(self, one: str) -> float:
        pages = self._pages.get(one, 0)
        if one in self._ours:
            return NEAR * 0.5**pages if pages else float("inf")
        many = self._followed[one]
        return many * (1.0 - many / (len(self._ours) + 1)) * 0.5**pages
