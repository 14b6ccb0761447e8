"""Who is held to have done what on a source: a connector that finds an undoing by difference compares with this.

What rests is known from the state; what was told since, from the pages that were kept. A cursor of a connector could not
hold it: it rests in the log, where an erasure would not find the people in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing

from plait.connectors import Fact, Recall
from plait.events import About, Signal, author_of, strength
from plait.profiles.fragment import decode_fragment
from plait.profiles.subjects import SEP
from plait.settings import Settings
from plait.store import open_store

Who = tuple[str, str | None]  # (actor, record)


class Held:
    """What was told of one source and not taken back, as it stands. In memory: a few hundred bytes for each act.

    Args:
        source: of the acts.
        settings: for the store; without, it begins with nothing.
    """

    def __init__(self, source: str, settings: Settings | None = None) -> None:
        self._source, self._settings = source, settings
        self._by_thing: dict[tuple[Signal, str], dict[Who, int]] = {}
        self._records: dict[Who, tuple[Signal, str]] = {}

    def load(self) -> None:
        """Read from the state what is so or not so (likes, shares, follows); records of what was written are not there.

        Once, when the driver begins: it reads every fragment.

        Raises:
            PlaitError: the state cannot be read.
        """
        if self._settings is None:
            return
        store = open_store(self._settings.url("store"))
        try:
            with closing(store.snapshot()) as snapshot:
                for key, raw in snapshot.scan("fragments"):
                    who = key.decode()
                    if strength(who) == 1:  # accounts of networks
                        self._load(who, raw)
        finally:
            store.close()

    def _load(self, who: str, raw: bytes) -> None:
        for name, edge in decode_fragment(raw).edges.items():
            source, signal, kind, thing, *_ = name.split(SEP)
            if source == self._source and kind in ("post", "account") and edge.asserted:
                self._by_thing.setdefault((Signal(signal), thing), {}).setdefault((who, None), edge.at)

    def recall(self, step: Recall) -> list[Who]:
        """Who did it, in no order."""
        return list(self._by_thing.get((step.signal, thing_of(step.about)), ()))

    def take(self, facts: Iterable[Fact]) -> None:
        """Take in what was kept; of one act the newest word holds."""
        for fact in facts:
            if fact.op == "assert" and fact.actor:
                self._assert(fact)
            elif fact.op in ("retract", "erase"):
                self._retract(fact)

    def forget(self, gone: Callable[[str], bool]) -> None:
        """Let go of those who are ``gone``, and of what others did to them or with what they posted."""

        def names(thing: str) -> bool:
            author = author_of(thing)
            return gone(thing) or (author is not None and gone(author))

        left = {what: acts for what, acts in self._by_thing.items() if not names(what[1])}
        asked = {actor: gone(actor) for acts in left.values() for actor, _ in acts}
        self._by_thing = {
            what: {who: at for who, at in acts.items() if not asked[who[0]]} for what, acts in left.items()
        }
        self._records = {
            who: what for who, what in self._records.items() if who in self._by_thing.get(what, ())
        }

    def _assert(self, fact: Fact) -> None:
        who, thing = (fact.actor, fact.record), (fact.signal, thing_of(fact.about))
        acts = self._by_thing.setdefault(thing, {})
        acts[who] = max(acts.get(who, 0), fact.at)
        if fact.record is not None:
            self._records[who] = thing

    def _retract(self, fact: Fact) -> None:
        who: Who = (fact.actor, fact.record)
        thing = (
            self._records.pop(who, None) if fact.record is not None else (fact.signal, thing_of(fact.about))
        )
        acts = self._by_thing.get(thing, {}) if thing is not None else {}
        # An older undoing says nothing about what was done since.
        if who in acts and (fact.record is not None or acts[who] <= fact.at):
            del acts[who]


def thing_of(about: About) -> str:
    """What an act on a network is about: a post, or an account."""
    return about.post or about.account or ""
