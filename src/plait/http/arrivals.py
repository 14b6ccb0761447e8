"""What never arrived: browsers number what they send, and a number that stays out is an event that was lost.

plait.js gives every event of a device the next number (``context.seq``). The server sees most of them, in any order and
some twice; what lies between them and does not come is missing. It is a figure about the line and the senders, so it
lives in memory: after a restart a device begins with whatever number it shows first.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec

_DEVICES = 100_000  # devices looked after; the one not heard of for longest goes first
_GAP = 1_000  # numbers that may be missing between two; more, and the device counts anew (its storage was cleared)


class _Context(msgspec.Struct, frozen=True):
    seq: int | None = None


class _One(msgspec.Struct):
    who: list[str] = []
    context: _Context = _Context()


class _Sent(msgspec.Struct):
    events: list[_One] = []


_sent = msgspec.json.Decoder(_Sent)


class Arrivals:
    """Numbers that came, and those that did not.

    Attributes:
        numbered: events that devices have sent as far as their numbers tell, arrived or not.
        missing: those of them that have not arrived; some are only late.
    """

    def __init__(self) -> None:
        self.numbered = 0
        self.missing = 0
        self._devices: OrderedDict[int, tuple[int, set[int]]] = OrderedDict()

    def hear(self, body: bytes) -> None:
        """Take the numbers from a request, ``{"events": [...]}``; whatever else it is changes nothing."""
        if b'"seq"' not in body:
            return
        try:
            sent = _sent.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return
        for one in sent.events:
            if one.context.seq is not None and one.who:
                self.tell(one.who[-1], one.context.seq)

    def tell(self, device: str, number: int) -> None:
        """One number of one device arrived; again changes nothing."""
        key = hash(device)  # a figure needs no identifiers
        highest, missing = self._devices.pop(key, (number - 1, set()))
        if number > highest:
            gap = number - highest - 1
            if gap <= _GAP:
                missing.update(range(highest + 1, number))
                self.missing += gap
                self.numbered += gap + 1
            else:
                self.numbered += 1
            highest = number
        elif number in missing:
            missing.remove(number)
            self.missing -= 1
        self._devices[key] = highest, missing
        if len(self._devices) > _DEVICES:
            self._devices.popitem(last=False)
