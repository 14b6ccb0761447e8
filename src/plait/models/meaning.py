"""What an act speaks for: the items, the topics, or something else that the model knows by name.

Somebody viewed an item, lingered on a page that is an item's, liked a post about two items, followed a topic, searched for
a word. Fit and answer read this alike, so what was learned is what is asked.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

from plait.affinity import Authors
from plait.catalog import Catalog
from plait.profiles.subjects import AUTHOR, COMPLAINT, SEP


class Meaning(NamedTuple):
    """What one (kind, id) speaks for.

    Attributes:
        rows: catalog rows of items.
        shares: how much of the act each row gets; a post about many items says less about each, and so does one of
            which we are not sure that it is about it.
        own: name under which the model may know the thing itself, when it is no item; else "".
        topics: codes of topics in ``catalog.topics``.
        sure: how sure each topic is, 0..1.
    """

    rows: tuple[int, ...]
    shares: tuple[float, ...]
    own: str
    topics: tuple[int, ...]
    sure: tuple[float, ...] = ()


_KEPT = 200_000


class Meanings:
    """The meanings of a catalog, kept as long as it does not change.

    Attributes:
        authors: of its posts.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.authors = Authors(catalog)
        self._version = catalog.version
        self._kept: dict[tuple[str, str], Meaning] = {}
        self._topic_of: dict[str, int] = {}  # case-folded name -> code
        self._topics_read = 0

    def of(self, kind: str, id: str) -> Meaning:
        """What ``kind`` and ``id`` of an entry speak for."""
        if self._version != self._catalog.version:
            self._kept.clear()
            self._version = self._catalog.version
        key = (kind, id)
        known = self._kept.get(key)
        if known is None:
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            known = self._kept[key] = self._read(kind, id)
        return known

    def _read(self, kind: str, id: str) -> Meaning:
        if kind in ("item", "post"):
            row = self._catalog.rows.get(id)
            return Meaning((), (), f"{kind}{SEP}{id}", ()) if row is None else self._of_row(row, kind, id)
        if kind == "url":
            row = self._row_of_url(id)
            if row is not None:
                return self._of_row(row, kind, id)
        if kind == AUTHOR:
            items = self.authors.items(id)
            many = max(1.0, sum(items.values())) ** -0.5
            shares = tuple(sure * many for sure in items.values())
            return Meaning(tuple(items), shares, f"{kind}{SEP}{id}", ())
        if kind == COMPLAINT:
            return Meaning((), (), "", ())
        if kind == "topic":
            return self._words(f"topic{SEP}{id}", [id])
        if kind == "query":
            # A search for what a topic is called is about it; words count, since people write "tent red".
            return self._words(f"query{SEP}{id.casefold()}", [id, *id.split()])
        return Meaning((), (), f"{kind}{SEP}{id}" if kind else "", ())

    def _words(self, own: str, names: list[str]) -> Meaning:
        codes = self._codes(names)
        return Meaning((), (), own, codes, (1.0,) * len(codes))

    def _of_row(self, row: int, kind: str, id: str) -> Meaning:
        catalog = self._catalog
        items, names = catalog.ties(row)
        if items or names:
            topics: dict[int, float] = {}
            for name, sure in names.items():
                for code in self._codes([name]):
                    topics[code] = max(sure, topics.get(code, 0.0))
            for one, sure in items.items():
                for code in catalog.topics.of(one):
                    topics[int(code)] = max(sure, topics.get(int(code), 0.0))
            own = "" if items else f"{kind}{SEP}{id}"
            many = max(1.0, sum(items.values())) ** -0.5
            shares = tuple(sure * many for sure in items.values())
            return Meaning(tuple(items), shares, own, tuple(topics), tuple(topics.values()))
        codes = tuple(dict.fromkeys(int(code) for code in catalog.topics.of(row)))
        if kind == "post":
            return Meaning((), (), f"post{SEP}{id}", codes, (1.0,) * len(codes))
        return Meaning((row,), (1.0,), "", codes, (1.0,) * len(codes))

    def _row_of_url(self, url: str) -> int | None:
        column = self._catalog.column("url")
        rows = len(self._catalog.ids)
        parts = urlsplit(url)
        for form in dict.fromkeys((url, url.partition("?")[0].partition("#")[0], parts.path)):
            if form and form != "/":
                found = column.compare("=", form, rows).yes.nonzero()[0]
                if len(found):
                    return int(found[0])
        return None

    def _codes(self, names: list[str]) -> tuple[int, ...]:
        words = self._catalog.topics.words
        for code in range(self._topics_read, len(words)):
            self._topic_of.setdefault(str(words[code]).casefold(), code)
        self._topics_read = len(words)
        found = (self._topic_of.get(name.casefold()) for name in names)
        return tuple(dict.fromkeys(code for code in found if code is not None))
