"""How an answer leaves: head and body in one write, and nothing is kept back for long."""

from __future__ import annotations

import asyncio

from plait.http.protocol import _Joined

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


class Wire:
    """A transport that notes what is written."""

    def __init__(self):
        self.writes, self.closed = [], False

    def write(self, data):
        self.writes.append(data)

    def close(self):
        self.closed = True

    def is_closing(self):
        return self.closed


def written(*steps):
    """What reaches the wire when these steps are taken in one turn of the loop, and after it."""
    wire = Wire()

    async def answer():
        joined = _Joined(wire, asyncio.get_running_loop())
        for step in steps:
            joined.close() if step == "close" else joined.write(step)
        now = list(wire.writes)
        await asyncio.sleep(0)
        return now, list(wire.writes), joined.is_closing()

    return asyncio.run(answer())


def test_head_and_body_are_one_write():
    now, after, _ = written(HEAD, b"ok")

    assert now == after == [HEAD + b"ok"]


def test_a_head_whose_body_comes_later_does_not_wait_for_it():
    now, after, _ = written(HEAD)

    assert (now, after) == ([], [HEAD])


def test_every_answer_of_a_connection_is_whole():
    now, _, _ = written(HEAD, b"ok", HEAD, b"no", b"more")

    assert now == [HEAD + b"ok", HEAD + b"no", b"more"]


def test_closing_loses_nothing():
    now, _, closed = written(HEAD, "close")

    assert (now, closed) == ([HEAD], True)
