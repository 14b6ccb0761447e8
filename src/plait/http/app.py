"""All routes in one ASGI application: hot paths raw, the rest through Starlette, every answer JSON.

Nothing is open by accident: a route of Starlette asks for the secret key unless it stands in ``OPEN``. The hot
paths (collect, personalize) know themselves what each key may do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from types import SimpleNamespace

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute, Match, Route, Router

from plait.errors import Rejected
from plait.http import Installation, Scope, audiences, hooks, items, operate, people, proofs, script, sources
from plait.http.collect import Collect
from plait.http.personalize import Personalize
from plait.http.protocol import Answer
from plait.http.wire import SLOWEST, Gone, Message, Receive, Send, send_error

ASGI = Callable[[Scope, Receive, Send], Awaitable[None]]

# /v1/live takes a token, see operate
OPEN = ("/health/live", "/health/ready", "/openapi.json", "/v1/live", *script.OPEN, *proofs.OPEN)
LARGEST = 32 * 1024 * 1024  # bytes of a body; ten thousand items with texts fit


class App:
    """The application of one installation.

    Args:
        more: routes that are open to everybody, such as the demo's pages; tried last.
    """

    def __init__(self, installation: Installation, *, more: Sequence[BaseRoute] = ()) -> None:
        self._installation = installation
        self._collect = Collect(installation)
        self._personalize = Personalize(installation)
        self._open = list(more)
        # Only the router of Starlette: its application answers a failure before we can, in plain text.
        # "/v1/items/" is not "/v1/items": a redirect would make clients repeat a POST as a GET.
        self._rest = Router(
            [
                *operate.routes,
                *people.routes,
                *items.routes,
                *audiences.routes,
                *sources.routes,
                *proofs.routes,
                *hooks.routes,
                *script.routes,
                *more,
            ],
            redirect_slashes=False,
        )
        self.state = SimpleNamespace(installation=installation)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever goes wrong is told as JSON."""
        if scope["type"] != "http":
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            if message.get("status") == 405 or (scope["method"] == "OPTIONS" and "status" in message):
                message["headers"] = _with_allow(message["headers"], scope["path"])
            await send(message)

        try:
            await self._route(scope["path"])(scope, receive, watched)
        except (Gone, ClientDisconnect):
            return  # nobody is there to be told
        except HTTPException as error:
            await send_error(watched, _told(scope, error), self._allow(scope))
        except Exception as error:
            told = self._installation.failed(error, "/".join(scope["path"].split("/")[1:3]))
            if not started:
                await send_error(send, told)

    def at_once(self, scope: Scope, body: bytes, answer: Answer) -> bool:
        """Offer a request that is whole to the hot paths, without a task; what is not taken comes to ``__call__``."""
        hot = self._hot(scope["path"])
        return hot is not None and hot.at_once(scope, body, answer)

    def _hot(self, path: str) -> Collect | Personalize | None:
        if Collect.takes(path):
            return self._collect
        return self._personalize if Personalize.takes(path) else None

    def _route(self, path: str) -> ASGI:
        return self._hot(path) or self._guarded

    def _allow(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        """The methods of a path, where there is one: each route knows its own only."""
        found = [
            one
            for one in self._rest.routes
            if isinstance(one, Route) and one.matches(scope)[0] is not Match.NONE
        ]
        methods = {method for one in found if one.path == found[0].path for method in one.methods or ()}
        return [(b"allow", ", ".join(sorted(methods)).encode())] if methods else []

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._check_key(scope)
        if "\ufffd" in scope["path"] and b"%ef%bf%bd" not in scope["raw_path"].lower():
            raise Rejected("the path is not UTF-8 behind its percent signs", code="invalid_text")
        scope["app"] = self
        await self._rest(scope, _limited(receive), _hardened(send))

    def _check_key(self, scope: Scope) -> None:
        if (
            scope["path"] in OPEN
            or scope["path"].startswith(hooks.PREFIXES)
            or any(route.matches(scope)[0] is not Match.NONE for route in self._open)
        ):
            return
        if all(route.matches(scope)[0] is Match.NONE for route in self._rest.routes):
            return  # a 404 tells nothing
        role = self._installation.who_asks(scope)
        if role is None:
            raise Rejected(
                "this needs the secret key: Authorization: Bearer <secret key>",
                code="unknown_key",
                status=401,
            )
        if role != "secret":
            raise Rejected("the write key may not do this; use the secret key", code="forbidden", status=403)


def _limited(receive: Receive) -> Receive:
    """The same request, refused when its body is too large or too slow."""
    size, clock = 0, asyncio.get_running_loop().time
    until = clock() + SLOWEST
    whole = False

    async def counted() -> Message:
        nonlocal size, whole
        if whole:  # what follows the body is only ever the news that the client left
            return await receive()
        try:
            async with asyncio.timeout_at(until):
                message = await receive()
        except TimeoutError:
            raise Rejected(
                f"the body did not arrive within {SLOWEST:g} s", code="slow_sender", status=408
            ) from None
        size += len(message.get("body", b""))
        whole = not message.get("more_body")
        if size > LARGEST:
            raise Rejected(f"the body is larger than {LARGEST} bytes", code="body_too_large", status=413)
        return message

    return counted


_HARDENED = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]
_NOTHING_LOADS = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")


def _hardened(send: Send) -> Send:
    async def more(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [*message["headers"], *_HARDENED]
            if all(name != b"content-security-policy" for name, _ in headers):
                headers.append(_NOTHING_LOADS)
            message = {**message, "headers": headers}
        await send(message)

    return more


def _told(scope: Scope, error: HTTPException) -> Rejected:
    path, status = scope["path"][:200], error.status_code
    if status == 404:
        return Rejected(f"there is no {path}", code="not_found", status=404)
    if status == 405:
        return Rejected(f"{scope['method']} is not for {path}", code="method_not_allowed", status=405)
    return Rejected(error.detail, code="invalid_request", status=status)


def _with_allow(headers: Iterable[tuple[bytes, bytes]], path: str) -> list[tuple[bytes, bytes]]:
    """Who asks how, or asks wrongly, is told what is allowed; the hot paths leave that to us."""
    told = list(headers)
    if all(name != b"allow" for name, _ in told):
        reads = path.startswith(("/v1/placements/", "/v1/profiles/", "/v1/projects/", "/sourceConfig"))
        told.append((b"allow", b"GET, HEAD, OPTIONS" if reads else b"POST, OPTIONS"))
    return told
