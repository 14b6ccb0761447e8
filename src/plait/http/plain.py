"""Small things that the routes of Starlette share: the installation, bodies in, JSON out."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from plait.errors import Rejected
from plait.http import Installation, Scope
from plait.intake.checks import parsed, sound


def installation(request: Request) -> Installation:
    """The installation that a request is for."""
    found: Installation = request.app.state.installation
    return found


def raw_path(scope: Scope) -> bytes:
    """The path as it was sent, its percent signs undone by nobody."""
    sent: bytes = scope.get("raw_path") or scope["path"].encode()
    return sent.partition(b"?")[0]


def answer(value: Any, status: int = 200) -> Response:
    """``value`` as a JSON answer."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")


async def body(request: Request, *, of_many: bool = False) -> dict[str, Any]:
    """The JSON object that a request carries.

    Args:
        request: it.
        of_many: half characters (lone surrogates) are left for who checks each of many things: one costs no other.

    Raises:
        Rejected: it is not JSON, not an object, or holds half a character; ``field`` says where.
    """
    raw = await request.body()
    try:
        told = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        told = parsed(raw) if of_many else sound(raw)
    if not isinstance(told, dict):
        raise Rejected("the body must be a JSON object", code="invalid_body")
    return told
