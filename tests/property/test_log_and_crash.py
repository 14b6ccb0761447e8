"""A machine that appends, redacts, compacts, reads and murders: the log is always what was acknowledged."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.contract.conftest import engines
from tests.contract.elsewhere import Elsewhere

batches = st.lists(st.binary(max_size=40) | st.binary(min_size=3_000, max_size=9_000), min_size=1, max_size=5)
moments = st.floats(0, 0.003)


class LogAndCrash(RuleBasedStateMachine):
    """The writer and a reader each live in a process of their own; the model is a list."""

    scheme = "lmdb"

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.url = f"{self.scheme}://{Path(self.folder.name) / 'log'}"
        self.expected: list[bytes] = []
        self.writer = Elsewhere("log", self.url)
        self.reader = Elsewhere("log", self.url, write=False)

    @rule(batch=batches)
    def append(self, batch: list[bytes]) -> None:
        assert self.writer.call("append", batch) == len(self.expected) + 1
        self.expected += batch

    @rule(which=st.integers(0), record=st.binary(max_size=9_000))
    def redact(self, which: int, record: bytes) -> None:
        if not self.expected:  # not a precondition: what a murder leaves differs from run to run
            return
        which %= len(self.expected)
        assert self.writer.call("redact", {which + 1: record}) is None
        self.expected[which] = record

    @rule()
    def compact(self) -> None:
        assert self.writer.call("compact") is None

    @rule(batch=batches, moment=moments)
    def murder_while_appending(self, batch: list[bytes], moment: float) -> None:
        self.writer.send("append", (batch,), {})
        self._murder(moment)
        last = self.reader.call("last")
        assert last in (len(self.expected), len(self.expected) + len(batch))  # whole, or not at all
        self.expected += batch[: last - len(self.expected)]

    @rule(moment=moments)
    def murder_while_compacting(self, moment: float) -> None:
        self.writer.send("compact", (), {})
        self._murder(moment)

    def _murder(self, moment: float) -> None:
        time.sleep(moment)
        self.writer.kill()
        self.writer = Elsewhere("log", self.url)
        assert self.writer.opened is None

    @invariant()
    def everybody_reads_what_was_acknowledged(self) -> None:
        if hasattr(self, "writer"):
            expected = list(enumerate(self.expected, 1))
            assert self.writer.call("read", 0) == expected
            assert self.reader.call("read", 0) == expected

    def teardown(self) -> None:
        if hasattr(self, "writer"):
            self.writer.kill()
            self.reader.kill()
            self.folder.cleanup()


@pytest.mark.parametrize("scheme", engines("plait.log", "Log"))
def test_the_log_is_what_was_acknowledged(scheme: str) -> None:
    machine = type("Machine", (LogAndCrash,), {"scheme": scheme}).TestCase
    machine.settings = settings(
        max_examples=10, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
    )
    machine("runTest").runTest()
