"""Frames and answers of Bluesky as tests make them: real encodings, invented people."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any

import libipld

from plait.connectors import Account, Answer, Ask, Frame, Next, Open, Page, Steps
from plait.connectors.bluesky import Connector

ME, ADA, BOB = "did:plc:" + "m" * 24, "did:plc:" + "a" * 24, "did:plc:" + "b" * 24
POST = f"at://{ME}/app.bsky.feed.post/3aaaaaaaaaa2a"
LIKE = "app.bsky.feed.like/3aaaaaaaaaa2b"  # a path in whoever likes' repo
NOW = 1_790_000_000_000  # ms
_LETTERS = "234567abcdefghijklmnopqrstuvwxyz"


def tid(ms: int, clock: int = 0) -> str:
    value = (ms * 1000) << 10 | clock
    return "".join(_LETTERS[value >> shift & 31] for shift in range(60, -1, -5))


def like(of: str = POST) -> dict[str, Any]:
    return {
        "$type": "app.bsky.feed.like",
        "subject": {"uri": of, "cid": "bafy"},
        "createdAt": "2026-11-28T12:00:00Z",
    }


def post(text: Any = "hello", **more: Any) -> dict[str, Any]:
    return {"$type": "app.bsky.feed.post", "text": text, "createdAt": "2026-11-28T12:00:00Z", **more}


def cid_of(record: Any) -> bytes:
    return bytes((1, 0x71, 0x12, 0x20)) + hashlib.sha256(libipld.encode_dag_cbor(record)).digest()


def car(records: Iterable[Any]) -> bytes:
    def piece(raw: bytes) -> bytes:
        size, n = b"", len(raw)
        while n >= 128:
            size, n = size + bytes((n & 127 | 128,)), n >> 7
        return size + bytes((n,)) + raw

    blocks = [piece(cid_of(one) + libipld.encode_dag_cbor(one)) for one in records]
    root = cid_of({"root": 1})
    # A CID inside DAG-CBOR is tag 42 over its bytes with a zero before them.
    header = b"\xa2\x65roots\x81\xd8\x2a\x58\x25\x00" + root + b"\x67version\x01"
    return piece(header) + b"".join(blocks)


def frame(kind: str, body: dict[str, Any]) -> bytes:
    return libipld.encode_dag_cbor({"op": 1, "t": kind}) + libipld.encode_dag_cbor(body)


def commit(
    seq: int,
    did: str,
    *ops: tuple[str, str, Any],
    at: int = NOW - 1_000,
    since: str | None = None,
    **more: Any,
) -> bytes:
    """``ops`` are (action, path, record)."""
    told = [
        {"action": action, "path": path, "cid": None if record is None else cid_of(record)}
        for action, path, record in ops
    ]
    body = {
        "seq": seq, "repo": did, "rev": tid(at), "since": since, "time": "2026-11-28T12:00:00Z", "ops": told,
        "tooBig": False, "rebase": False, "blobs": [], "commit": b"",
        "blocks": car(record for _, _, record in ops if record is not None),
    }  # fmt: skip
    return frame("#commit", body | more)


def error(name: str) -> bytes:
    return libipld.encode_dag_cbor({"op": -1}) + libipld.encode_dag_cbor({"error": name, "message": "no"})


class Watched:
    """As the driver has it."""

    def __init__(self, people: Iterable[str], known: Callable[[str], bool]) -> None:
        self._people = {f"bluesky:{one}" for one in people}
        self.known = known

    def __call__(self, account: str) -> bool:
        return account in self._people


def connector(
    *,
    stream: str = "firehose",
    watched: Iterable[str] = (),
    known: Callable[[str], bool] = lambda _: True,
    **settings: str,
) -> Connector:
    account = Account(
        source="bluesky:shop.test", host="https://pds.test", me=f"bluesky:{ME}", handle="shop.test",
        settings={"stream": stream, **settings},
    )  # fmt: skip
    return Connector(account, watched=Watched(watched, known), now=lambda: NOW)


def streamed(steps: Steps, frames: Iterable[bytes | str]) -> list[Page]:
    """What a stream tells of these frames, when they come at once and then nothing does."""
    pages: list[Page] = []
    waiting: list[bytes | str | None] = [*frames, None]
    answer: Any = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration:
            return pages
        answer = None
        if isinstance(step, Page):
            pages.append(step)
        elif isinstance(step, Next):
            if not waiting:
                return pages
            told = waiting.pop(0)
            answer = None if told is None else Frame(told)
        else:
            assert isinstance(step, Open)


def answered(
    steps: Steps, answers: Callable[[str, dict[str, Any]], Any], *, most: int = 10_000
) -> list[Page]:
    """What questions tell: ``answers(method, params)`` gives JSON, or a status."""
    pages: list[Page] = []
    answer: Any = None
    for _ in range(most):
        try:
            step = steps.send(answer)
        except StopIteration:
            return pages
        answer = None
        if isinstance(step, Page):
            pages.append(step)
        else:
            assert isinstance(step, Ask)
            told = answers(step.url.rpartition("/")[2], dict(step.params))
            status = told if isinstance(told, int) else 200
            body = {"error": "Refused"} if isinstance(told, int) else told
            answer = Answer(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode())
    raise AssertionError("it asks for ever")


def facts(pages: Iterable[Page]) -> list[Any]:
    return [fact for page in pages for fact in page.facts]


def chat_log() -> dict[str, Any]:
    """A fake answer to ``chat.bsky.convo.getLog``: nothing open serves it. ``make peers`` holds it to the published lexicon."""
    defs = "chat.bsky.convo.defs#"
    sender, sent = {"did": ADA}, "2026-09-21T12:00:00Z"
    written = {"$type": f"{defs}messageView", "id": "m1", "rev": tid(NOW - 5), "text": "is it waterproof?",
               "sender": sender, "sentAt": sent}  # fmt: skip
    ours = written | {"id": "m2", "rev": tid(NOW - 4), "text": "It is.", "sender": {"did": ME}}
    deleted = {
        "$type": f"{defs}deletedMessageView",
        "id": "m1",
        "rev": tid(NOW - 2),
        "sender": sender,
        "sentAt": sent,
    }
    return {
        "cursor": tid(NOW - 2),
        "logs": [
            {"$type": f"{defs}logBeginConvo", "rev": tid(NOW - 6), "convoId": "c1"},
            {"$type": f"{defs}logCreateMessage", "rev": tid(NOW - 5), "convoId": "c1", "message": written},
            {"$type": f"{defs}logCreateMessage", "rev": tid(NOW - 4), "convoId": "c1", "message": ours},
            {"$type": f"{defs}logReadMessage", "rev": tid(NOW - 3), "convoId": "c1", "message": written},
            {"$type": f"{defs}logDeleteMessage", "rev": tid(NOW - 2), "convoId": "c1", "message": deleted},
        ],
    }
