"""What must not rest is taken out of what was sent; what cannot rest is refused.

Keys, addresses and the operator's scrub list go wherever they stand, whatever their spelling; of a form's events only
which form it was and how far stays; the text of messages goes unless the operator keeps it.
"""

from __future__ import annotations

import re
from typing import Any

from plait.errors import Rejected
from plait.events import Signal
from plait.intake.checks import kind_of
from plait.intake.scan import DEEPEST, folded_word
from plait.intake.signals import FORM, TEXT
from plait.settings import Settings

# Names of what is never ours to keep, besides the operator's scrub list.
ADDRESSES = (
    "ip", "ip_address", "client_ip", "request_ip", "remote_addr", "remote_ip", "user_ip", "x_forwarded_for",
)  # fmt: skip
MESSAGE = frozenset(
    folded_word(one)
    for one in (
        "text", "body", "message", "content", "comment", "caption", "html", "subject", "reply", "quote",
        "message_text", "comment_text", "review", "snippet", "summary", "attachments",
    )
)  # fmt: skip
# What a form's event may say: which form, where and how far. Everything else in it may be what somebody typed.
FORM_KEPT = frozenset(
    folded_word(one)
    for one in (
        "form", "form_id", "form_name", "form_type", "id", "name", "step", "steps", "url", "path", "page",
        "section", "section_id", "product_id", "item_id", "sku", "post_id", "topic", "seconds", "duration",
        "decision", "decision_id", "fields_total", "fields_completed", "last_field",
    )
)  # fmt: skip
FORM_LISTS = frozenset(
    map(folded_word, ("field_names", "invalid_fields"))
)  # names of fields, in the order they were filled
MOST = 1e308  # the largest number that every reader can hold


class Cleaner:
    """Takes out what must not rest."""

    def __init__(self, settings: Settings) -> None:
        self._scrub = frozenset(map(folded_word, (*settings.scrub, *ADDRESSES, "writeKey")))
        self._keep_text = settings.keep_message_text

    def properties(self, signal: Signal, properties: dict[str, Any]) -> dict[str, Any]:
        """What of a clean event's properties its kind may hold."""
        if signal in FORM:
            return {
                name: value
                for name, value in properties.items()
                if folded_word(name) in FORM_KEPT or (folded_word(name) in FORM_LISTS and _names(value))
            }
        if signal in TEXT and not self._keep_text:
            bare: dict[str, Any] = _without_text(properties)
            return bare
        return properties

    def object(self, told: Any, path: str) -> dict[str, Any]:
        """A clean copy of what stands at ``path``.

        Raises:
            Rejected: it is no object, or holds what cannot rest; ``field`` is the path of that.
        """
        if not isinstance(told, dict):
            raise Rejected(
                f"{path or 'the body'} must be an object, not {kind_of(told)}",
                code="invalid_field",
                field=path or None,
            )
        try:
            clean: dict[str, Any] = self._cleaned(told, 1)
        except Rejected as exc:
            field = f"{path}{exc.field}" if path else (exc.field or "").lstrip(".")
            raise Rejected(f"{field or 'a name'} {exc.message}", code=exc.code, field=field or None) from None
        return clean

    def _cleaned(self, told: Any, depth: int) -> Any:
        """A copy without what must not rest. What cannot rest is refused; its path grows on the way up."""
        if isinstance(told, str):
            return _sound(told)
        if isinstance(told, dict):
            clean = {}
            for name, value in told.items():
                if folded_word(name) in self._scrub:
                    continue
                _sound(name)
                if isinstance(value, bool) or value is None:
                    clean[name] = value
                    continue
                try:
                    clean[name] = self._cleaned(value, depth + 1)
                except Rejected as exc:
                    exc.field = f".{name[:80]}{exc.field or ''}"
                    raise
            found: Any = clean
        elif isinstance(told, list):
            found = []
            for at, one in enumerate(told):
                try:
                    found.append(self._cleaned(one, depth + 1))
                except Rejected as exc:
                    exc.field = f"[{at}]{exc.field or ''}"
                    raise
        elif isinstance(told, float | int) and not abs(told) < MOST:
            raise Rejected("holds a number that is too large", code="invalid_number")
        else:
            return told
        if depth > DEEPEST:
            raise Rejected(f"is nested deeper than {DEEPEST} levels", code="too_deep")
        return found


def _sound(text: str) -> str:
    if "\0" in text or (not text.isascii() and any("\ud800" <= one <= "\udfff" for one in text)):
        raise Rejected("holds a NUL or half a character (a lone surrogate)", code="invalid_text")
    return text


def _without_text(told: Any) -> Any:
    if isinstance(told, list):
        return [_without_text(one) for one in told]
    if not isinstance(told, dict):
        return told
    return {name: _without_text(value) for name, value in told.items() if folded_word(name) not in MESSAGE}


_NAME = re.compile(r"[A-Za-z_][\w.:\[\]-]{0,63}")


def _names(told: Any) -> bool:
    """Whether it is a list of names as forms give them to their fields."""
    return (
        isinstance(told, list)
        and len(told) < 100
        and all(isinstance(one, str) and _NAME.fullmatch(one) for one in told)
    )
