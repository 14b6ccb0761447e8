"""Who serves a data folder: ``serve.json``, for the other commands and children on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

FILE = "serve.json"


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
    except (OSError, msgspec.MsgspecError):
        return None
    return told
