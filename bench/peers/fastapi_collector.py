"""The collector one would write first: FastAPI, pydantic models, SQLite. The same contract as ours: a key in any of its
places, every event checked and cleaned, one wrong event costs no other, on disk before 200.

It gets the settings that are kind to it: a WAL, one transaction a request, prepared statements, no access log.
``synchronous = full`` stays, because a 200 says that the event is safe.
"""

from __future__ import annotations

import base64
import gzip
import json
import sqlite3
import time
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel, Field, ValidationError, model_validator


class Call(BaseModel):
    type: Literal["track", "identify", "page", "screen", "group", "alias"]
    messageId: str = Field(min_length=1, max_length=256)  # noqa: N815
    event: str | None = None
    userId: str | None = None  # noqa: N815
    anonymousId: str | None = None  # noqa: N815
    timestamp: datetime | None = None
    originalTimestamp: datetime | None = None  # noqa: N815
    sentAt: datetime | None = None  # noqa: N815
    properties: dict[str, Any] | None = None
    traits: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    writeKey: str | None = None  # noqa: N815

    @model_validator(mode="after")
    def somebody_did_something(self) -> Call:
        if not (self.userId or self.anonymousId):
            raise ValueError("userId or anonymousId")
        if self.type == "track" and not self.event:
            raise ValueError("event")
        return self


SCRUB = {
    "password",
    "passwd",
    "pwd",
    "secret",
    "cardnumber",
    "cvv",
    "cvc",
    "iban",
    "ssn",
    "ip",
    "ipaddress",
    "writekey",
}


def cleaned(told: Any, depth: int = 0) -> Any:
    """A copy without what must not rest."""
    if depth > 40:
        raise ValueError("too deep")
    if isinstance(told, dict):
        return {
            name: cleaned(value, depth + 1)
            for name, value in told.items()
            if name.lower().replace("_", "").replace("-", "") not in SCRUB
        }
    return [cleaned(one, depth + 1) for one in told] if isinstance(told, list) else told


def make(path: Path, write_key: str) -> FastAPI:
    app = FastAPI()
    db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    db.execute("pragma journal_mode = wal")
    db.execute("pragma synchronous = full")
    db.execute("create table events (id text, received_at integer, type text, who text, body text)")

    def check(key: str | None, request: Request) -> None:
        given = request.headers.get("authorization", "")
        if given.startswith("Basic "):
            key = base64.b64decode(given[6:]).decode().partition(":")[0]
        if (key or request.query_params.get("writeKey")) != write_key:
            raise HTTPException(401, "unknown key")

    def store(told: list[Any]) -> list[str]:
        now = int(time.time() * 1000)
        calls, refused = [], []
        for one in told:
            try:
                calls.append(Call.model_validate(cleaned(one)))
            except (ValidationError, ValueError) as exc:
                refused.append(str(exc))
        if told and not calls:
            raise HTTPException(400, refused)
        rows = [
            (
                call.messageId,
                now,
                call.type,
                call.userId or call.anonymousId,
                call.model_dump_json(exclude={"writeKey"}, exclude_none=True),
            )
            for call in calls
        ]
        db.execute("begin")
        db.executemany("insert into events values (?, ?, ?, ?, ?)", rows)
        db.execute("commit")
        return refused

    async def told(request: Request) -> Any:
        body = await request.body()
        try:
            return json.loads(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
        except ValueError as exc:
            raise HTTPException(400, "not JSON") from exc

    @app.post("/v1/batch")
    async def batch(request: Request) -> dict[str, Any]:
        body = await told(request)
        check(body.get("writeKey"), request)
        return {"success": True, "refused": store(body["batch"])}

    @app.post("/v1/{kind}")
    async def single(kind: str, request: Request) -> dict[str, Any]:
        body = await told(request)
        check(body.get("writeKey"), request)
        return {"success": True, "refused": store([{"type": kind} | body])}

    return app
