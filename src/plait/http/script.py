"""The browser's half of Plait, handed out by the server itself: one tag, no other host, nothing to build."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from plait.http.plain import installation

_RULED = ("plait.js",)  # the core knows marked sections only
_FOLDER = Path(__file__).parent / "static"
# Without a version in its address a script must be asked for again; an hour is what a new one may take to arrive.
_FRESH = "public, max-age=3600, stale-while-revalidate=86400"
_FOREVER = "public, max-age=31536000, immutable"


@cache
def _built(name: str, rules: bytes = b"") -> tuple[bytes, bytes, str]:
    """The script behind the operator's rules for it, the same as gzip, and its version."""
    text = (_FOLDER / name).read_bytes()
    if rules:
        text = b"window.plait_rules=%b;%b" % (rules, text)
    return text, gzip.compress(text, 9, mtime=0), hashlib.sha256(text).hexdigest()[:16]


def _of(request: Request, name: str) -> tuple[bytes, bytes, str]:
    return _built(name, installation(request).signals.places.selectors if name in _RULED else b"")


def version(request: Request) -> str:
    """What pages of this installation may name as ``/plait.js?v=``, so that a browser keeps it for ever."""
    return _of(request, "plait.js")[2]


async def script(request: Request) -> Response:
    """``/plait.js``: for an hour, or for ever where the address says which version is meant (``?v=``)."""
    text, zipped, newest = _of(request, request.url.path[1:])
    wanted = request.query_params.get("v")
    headers = {
        "cache-control": _FOREVER if wanted == newest else _FRESH,
        "etag": f'"{newest}"',
        "vary": "Accept-Encoding",
        # Pages of other origins load it, as a script with integrity and as a module.
        "access-control-allow-origin": "*",
        "cross-origin-resource-policy": "cross-origin",
    }
    if f'"{newest}"' in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
        text = zipped
    return Response(text, media_type="text/javascript; charset=utf-8", headers=headers)


routes = [Route("/plait.js", script), Route("/plait-core.js", script)]
OPEN = tuple(route.path for route in routes)
