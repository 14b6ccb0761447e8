"""A fake network for tests of the driver: a real HTTP and WebSocket server on this machine, with faults to order."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

Fault = Callable[[Request], Response | None]


class FakeNetwork:
    """Accounts, acts, and what goes wrong.

    Attributes:
        acts: what happened since the account was connected; ``past`` what happened before.
        calls: (path, monotonic seconds) of every request.
        faults: the next requests to a path are answered by these, first come first served.
    """

    def __init__(self) -> None:
        self.acts: list[dict[str, Any]] = []
        self.past: list[dict[str, Any]] = []
        self.calls: list[tuple[str, float]] = []
        self.faults: dict[str, deque[Fault]] = {}
        self.password = "right"
        self.access, self.refresh = "access-0", "refresh-0"
        self.expires_in = 3_600
        self.sessions = 0
        self.lies = False
        self.gone: list[str] = []
        self.gap: str | None = None
        self.streams: list[WebSocket] = []
        self.headers: dict[str, str] = {}
        self._server: uvicorn.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    # -- running -----------------------------------------------------------------------------------------------

    def __enter__(self) -> FakeNetwork:
        app = Starlette(
            routes=[
                Route("/session", self._session, methods=["POST"]), Route("/acts", self._acts), Route("/past", self._past),
                Route("/plain", self._plain), Route("/events", self._events), WebSocketRoute("/stream", self._stream),
            ]
        )  # fmt: skip
        self._server = uvicorn.Server(
            uvicorn.Config(app, port=0, log_level="critical", lifespan="off", ws="websockets-sansio")
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        while not (self._server.started and self._server.servers):
            time.sleep(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    def _run(self) -> None:
        assert self._server is not None
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(self._server.serve())

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self.cut()
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(5)

    # -- what a test does --------------------------------------------------------------------------------------

    def act(self, actor: str, *, past: bool = False, push: bool = True, **more: Any) -> dict[str, Any]:
        """Somebody does something; pushed to open streams."""
        there = self.past if past else self.acts
        one = {"id": f"{'p' if past else 'a'}{len(there) + 1}", "seq": len(there) + 1, "actor": actor,
               "at": int(time.time() * 1000), **more}  # fmt: skip
        there.append(one)
        if push and not past:
            self._on_loop(self._push(one))
        return one

    def say(self, frame: dict[str, Any]) -> None:
        """Push a frame that is no act."""
        self._on_loop(self._push(frame))

    def cut(self) -> None:
        """Cut all streams."""
        self._on_loop(self._cut())

    def fails(self, path: str, *faults: Fault) -> None:
        """Answer the next requests to ``path`` like this."""
        self.faults.setdefault(path, deque()).extend(faults)

    def called(self, path: str) -> int:
        return sum(1 for one, _ in self.calls if one == path)

    def _on_loop(self, work: Any) -> None:
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(work, self._loop).result(5)

    async def _push(self, one: dict[str, Any]) -> None:
        for line in list(self.streams):
            try:
                await line.send_json(one)
            except Exception:
                self.streams.remove(line)

    async def _cut(self) -> None:
        for line in list(self.streams):
            with contextlib.suppress(Exception):
                await line.close(1011)
        self.streams.clear()

    # -- what it answers ---------------------------------------------------------------------------------------

    def _fault(self, request: Request) -> Response | None:
        self.calls.append((request.url.path, time.monotonic()))
        waiting = self.faults.get(request.url.path)
        return waiting.popleft()(request) if waiting else None

    async def _session(self, request: Request) -> Response:
        if fault := self._fault(request):
            return fault
        told = await request.json()
        if told.get("refresh") != self.refresh and told.get("password") != self.password:
            return JSONResponse({"error": "no"}, 401)
        self.sessions += 1
        self.access, self.refresh = f"access-{self.sessions}", f"refresh-{self.sessions}"
        return JSONResponse(
            {"access": self.access, "refresh": self.refresh, "user": told.get("user", "shop"), "expires_in": self.expires_in}
        )  # fmt: skip

    def _refused(self, request: Any) -> bool:
        return request.headers.get("authorization") != f"Bearer {self.access}"

    async def _acts(self, request: Request) -> Response:
        return self._page(request, self.acts)

    async def _past(self, request: Request) -> Response:
        return self._page(request, self.past)

    def _page(self, request: Request, there: list[dict[str, Any]]) -> Response:
        if fault := self._fault(request):
            return fault
        if self._refused(request):
            return JSONResponse({"error": "ExpiredToken"}, 401)
        after = int(request.query_params.get("after") or 0)
        found = [one for one in there if one["seq"] > after][: int(request.query_params.get("limit", 50))]
        more: dict[str, Any] = {
            "acts": found,
            "next": str(found[-1]["seq"]) if found else None,
            "total": len(there),
        }
        if self.lies:
            more |= {"acts": there[:1], "next": "1"}
        if found and there is self.acts:
            more |= {"gone": self.gone, "gap": self.gap}
            self.gone, self.gap = [], None
        return JSONResponse(more, headers=self.headers)

    async def _plain(self, request: Request) -> Response:
        return self._fault(request) or JSONResponse({"ok": True}, headers=self.headers)

    async def _events(self, request: Request) -> Response:
        if fault := self._fault(request):
            return fault

        async def told() -> Any:
            yield b": hello\n\n"
            for one in self.acts:
                yield f"event: act\ndata: {one['id']}\ndata: second line\n\n".encode()
            await asyncio.sleep(0.3)
            yield b"data: last\n\n"

        return StreamingResponse(told(), media_type="text/event-stream")

    async def _stream(self, line: WebSocket) -> None:
        self.calls.append(("/stream", time.monotonic()))
        if self._refused(line):
            await line.close(1008)
            return
        await line.accept()
        after = int(line.query_params.get("after") or 0)
        self.streams.append(line)
        for one in self.acts:
            if one["seq"] > after:
                await line.send_json(one)
        try:
            while True:
                await line.receive_text()
        except (WebSocketDisconnect, RuntimeError):
            if line in self.streams:
                self.streams.remove(line)


def answers(status: int, **headers: str) -> Fault:
    """A fault that answers so."""
    return lambda _: Response(
        b"{}", status, {name.replace("_", "-"): value for name, value in headers.items()}
    )
