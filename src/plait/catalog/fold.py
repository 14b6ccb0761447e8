"""The fold of the catalog: what a record of the log changes in the tables of items, placements and audiences.

The last writer wins, but for what a telling that does not say it must not lose.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from plait.catalog.items import Audience, Item, Placement
from plait.errors import Corrupt
from plait.events import Record

One = TypeVar("One", Item, Placement, Audience)


class Changes(msgspec.Struct, Generic[One], kw_only=True):
    """The body of a record of one of ``KINDS``; what it deletes goes last."""

    put: tuple[One, ...] = ()
    delete: tuple[str, ...] = ()


KINDS = ("items", "placements", "audiences")  # of records that change a catalog, and the tables they change
Get = Callable[[str, bytes], bytes | None]  # table, key -> value

_bodies: dict[str, msgspec.json.Decoder[Changes[Any]]] = {
    "items": msgspec.json.Decoder(Changes[Item]),
    "placements": msgspec.json.Decoder(Changes[Placement]),
    "audiences": msgspec.json.Decoder(Changes[Audience]),
}
_item = msgspec.msgpack.Decoder(Item)
_placement = msgspec.msgpack.Decoder(Placement)
_audience = msgspec.msgpack.Decoder(Audience)
packed = msgspec.msgpack.Encoder().encode  # anything of the catalog as it rests in its table


def fold_items(record: Record, get: Get) -> dict[str, dict[bytes, bytes | None]]:
    """What a record of one of ``KINDS`` changes in the store: ``{table: {key: value or None}}``.

    Args:
        record: its body was checked before it went into the log.
        get: ``(table, key)`` -> the value as of the records before this one.

    Raises:
        Corrupt: the body is not what we write.
    """
    changes = changes_of(record)
    changed: dict[bytes, bytes | None] = {}
    for one in changes.put:
        key = one.id.encode()
        if record.kind == "items":
            old = changed[key] if key in changed else get("items", key)
            one = kept(one, None if old is None else decode_item(old), record.received_at)
        changed[key] = packed(one)
    # A default placement that is deleted comes back as it was: it is in no table.
    changed.update((one.encode(), None) for one in changes.delete)
    return {record.kind: changed}


def changes_of(record: Record) -> Changes[Any]:
    """What a record of one of ``KINDS`` says.

    Raises:
        Corrupt: the body is not what we write.
    """
    try:
        return _bodies[record.kind].decode(record.body)
    except msgspec.DecodeError as exc:
        raise Corrupt(f"a record of kind {record.kind} cannot be read: {exc}", code="log_corrupt") from exc


def kept(item: Item, before: Item | None, received_at: int) -> Item:
    """The item with what an update that does not say it must not lose: when it came, and what a person said of its ties."""
    kept: dict[str, Any] = {}
    if item.published is None:
        known = before.published if before is not None else None
        kept["published"] = received_at if known is None else known
    if item.confirmed is None and before is not None and before.confirmed:
        kept["confirmed"] = before.confirmed
    return msgspec.structs.replace(item, **kept) if kept else item


def decode_item(raw: bytes) -> Item:
    """An item as it rests in table ``items``.

    Raises:
        Corrupt: the bytes are not an item that we wrote.
    """
    return _decoded(_item, raw, "an item")


def decode_placement(raw: bytes) -> Placement:
    """A placement as it rests in table ``placements``; ``Corrupt`` as for an item."""
    return _decoded(_placement, raw, "a placement")


def decode_audience(raw: bytes) -> Audience:
    """An audience as it rests in table ``audiences``; ``Corrupt`` as for an item."""
    return _decoded(_audience, raw, "an audience")


def _decoded(decoder: msgspec.msgpack.Decoder[One], raw: bytes, what: str) -> One:
    try:
        return decoder.decode(raw)
    except msgspec.DecodeError as exc:
        raise Corrupt(f"{what} of the store cannot be read: {exc}", code="store_corrupt") from exc
