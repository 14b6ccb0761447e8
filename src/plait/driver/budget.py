"""How many calls a network still takes: our own count of its stated limits, and what its headers say.

A window that slides, not a bucket that fills: a bucket that was full lets nearly twice its size through in one window,
and a network that counts exactly would call that over its limit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

from plait.connectors import Limit

_SLOTS = 20  # that a window is counted in
_SPARE = 0.95  # of the limit is used: clocks differ, and the same credentials may be used elsewhere
_LONGEST_HOLD = 86_400.0  # seconds that a header may make us wait


class Spent(msgspec.Struct, array_like=True):
    """What was spent of a budget, to be remembered over a restart: calls by slot, and what the network said last."""

    slots: dict[int, int] = {}
    until: float = 0.0


class Budget:
    """One of a network's limits. Times are seconds since the epoch, so that they survive a restart.

    Attributes:
        until: nothing may be asked before; 0 when the network has not said so.
    """

    def __init__(self, limit: Limit, spent: Spent | None = None) -> None:
        self.limit = limit
        self.most = max(1, int(limit.calls * _SPARE))
        self._slot = limit.seconds / _SLOTS
        self._slots: dict[int, int] = dict(spent.slots) if spent else {}
        self.until = spent.until if spent else 0.0
        self._remaining: tuple[int, float] | None = None  # calls that the network says are left, until when

    def wait(self, now: float, *, keep: float = 0.0) -> float:
        """Seconds until one call may be made, 0 when it may be made now.

        Args:
            now: seconds since the epoch.
            keep: part of the budget that has to stay for what matters more, 0..1.
        """
        waits = max(0.0, self.until - now)
        if self._remaining is not None and now < self._remaining[1] and self._remaining[0] <= 0:
            waits = max(waits, self._remaining[1] - now)
        most = max(1, int(self.most * (1 - keep)))
        if self._used(now) >= most:
            waits = max(waits, self._frees(now, most) - now)
        return waits

    def take(self, now: float) -> None:
        """Count one call."""
        slot = int(now / self._slot)
        self._slots[slot] = self._slots.get(slot, 0) + 1
        if self._remaining is not None:
            self._remaining = (self._remaining[0] - 1, self._remaining[1])

    def left(self, now: float) -> int:
        """Calls that may be made now, one after the other."""
        if now < self.until:
            return 0
        left = max(0, self.most - self._used(now))
        if self._remaining is not None and now < self._remaining[1]:
            left = min(left, max(0, self._remaining[0]))
        return left

    def hear(self, headers: Mapping[str, str], now: float) -> None:
        """Take up what an answer's headers say is left. They may make us slower than our own count, never faster."""
        told = remaining(headers, now)
        if told is not None:
            self._remaining = told

    def hold(self, seconds: float, now: float) -> None:
        """Ask nothing for so long: the network said so."""
        self.until = max(self.until, now + min(seconds, _LONGEST_HOLD))

    def spent(self) -> Spent:
        """What to remember."""
        return Spent(dict(self._slots), self.until)

    def _used(self, now: float) -> int:
        # A slot counts until all of it is older than the window: the oldest call in it may have been its last.
        first = int((now - self.limit.seconds) / self._slot)
        for slot in [one for one in self._slots if one < first]:
            del self._slots[slot]
        return sum(self._slots.values())

    def _frees(self, now: float, most: int) -> float:
        over = self._used(now) - most + 1
        for slot in sorted(self._slots):
            over -= self._slots[slot]
            if over <= 0:
                return (slot + 1) * self._slot + self.limit.seconds
        return now + self.limit.seconds


# -- headers ---------------------------------------------------------------------------------------------------

_NAMES = (("ratelimit-remaining", "ratelimit-reset"), ("x-ratelimit-remaining", "x-ratelimit-reset"),
          ("x-rate-limit-remaining", "x-rate-limit-reset"))  # fmt: skip
_PART = re.compile(r"\b(remaining|reset|r|t)\s*=\s*(\d{1,12})")


def remaining(headers: Mapping[str, str], now: float) -> tuple[int, float] | None:
    """Calls that are left and until when (s since the epoch), by any of the headers in use; ``None`` without one.

    Bluesky, X and the older drafts tell the reset as a moment or in seconds, Mastodon as RFC 3339; the newer draft
    packs both in one ``RateLimit`` header (``limit=…, remaining=…, reset=…`` or ``"name";r=…;t=…``).
    """
    for left_name, reset_name in _NAMES:
        left = headers.get(left_name, "").strip()
        if left.isascii() and left.isdecimal() and len(left) < 12:
            reset = moment(headers.get(reset_name, ""), now)
            return int(left), min(reset if reset is not None else now + 60, now + _LONGEST_HOLD)
    packed = dict(_PART.findall(headers.get("ratelimit", "")))
    packed_left, packed_reset = packed.get("remaining", packed.get("r")), packed.get("reset", packed.get("t"))
    if packed_left is None:
        return None
    return int(packed_left), now + min(float(packed_reset or 60), _LONGEST_HOLD)


def moment(text: str, now: float) -> float | None:
    """A moment in s since the epoch: given as one, in seconds from now, as RFC 3339 or as HTTP's date."""
    text = text.strip()
    try:
        number = float(text)
    except ValueError:
        pass
    else:
        if not 0 <= number < 1e12:
            return None
        return number if number > 1e9 else now + number
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        try:
            when = parsedate_to_datetime(text)
        except (ValueError, TypeError, IndexError):
            return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def patience(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that ``Retry-After`` asks for, ``None`` when it asks for nothing that can be read."""
    told = headers.get("retry-after")
    if told is None:
        return None
    when = moment(told, now)
    return None if when is None else max(0.0, min(when - now, _LONGEST_HOLD))
