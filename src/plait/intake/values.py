"""What single values that senders give come to: text, numbers, addresses, moments.

They are read the same wherever they come from, so that one shop's item is one item. Pure; whatever is no such value is ``None``.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

from plait.events import FUTURE, Signal

LONGEST_URL = 1_024
A_DAY = 86_400.0  # seconds; nobody dwells longer on one page
MOST_MONEY = 1e12

_CONTROL = dict.fromkeys([*range(32), 127])
# Parts of a URL that tell a campaign or a session apart, not a page.
_TRACKING = re.compile(r"utm_|mc_|pk_|mtm_|_ga$|_gl$|gclid|fbclid|msclkid|dclid|gbraid|wbraid|yclid|igshid|ref$|sid$|"
                       r"session|token|email|key$|auth|password|code$", re.I)  # fmt: skip


def text_of(told: Any, longest: int) -> str | None:
    """A name or id as text without control characters; ``None`` when nothing is left."""
    if told is None or isinstance(told, bool) or not isinstance(told, str | int | float):
        return None
    text = told if isinstance(told, str) else f"{told:.15g}" if isinstance(told, float) else str(told)
    if not text.isprintable():
        text = text.translate(_CONTROL)
    return text.strip()[:longest] or None


def address(told: Any) -> str | None:
    """A URL without its fragment and what tells a visit apart; only http(s) and paths are kept."""
    text = text_of(told, LONGEST_URL)
    if text is None or not text.startswith(("http://", "https://", "/")):
        return None
    text = text.partition("#")[0]
    if "?" in text:
        page, _, query = text.partition("?")
        kept = [(name, value) for name, value in parse_qsl(query) if not _TRACKING.search(name)]
        text = f"{page}?{urlencode(kept)}" if kept else page
    return text


def number_of(told: Any) -> float | None:
    """A number, also one that was written as a text; ``None`` for what is none or beyond any money."""
    if isinstance(told, bool) or not isinstance(told, int | float | str):
        return None
    try:
        number = float(told)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) <= MOST_MONEY else None


def fitting(signal: Signal, value: float) -> float:
    """``value`` within what the signal's values can be."""
    if signal is Signal.RATE:
        return within(value, 1.0)
    if signal in (Signal.DWELL, Signal.PLAY):
        return within(value, A_DAY)
    return max(-MOST_MONEY, min(value, MOST_MONEY))


def within(value: float, most: float) -> float:
    """``value``, 0 at least and ``most`` at most."""
    return max(0.0, min(value, most))


# -- moments ----------------------------------------------------------------------------------------------

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def milliseconds(told: int | datetime) -> int:
    """A moment in ms since the epoch; without a zone it is UTC."""
    if isinstance(told, int):
        return told
    since = (told if told.tzinfo else told.replace(tzinfo=UTC)) - _EPOCH
    return since.days * 86_400_000 + since.seconds * 1_000 + since.microseconds // 1_000


def corrected(at: int | None, sent_at: int | None, received_at: int) -> int:
    """When it happened by our own clock, ms since the epoch: 0 <= it <= received_at + 5 min."""
    if at is None:
        return received_at
    if sent_at is not None:
        at = received_at - (sent_at - at)
    return max(0, min(at, received_at + FUTURE))
