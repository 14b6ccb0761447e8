"""What every connector promises; a new file in `plait/connectors` is found by itself.

A connector's recorded transcripts lie in `tests/data/<network>/*.transcript.json`: the steps it took, what came of each, and the
pages it has to tell of it, so that a change of what it says shows in a diff.
"""

from __future__ import annotations

import inspect
import re
from base64 import b64decode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from plait.connect import as_markdown
from plait.connectors import (
    Account,
    Answer,
    Ask,
    Fact,
    Frame,
    Next,
    Open,
    Page,
    Statement,
    connector_of,
    networks,
)
from plait.errors import PlaitError
from plait.events import SOCIAL, Signal
from plait.fetch import AGENT
from plait.pages import SIGNALS

DATA = Path(__file__).parents[1] / "data"
FAKES = Path(__file__).parents[1] / "fakes/connectors"
NETWORKS = networks()
TRANSCRIPTS = sorted(DATA.glob("*/*.transcript.json"))


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def statement_of(network: str) -> Statement:
    return connector_of(network).statement


def test_its_statement_says_what_an_operator_has_to_know(network):
    told = statement_of(network)

    assert told.network == network
    assert re.fullmatch(r"[a-z][a-z0-9_]{1,30}", network)
    assert told.title
    assert told.gives
    assert told.rights or not any(one.secret for one in told.needs)  # nothing is asked for, nothing is given
    assert told.rules
    assert told.not_seen


def test_each_signal_is_stated_once_with_how_it_is_learned(network):
    given = statement_of(network).gives

    assert len({one.signal for one in given}) == len(given)
    assert all(one.how for one in given)
    assert {one.signal for one in given} <= SIGNALS
    assert {one.signal for one in given} <= SOCIAL | {Signal.SHARE, Signal.SAVE, Signal.PLAY, Signal.RATE}


def test_its_limits_have_a_default_and_are_limits(network):
    limits = statement_of(network).limits

    assert "default" in limits
    assert all(one.calls > 0 and one.seconds > 0 for one in limits.values())


def test_each_credential_can_be_asked_for(network):
    needs = statement_of(network).needs

    assert all(one.title and re.fullmatch(r"[a-z_]{2,40}", one.name) for one in needs)
    assert len({one.name for one in needs}) == len(needs)
    assert all(one.secret for one in needs if re.search(r"password|token|secret|key$", one.name))
    assert not any(one.default for one in needs if one.secret)


def test_it_does_no_io_and_reads_no_clock(network):
    """Its module imports nothing that could; what it needs it asks for."""
    made = inspect.getfile(connector_of(network))
    text = Path(made).read_text()

    for module in (
        "httpx",
        "requests",
        "socket",
        "urllib.request",
        "websockets",
        "asyncio",
        "threading",
        "time",
    ):
        assert not re.search(rf"^\s*(import|from) {re.escape(module)}\b(?!\.)", text, re.M), module


def test_it_can_be_made_and_asked(network):
    made = connector_of(network)
    one = made(
        Account(source=f"{network}:x", host="https://x.example"), watched=lambda _: False, now=lambda: 0
    )

    for name in ("poll", "stream", "backfill"):
        steps = getattr(one, name)(None)
        assert inspect.isgenerator(steps), name
        steps.close()
    assert callable(one.receive)
    assert inspect.isgenerator(made.sign_in({}, "https://x.example", 0))


def test_the_reference_says_what_its_statement_says(network):
    """Made anew by `python -m plait.connect`."""
    page = (Path(__file__).parents[2] / "docs/reference/connectors.md").read_text()

    assert as_markdown(statement_of(network)) in page


# -- transcripts -----------------------------------------------------------------------------------------------


class Turn(msgspec.Struct, kw_only=True):
    """One step and what came of it: an answer, a frame, or nothing."""

    asks: str = ""  # "GET https://…" of an Ask, the URL of an Open
    status: int = 200
    headers: dict[str, str] = {}
    body: Any = None
    frame: str | None = None
    packed: bool = False  # the frame is bytes, here as base64
    event: str = ""

    def framed(self) -> Frame | None:
        """The frame that came, ``None`` when none did."""
        if self.frame is None:
            return None
        return Frame(b64decode(self.frame) if self.packed else self.frame, self.event)


class Transcript(msgspec.Struct, kw_only=True):
    """A recorded walk through one generator of a connector."""

    network: str
    lane: str
    account: Account
    now: int
    cursor: str | None = None
    turns: list[Turn]
    pages: list[Any]


def replayed(told: Transcript) -> list[Any]:
    """The pages that a connector tells of the turns; an Ask has to be the one that was recorded."""
    made = connector_of(told.network)(told.account, watched=lambda _: False, now=lambda: told.now)
    steps = getattr(made, told.lane)(told.cursor)
    turns, pages, answer = iter(told.turns), [], None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration:
            assert next(turns, None) is None, "it asked for less than was recorded"
            break
        answer = None
        if isinstance(step, Page):
            pages.append(msgspec.json.decode(msgspec.json.encode(step)))
            continue
        turn = next(turns, None)
        if turn is None:
            break
        if isinstance(step, Ask):
            assert asked(step, told) == turn.asks
            answer = answer_of(turn)
        elif isinstance(step, Open):
            assert step.url == turn.asks
        elif isinstance(step, Next):
            answer = turn.framed()
    return pages


def asked(step: Ask, told: Transcript) -> str:
    url = step.url if "://" in step.url else told.account.host + step.url
    return f"{step.method} {url}"


def answer_of(turn: Turn) -> Answer:
    raw = turn.body if isinstance(turn.body, str) else msgspec.json.encode(turn.body).decode()
    return Answer(turn.status, turn.headers, raw.encode())


def test_each_network_that_is_asked_has_a_recorded_walk():
    """Recorded by `python -m tests.peers.transcripts`; to `activitypub` others deliver, and it asks for nothing."""
    assert {one.parent.name for one in TRANSCRIPTS} == {*NETWORKS} - {"activitypub"}


@pytest.mark.parametrize("path", [*TRANSCRIPTS], ids=lambda one: f"{one.parent.name}/{one.name}")
def test_a_recorded_walk_tells_what_it_told(path):
    told = msgspec.json.decode(path.read_bytes(), type=Transcript)

    assert msgspec.convert(replayed(told), list[Page]) == msgspec.convert(told.pages, list[Page])


# -- what a stream promises besides, whatever comes ------------------------------------------------------------


STREAMS = [one for one in TRANSCRIPTS if '"lane": "stream"' in one.read_text()]
each_stream = pytest.mark.parametrize("path", STREAMS, ids=lambda one: f"{one.parent.name}/{one.name}")


class Walk:
    """A recorded stream, walked through again with other frames and from other places."""

    def __init__(self, path: Path) -> None:
        self.told = msgspec.json.decode(path.read_bytes(), type=Transcript)
        self.frames = [one for turn in self.told.turns if (one := turn.framed()) is not None]
        self._answers = {turn.asks: turn for turn in self.told.turns if " " in turn.asks}

    def pages(self, frames: Sequence[Frame], cursor: str | None = None) -> list[Page]:
        made = connector_of(self.told.network)(
            self.told.account, watched=lambda _: False, now=lambda: self.told.now
        )
        steps, answer, pages = made.stream(cursor or self.told.cursor), None, list[Page]()
        waiting = [*frames, None, None]  # and then nothing comes for a while
        while True:
            try:
                step = steps.send(answer)
            except StopIteration:
                return pages
            answer = None
            if isinstance(step, Page):
                pages.append(step)
            elif isinstance(step, Next):
                if not waiting:
                    return pages
                answer = waiting.pop(0)
            elif isinstance(step, Ask):
                turn = self._answers.get(asked(step, self.told))
                answer = Answer(404) if turn is None else answer_of(turn)

    def facts(self, frames: Sequence[Frame], cursor: str | None = None) -> dict[str, Fact]:
        """By id; the same id has to be the same fact each time."""
        found: dict[str, Fact] = {}
        for page in self.pages(frames, cursor):
            for fact in page.facts:
                assert found.setdefault(fact.id, fact) == fact
        return found


def test_each_network_that_streams_has_a_recorded_stream():
    """Of Bluesky two: what its server says, and the same in the words of Jetstream, which nobody can install."""
    streaming = {one for one in NETWORKS if statement_of(one).streams}

    assert {one.parent.name for one in STREAMS} == streaming
    assert all(len(Walk(one).facts(Walk(one).frames)) >= 5 for one in STREAMS)  # or they prove nothing


@each_stream
def test_frames_that_come_twice_tell_what_they_tell_once(path):
    walk = Walk(path)

    assert walk.facts([one for one in walk.frames for _ in (1, 2)]) == walk.facts(walk.frames)


@pytest.mark.parametrize(
    "path", [one for one in STREAMS if one.parent.name == "bluesky"], ids=lambda one: one.name
)
def test_a_stream_begun_anew_from_any_place_it_kept_tells_the_same_acts_under_the_same_ids(path):
    walk = Walk(path)
    places = {page.cursor for page in walk.pages(walk.frames)} - {None}

    assert places
    for place in places:
        assert walk.facts(walk.frames, place) == walk.facts(walk.frames)


@each_stream
def test_frames_that_are_cut_or_make_no_sense_cost_no_other(path):
    walk = Walk(path)
    strange: list[Frame] = []
    for one in walk.frames:
        empty: str | bytes = b"" if isinstance(one.data, bytes) else ""
        strange += [Frame(empty, one.event), Frame(one.data[: len(one.data) // 2], one.event)]
        strange += [
            Frame(b"\xff\x00[", one.event),
            Frame("[" * 5_000, one.event),
            Frame("null", one.event),
            one,
        ]

    found = walk.facts(strange)

    assert {id: found.get(id) for id in walk.facts(walk.frames)} == walk.facts(walk.frames)


# -- the fake network keeps the same promises, so that these tests cannot pass by there being nothing to test ------


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> str:
    import plait.connectors

    monkeypatch.setattr(plait.connectors, "__path__", [*plait.connectors.__path__, str(FAKES)])
    return "fakenet"


def test_a_file_is_all_it_takes(fake):
    assert fake in networks()
    test_its_statement_says_what_an_operator_has_to_know(fake)
    test_each_signal_is_stated_once_with_how_it_is_learned(fake)
    test_its_limits_have_a_default_and_are_limits(fake)
    test_each_credential_can_be_asked_for(fake)
    test_it_does_no_io_and_reads_no_clock(fake)
    test_it_can_be_made_and_asked(fake)


def test_a_walk_of_the_fake_network_is_replayed(fake):
    account = Account(source="fakenet:shop", host="https://fake.example")
    one = {"id": "a1", "seq": 1, "actor": "ana", "at": 5}
    turns = [
        Turn(asks="GET https://fake.example/acts", body={"acts": [one], "next": "1", "total": 1}),
        Turn(asks="GET https://fake.example/acts", body={"acts": [], "next": None, "total": 1}),
    ]

    (page,) = replayed(Transcript(network=fake, lane="poll", account=account, now=9, turns=turns, pages=[]))

    assert page["cursor"] == "1"
    assert page["facts"][0]["actor"] == "fakenet:ana"


def test_a_network_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(PlaitError) as told:
        connector_of("myspace")

    assert told.value.code == "unknown_network"


def test_requests_say_who_asks():
    assert re.fullmatch(r"Plait/\d+\.\d+\.\d+", AGENT)
