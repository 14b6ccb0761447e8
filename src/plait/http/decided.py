"""What was answered goes to the log too, so that a shop can learn from it; nobody waits for that."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from plait.events import Record, encode_record

if TYPE_CHECKING:
    from plait.decide import Decision
    from plait.http import Installation

SOURCE = "plait"  # of what the server itself tells
TOGETHER = 0.1  # seconds that answers wait for others, to be one record: each costs the log a sync
_MOST = 1_000  # events of one record

_encode = msgspec.json.Encoder().encode


class Decided:
    """Gathers answers and writes them as ``decided`` events. Used from the event loop."""

    def __init__(self, installation: Installation) -> None:
        self._here = installation
        self._events: list[bytes] = []
        self._answers = 0
        installation.committer.before_close(self.write)

    def tell(self, decision: Decision, person: str, now: int, capped: Iterable[str]) -> None:
        """Record what was answered: it is lost at worst, and the person saw it all the same.

        Args:
            decision: the answer.
            person: whom it was for.
            now: ms since the epoch.
            capped: items in it that may be seen so many times only; a cap counts by item, so they are told apart.
        """
        told = {
            "id": decision.decision, "signal": "decided", "who": [person], "source": SOURCE, "at": now,
            "decision": decision.decision,
        }  # fmt: skip
        properties: dict[str, Any] = {
            "items": {name: [one.item for one in shown.items] for name, shown in decision.placements.items()},
            "arms": {name: shown.arm for name, shown in decision.placements.items()},
        }
        if decision.explored:
            properties["explored"] = decision.explored
        if not self._events:
            asyncio.get_running_loop().call_later(TOGETHER, self.write)
        self._events.append(_encode(told | {"properties": properties}))
        for item in capped:
            self._events.append(
                _encode(told | {"id": f"{decision.decision}/{item}", "about": {"item": item}})
            )
        self._answers += 1
        if len(self._events) >= _MOST:
            self.write()

    def write(self) -> None:
        """Hand over what has gathered."""
        if not self._events:
            return
        body = b"[%b]" % b",".join(self._events)
        record = Record(kind="events", source=SOURCE, received_at=self._here.now(), trusted=True, body=body)
        answers, self._answers = self._answers, 0
        self._events.clear()
        self._here.committer.append_soon(encode_record(record), worth=answers)
