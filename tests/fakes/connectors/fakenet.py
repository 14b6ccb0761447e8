"""The connector of the fake network in ``tests/fakes/network.py``: written for tests of the driver, like no real network."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from hmac import compare_digest, digest
from typing import Any

import msgspec

from plait.connectors import (
    Account,
    Answer,
    Ask,
    Credential,
    Fact,
    Gives,
    Limit,
    Next,
    Open,
    Page,
    Post,
    Received,
    Session,
    Statement,
    Steps,
)  # fmt: skip
from plait.errors import Rejected
from plait.events import About, Signal

LIMIT = 300  # calls in five seconds


class Connector:
    statement = Statement(
        network="fakenet", title="The fake network",
        gives=(
            Gives(signal=Signal.LIKE, completeness="identified", how="stream and poll", undo="pushed"),
            Gives(signal=Signal.MESSAGE, completeness="identified", how="poll", undo="never"),
        ),
        needs=(
            Credential(name="host", title="Host", help="its URL", default="http://127.0.0.1:1"),
            Credential(name="user", title="User", help="shop.example"),
            Credential(name="password", title="Password", help="an app password", secret=True),
        ),
        limits={"default": Limit(calls=LIMIT, seconds=5), "dear": Limit(calls=4, seconds=2)},
        rights=("read what is public",), rules=("it is a fake",), not_seen=("anything real",),
        streams=True, hooks=True, replays=3_600,
    )  # fmt: skip

    def __init__(self, account: Account, *, watched: Callable[[str], bool], now: Callable[[], int]) -> None:
        self.account, self.watched, self.now = account, watched, now

    @staticmethod
    def sign_in(credentials: Mapping[str, str], host: str, now: int) -> Generator[Ask, Answer, Session]:
        form = {name: value for name, value in credentials.items() if name in ("user", "password", "refresh")}
        answer = yield Ask(url="/session", method="POST", body=form, signed=False)
        if not answer.ok:
            raise Rejected(f"the fake network says {answer.status}: check user and password", code="bad_credentials",
                           status=401)  # fmt: skip
        told = answer.json()
        account = Account(
            source=f"fakenet:{told['user']}", host=host, me=f"fakenet:{told['user']}", handle=told["user"]
        )
        secrets = {"user": told["user"], "refresh": told["refresh"]}
        expires = now + told["expires_in"] * 1000 if told["expires_in"] else None
        return Session(account=account, headers={"authorization": f"Bearer {told['access']}"},
                       expires_at=expires, secrets=secrets)  # fmt: skip

    def poll(self, cursor: str | None) -> Steps:
        return self._pages("/acts", cursor)

    def backfill(self, cursor: str | None) -> Steps:
        yield Page(
            posts=[
                Post(id="post-1", at=self.now(), text="a tent", url="https://fake.example/1", tags=("tents",))
            ]
        )
        yield from self._pages("/past", cursor)

    def _pages(self, path: str, cursor: str | None) -> Steps:
        after: str | None = cursor
        while True:
            answer = yield Ask(url=path, params={"after": after, "limit": 50})
            told = answer.json()
            facts = [_fact(one) for one in told["acts"]]
            if not facts:
                return
            if told["next"] == after:  # it lies about there being more
                return
            after = told["next"]
            yield Page(facts=facts, cursor=after, gone=told.get("gone", []), gap=told.get("gap"),
                       done=int(after), total=told["total"])  # fmt: skip

    def stream(self, cursor: str | None) -> Steps:
        yield Open(url="/stream", params={"after": cursor})
        while True:
            frame = yield Next(seconds=1.0)
            if frame is None:
                continue
            told = msgspec.json.decode(frame.data)
            if told.get("boom"):
                raise RuntimeError("the connector has a mistake")
            yield Page(facts=[_fact(told)], cursor=str(told["seq"]))

    def receive(self, headers: Mapping[str, str], body: bytes) -> Generator[Ask, Answer, Received]:
        if headers[":method"] == "GET":
            return Received(body=b"challenge")
        signed = digest(b"fake secret", body, "sha256").hex()
        if not compare_digest(headers.get("x-fake-signature", ""), signed):
            raise Rejected("the signature is wrong", code="wrong_signature", status=401)
        told = msgspec.json.decode(body)
        if told.get("ask"):
            yield Ask(url="/acts", params={"limit": 1})
        if told.get("boom"):
            raise RuntimeError("a mistake with ana in its text")
        return Received(page=Page(facts=[_fact(one) for one in told["acts"]]))


def _fact(one: Any) -> Fact:
    return Fact(
        id=one["id"], signal=Signal(one.get("signal", "like")), at=one["at"], actor=f"fakenet:{one['actor']}",
        op=one.get("op", "assert"), about=About(post=one.get("post", "post-1")), record=one.get("record", one["id"]), text=one.get("text"),
    )  # fmt: skip
