"""Collectors to measure, each one uvicorn process: ours, the floor that does nothing, a peer of the usual making.

Run as ``python -m bench.servers ours|floor|peer FOLDER``; prints the port it listens on.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

WRITE = "wk_for_the_bench"


async def floor(scope: Any, receive: Any, send: Any) -> None:
    """What uvicorn costs: the body is read and an answer of the same size given."""
    if scope["type"] == "lifespan":
        return
    while (await receive()).get("more_body"):
        pass
    body = b'{"success":true,"accepted":1}'
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def ours(folder: Path) -> Any:
    from plait.http import Installation, Metrics
    from plait.http.collect import Collect
    from plait.intake.signals import load_signals
    from plait.keys import Keys
    from plait.log import open_log
    from plait.log.commit import Committer
    from plait.profiles.consent import ConsentDoor
    from plait.settings import Settings

    settings = Settings(data=str(folder))
    log = open_log(settings.url("log"), write=True)
    unused: Any = dict.fromkeys(
        one.name for one in fields(Installation) if one.default is one.default_factory
    )
    here = Installation(
        **unused  # collect works with these alone
        | {
            "settings": settings,
            "keys": Keys(write=WRITE, secret="sk_for_the_bench", pepper="pepper"),
            "log": log,
            "committer": Committer(log),
            "door": ConsentDoor(settings, "pepper"),
            "signals": load_signals(),
            "metrics": Metrics(),
        }
    )
    collect = Collect(here)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await collect(scope, receive, send)

    app.at_once = collect.at_once  # type: ignore[attr-defined]
    return app


def serve(app: Any, config: Callable[[Any], uvicorn.Config]) -> None:
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    print(listening.getsockname()[1], flush=True)
    uvloop.run(uvicorn.Server(config(app)).serve(sockets=[listening]))


def plain(app: Any) -> uvicorn.Config:
    """uvicorn at its best, and nothing of ours."""
    return uvicorn.Config(
        app, loop="none", http="httptools", lifespan="off", access_log=False, log_level="warning", ws="none",
        server_header=False, proxy_headers=False,
    )  # fmt: skip


if __name__ == "__main__":
    which, where = sys.argv[1], Path(sys.argv[2])
    if which == "peer":
        from bench.peers.fastapi_collector import make

        serve(make(where / "events.sqlite", WRITE), plain)
    elif which == "floor":
        serve(floor, plain)
    else:
        from plait.serve import config

        serve(ours(where), config)
