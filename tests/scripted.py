"""A connector's steps, run against answers that a test wrote down."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Generator, Mapping
from typing import Any

from plait.connectors import Answer, Ask, Frame, Next, Open, Page, Recall, Renewed

Reply = Answer | Callable[[Ask], Answer]


def answer(body: Any, status: int = 200, **headers: str) -> Answer:
    """An answer of JSON, or of bytes as they are."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, headers, raw)


class Script:
    """Answers by path (without the query); what is not in it is answered 404.

    Attributes:
        asked: every request, in order.
        pages: what was told.
        held: answers to ``Recall``, by (signal, post or account).
        renewed: secrets that were to be kept at once, and how much had been asked by then.
    """

    def __init__(self, replies: Mapping[str, Reply | list[Reply]], frames: list[Frame] | None = None) -> None:
        self.replies = {path: list(one) if isinstance(one, list) else one for path, one in replies.items()}
        self.frames = list(frames or [])
        self.asked: list[Ask] = []
        self.opened: list[Open] = []
        self.pages: list[Page] = []
        self.held: dict[tuple[str, str], list[tuple[str, str | None]]] = {}
        self.renewed: list[tuple[Mapping[str, str], int]] = []

    def run(self, steps: Generator[Any, Any, Any]) -> Any:
        """Run to the end, or until a stream has no more frames; what the generator returned."""
        sent: Any = None
        while True:
            try:
                step = steps.send(sent)
            except StopIteration as done:
                return done.value
            sent = None
            if isinstance(step, Ask):
                sent = self._reply(step)
            elif isinstance(step, Recall):
                sent = self.held.get((step.signal, step.about.post or step.about.account or ""))
            elif isinstance(step, Open):
                self.opened.append(step)
            elif isinstance(step, Page):
                self.pages.append(step)
            elif isinstance(step, Renewed):
                self.renewed.append((step.secrets, len(self.asked)))
            elif isinstance(step, Next):
                if not self.frames:
                    steps.close()
                    return None
                sent = self.frames.pop(0)

    def _reply(self, ask: Ask) -> Answer:
        self.asked.append(ask)
        assert len(self.asked) < 1_000, "it asks for ever"
        found = self.replies.get(ask.url.partition("?")[0])
        if isinstance(found, list):
            found = found.pop(0) if len(found) > 1 else found[0]
        if found is None:
            return Answer(404, {}, b"{}")
        return found if isinstance(found, Answer) else found(ask)

    @property
    def facts(self) -> list[tuple[str, str, str, str]]:
        """(signal, op, actor, about) of all that was told."""
        return [
            (one.signal.value, one.op, one.actor.partition(":")[2], one.about.post or one.about.account or "")
            for page in self.pages
            for one in page.facts
        ]


def remembered(one: Any, seen: dict[int, Any] | None = None) -> str:
    """All that an object holds in mind, as text."""
    seen = {} if seen is None else seen  # keeps them alive, or another one could have the same id
    if id(one) in seen or inspect.ismodule(one) or inspect.isroutine(one) or inspect.isclass(one):
        return ""
    seen[id(one)] = one
    if isinstance(one, Mapping):
        return "".join(remembered(each, seen) for pair in one.items() for each in pair)
    if isinstance(one, list | tuple | set | frozenset):
        return "".join(remembered(each, seen) for each in one)
    names = getattr(one, "__struct_fields__", None) or getattr(one, "__dict__", None) or ()
    return repr(one) + "".join(remembered(getattr(one, name, None), seen) for name in names)
