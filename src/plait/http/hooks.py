"""Webhooks of networks, and what an account of ours publishes: open to everybody, so each connector checks signatures itself."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from plait.connectors import Received
from plait.errors import Rejected
from plait.http.plain import installation, raw_path
from plait.http.sources import sources_of

PREFIXES = ("/webhooks/", "/.well-known/")  # who asks below has no key of ours
LARGEST = 2 << 20  # bytes of a delivery


async def hook(request: Request) -> Response:
    """One delivery, a challenge, or a question about what an account publishes."""
    hooks = sources_of(installation(request)).hooks
    network, source, rest = (request.path_params.get(name, "") for name in ("network", "source", "rest"))
    headers = _headers(request)
    if request.method in ("GET", "HEAD") and rest:
        return _answered(await hooks.serve(_path(request), headers, source))
    size = request.headers.get("content-length", "0")
    if size.isascii() and size.isdecimal() and int(size[:12]) > LARGEST:
        raise _too_large()
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST:
            raise _too_large()
    return _answered(await hooks.receive(network, source, headers, bytes(body)))


async def known(request: Request) -> Response:
    """What accounts publish at a well-known place (WebFinger)."""
    hooks, headers = sources_of(installation(request)).hooks, _headers(request)
    return _answered(await hooks.serve(_path(request), headers))


def _path(request: Request) -> str:
    """The path that somebody reads, with its query: what a client escapes without need is the same place."""
    query: bytes = request.scope.get("query_string", b"")
    path: str = request.scope["path"]
    return path + ("?" + query.decode("latin-1") if query else "")


def _headers(request: Request) -> dict[str, str]:
    """The headers of a request, with ``:method`` and ``:path``: a signature is over those, too."""
    query: bytes = request.scope.get("query_string", b"")
    path = raw_path(request.scope) + (b"?" + query if query else b"")
    method = "GET" if request.method == "HEAD" else request.method
    return {":method": method, ":path": path.decode("latin-1"), **dict(request.headers)}


def _answered(received: Received | None) -> Response:
    if received is None:
        raise Rejected("there is nothing here", code="not_found", status=404)
    response = Response(received.body, received.status, headers=dict(received.headers))
    if received.body and "content-type" not in response.headers:
        response.headers["content-type"] = "text/plain; charset=utf-8"
    return response


def _too_large() -> Rejected:
    return Rejected(f"a delivery is larger than {LARGEST} bytes", code="body_too_large", status=413)


routes = [
    Route("/webhooks/{network}/{source}", hook, methods=["GET", "POST"]),
    Route("/webhooks/{network}/{source}/{rest:path}", hook, methods=["GET", "POST"]),
    Route("/.well-known/{rest:path}", known),
]
