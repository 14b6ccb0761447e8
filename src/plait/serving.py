"""Who serves a data folder: ``serve.json``, for the other commands and children on this machine."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

FILE = "serve.json"
_ANSWERS_WITHIN = 5.0  # seconds for a connection on this machine


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """What ``serve.json`` says. ``key`` is a secret key that lives as long as the server; ``repr`` does not show it."""

    pid: int
    url: str
    key: str
    own_keys: bool = False

    def __repr__(self) -> str:
        return f"Serving({self.pid}, {self.url})"


def serving(data: Path) -> Serving | None:
    """Who serves a data folder now, ``None`` when nobody does."""
    try:
        told = msgspec.json.decode((data / FILE).read_bytes(), type=Serving)
        os.kill(told.pid, 0)
        # The number may be another process's by now, in containers above all, where all count from 1: who serves listens, too.
        where = urlsplit(told.url)
        socket.create_connection((where.hostname or "", where.port or 0), timeout=_ANSWERS_WITHIN).close()
    except (OSError, msgspec.MsgspecError, ValueError):
        return None
    return told
