"""Small things that the routes of Starlette share: the installation, bodies in, JSON out."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from plait.errors import Rejected
from plait.http import Installation


def installation(request: Request) -> Installation:
    """The installation that a request is for."""
    found: Installation = request.app.state.installation
    return found


def answer(value: Any, status: int = 200) -> Response:
    """``value`` as a JSON answer."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")


async def body(request: Request) -> dict[str, Any]:
    """The JSON object that a request carries.

    Raises:
        Rejected: it is not JSON, or not an object.
    """
    try:
        told = msgspec.json.decode(await request.body())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Rejected(f"the body is not JSON: {exc}", code="invalid_json") from exc
    if not isinstance(told, dict):
        raise Rejected("the body must be a JSON object", code="invalid_body")
    return told
