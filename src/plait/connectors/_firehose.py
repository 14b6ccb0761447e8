"""The firehose, ``com.atproto.sync.subscribeRepos``, read: frames of DAG-CBOR, with a CAR of blocks in each commit.

A frame that concerns nobody we know costs one decoding of its envelope: its blocks, most of its bytes, are searched for the
company's DID and left alone.
"""

from __future__ import annotations

import hashlib
from typing import Any

import libipld

from plait.connectors._atproto import (
    BROKEN,
    COLLECTIONS,
    Act,
    Commit,
    Interest,
    Message,
    Notice,
    Reset,
    State,
)
from plait.errors import Rejected

_SHA256_CBOR = bytes(
    (1, 0x71, 0x12, 0x20)
)  # CIDv1, dag-cbor, sha2-256, 32 bytes: all that the protocol allows


def read_frame(data: bytes, interest: Interest) -> tuple[int, Message | None]:
    """A frame of ``com.atproto.sync.subscribeRepos``.

    Returns:
        Its sequence number (0 when it has none), and what it says, ``None`` when that concerns nobody we know.

    Raises:
        Rejected: it is no frame of the protocol; code ``invalid_frame``.
    """
    try:
        return _read_frame(data, interest)
    except BROKEN as exc:
        raise Rejected(f"a frame cannot be read: {type(exc).__name__}", code="invalid_frame") from exc


def _read_frame(data: bytes, interest: Interest) -> tuple[int, Message | None]:
    header, body = libipld.decode_dag_cbor_multi(data)
    if header["op"] != 1:
        return 0, Notice(_text(body["error"]), fatal=True)
    kind = header["t"]
    if kind == "#info":
        return 0, Notice(_text(body["name"]), fatal=False)
    seq = body["seq"]
    if type(seq) is not int or not 0 < seq < 1 << 63:
        raise ValueError("no sequence number")
    if kind == "#commit":
        return seq, _commit(body, interest)
    if kind in (
        "#account",
        "#tombstone",
        "#sync",
    ):  # tombstones: old servers still send them for deleted accounts
        did = _text(body["did"])
        if did != interest.me and not interest.known(did):
            return seq, None
        if kind == "#sync":
            return seq, Reset(did)
        gone = kind == "#tombstone"
        active = False if gone else body["active"]
        return seq, State(did, active is True, "deleted" if gone else _text(body.get("status") or ""))
    return seq, None


def _commit(body: dict[str, Any], interest: Interest) -> Commit | None:
    did, ops = body["repo"], body["ops"]
    blocks: bytes = body["blocks"]
    everything = did == interest.me or interest.watched(did)
    told = everything or interest.me.encode() in blocks
    if not told and not any(op["action"] != "create" for op in ops) and not body.get("tooBig"):
        return None
    kept = [op for op in ops if op["path"].partition("/")[0] in COLLECTIONS]
    if not told:
        kept = [op for op in kept if op["action"] != "create"]
    if not (kept or body.get("tooBig")) or not (told or interest.known(did)):
        return None
    rev, since = _text(body["rev"]), body.get("since")
    broken = "too_big" if body.get("tooBig") else ""
    records: dict[bytes, Any] = {}
    if any(op["action"] != "delete" for op in kept):
        try:
            records = libipld.decode_car(blocks)[1]
        except BROKEN:
            broken = "car"
    acts = []
    for op in kept:
        try:
            acts.append(_act(op, records))
        except BROKEN:
            broken = broken or "block"
    return Commit(did, rev, since if isinstance(since, str) else "", tuple(acts), broken)


def _act(op: dict[str, Any], records: dict[bytes, Any]) -> Act:
    collection, _, rkey = op["path"].partition("/")
    action = op["action"]
    if action == "delete":
        return Act("delete", collection, rkey)
    if action not in ("create", "update"):
        raise ValueError("no such action")
    cid: bytes = op["cid"]
    record = records[cid]
    # A block is what its name says: who passes it on cannot put words into somebody's mouth. Only for what we keep.
    if cid[:4] != _SHA256_CBOR or hashlib.sha256(libipld.encode_dag_cbor(record)).digest() != cid[4:]:
        raise ValueError("a block is not what its CID says")
    return Act(action, collection, rkey, libipld.encode_cid(cid), record)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value
