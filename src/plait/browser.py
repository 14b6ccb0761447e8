"""Signing in with the operator's browser: they are sent to the network, and we wait on this machine until they come back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Empty, Queue
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from plait.errors import Rejected

_WAITS = 900.0  # seconds
_PARTS = ("code", "state", "iss", "error")
_PAGE = (
    "<!doctype html><meta charset=utf-8><title>Plait</title>"
    "<p>Thank you. You can close this window and go back to the terminal.</p>"
)

Answered = dict[str, str]


def signed_in(
    ask: Callable[[dict[str, Any]], Any], wanted: dict[str, Any], *, say: Callable[[str], None],
    typed: Callable[[], str] | None = None,
) -> Any:  # fmt: skip
    """What the server tells of the account that was connected.

    Args:
        ask: ``POST /v1/sources``.
        wanted: network, host, credentials.
        say: tells the operator something.
        typed: asks for what their browser shows, where it runs on another machine; without, it comes back to this one.

    Raises:
        Rejected: they said no, or took too long.
    """
    if typed is not None:
        begun = ask(wanted | {"back": ""})
        say(
            f"Open this in a browser, say yes, and bring back the code, or the address that it ends at:\n{begun['send_to']}"
        )
        return ask({"state": begun["state"], "answered": read(typed())})
    with coming_back() as (back, came):
        begun = ask(wanted | {"back": back})
        say(f"Open this in a browser on this machine, and say yes:\n{begun['send_to']}")
        while True:
            try:
                answered = came.get(timeout=_WAITS)
            except Empty:
                raise Rejected(
                    "nobody came back from the browser; begin anew", code="invalid_state"
                ) from None
            try:
                return ask({"state": begun["state"], "answered": answered})
            except Rejected as error:
                if error.code != "invalid_state":  # any page can send a browser here
                    raise


def read(text: str) -> Answered:
    """What was typed in: a code, or the address that the browser ended at."""
    text = text.strip()
    if "://" in text:
        return _parts(urlsplit(text).query)
    return {"code": text}


@contextmanager
def coming_back() -> Iterator[tuple[str, Queue[Answered]]]:
    """An address of this machine for a browser to come back to, and what comes."""
    came: Queue[Answered] = Queue()

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            found = _parts(urlsplit(self.path).query)
            known = bool(found.get("code") or found.get("error"))
            body = _PAGE.encode() if known else b""
            self.send_response(200 if known else 404)
            self.send_header("content-type", "text/html; charset=utf-8")
            self.send_header("content-length", str(len(body)))
            self.send_header("cache-control", "no-store")
            self.send_header("referrer-policy", "no-referrer")
            self.end_headers()
            self.wfile.write(body)
            if known:
                came.put(found)

        def log_message(self, *_: Any) -> None:
            return  # the code stands in the line

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", came
    finally:
        server.shutdown()
        server.server_close()


def _parts(query: str) -> Answered:
    return {name: value for name, value in parse_qsl(query, max_num_fields=50) if name in _PARTS}
