"""What a sender may say of items, placements and audiences: checked once, and brought into the one right form.

Blanks around texts go, repeated topics and sections go, dates become ms.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import msgspec

from plait.catalog.expressions import FIELDS, compile, milliseconds
from plait.catalog.items import ASIDE, MAX_SHOWN, POST, PROMOTION, Audience, Item, Placement, Tie
from plait.delicate import refused
from plait.errors import Rejected, misfit

MAX_ITEMS = 10_000  # in one call
MAX_ID = 256  # bytes of UTF-8; with an identifier and a section it must fit a key of the store
MAX_TITLE = 500  # characters, as below
MAX_TOPICS = 64
MAX_NAME = 128  # of a topic, a section, an attribute
MAX_SECTIONS = 128
MAX_FOR = 256
MAX_TIES = 64  # that reading a post may find
MAX_URL = 2_048
MAX_ATTRIBUTES = 64
MAX_TEXT = 2_000
MAX_LIST = 128
MAX_KINDS = 32  # of a placement
MAX_AUDIENCES = 1_000

_TYPES = {bool: "true or false", str: "text", int: "a number", float: "a number", list: "a list"}


def checked_item(raw: Any, *, field: str) -> Item:
    """One item as a sender told it, checked and in its one right form.

    Blanks around texts go, repeated topics and sections go, dates become ms; a missing ``published`` stays missing.

    Args:
        raw: decoded JSON.
        field: its path in the request (``items[3]``), for the error.

    Raises:
        Rejected: ``invalid_item``; ``field`` is the path of what is wrong.
    """
    if not isinstance(raw, dict):
        raise _refused(field, f"must be an object, not {_called(raw)}")
    told = {name: value for name, value in raw.items() if value is not None}
    for name in told:
        if name not in FIELDS and name not in ("attributes", "ties", "confirmed"):
            raise _refused(f"{field}.{name}", "is not a field of an item; free ones go under attributes")
    if "id" not in told:
        raise _refused(f"{field}.id", "is missing")
    item = Item(
        id=checked_id(told["id"], field=f"{field}.id"),
        kind=_text(told.get("kind", "product"), f"{field}.kind", MAX_NAME) or "product",
        title=_text(told.get("title", ""), f"{field}.title", MAX_TITLE),
        topics=_texts(told.get("topics", ()), f"{field}.topics", MAX_TOPICS),
        price=_number(told.get("price"), f"{field}.price", least=0),
        available=_flag(told.get("available", True), f"{field}.available"),
        url=_url(told.get("url"), f"{field}.url"),
        image=_url(told.get("image"), f"{field}.image"),
        sections=_texts(told.get("sections", ()), f"{field}.sections", MAX_SECTIONS),
        attributes=_attributes(told.get("attributes", {}), f"{field}.attributes"),
        published=_time(told.get("published"), f"{field}.published"),
        for_=_texts(told.get("for", ()), f"{field}.for", MAX_FOR, longest=MAX_ID),
        starts=_time(told.get("starts"), f"{field}.starts"),
        ends=_time(told.get("ends"), f"{field}.ends"),
        cap=_whole(told.get("cap"), f"{field}.cap"),
        audience=checked_id(told["audience"], field=f"{field}.audience") if "audience" in told else None,
        ties=_ties(told.get("ties", ()), f"{field}.ties"),
        confirmed=checked_ties(told["confirmed"], field=f"{field}.confirmed")
        if "confirmed" in told
        else None,
    )
    if item.kind == POST:
        _check_delicate(item, field)
    if item.audience is not None and item.kind != PROMOTION:
        raise _refused(f"{field}.audience", f"is for promotions, and this is of kind {item.kind}")
    if item.starts is not None and item.ends is not None and item.starts >= item.ends:
        raise _refused(f"{field}.ends", "must be after starts")
    return item


def checked_ties(value: Any, *, field: str) -> dict[str, bool]:
    """What a person said of a post's ties: ``item:…`` or ``topic:…`` -> whether it is about it.

    Raises:
        Rejected: ``invalid_item``; ``special_category`` for a topic that may not be derived from a text.
    """
    if not isinstance(value, dict):
        raise _refused(field, f"must be an object of item:… and topic:…, not {_called(value)}")
    if len(value) > MAX_FOR:
        raise _refused(field, f"has more than {MAX_FOR} entries")
    return {
        _tied_to(to, f"{field}.{str(to)[:80]}"): _flag(holds, f"{field}.{str(to)[:80]}")
        for to, holds in value.items()
    }


def _ties(value: Any, field: str) -> tuple[Tie, ...]:
    if not isinstance(value, (list, tuple)):
        raise _refused(field, f"must be a list, not {_called(value)}")
    if len(value) > MAX_TIES:
        raise _refused(field, f"has more than {MAX_TIES} entries")
    found: dict[str, Tie] = {}
    for i, raw in enumerate(value):
        try:
            one = msgspec.convert(raw, Tie)
        except msgspec.ValidationError as exc:
            raise _refused(f"{field}[{i}]", f"is no tie: {exc}") from exc
        if not 0 <= one.confidence <= 1:
            raise _refused(f"{field}[{i}].confidence", "must be 0 to 1")
        to = _tied_to(one.to, f"{field}[{i}].to")
        found.setdefault(to, Tie(to, one.confidence, _text(one.how, f"{field}[{i}].how", MAX_NAME)))
    return tuple(found.values())


def _check_delicate(item: Item, field: str) -> None:
    """What people do with a post is what its topics would be derived from."""
    for name in ("topics", "for_"):
        for i, one in enumerate(getattr(item, name)):
            if not one.startswith("item:"):
                _check_topic(one.removeprefix("topic:"), f"{field}.{name.rstrip('_')}[{i}]")


def _check_topic(name: str, field: str) -> None:
    category = refused(name)
    if category is not None:
        raise _refused(
            field, f"is of a special category ({category}), which is never derived from what people write or like",
            code="special_category",
        )  # fmt: skip


def _tied_to(value: Any, field: str) -> str:
    """``item:…`` or ``topic:…``; a topic of a special category is derived from no post."""
    text = checked_id(value, field=field)
    kind, _, name = text.partition(":")
    if kind not in ("item", "topic") or not name:
        raise _refused(field, "must begin with item: or topic:")
    if kind == "topic":
        _check_topic(name, field)
    return text


def checked_placement(raw: Any, *, field: str, attributes: Iterable[str] | None = None) -> Placement:
    """One placement as a sender told it, checked.

    Raises:
        Rejected: ``invalid_placement``, or ``invalid_expression`` for its ``where``.
    """
    try:
        told = (
            {name: _unpointed(value) for name, value in raw.items() if value is not None}
            if isinstance(raw, dict)
            else raw
        )
        placement = msgspec.convert(told, Placement)
    except msgspec.ValidationError as exc:
        what, where = misfit(exc, field)
        raise Rejected(what, code="invalid_placement", field=where) from exc
    try:
        checked_id(placement.id, field=f"{field}.id")
        _texts(placement.kinds, f"{field}.kinds", MAX_KINDS)
        _text(placement.title, f"{field}.title", MAX_TITLE)
        if placement.audience is not None:
            checked_id(placement.audience, field=f"{field}.audience")
    except Rejected as exc:
        raise Rejected(exc.message, code="invalid_placement", field=exc.field) from None
    if "/" in placement.id:
        raise _refused(f"{field}.id", "holds a /, which has a meaning in paths", code="invalid_placement")
    if not 1 <= placement.n <= MAX_SHOWN:
        raise _refused(f"{field}.n", f"must be 1 to {MAX_SHOWN}, not {placement.n}", code="invalid_placement")
    if not 0 <= placement.explore <= placement.n:
        raise _refused(
            f"{field}.explore",
            f"must be 0 to n ({placement.n}), not {placement.explore}",
            code="invalid_placement",
        )
    if placement.explore and ASIDE.intersection(placement.kinds):
        raise _refused(
            f"{field}.explore", "is for items; posts and promotions are not tried", code="invalid_placement"
        )
    if placement.where is not None:
        known = None if attributes is None else frozenset(attributes)
        compile(placement.where, known, field=f"{field}.where")
    return placement


def checked_audience(raw: Any, *, field: str) -> Audience:
    """One audience as a sender told it; its condition is for ``facts.condition`` to check.

    Raises:
        Rejected: ``invalid_audience``.
    """
    if not isinstance(raw, dict):
        raise _refused(field, f"must be an object, not {_called(raw)}", code="invalid_audience")
    told = {name: value for name, value in raw.items() if value is not None}
    for name in told:
        if name not in Audience.__struct_fields__:
            raise _refused(
                f"{field}.{str(name)[:80]}", "is not a field of an audience; id, title and where are",
                code="invalid_audience",
            )  # fmt: skip
    for name in ("id", "where"):
        if name not in told:
            raise _refused(f"{field}.{name}", "is missing", code="invalid_audience")
    if not isinstance(told["where"], str):
        raise _refused(
            f"{field}.where", f"must be text, not {_called(told['where'])}", code="invalid_audience"
        )
    try:
        id = checked_id(told["id"], field=f"{field}.id")
        title = _text(told.get("title", ""), f"{field}.title", MAX_TITLE)
        _check_encodes(told["where"], f"{field}.where")
    except Rejected as exc:
        raise Rejected(exc.message, code="invalid_audience", field=exc.field) from None
    if "/" in id:
        raise _refused(f"{field}.id", "holds a /, which has a meaning in paths", code="invalid_audience")
    return Audience(id=id, title=title, where=told["where"])


def checked_id(value: Any, *, field: str) -> str:
    """An item's or placement's id: text or a whole number (shops have both), without control characters."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise _refused(field, f"must be text, not {_called(value)}")
    text = value.strip()
    if not text:
        raise _refused(field, "is empty")
    _check_characters(text, field)
    if len(text.encode()) > MAX_ID:
        raise _refused(field, f"is longer than {MAX_ID} bytes")
    return text


def _check_encodes(text: str, field: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _refused(field, "holds a lone surrogate") from None


def _check_characters(text: str, field: str) -> None:
    if text.isascii() and text.isprintable():
        return
    _check_encodes(text, field)
    if any(char < " " or char == "\x7f" for char in text):
        raise _refused(field, "holds control characters")


def _text(value: Any, field: str, longest: int) -> str:
    if not isinstance(value, str):
        raise _refused(field, f"must be text, not {_called(value)}")
    text = " ".join(value.split()) if not value.isprintable() else value.strip()
    if len(text) > longest:
        raise _refused(field, f"is longer than {longest} characters")
    _check_characters(text, field)
    return text


def _texts(value: Any, field: str, most: int, *, longest: int = MAX_NAME) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)):
        raise _refused(field, f"must be a list of texts, not {_called(value)}")
    if len(value) > most:
        raise _refused(field, f"has more than {most} entries")
    found = dict.fromkeys(_text(one, f"{field}[{i}]", longest) for i, one in enumerate(value))
    found.pop("", None)
    return tuple(found)


def _number(value: Any, field: str, *, least: float = -math.inf) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _refused(field, f"must be a number, not {_called(value)}")
    if not (least <= value and abs(value) < 1e300):  # NaN too
        raise _refused(
            field, f"must be a number from {least:g} on" if least == 0 else "is too large a number"
        )
    return float(value)


def _whole(value: Any, field: str) -> int | None:
    if value is None:
        return None
    value = _unpointed(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1_000_000:
        raise _refused(field, "must be a whole number from 1 to 1000000")
    return int(value)


def _unpointed(value: Any) -> Any:
    """12 of 12.0: to JSON they are one number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _flag(value: Any, field: str) -> bool:
    if not isinstance(value, bool):
        raise _refused(field, f"must be true or false, not {_called(value)}")
    return bool(value)


def _url(value: Any, field: str) -> str | None:
    """http(s), or a path of the shop's own site; everything else could run in somebody's page."""
    if value is None or value == "":
        return None
    text = _text(value, field, MAX_URL)
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("bad:")
    whole = parts.scheme in ("http", "https") and parts.netloc
    own = not parts.scheme and not parts.netloc and text.startswith("/") and "\\" not in text
    if not (whole or own):
        raise _refused(field, "must begin with http://, https:// or /")
    return text


def _time(value: Any, field: str) -> int | None:
    if value is None:
        return None
    try:
        if isinstance(value, str):
            return milliseconds(value)
    except (ValueError, OverflowError):
        raise _refused(field, f"{value[:40]!r} is not a date like 2026-05-01T09:00:00Z") from None
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > 253_402_300_800_000:
        raise _refused(field, "must be a date like 2026-05-01T09:00:00Z, or ms since the epoch")
    return int(value)


def _attributes(value: Any, field: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _refused(field, f"must be an object, not {_called(value)}")
    if len(value) > MAX_ATTRIBUTES:
        raise _refused(field, f"has more than {MAX_ATTRIBUTES} entries")
    found: dict[str, Any] = {}
    for key, one in value.items():
        name = _text(key, field, MAX_NAME)
        if not name:
            raise _refused(field, "has an attribute without a name")
        if one is not None:
            found[name] = _attribute(one, f"{field}.{name}")
    return found


def _attribute(value: Any, field: str) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        _number(value, field)
        return value
    if isinstance(value, str):
        return _text(value, field, MAX_TEXT)
    if isinstance(value, list):
        if len(value) > MAX_LIST:
            raise _refused(field, f"has more than {MAX_LIST} entries")
        if any(isinstance(one, (bool, dict, list)) or one is None for one in value):
            raise _refused(field, "may hold texts and numbers only")
        return list(dict.fromkeys(_attribute(one, f"{field}[{i}]") for i, one in enumerate(value)))
    raise _refused(field, f"must be text, a number, true or false, or a list of them, not {_called(value)}")


def _called(value: Any) -> str:
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return f"{value[:40]!r}" if isinstance(value, str) else f"{value:g}"
    return "null" if value is None else _TYPES.get(type(value), "an object")


def _refused(field: str, why: str, *, code: str = "invalid_item") -> Rejected:
    return Rejected(f"{field} {why}", code=code, field=field)
