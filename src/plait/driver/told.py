"""How each source is, as ``plait sources`` shows it: written by the driver to one file, read by everybody else."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from pathlib import Path
from typing import Literal

import msgspec

from plait.driver.budget import Spent

FILE = "driver.json"
_SAMPLES = 5  # of what was dropped
_ERRORS = 5
_LONGEST = 600  # characters of what is told of one; a command that mends it is whole

State = Literal["starting", "backfilling", "streaming", "polling", "waiting", "refused", "failed", "stopped"]


class Trouble(msgspec.Struct, frozen=True):
    """Something that went wrong: no identifier, no secret, no text of anybody's."""

    at: int
    code: str
    message: str


class Left(msgspec.Struct, frozen=True):
    """What is left of a budget: calls now, of how many in how many seconds."""

    left: int
    calls: int
    seconds: int


class Progress(msgspec.Struct, frozen=True):
    """How far a backfill is, in the connector's units; ``total`` 0 when nobody knows."""

    done: int = 0
    total: int = 0
    finished: bool = False


class Told(msgspec.Struct, kw_only=True):
    """One source. Times are ms since the epoch, 0 when it never happened; counts are since the driver started.

    Attributes:
        state: ``waiting`` for the network, ``refused`` when it does not take the credentials, ``failed`` when the
            connector raised what it must not.
        since: when the state began.
        heard_at: when the network last told anything, if only that there is nothing new.
        last_at: when the newest fact happened.
        lag_seconds: between the newest fact and its being kept.
        dropped: facts that were left out, by reason; ``samples`` says a little of the last ones.
        gaps: why something may have been missed; ``last_gap`` the newest.
        spent: of the budgets, so that a restart does not begin with full ones.
    """

    source: str
    network: str
    state: State = "starting"
    since: int = 0
    heard_at: int = 0
    last_at: int = 0
    lag_seconds: float = 0.0
    facts: int = 0
    posts: int = 0
    pages: int = 0
    polls: int = 0
    streams: int = 0
    calls: int = 0
    gone: int = 0
    dropped: dict[str, int] = {}
    samples: list[str] = []
    gaps: int = 0
    last_gap: str = ""
    errors: int = 0
    last_errors: list[Trouble] = []
    backfill: Progress = Progress()
    budgets: dict[str, Left] = {}
    spent: dict[str, Spent] = {}

    def become(self, state: State, now: int) -> None:
        """Note what it does now."""
        if state != self.state:
            self.state, self.since = state, now

    def trouble(self, code: str, message: str, now: int) -> None:
        """Note what went wrong; the newest few are shown."""
        self.errors += 1
        self.last_errors = list(deque([*self.last_errors, Trouble(now, code, message[:_LONGEST])], _ERRORS))

    def drop(self, reason: str, sample: str = "", n: int = 1) -> bool:
        """Count facts that were left out; whether this one is among the few that are worth a line in the log."""
        self.dropped[reason] = before = self.dropped.get(reason, 0) + n
        if sample:
            self.samples = list(deque([*self.samples, sample[:200]], _SAMPLES))
        return before - n < _SAMPLES

    def add(self, other: Told) -> None:
        """Add what another process counted of the same source."""
        for name in ("facts", "posts", "pages", "gone", "errors", "gaps"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for reason, n in other.dropped.items():
            self.dropped[reason] = self.dropped.get(reason, 0) + n
        self.samples = [*self.samples, *other.samples][-_SAMPLES:]
        self.last_errors = sorted([*self.last_errors, *other.last_errors], key=lambda one: one.at)[-_ERRORS:]
        self.last_at, self.heard_at = max(self.last_at, other.last_at), max(self.heard_at, other.heard_at)


_decoder = msgspec.json.Decoder(dict[str, Told])


def read_told(data: Path) -> dict[str, Told]:
    """What the driver wrote last, by source; empty when it never did."""
    try:
        return _decoder.decode((data / FILE).read_bytes())
    except (OSError, msgspec.MsgspecError):
        return {}


def write_told(data: Path, told: dict[str, Told]) -> None:
    """Write it whole. Not synced: after a power loss it is made anew."""
    fresh = data / f".{FILE}.{os.getpid()}"
    with contextlib.suppress(OSError):  # a full disk is told by those whose data matters
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.json.encode(told))
        fresh.replace(data / FILE)
