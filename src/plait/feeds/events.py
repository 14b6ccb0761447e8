"""From a row of a file to an event in our own vocabulary."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import msgspec

from plait.errors import Rejected
from plait.events import MAX_WHO, Signal, checked_identifier
from plait.feeds import values
from plait.feeds.source import Row, name_of

COLUMNS: dict[str, tuple[str, ...]] = {
    "id": ("id", "event_id", "message_id", "messageid"),
    "signal": ("signal", "event_type", "eventtype", "event", "action", "behavior", "type"),
    "at": ("at", "timestamp", "event_time", "time", "datetime", "created_at", "date", "ts"),
    "source": ("source",),
    "op": ("op",),
    "value": ("value", "duration", "seconds", "rating"),
    "name": ("name", "event_name"),
    "decision": ("decision",),
    "item": ("item", "item_id", "product_id", "content_id", "contentid", "sku", "article_id", "itemid"),
    "section": ("section",),
    "post": ("post", "post_id"),
    "topic": ("topic",),
    "url": ("url", "page_url"),
    "query": ("query", "search_term", "search_query"),
    "agent": ("user_agent", "useragent"),
}
# Columns that say who, and the type of identifier that they hold.
PEOPLE: dict[str, tuple[str, ...]] = {
    "user": ("user", "user_id", "userid", "person", "person_id", "personid", "customer_id", "customerid"),
    "anonymous": (
        "anonymous",
        "anonymous_id",
        "anonymousid",
        "visitor_id",
        "visitorid",
        "device_id",
        "cookie_id",
    ),
    "email": ("email",),
    "phone": ("phone",),
}
ABOUT = ("item", "section", "post", "topic", "url", "query")

# What others call our signals, in the one spelling of ``_word``. The rest needs ``--map signal:THEIRS=ours``.
WORDS: dict[str, Signal] = {
    **{signal.value: signal for signal in Signal},
    "viewed": Signal.VIEW, "page_view": Signal.VIEW, "pageview": Signal.VIEW, "page": Signal.VIEW,
    "product_viewed": Signal.VIEW, "view_item": Signal.VIEW, "detail": Signal.VIEW,
    "add_to_cart": Signal.ADD, "addtocart": Signal.ADD, "cart": Signal.ADD, "product_added": Signal.ADD,
    "remove_from_cart": Signal.REMOVE, "product_removed": Signal.REMOVE,
    "begin_checkout": Signal.CHECKOUT, "checkout_started": Signal.CHECKOUT,
    "buy": Signal.PURCHASE, "order": Signal.PURCHASE, "transaction": Signal.PURCHASE,
    "order_completed": Signal.PURCHASE, "purchased": Signal.PURCHASE,
    "bookmark": Signal.SAVE, "favorite": Signal.SAVE, "favourite": Signal.SAVE, "wishlist": Signal.SAVE,
    "liked": Signal.LIKE, "comment_created": Signal.COMMENT, "commented": Signal.COMMENT,
    "shared": Signal.SHARE, "repost": Signal.SHARE, "retweet": Signal.SHARE, "followed": Signal.FOLLOW,
    "rating": Signal.RATE, "rated": Signal.RATE, "searched": Signal.SEARCH, "clicked": Signal.CLICK,
}  # fmt: skip


class Reader:
    """Makes events of rows.

    Args:
        names: our field, or ``who:TYPE``, -> their column; ``signal:WORD`` -> our signal.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names: dict[str, str] = {}
        self._people: dict[str, str] = {}
        self._words = dict(WORDS)
        for ours, theirs in names.items():
            if ours.startswith("signal:"):
                self._words[_word(ours[7:])] = _signal(theirs)
            elif ours.startswith("who:") or ours in PEOPLE:
                self._people[ours.removeprefix("who:")] = name_of(theirs)
            elif ours in COLUMNS:
                self._names[ours] = name_of(theirs)
            else:
                known = ", ".join((*COLUMNS, *PEOPLE))
                raise Rejected(
                    f"{ours!r} cannot be mapped; these can: {known}, who:TYPE and signal:WORD",
                    code="invalid_map", field="map",
                )  # fmt: skip
        self._seen: Counter[int] = Counter()

    def read(self, row: Row) -> dict[str, Any]:
        """The event as ``POST /v1/events`` takes it.

        Raises:
            Rejected: ``invalid_row`` or ``invalid_identifier``.
        """
        given, used = row.values, set[str]()
        told: dict[str, Any] = {"signal": self._signal(given, used), "who": self._who(given, used)}
        if (value := self._take(given, used, "at")) is not None:
            told["at"] = values.when(value, "at")
        if (value := self._take(given, used, "value")) is not None:
            told["value"] = _number(value)
        for ours in ("id", "source", "op", "name", "decision"):
            if (value := self._take(given, used, ours)) is not None:
                told[ours] = str(value)
        about = self._about(given, used)
        if about:
            told["about"] = about
        if (value := self._take(given, used, "agent")) is not None:
            told["context"] = {"userAgent": str(value)}
        for ours in ("counter", "consent", "traits", "context"):
            if isinstance(given.get(ours), dict):
                used.add(ours)
                told[ours] = given[ours]
        inner = given.get("properties")
        rest = {name: value for name, value in given.items() if name not in used and name != "properties"}
        properties = (inner if isinstance(inner, dict) else {}) | rest
        if properties:
            told["properties"] = properties
        told.setdefault("id", self._id(row))
        return told

    def _take(self, given: Mapping[str, Any], used: set[str], ours: str) -> Any:
        for name in (self._names[ours],) if ours in self._names else COLUMNS[ours]:
            value = given.get(name)
            if value is not None and name not in used:
                used.add(name)
                return value
        return None

    def _signal(self, given: Mapping[str, Any], used: set[str]) -> str:
        told = self._take(given, used, "signal")
        if told is None:
            raise values.refused("signal", "is missing; say --map signal=COLUMN")
        found = self._words.get(_word(str(told)))
        if found is None:
            raise values.refused(
                "signal",
                f"{str(told)[:60]!r} is not known; say --map 'signal:{str(told)[:60]}=view', or =other to keep it",
            )
        return found.value

    def _who(self, given: Mapping[str, Any], used: set[str]) -> list[str]:
        found: list[str] = []
        listed = given.get("who")
        if listed is not None and "who" not in self._people.values():
            used.add("who")
            many = listed if isinstance(listed, list) else values.texts(listed)
            found += [checked_identifier(one, field="who") for one in many]
        columns = {kind: (name,) for kind, name in self._people.items()} or PEOPLE
        for kind, names in columns.items():
            for name in names:
                value = given.get(name)
                if isinstance(value, (str, int)) and not isinstance(value, bool):
                    used.add(name)
                    found.append(checked_identifier(f"{kind}:{str(value).strip()}", field=name))
                    break
        if not 1 <= len(found) <= MAX_WHO:
            raise values.refused(
                "who", "is missing; say --map who:user=COLUMN" if not found else "names too many"
            )
        return found

    def _about(self, given: Mapping[str, Any], used: set[str]) -> dict[str, str]:
        about: dict[str, str] = {}
        inner = given.get("about")
        if isinstance(inner, dict):
            used.add("about")
            about = {name: str(inner[name]) for name in ABOUT if inner.get(name) is not None}
        for ours in ABOUT:
            if ours not in about and (value := self._take(given, used, ours)) is not None:
                about[ours] = str(value)
        return about

    def _id(self, row: Row) -> str:
        """Made from the content; the second of two equal rows gets another, for both did happen."""
        content = msgspec.json.encode(row.values, order="deterministic")
        digest = blake2b(content, digest_size=16).digest()
        key = int.from_bytes(digest[:8], "big")
        self._seen[key] += 1
        again = f"-{self._seen[key]}" if self._seen[key] > 1 else ""
        return f"import-{digest.hex()}{again}"


def _word(text: str) -> str:
    return re.sub(r"[\s\-]+", "_", text.strip().lower())


def _signal(text: str) -> Signal:
    try:
        return Signal(text)
    except ValueError:
        known = ", ".join(signal.value for signal in Signal)
        raise Rejected(
            f"{text[:60]!r} is no signal; there are {known}", code="invalid_map", field="map"
        ) from None


def _number(value: Any) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise values.refused("value", f"is not a number: {value!r:.60}") from None
    if not abs(found) < 1e300:
        raise values.refused("value", "is too large, or no number at all")
    return found
