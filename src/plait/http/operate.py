"""What an operator asks of a running server: is it well, what did it count, fit now, what comes in live."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import closing
from itertools import islice
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from plait import __version__
from plait.errors import Rejected
from plait.events import checked_identifier
from plait.http import Installation
from plait.http.openapi import document
from plait.http.plain import answer, installation
from plait.profiles import history

_SHOWN = 50  # events that a listener is told first
_SILENCE = 15.0  # seconds; proxies close lines on which nothing is said


async def live(_: Request) -> Response:
    """Whether the process answers at all."""
    return answer({"status": "live"})


async def ready(request: Request) -> Response:
    """Whether questions can be answered, and what was accepted shows; 503 while starting or stopping."""
    here = installation(request)
    if not here.ready:
        return answer({"code": "not_ready", "message": "the server is starting or stopping"}, 503)
    if not here.following:
        return answer({"code": "not_ready", "message": "the fold is taking in what is in the log"}, 503)
    return answer({"status": "ready"})


async def status(request: Request) -> Response:
    """Where log, fold, catalog and model stand."""
    here = installation(request)
    here.tell_lag()
    return answer(
        {
            "version": __version__,
            "log": {"position": here.log.last},
            "fold": {
                "position": here.position(),
                "lag_records": here.lag.records,
                "lag_events": here.lag.events,
                "lag_seconds": round(here.lag.seconds, 3),
            },
            "catalog": {"items": len(here.catalog)},
            "model": here.about_model(),
        }
    )


async def metrics(request: Request) -> Response:
    """The figures of the server in the text format of Prometheus."""
    here = installation(request)
    here.measure()
    return Response(here.metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def fit(request: Request) -> Response:
    """Fit a model now, or join the fit that is under way; answers its manifest once it is in use."""
    return answer(await installation(request).fit())


async def openapi(_: Request) -> Response:
    """This API as an OpenAPI document."""
    return answer(document())


async def stream(request: Request) -> Response:
    """A person's events as they are folded, as server-sent events.

    Needs the secret key, or a ``token`` of scope ``live`` for the very identifier.
    """
    here = installation(request)
    identifier = checked_identifier(request.query_params.get("identifier"), field="identifier")
    if here.who_asks(request.scope) != "secret":
        token = request.query_params.get("token")
        if token is None:
            raise Rejected("this needs the secret key or a token", code="unknown_key", status=401)
        if here.keys.verify(token, here.now(), "live") != identifier:
            raise Rejected("the token speaks for somebody else", code="forbidden", field="token", status=403)
    return StreamingResponse(
        _events(here, identifier), media_type="text/event-stream", headers={"cache-control": "no-store"}
    )


async def _events(here: Installation, identifier: str) -> AsyncIterator[bytes]:
    told: set[tuple[str, str, int]] = set()
    rows: list[bytes] = []
    looked = spoken = time.monotonic()
    yield b": listening\n\n"
    while not here.stopping:
        now, before = time.monotonic(), rows
        rows = _rows(here, identifier)
        # Reading events is dear, so it waits for a row of this very identifier; those of linked ones show within a second.
        if rows != before or now - looked > 1:
            looked = now
            newest = {
                (one["source"], one["id"], one.get("part", 0)): one for one in _newest(here, identifier)
            }
            for key in reversed([key for key in newest if key not in told]):
                spoken = now
                yield b"data: " + msgspec.json.encode(newest[key]) + b"\n\n"
            told = set(newest)
        if now - spoken > _SILENCE:
            spoken = now
            yield b": still here\n\n"
        await asyncio.sleep(0.05)


def _rows(here: Installation, identifier: str) -> list[bytes]:
    with closing(here.store.snapshot()) as snapshot:
        found = snapshot.scan("timeline", identifier.encode() + b"\0", reverse=True)
        return [key for key, _ in islice(found, _SHOWN)]


def _newest(here: Installation, identifier: str) -> list[dict[str, Any]]:
    with closing(here.store.snapshot()) as snapshot:
        return history.recent(
            snapshot, here.log, identifier, _SHOWN, settings=here.settings, signals=here.signals
        )


routes = [
    Route("/health/live", live),
    Route("/health/ready", ready),
    Route("/metrics", metrics),
    Route("/openapi.json", openapi),
    Route("/v1/status", status),
    Route("/v1/fit", fit, methods=["POST"]),
    Route("/v1/live", stream),
]
