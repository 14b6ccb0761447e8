"""What the words and numbers of feeds mean: ``"1.299,00 EUR"``, ``in stock``, ``Tents > Family``, dates of all kinds."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from plait.catalog.expressions import milliseconds
from plait.errors import Rejected

_YES = {
    "true", "yes", "y", "1", "in_stock", "instock", "available", "on_stock", "preorder", "pre_order", "backorder",
    "back_order", "limited_availability", "limitedavailability", "onlineonly", "active", "for_order",
}  # fmt: skip
_NO = {
    "false", "no", "n", "0", "out_of_stock", "outofstock", "unavailable", "sold_out", "soldout", "discontinued",
    "not_available", "inactive", "in_store_only", "instoreonly",
}  # fmt: skip
_CURRENCY = re.compile(r"[A-Za-z]{3}|[€$£¥₹₽₺₩]|kr\.?|zł|Kč|lei|Ft|CHF")
_SIGNS = {"€": "EUR", "$": "USD", "£": "GBP", "¥": "JPY", "₹": "INR", "₽": "RUB", "₺": "TRY", "₩": "KRW"}


def refused(field: str, why: str) -> Rejected:
    """A row's error; the reader of the file puts the place before it."""
    return Rejected(f"{field} {why}", code="invalid_row", field=field)


def price(value: Any, field: str) -> tuple[float, str | None]:
    """Amount and currency of ``15.00 EUR``, ``€ 1.299,00``, ``1 299,00 kr``, ``{"value": "15", "currency": "EUR"}``.

    The last of point and comma is the decimal one, but for a lone one before three digits when it is a comma:
    ``1,299`` is more than a thousand, ``1.299`` is what a computer wrote.
    """
    if isinstance(value, list) and value:
        return price(value[0], field)
    if isinstance(value, dict):
        amount, currency = price(value.get("value", value.get("amount")), field)
        told = value.get("currency", value.get("currency_code"))
        return amount, told if isinstance(told, str) else currency
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value), None
    if not isinstance(value, str):
        raise refused(field, f"is not a price: {value!r:.60}")
    found = _CURRENCY.search(value)
    currency = (
        None if found is None else _SIGNS.get(found[0], found[0].upper() if len(found[0]) == 3 else None)
    )
    bare = _CURRENCY.sub("", value, count=1)
    bare = re.sub(r"[\s\u00a0\u202f'’]|,-$|\.-$", "", bare.strip())
    if "," in bare:
        decimal = bare.rfind(",") > bare.rfind(".") and not re.fullmatch(r"-?[0-9]{1,3}(,[0-9]{3})+", bare)
        bare = bare.replace(".", "").replace(",", ".") if decimal else bare.replace(",", "")
    elif bare.count(".") > 1:
        bare = bare.replace(".", "")
    if not re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,10})?", bare):
        raise refused(field, f"is not a price: {value!r:.60}")
    return float(bare), currency


def available(value: Any, field: str) -> bool:
    """Whether ``in stock``, ``InStock``, ``https://schema.org/OutOfStock``, ``7`` means that it can be bought."""
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return value > 0
    if isinstance(value, str):
        word = re.sub(r"[\s\-]+", "_", value.strip().lower().rpartition("/")[2])
        if word in _YES:
            return True
        if word in _NO:
            return False
        if re.fullmatch(r"-?[0-9]{1,12}(\.[0-9]+)?", word):
            return float(word) > 0
    raise refused(field, f"is not a word for being in stock or not: {value!r:.60}")


def texts(value: Any) -> list[str]:
    """A list of texts: ``a;b``, ``a|b`` or ``a, b``; what is a list already stays one."""
    if isinstance(value, list):
        return [
            text for one in value for text in (texts(one) if isinstance(one, list) else [_str(one)]) if text
        ]
    text = _str(value)
    for sign in ";|,":
        if sign in text:
            return [one.strip() for one in text.split(sign) if one.strip()]
    return [text] if text else []


def path(value: Any) -> list[str]:
    """The topics of ``Outdoor > Tents > Family``, of several such, or of a plain list."""
    found: list[str] = []
    for one in value if isinstance(value, list) else [value]:
        text = html.unescape(_str(one))
        # A comma within a path belongs to a name: "Home, Garden & Pets > Tents".
        parts = re.split(r"[;|]", text) if ">" in text or isinstance(value, list) else texts(text)
        found.extend(name.strip() for part in parts for name in part.split(">") if name.strip())
    return list(dict.fromkeys(found))


def when(value: Any, field: str) -> int:
    """Milliseconds since the epoch of ISO 8601, RFC 2822, and numbers of seconds, milli- or microseconds."""
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,19}(\.[0-9]{1,9})?", value.strip()):
        value = float(value)
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            # Seconds until the year 5138, then ms, then microseconds: the same text may be any of them.
            scale = 1_000 if abs(value) < 1e11 else 1 if abs(value) < 1e14 else 0.001
            return int(value * scale)
        if isinstance(value, str) and value:
            try:
                return milliseconds(re.sub(r"\s+UTC$", "Z", value))
            except ValueError:
                told: datetime = parsedate_to_datetime(value)
                return round((told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, TypeError, OverflowError, OSError, IndexError):
        pass
    raise refused(field, f"is not a time: {value!r:.60}")


def prose(value: str, most: int) -> str:
    """Text without markup, at most ``most`` characters, cut at a word."""
    text = html.unescape(
        re.sub(r"</?[A-Za-z!][^<>]{0,2000}>", " ", html.unescape(value) if "&lt;" in value else value)
    )
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 2].rsplit(" ", 1)[0][: most - 2] + " …"


def meant(text: str) -> Any:
    """What a text of a file without types means: a number, true or false where it looks like one, else itself.

    A leading zero or a plus makes it a text, as numbers of articles and telephones have them.
    """
    if re.fullmatch(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,12})?", text):
        return float(text) if "." in text else int(text)
    return {"true": True, "false": False}.get(text.lower(), text)


def _str(value: Any) -> str:
    if isinstance(value, dict):
        value = value.get("name") or value.get("title") or value.get("label") or ""
    return value.strip() if isinstance(value, str) else "" if value is None else str(value)
