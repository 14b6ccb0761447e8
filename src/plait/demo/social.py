"""A day of the shop's account on Bluesky, played again while the demo is open: likes come, and some are taken back.

What happened was done by invented people on Bluesky's own server and recorded once (``tests/peers/record.py``). It goes the way it
goes in life: through the connector, as what Jetstream says, and in pages to the API. Only the clock is quicker, and a few of the
people are the demo's guests.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from itertools import chain
from typing import Any

import msgspec

from plait import bridge
from plait.connectors import Account, Fact, Frame, Next, Page
from plait.connectors.bluesky import Connector
from plait.demo.visitors import account_of
from plait.errors import PlaitError
from plait.reach import Api

SOURCE = "bluesky"
LASTS = 900.0  # seconds that the day takes
_GUESTS = ("mara", "aylin", "noor")


class Recorded:
    """The day: what Jetstream said, and when.

    Attributes:
        messages: (part of the day that is over, 0..1; JSON), in order.
    """

    def __init__(self) -> None:
        text = files("plait.demo").joinpath("social-day.jsonl").read_text(encoding="utf-8")
        head, _, rest = text.partition("\n")
        told = json.loads(head)
        self.me: str = told["me"]
        self._posts: dict[str, str] = told["posts"]
        for name in _GUESTS:
            rest = rest.replace(told["people"][name], account_of("bluesky", name))
        lines = [json.loads(line) for line in rest.splitlines()]
        first, last = lines[0]["second"], lines[-1]["second"] + 1
        self.messages = [((line.pop("second") - first) / (last - first), line) for line in lines]

    def pages(self, heard: Iterator[dict[str, Any] | None], now: Callable[[], int]) -> Iterator[list[Fact]]:
        """Facts of what is heard, as the connector tells them; ``None`` is that nothing came for a moment."""
        account = Account(source=SOURCE, host="", me=f"bluesky:{self.me}", settings={"stream": "jetstream"})
        steps = Connector(account, watched=lambda _: False, now=now).stream(None)
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
    """Plays the day.

    Args:
        api: with the secret key.
        lasts: seconds.
    """

    def __init__(self, api: Api, *, lasts: float = LASTS) -> None:
        self._api, self._lasts = api, lasts

    def start(self) -> None:
        """Play it in a thread that ends with the process."""
        threading.Thread(target=self.play, daemon=True).start()

    def play(self) -> None:
        """Play it from morning to night. A page that fails is left out."""
        day, began = Recorded(), time.time()

        def heard() -> Iterator[dict[str, Any] | None]:
            for part, message in day.messages:
                time.sleep(max(0.0, began + part * self._lasts - time.time()))
                yield message
                yield from (None, None)  # so that what it says is told at once

        for facts in day.pages(heard(), lambda: int(time.time() * 1000)):
            events = [msgspec.to_builtins(one) for fact in facts for one in bridge.told_of(fact, SOURCE)]
            with contextlib.suppress(PlaitError):
                if events:
                    self._api.ask("POST", f"/v1/sources/{SOURCE}/pages", json={"events": events})
