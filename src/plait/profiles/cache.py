"""Decoded fragments between steps of the fold: a few people do most of what is done."""

from __future__ import annotations

from collections import OrderedDict

from plait.profiles import consent
from plait.profiles.fragment import Fragment, decode_fragment, encode_fragment
from plait.profiles.state import Pending


class Fragments:
    """The fragments that are being changed, and those that were changed lately."""

    def __init__(self, most: int) -> None:
        """Begin with none.

        Args:
            most: bytes that decoded fragments may take, about.
        """
        self._most = most
        self._cached: OrderedDict[str, tuple[Fragment, int]] = OrderedDict()  # touched longest ago first
        self._size = 0
        self._changed: dict[str, Fragment] = {}  # since the last commit
        self._stated: set[str] = set()  # whose consents changed since the last commit

    def get(self, identifier: str, state: Pending) -> Fragment:
        """The fragment of an identifier, to be changed; a new one when there is none."""
        found = self._changed.get(identifier)
        if found is not None:
            return found
        cached = self._cached.pop(identifier, None)
        if cached is not None:
            found = cached[0]
            self._size -= cached[1]
        else:
            raw = state.get("fragments", identifier.encode())
            found = decode_fragment(raw) if raw is not None else Fragment()
        self._changed[identifier] = found
        return found

    def stated(self, identifier: str) -> None:
        """Note that the consents of a fragment changed."""
        self._stated.add(identifier)

    def flush(self, state: Pending) -> None:
        """Put what was changed in memory among the changes to commit."""
        for identifier, fragment in self._changed.items():
            raw = encode_fragment(fragment)
            state.put("fragments", identifier.encode(), raw)
            size = 2_000 + 6 * len(raw)  # measured: its dictionaries, and what is in them
            self._cached[identifier] = (fragment, size)
            self._size += size
        for identifier in self._stated:
            said = self._changed[identifier].consents
            index = consent.index_encoder.encode(said) if said else None
            state.put("meta", consent.INDEX + identifier.encode(), index)
        self._changed.clear()
        self._stated.clear()

    def trim(self) -> None:
        """Let go of the fragments that were not touched for longest."""
        while self._size > self._most:
            self._size -= self._cached.popitem(last=False)[1][1]

    def forget(self, identifier: str, state: Pending) -> None:
        """Delete a fragment."""
        state.put("fragments", identifier.encode(), None)
        state.put("meta", consent.INDEX + identifier.encode(), None)
        self._changed.pop(identifier, None)
        self._stated.discard(identifier)
        self._size -= self._cached.pop(identifier, (Fragment(), 0))[1]

    def drop(self) -> None:
        """Forget what was not committed, and all else in memory."""
        self._cached.clear()
        self._changed.clear()
        self._stated.clear()
        self._size = 0
