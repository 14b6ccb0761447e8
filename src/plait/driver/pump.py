"""A connector's generator, run: each step it yields becomes I/O, and it is sent what came of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from plait.connectors import Ask, Next, Open, Page, Recall, Steps
from plait.driver.line import Line
from plait.driver.streams import Ended, Stream, opened
from plait.errors import PlaitError

_LONGEST_WAIT = 300.0  # seconds for one frame, whatever a connector asks


async def pump(
    steps: Steps,
    line: Line,
    *,
    keep: Callable[[Page], Awaitable[None]],
    recall: Callable[[Recall], Any] = lambda _: None,
    spare: float = 0.0,
    heard: Callable[[], None] = lambda: None,
    stands: Callable[[], None] = lambda: None,
) -> None:
    """Run steps to their end.

    What goes wrong with a request or a stream is raised where the connector asked for it, so that it can pass over
    one post that cannot be read; what it does not catch ends it.

    Args:
        steps: of a connector.
        line: of its account.
        keep: returns once a page is on disk.
        recall: who is held to have done something.
        spare: part of each budget to leave for what matters more, 0..1.
        heard: called whenever the network told anything.
        stands: called when a stream was opened.

    Raises:
        PlaitError: what the connector did not catch; ``Ended`` and ``NotOpened`` among them.
        Exception: a mistake of the connector.
    """
    stream: Stream | None = None
    answer: Any = None
    trouble: PlaitError | None = None
    try:
        while True:
            try:
                step = steps.send(answer) if trouble is None else steps.throw(trouble)
            except StopIteration:
                return
            answer, trouble = None, None
            try:
                if isinstance(step, Ask):
                    answer = await line.ask(step, keep=spare)
                    heard()
                elif isinstance(step, Next):
                    if stream is None:
                        raise Ended("no stream is open", code="stream_ended")
                    answer = await stream.next(min(max(step.seconds, 0.0), _LONGEST_WAIT))
                    heard()
                elif isinstance(step, Open):
                    if stream is not None:
                        await stream.close()
                    stream = await opened(step, line)
                    stands()
                elif isinstance(step, Page):
                    await keep(step)
                elif isinstance(step, Recall):
                    answer = recall(step)
                else:
                    raise TypeError(
                        f"a connector yields Ask, Open, Next, Recall or Page, not {type(step).__name__}"
                    )
            except PlaitError as error:
                trouble = error
    finally:
        steps.close()
        if stream is not None:
            await stream.close()
