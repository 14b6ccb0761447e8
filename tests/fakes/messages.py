"""A fake of Bluesky's server of messages, which nobody serves openly: the methods of a PDS that looks ask for, and ``chat.bsky``.

Ours, written from the published lexicons; ``make peers`` holds what it answers to them (``tests/peers/test_bluesky.py``). A real HTTP server on this
machine, so that everything between the network and the profile is the product's own.
"""

from __future__ import annotations

import itertools
import threading
import time
from datetime import UTC, datetime
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from tests.fakes.bluesky import ME, tid

DEFS = "chat.bsky.convo.defs#"
SERVICE = "did:web:api.bsky.chat#bsky_chat"
AT_ONCE = 2  # entries of the log in one answer, so that it has pages
# What a look asks besides, and the name of the list that it is answered with.
NOTHING = {
    "com.atproto.repo.listRecords": "records", "app.bsky.notification.listNotifications": "notifications",
    "app.bsky.feed.getPosts": "posts", "app.bsky.graph.getFollowers": "followers", "app.bsky.graph.getFollows": "follows",
}  # fmt: skip


class Messages:
    """The shop's account, and who writes to it.

    Attributes:
        logs: what happened in its conversations, oldest first.
        allowed: whether its app password may read messages.
        asked: how often the log was asked for.
    """

    password = "abcd-efgh-ijkl-mnop"

    def __init__(self) -> None:
        self.logs: list[dict[str, Any]] = []
        self.allowed = True
        self.asked = 0
        self._number = itertools.count(1)
        self._server: uvicorn.Server | None = None

    # -- running -----------------------------------------------------------------------------------------------

    def __enter__(self) -> Messages:
        app = Starlette(
            routes=[
                Route("/xrpc/com.atproto.server.createSession", self._session, methods=["POST"]),
                Route("/xrpc/com.atproto.server.refreshSession", self._session, methods=["POST"]),
                Route("/xrpc/{method}", self._ask),
            ]
        )
        self._server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan="off"))
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not (self._server.started and self._server.servers):
            time.sleep(0.01)
        self.url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(5)

    # -- what a test does --------------------------------------------------------------------------------------

    def say(self, did: str, text: str) -> str:
        """Somebody writes; returns the message's number."""
        number = f"m{next(self._number)}"
        view = {"$type": f"{DEFS}messageView", "id": number, "text": text}
        self._log("logCreateMessage", did, view)
        return number

    def delete(self, did: str, number: str) -> None:
        """Somebody deletes what they wrote."""
        self._log("logDeleteMessage", did, {"$type": f"{DEFS}deletedMessageView", "id": number})

    def _log(self, kind: str, did: str, view: dict[str, Any]) -> None:
        now = time.time()
        rev = tid(int(now * 1_000), len(self.logs) % 1_024)
        view |= {"rev": rev, "sender": {"did": did}, "sentAt": _stamp(now)}
        self.logs.append({"$type": DEFS + kind, "rev": rev, "convoId": f"convo-{did[-4:]}", "message": view})

    # -- what it answers ---------------------------------------------------------------------------------------

    async def _session(self, request: Request) -> JSONResponse:
        renews = request.url.path.endswith("refreshSession")
        if renews:
            known = request.headers.get("authorization") == "Bearer refresh"
        else:
            known = (await request.json()).get("password") == self.password
        if not known:
            return _refused(401, "AuthenticationRequired")
        return JSONResponse(
            {"did": ME, "handle": "shop.test", "active": True, "accessJwt": "access", "refreshJwt": "refresh"}
        )

    async def _ask(self, request: Request) -> JSONResponse:
        method = request.path_params["method"]
        if request.headers.get("authorization") != "Bearer access":
            return _refused(401, "ExpiredToken")
        if method == "chat.bsky.convo.getLog":
            return self._chat(request)
        if method == "app.bsky.actor.getProfile":
            return JSONResponse({"did": ME, "handle": "shop.test", "followersCount": 0})
        if method in NOTHING:
            return JSONResponse({NOTHING[method]: []})
        return _refused(501, "MethodNotImplemented")

    def _chat(self, request: Request) -> JSONResponse:
        self.asked += 1
        if request.headers.get("atproto-proxy") != SERVICE:
            return _refused(501, "MethodNotImplemented")
        if not self.allowed:
            return _refused(403, "Forbidden")
        return JSONResponse(self.log(request.query_params.get("cursor", "")))

    def log(self, cursor: str) -> dict[str, Any]:
        """An answer to ``chat.bsky.convo.getLog``: what happened after ``cursor``, and where to go on."""
        newer = [one for one in self.logs if one["rev"] > cursor][:AT_ONCE]
        told: dict[str, Any] = {"logs": newer}
        after = newer[-1]["rev"] if newer else cursor
        return told | ({"cursor": after} if after else {})


def _refused(status: int, error: str) -> JSONResponse:
    return JSONResponse({"error": error, "message": "no"}, status)


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
