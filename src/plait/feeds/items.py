"""From a row of a feed to an item."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from plait.catalog.checks import MAX_ATTRIBUTES, MAX_LIST, MAX_TEXT, MAX_TITLE, checked_item
from plait.catalog.expressions import FIELDS
from plait.catalog.items import PROMOTION
from plait.errors import Rejected
from plait.feeds import values
from plait.feeds.source import Row, name_of

# Columns that mean a field of ours, the likelier first; of several that have a value the first is taken.
COLUMNS: dict[str, tuple[str, ...]] = {
    "id": ("id", "item_id", "product_id", "item", "sku", "offer_id", "content_id", "contentid", "article_id", "guid", "link"),
    "kind": ("kind",),
    "title": ("title", "name", "product_name", "item_name", "product_title"),
    "topics": ("topics", "topic", "product_type", "categories", "category", "category_path", "tags"),
    "price": ("price", "regular_price", "current_price"),
    "sale_price": ("sale_price", "special_price", "discounted_price"),
    "available": ("available", "availability", "in_stock", "instock", "is_in_stock", "stock_status", "stock", "quantity"),
    "url": ("url", "link", "product_url", "canonical_link"),
    "image": ("image", "image_link", "image_url", "picture", "thumbnail", "img"),
    "sections": ("sections",),
    "published": ("published", "published_at", "pubdate", "pub_date", "created_at", "date_created"),
    "for": ("for",),
    "starts": ("starts", "starts_at"),
    "ends": ("ends", "ends_at"),
    "cap": ("cap",),
    "audience": ("audience",),
}  # fmt: skip
# Looks like a number, and is a name.
NAMES = frozenset({
    "gtin", "ean", "upc", "isbn", "mpn", "item_group_id", "size", "sku", "brand", "color", "postal_code", "model",
    "google_product_category", "external_id", "id", "identifier",
})  # fmt: skip
# Said about every product, and nothing about it.
PASSED_OVER = frozenset({"shipping", "tax", "sale_price_effective_date", "attributes", "product_detail"})


class Reader:
    """Makes items of rows.

    Args:
        names: our field (or ``attributes.x``) -> their column.
        now: ms since the epoch, for sale prices with dates.
    """

    def __init__(self, names: Mapping[str, str], *, now: int | None = None) -> None:
        for ours in names:
            if ours not in COLUMNS and ours not in FIELDS and not ours.startswith("attributes."):
                raise Rejected(
                    f"{ours!r} is no field of an item; map one of {', '.join(COLUMNS)} or attributes.<name>",
                    code="invalid_map", field="map",
                )  # fmt: skip
        self._names = {ours: name_of(theirs) for ours, theirs in names.items()}
        self._now = now
        self._rows = self._without_id = 0

    def read(self, row: Row) -> dict[str, Any]:
        """The item as ``POST /v1/items`` takes it.

        Raises:
            Rejected: ``invalid_row`` or ``invalid_item``; ``invalid_file`` when the first rows show that there are no ids.
        """
        given, used = dict(row.values), set[str]()
        self._check_id(given)
        told: dict[str, Any] = {}
        for ours in ("id", "kind", "title", "url", "image"):
            value = self._take(given, used, ours)
            if value is not None:
                told[ours] = _one(value)
        if isinstance(told.get("title"), str):
            told["title"] = values.prose(told["title"], MAX_TITLE) if not row.typed else told["title"]
        for ours in ("url", "image"):
            told[ours] = _address(told.get(ours))
        self._put_topics(given, used, told)
        self._put_price(given, used, told)
        if (value := self._take(given, used, "available")) is not None:
            told["available"] = values.available(_one(value), "available")
        for ours in ("sections", "for"):
            if (value := self._take(given, used, ours)) is not None:
                told[ours] = values.texts(value)
        for ours in ("published", "starts", "ends"):
            if (value := self._take(given, used, ours)) is not None:
                told[ours] = values.when(_one(value), ours)
        if (value := self._take(given, used, "cap")) is not None:
            told["cap"] = values.meant(value) if isinstance(value, str) else value
        # In feeds of products it says for whom a thing is made; that is an attribute.
        if told.get("kind") == PROMOTION and (value := self._take(given, used, "audience")) is not None:
            told["audience"] = _one(value)
        if (
            "kind" not in told
            and "price" not in told
            and given.keys() & {"pubdate", "updated", "author", "summary"}
        ):
            told["kind"] = "article"  # of a blog's RSS or Atom
        told["attributes"] = told.pop("extra", {}) | self._attributes(given, used, row)
        item = checked_item(told, field="item")
        # By way of JSON, where tuples are lists.
        return msgspec.json.decode(msgspec.json.encode(item), type=dict[str, Any])

    def _check_id(self, given: Mapping[str, Any]) -> None:
        self._rows += 1
        wanted = (self._names["id"],) if "id" in self._names else COLUMNS["id"]
        if any(name in given for name in wanted):
            return
        self._without_id += 1
        if self._rows == self._without_id == 20 or (self._rows == 1 and len(given) == 0):
            raise Rejected(
                f"no column is an id; there are {', '.join(list(given)[:20])}; say --map id=COLUMN",
                code="invalid_file",
            )
        raise values.refused("id", "is missing")

    def _take(self, given: Mapping[str, Any], used: set[str], ours: str) -> Any:
        columns = (self._names[ours],) if ours in self._names else COLUMNS[ours]
        for name in columns:
            value = given.get(name)
            if value is not None:
                if name != "link" or ours != "id":
                    used.add(name)
                return value
        return None

    def _put_topics(self, given: Mapping[str, Any], used: set[str], told: dict[str, Any]) -> None:
        columns = (self._names["topics"],) if "topics" in self._names else COLUMNS["topics"]
        there = [name for name in columns if given.get(name) is not None]
        google = given.get("google_product_category")
        if not there and isinstance(google, str) and not google.isdigit():
            there = ["google_product_category"]
        used.update(there)
        found = dict.fromkeys(topic for name in there for topic in values.path(given[name]))
        if found:
            told["topics"] = list(found)[:64]

    def _put_price(self, given: Mapping[str, Any], used: set[str], told: dict[str, Any]) -> None:
        extra: dict[str, Any] = {}
        if (value := self._take(given, used, "price")) is not None:
            told["price"], currency = values.price(value, "price")
            if currency:
                extra["currency"] = currency
        if (value := self._take(given, used, "sale_price")) is not None:
            sale, _ = values.price(value, "sale_price")
            if sale < told.get("price", sale + 1) and self._on(given.get("sale_price_effective_date")):
                if "price" in told:
                    extra["regular_price"] = told["price"]
                told["price"] = sale
        told["extra"] = extra

    def _on(self, dates: Any) -> bool:
        """Whether now is within ``from/until``."""
        if self._now is None or not isinstance(dates, str) or "/" not in dates:
            return True
        since, _, until = dates.partition("/")
        begin = values.when(since.strip(), "sale_price_effective_date")
        return begin <= self._now < values.when(until.strip(), "sale_price_effective_date")

    def _attributes(self, given: Mapping[str, Any], used: set[str], row: Row) -> dict[str, Any]:
        found: dict[str, Any] = {}
        mapped = {theirs: ours[11:] for ours, theirs in self._names.items() if ours.startswith("attributes.")}
        inner = given.get("attributes")
        if isinstance(inner, dict):
            _flatten(inner, "", found, typed=row.typed)
        for detail in _list(given.get("product_detail")):
            if isinstance(detail, dict) and isinstance(detail.get("attribute_name"), str):
                _flatten({detail["attribute_name"]: detail.get("attribute_value")}, "", found, typed=False)
        rest = {
            mapped.get(name, name.removeprefix("attributes.")): value
            for name, value in given.items()
            if name not in used and name not in PASSED_OVER
        }
        _flatten(rest, "", found, typed=row.typed)
        return dict(list(found.items())[:MAX_ATTRIBUTES])


def _flatten(
    given: Mapping[str, Any], before: str, found: dict[str, Any], *, typed: bool, depth: int = 0
) -> None:
    """Put attributes in the shapes that items take: objects within objects become ``size.height``."""
    for name, value in given.items():
        key = f"{before}{name}"[:128]
        if isinstance(value, dict):
            if depth < 3:
                _flatten(value, f"{key}.", found, typed=typed, depth=depth + 1)
        elif isinstance(value, list):
            plain = [one for one in value if isinstance(one, (str, int, float)) and not isinstance(one, bool)]
            if plain:
                found[key] = [_attribute(name, one, typed=typed) for one in plain][:MAX_LIST]
        elif value is not None and value != "":
            found[key] = _attribute(name, value, typed=typed)


def _attribute(name: str, value: Any, *, typed: bool) -> Any:
    if not isinstance(value, str):
        return value
    if len(value) > MAX_TEXT or (not typed and ("<" in value or "&" in value)):
        return values.prose(value, MAX_TEXT)
    return value if typed or name.lower() in NAMES else values.meant(value)


def _one(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _address(value: Any) -> Any:
    """An address as a browser would take it: with a scheme, and without blanks."""
    if isinstance(value, dict):
        value = value.get("url") or value.get("src") or value.get("href")
    if not isinstance(value, str):
        return value
    text = re.sub(r"\s", "%20", value.strip())
    if text.startswith("//"):
        return f"https:{text}"
    return f"https://{text}" if re.match(r"www\.[\w-]+\.", text) else text
