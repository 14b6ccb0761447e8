"""A day of the shop's account on Bluesky, played again while the demo is open: likes come, and some are taken back.

What happened was done by invented people on Bluesky's own server and recorded once (``tests/peers/record.py``). It goes the way it
goes in life: through the connector, as what Jetstream says, and in pages to the API. Only the clock is quicker, and a few of the
people are the demo's guests and customers whom these follow.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from plait import bridge
from plait.connectors import Account, Fact, Frame, Next, Page
from plait.connectors.bluesky import Connector
from plait.demo.visitors import FRIENDS, account_of
from plait.errors import PlaitError
from plait.reach import Api

SOURCE = "bluesky"
LASTS = 900.0  # seconds that the day takes
LATEST = 14  # acts that are told by name
_PATIENCE = 2.0  # seconds
SHOWN = 3  # products a guest is looked at with
_GUESTS = ("mara", "aylin", "noor")
_OURS = (*_GUESTS, *(one.user for one in FRIENDS))  # customers of the shop, whose accounts are linked


class Recorded:
    """The day: what Jetstream said, and when.

    Attributes:
        messages: (part of the day that is over, 0..1; JSON), in order.
        names: of the invented people, by DID.
    """

    def __init__(self) -> None:
        text = files("plait.demo").joinpath("social-day.jsonl").read_text(encoding="utf-8")
        head, _, rest = text.partition("\n")
        told = json.loads(head)
        self.me: str = told["me"]
        self._posts: dict[str, str] = told["posts"]
        self.names = {did: name.capitalize() for name, did in told["people"].items()}
        self._ours = {f"bluesky:{account_of('bluesky', name)}" for name in _OURS}
        for name in _OURS:
            self.names[account_of("bluesky", name)] = name.capitalize()
            rest = rest.replace(told["people"][name], account_of("bluesky", name))
        lines = [json.loads(line) for line in rest.splitlines()]
        first, last = lines[0]["second"], lines[-1]["second"] + 1
        self.messages = [((line.pop("second") - first) / (last - first), line) for line in lines]

    def pages(self, heard: Iterator[dict[str, Any] | None], now: Callable[[], int]) -> Iterator[list[Fact]]:
        """Facts of what is heard, as the connector tells them; ``None`` is that nothing came for a moment."""
        account = Account(source=SOURCE, host="", me=f"bluesky:{self.me}", settings={"stream": "jetstream"})
        steps = Connector(account, watched=self._ours.__contains__, now=now).stream(None)
        step = steps.send(None)
        for message in chain(heard, (None, None)):
            while not isinstance(step, Next):
                if isinstance(step, Page):
                    yield [self._on_shelf(fact, now()) for fact in step.facts]
                step = steps.send(None)
            step = steps.send(None if message is None else Frame(json.dumps(message)))

    def _on_shelf(self, fact: Fact, now: int) -> Fact:
        """About the post as it stands on the shop's shelf, and happening now."""
        post = fact.about.post
        about = (
            fact.about
            if post is None
            else msgspec.structs.replace(fact.about, post=self._posts.get(post, post))
        )
        return msgspec.structs.replace(fact, about=about, at=now)


class SocialDay:
    """Plays the day, from morning to night or act by act, and again.

    What another playing brought is taken back before it is played anew, so the names of its records carry its time; a file
    remembers that name, for the demo may be opened again on the same folder.

    Args:
        api: with the secret key.
        lasts: seconds.
        kept: file with the name of the latest playing; ``None`` remembers nothing.
    """

    def __init__(self, api: Api, *, lasts: float = LASTS, kept: Path | None = None) -> None:
        self._api, self._kept = api, kept
        day = Recorded()
        self._names = day.names
        self._acts = [facts for facts in day.pages(_breathing(day.messages), lambda: 0) if facts]
        self._pace = lasts / len(self._acts)  # seconds between two acts
        self._lock = threading.Lock()  # one act at a time
        self._wakes = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._name = ""
        self._ready = False
        self._before: dict[str, Any] = {}
        self._now: tuple[int, dict[str, Any]] = (-1, {})
        self.playing = False
        self.done = 0

    def start(self) -> None:
        """Play it in a thread that ends with the process, at the pace of the whole day."""
        self.go_on(self._pace)

    def play(self) -> None:
        """Play what is left of the day, until night."""
        while self.step():
            time.sleep(self._pace)

    def go_on(self, pace: float) -> None:
        """Let it run, with so many seconds between two acts."""
        self._pace, self.playing = pace, True
        self._wakes.set()
        if not self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # two at once: the other one started it
                self._thread.start()

    def pause(self) -> None:
        """Let it stand."""
        self.playing = False
        self._wakes.clear()

    def step(self) -> bool:
        """The next act, now; ``False`` when the day is over. One that the server refuses is left out."""
        with self._lock:
            self._begin()
            if self.done >= len(self._acts):
                return False
            facts = self._acts[self.done]
            self._tell([one for fact in facts for one in self._told(fact)])
            self.done += 1
            return self.done < len(self._acts)

    def again(self) -> None:
        """Take everything back that this day brought: it is morning."""
        with self._lock:
            self._take_back(self._name)
            self._ready, self.done = False, 0
            self._begin()

    def state(self) -> dict[str, Any]:
        """What happened so far: sums of each post, the latest acts, and what guests are shown, before it and now."""
        with self._lock:
            self._begin()
            done = self.done
            if self._now[0] != done:
                self._now = (done, self._look())
            acts = [fact for facts in self._acts[:done] for fact in facts]
            standing = {one.record: one for one in acts if one.op == "assert"}
            latest = [self._line(one, standing) for one in acts[-LATEST:]]
            for one in acts:
                if one.op == "retract":
                    standing.pop(one.record, None)
            sums: dict[str, dict[str, int]] = {}
            for one in standing.values():
                if one.about.post:
                    post = sums.setdefault(one.about.post, {})
                    post[one.signal] = post.get(one.signal, 0) + 1
            return {
                "playing": self.playing and done < len(self._acts),
                "done": done,
                "of": len(self._acts),
                "posts": sums,
                "latest": latest[::-1],
                "guests": [
                    {"guest": name, "before": self._before[name], "now": self._now[1][name]}
                    for name in _GUESTS
                ],
            }

    def _run(self) -> None:
        while True:
            self._wakes.wait()
            if not self.step():
                self.pause()
            time.sleep(self._pace)

    def _begin(self) -> None:
        """Morning: what an earlier playing left on this folder is taken back, and guests are looked at."""
        if self._ready:
            return
        if self._kept is not None and self._kept.exists():
            self._take_back(self._kept.read_text())
        self._name = f"{time.time_ns() // 1_000_000:x}"
        if self._kept is not None:
            self._kept.write_text(self._name)  # before the first act, or nobody would know what to take back
        self._before = self._look()
        self._now = (0, self._before)
        self._ready = True

    def _take_back(self, name: str) -> None:
        events = []
        for facts in self._acts:
            for fact in facts:
                if fact.op == "assert":
                    undone = msgspec.structs.replace(fact, id=f"{fact.id}#back", op="retract", text=None)
                    events += self._told(undone, name)
        self._tell(events)

    def _told(self, fact: Fact, name: str | None = None) -> list[dict[str, Any]]:
        """Events of one fact, happening now, under the name of a playing."""
        name = self._name if name is None else name
        record = f"{fact.record}/{name}" if fact.record else None
        fact = msgspec.structs.replace(
            fact, id=f"{fact.id}/{name}", record=record, at=time.time_ns() // 1_000_000
        )
        return [msgspec.to_builtins(one) for one in bridge.told_of(fact, SOURCE)]

    def _tell(self, events: list[dict[str, Any]]) -> None:
        with contextlib.suppress(PlaitError):
            if events:
                self._api.ask("POST", f"/v1/sources/{SOURCE}/pages", json={"events": events})

    def _look(self) -> dict[str, Any]:
        """What each guest is shown once the fold has come this far; after ``_PATIENCE`` as it is."""
        until = time.monotonic() + _PATIENCE
        with contextlib.suppress(PlaitError):
            while self._api.ask("GET", "/v1/status")["fold"]["lag_records"] and time.monotonic() < until:
                time.sleep(0.02)
        return {name: self._shown(name) for name in _GUESTS}

    def _shown(self, guest: str) -> list[dict[str, Any]]:
        asked = {
            "identifiers": [f"user:{guest}"],
            "placements": [{"id": "home.grid", "n": SHOWN}],
            "explain": True,
        }
        try:
            found = self._api.ask("POST", "/v1/personalize", json=asked)["placements"]["home.grid"]["items"]
        except PlaitError:
            return []
        return [{"item": one["item"], "because": one["because"]} for one in found]

    def _line(self, fact: Fact, standing: dict[str | None, Fact]) -> dict[str, Any]:
        about = standing[fact.record] if fact.op == "retract" and fact.record in standing else fact
        return {
            "who": self._called(fact.actor) or "somebody",
            "signal": fact.signal,
            "op": fact.op,
            "post": about.about.post,
            "whom": self._called(about.about.account),  # None is the shop
        }

    def _called(self, account: str | None) -> str | None:
        return self._names.get((account or "").removeprefix("bluesky:"))


def _breathing(messages: list[tuple[float, dict[str, Any]]]) -> Iterator[dict[str, Any] | None]:
    for _, message in messages:
        yield message
        yield from (None, None)  # so that what it says is told at once
