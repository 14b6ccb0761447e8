"""To whom somebody is drawn: authors, several of whose posts they liked, and the community that they live in.

Beside what a person did stand entries that sum it up by author (``like~``), and one for the home server of each account on the
fediverse, under signals that nobody sends, as what friends liked does: so they have gates of their own, are held back where they
cost, and explain themselves. A model knows them by name from ``graph.FEWEST`` people on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from plait.catalog import Catalog
from plait.catalog.items import POST
from plait.events import Signal, author_of
from plait.profiles.profile import Entry
from plait.profiles.subjects import AUTHOR, COMMUNITY, INFERRED, is_social

SEVERAL = 2  # posts; who liked one is drawn to that post
NEWEST = 500  # of the catalog's posts, whose authors' items are known
MOST_ITEMS = 50  # of one author, those of the newest posts
_DRAWN = frozenset({Signal.LIKE, Signal.REACT, Signal.SHARE, Signal.REPLY, Signal.COMMENT, Signal.QUOTE})
FEDIVERSE = ("mastodon:", "activitypub:")  # sources; accounts there are called ``mastodon:name@host``
_KEPT = 100_000


class Authors:
    """The authors of posts. Used from the catalog's thread."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._version = -1
        self._of: dict[str, str] = {}
        self._items: dict[str, dict[int, float]] = {}
        self._own: set[str] = set()
        self._read_as_of, self._posts = -1, -1

    def of(self, post: str) -> str:
        """The author of a post, "" when nobody knows: what the shop says (``author``), its own account, or whom the name of the
        post tells.
        """
        self._look()
        known = self._of.get(post)
        if known is None:
            item = self._catalog.get(post)
            if (
                item is None or item.kind != POST
            ):  # somebody else's: not remembered, or their erasure would miss it
                return author_of(post) or ""
            if len(self._of) >= _KEPT:
                self._of.clear()
            told = item.attributes
            known = self._of[post] = str(told.get("author") or told.get("source") or author_of(post) or "")
        return known

    def drawn(self, entries: Sequence[Entry]) -> list[Entry]:
        """To whom somebody is drawn, an entry for each way of acting and author; ``section`` says by how many posts.

        Args:
            entries: of their profile; weights decayed to one time.
        """
        found: dict[tuple[str, str, str], list[Entry]] = {}
        for one in entries:
            if one.kind == "post" and one.signal in _DRAWN and one.weight > 0 and (author := self.of(one.id)):
                found.setdefault((one.source, one.signal, author), []).append(one)
        return [
            Entry(
                source, f"{signal}{INFERRED}", AUTHOR, author, str(len({one.id for one in acts})), len(acts),
                sum(sorted(one.weight for one in acts)), max(one.at for one in acts), True,
            )
            for (source, signal, author), acts in found.items()
            if len({one.id for one in acts}) >= SEVERAL
        ]  # fmt: skip

    def is_own(self, author: str) -> bool:
        """Whether posts of this author are in the catalog: an account of the company's, or a name that it gave itself."""
        self._look()
        return author in self._own

    def items(self, author: str) -> dict[int, float]:
        """What the author's newest posts are tied to: catalog rows, and how surely."""
        self._look()
        return self._items.get(author, {})

    def _look(self) -> None:
        """Read the newest posts anew when one came or went, or much else changed: an author's items change slowly."""
        catalog = self._catalog
        if self._version == catalog.version:
            return
        self._version = catalog.version
        rows = np.flatnonzero(catalog.of_kinds((POST,)))
        if len(rows) == self._posts and abs(catalog.version - self._read_as_of) < 1_000:
            return
        self._posts, self._read_as_of = len(rows), catalog.version
        self._of.clear()
        self._items.clear()
        self._own.clear()
        newest = rows[np.argsort(-catalog.published[rows], kind="stable")][:NEWEST]
        for row in newest.tolist():
            author = self.of(catalog.ids[row])
            self._own.add(author)
            mine = self._items.setdefault(author, {})
            for item, sure in catalog.ties(row)[0].items():
                if len(mine) < MOST_ITEMS or item in mine:
                    mine[item] = max(sure, mine.get(item, 0.0))
        self._own.discard("")


def at_home(identifiers: Sequence[str], entries: Sequence[Entry]) -> list[Entry]:
    """The servers that somebody's accounts on the fediverse live on: a community that they chose to be part of.

    Args:
        identifiers: who they are.
        entries: that consent lets through: of a network that none is of, nothing is said.
    """
    hosts = sorted(
        {one.rpartition("@")[2] for one in identifiers if one.startswith(FEDIVERSE[0]) and "@" in one}
    )
    if not hosts:  # as most: a page waits for this
        return []
    found: dict[str, int] = {}
    for one in entries:
        if one.source.startswith(FEDIVERSE) and is_social(one.signal, one.kind):
            found[one.source] = max(one.at, found.get(one.source, 0))
    if not found:
        return []
    source, at = max(found.items(), key=lambda one: (one[1], one[0]))
    return [Entry(source, COMMUNITY, "community", host, "", 1, 1.0, at, True) for host in hosts]


def with_affinity(
    rows: Iterable[tuple[str, list[Entry]]], catalog: Catalog, who: Callable[[str], Sequence[str]]
) -> Iterator[tuple[str, list[Entry]]]:
    """Training rows, each with whom and what the person is drawn to: what is learned is what is asked.

    Args:
        rows: an id and entries.
        catalog: whose posts are liked.
        who: the identifiers of a row's person.
    """
    authors = Authors(catalog)
    for row, entries in rows:
        social = any(is_social(one.signal, one.kind) for one in entries)
        yield row, entries + authors.drawn(entries) + (at_home(who(row), entries) if social else [])
