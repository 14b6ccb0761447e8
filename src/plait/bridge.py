"""From a network's facts to events, and from the company's posts to the items they are about.

What somebody wrote is read here, in memory, and only what it says (which items, in what mood, with what intent) goes on.
"""

from __future__ import annotations

from plait.connectors import Fact
from plait.segment import Told


def told_of(fact: Fact, source: str) -> list[Told]:
    """The events that a fact becomes: itself, and one for each item that its text speaks about.

    Args:
        fact: of a connector.
        source: of the account, ``bluesky:shop.example``.
    """
    return [
        Told(
            id=fact.id,
            source=source,
            signal=fact.signal,
            op=fact.op,
            at=fact.at,
            who=(fact.actor,) if fact.actor else (),
            about=fact.about,
            value=fact.value,
            record=fact.record,
            properties={"completeness": fact.completeness} if fact.completeness != "identified" else {},
        )
    ]
