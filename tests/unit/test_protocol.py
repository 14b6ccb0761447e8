"""How an answer leaves: head and body in one write, nothing kept back for long, and without a task where none is needed."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from contextlib import asynccontextmanager

import pytest
import uvicorn

from plait.http.protocol import Protocol, _Joined

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


# -- requests that are here in one piece ----------------------------------------------------------------------


class Application:
    """Answers with the road that a request took; on the short one when it is told to, as a sync of the disk would."""

    def __init__(self, takes=True):
        self.takes, self.waiting, self.slow = takes, [], False

    def at_once(self, scope, body, answer):
        if not self.takes:
            return False
        told = {"road": "short", "path": scope["path"], "bytes": len(body)}
        if self.slow:
            self.waiting.append(lambda: answer(200, json.dumps(told).encode(), []))
        else:
            answer(200, json.dumps(told).encode(), [(b"x-more", b"yes")])
        return True

    async def __call__(self, scope, receive, send):
        size = 0
        while True:
            message = await receive()
            size += len(message.get("body", b""))
            if not message.get("more_body"):
                break
        body = json.dumps({"road": "long", "path": scope["path"], "bytes": size}).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def post(path, body=b"{}", *more, version="1.1"):
    lines = [f"POST {path} HTTP/{version}", "host: shop", f"content-length: {len(body)}", *more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@asynccontextmanager
async def served(application):
    """The address of a server of its own; it is stopped in order."""
    config = uvicorn.Config(application, http=Protocol, lifespan="off", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        yield listening.getsockname()
        server.should_exit = True
        await serving


async def answers(application, steps, *, count):
    """What a server answers to pieces that come one after the other: decoded bodies and the raw bytes."""
    async with served(application) as address, asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(*address)
        raw = b""
        for step in steps:
            if callable(step):
                step()
            else:
                writer.write(step)
            await asyncio.sleep(0.02)
        while raw.count(b'"bytes"') < count and (more := await reader.read(65_536)):
            raw += more
    return [json.loads(one) for one in re.findall(rb"\{[^}]*\}", raw)], raw


def taken(application, *steps, count=1):
    return asyncio.run(answers(application, steps, count=count))


def test_a_request_in_one_piece_is_answered_without_a_task():
    found, raw = taken(Application(), post("/a", b"12345"))

    assert found == [{"road": "short", "path": "/a", "bytes": 5}]
    assert raw.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nx-more: yes\r\n" in raw


def test_a_body_in_pieces_takes_the_long_road():
    whole = post("/a", b"12345")

    assert taken(Application(), whole[:-3], whole[-3:])[0] == [{"road": "long", "path": "/a", "bytes": 5}]


def test_a_head_in_pieces_is_still_one_request():
    whole = post("/a", b"12345")

    assert taken(Application(), whole[:20], whole[20:])[0] == [{"road": "short", "path": "/a", "bytes": 5}]


def test_what_the_application_does_not_take_at_once_goes_the_long_road():
    assert taken(Application(takes=False), post("/a"))[0] == [{"road": "long", "path": "/a", "bytes": 2}]


def test_one_after_the_other_on_one_connection():
    found, _ = taken(Application(), post("/a"), post("/b"), post("/c"), count=3)

    assert [(one["path"], one["road"]) for one in found] == [
        ("/a", "short"),
        ("/b", "short"),
        ("/c", "short"),
    ]


def test_pipelined_requests_are_answered_in_order():
    application = Application()
    application.slow = True

    def the_disk_is_done():
        for one in application.waiting:
            one()

    found, _ = taken(application, post("/a") + post("/b") + post("/c"), the_disk_is_done, count=3)

    assert [(one["path"], one["road"]) for one in found] == [("/a", "short"), ("/b", "long"), ("/c", "long")]


def test_who_asks_to_close_is_answered_and_let_go():
    _, raw = taken(Application(), post("/a", b"{}", "connection: close"))

    assert b"\r\nconnection: close\r\n" in raw


def test_http_1_0_is_let_go_after_the_answer():
    _, raw = taken(Application(), post("/a", version="1.0"))

    assert b"\r\nconnection: close\r\n" in raw


def test_who_waits_for_leave_to_send_a_body_gets_it():
    whole = post("/a", b"12345", "expect: 100-continue")
    _, raw = taken(Application(), whole[:-5], whole[-5:])

    assert raw.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")


async def refused(*pieces, seconds=2.0):
    """The answer to what is no request, or none yet: status and code."""
    async with served(Application()) as address, asyncio.timeout(seconds):
        reader, writer = await asyncio.open_connection(*address)
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.02)
        raw = await reader.read()
    head, _, body = raw.partition(b"\r\n\r\n")
    assert b"connection: close" in head
    return int(head.split()[1]), json.loads(body)["code"]


@pytest.mark.parametrize(
    "junk", [b"FOO / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\nno header\r\n\r\n"]
)
def test_what_is_no_http_is_refused_in_our_words(junk):
    assert asyncio.run(refused(junk)) == (400, "invalid_request")


def test_who_sends_a_head_without_end_is_hung_up_on():
    async def endless():
        async with served(Application()) as address, asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(*address)

            async def send():
                while True:
                    writer.write(b"a" * 1_000)
                    await asyncio.sleep(0.001)

            writer.write(post("/a") + b"POST /b HTTP/1.1\r\nhost: shop\r\nx: ")
            first = await reader.readuntil(b"}")
            sending = asyncio.create_task(send())
            then = await reader.readuntil(b"}")
            sending.cancel()
            return first, then

    first, then = asyncio.run(endless())

    assert b"200 OK" in first
    assert b'"code":"head_too_large"' in then


@pytest.mark.parametrize("before", [b"", post("/a")])
@pytest.mark.parametrize("offer", ["Upgrade: h2c", "upgrade: h2c "])
def test_who_offers_http_2_is_answered_in_http_1_and_loses_no_body(before, offer):
    async def asked():
        async with served(Application()) as address, asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(*address)
            if before:
                writer.write(before)
                await reader.readuntil(b"}")
            more = "Connection: Upgrade, HTTP2-Settings", offer, "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQ"
            writer.write(post("/b", b'{"a": "h2c"}', *more))
            return await reader.readuntil(b"}")

    assert b'"path": "/b", "bytes": 12' in asyncio.run(asked())


@pytest.mark.parametrize("before", [b"", b"POST /a HTTP/1.1\r\nhost: s", post("/a") + b"POST"])
def test_who_does_not_finish_a_head_is_hung_up_on(before, monkeypatch):
    monkeypatch.setattr("plait.http.protocol.SLOWEST_HEAD", 0.1)

    async def waited():
        async with served(Application()) as address, asyncio.timeout(3):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(before)
            return await reader.read()

    assert b'"code":"too_slow"' in asyncio.run(waited())


def test_who_waits_between_two_requests_is_not_hung_up_on(monkeypatch):
    monkeypatch.setattr("plait.http.protocol.SLOWEST_HEAD", 0.05)

    async def twice():
        async with served(Application()) as address, asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(post("/a"))
            await asyncio.sleep(0.3)
            writer.write(post("/b"))
            await asyncio.sleep(0.05)
            return await reader.read(65_536)

    assert asyncio.run(twice()).count(b"200 OK") == 2


def test_who_hung_up_before_the_answer_leaves_the_server_whole():
    application = Application()
    application.slow = True

    async def hang_up():
        async with served(application) as address, asyncio.timeout(5):
            _, writer = await asyncio.open_connection(*address)
            writer.write(post("/a"))
            while not application.waiting:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            writer.transport.abort()
            await asyncio.sleep(0.02)
            for one in application.waiting:
                one()
            application.slow = False
            reader, writer = await asyncio.open_connection(*address)
            writer.write(post("/b", b"{}", "connection: close"))
            return len(application.waiting), await reader.read()

    waited, said = asyncio.run(hang_up())

    assert waited == 1
    assert b'"/b"' in said
