"""Real fediverse servers on this machine, and the little that a test needs to talk to them.

``Snac`` is snac2, a federating server in C from Debian: its accounts follow, like and boost each other across two of them,
with its own signatures. ``Passing`` stands before one as a company's web server would: it passes everything on, and hands
what is delivered to inboxes to us as well.
"""

from __future__ import annotations

import json
import queue
import re
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import msgspec
from tests.peers.setup import snac
from tests.peers.waits import free_port, until

from plait.connectors import Answer, Ask, Fact, Frame, Next, Open, Page, Recall, Session

NO_KEEPING = httpx.Limits(max_keepalive_connections=0)  # snac closes lines that it said it would keep


# -- edges as a network's own answers must be found in them ----------------------------------------------------


class Held:
    """What was told and holds: the last word on each edge, and records until they are taken back."""

    def __init__(self) -> None:
        self.words: dict[tuple[str, str, str], tuple[int, str, bool]] = {}
        self.notes: dict[tuple[str, str], Fact] = {}
        self.taken: set[tuple[str, str]] = set()
        self.posts: set[str] = set()
        self.gone: set[str] = set()
        self.ids: dict[str, int] = {}

    def take(self, page: Page) -> None:
        for post in page.posts:
            (self.posts.discard if post.deleted else self.posts.add)(post.id)
        self.gone |= set(page.gone)
        for fact in page.facts:
            self.ids[fact.id] = self.ids.get(fact.id, 0) + 1
            if fact.record is not None:
                name = (fact.actor, fact.record)
                if fact.op == "retract":
                    self.taken.add(name)
                else:
                    self.notes.setdefault(name, fact)
                continue
            key = (fact.actor, fact.signal, fact.about.post or fact.about.account or "")
            word = (fact.at, fact.id, fact.op == "assert")
            self.words[key] = max(self.words.get(key, (0, "", False)), word)

    def edges(self, signal: str, thing: str) -> set[str]:
        return {
            actor
            for (actor, kind, about), word in self.words.items()
            if (kind, about) == (signal, thing) and word[2]
        }

    def standing(self, *signals: str) -> dict[str, str]:
        """record -> signal of what was written and not deleted."""
        return {
            record: fact.signal for (actor, record), fact in self.notes.items()
            if (actor, record) not in self.taken and fact.signal in signals
        }  # fmt: skip

    def recall(self, step: Recall) -> list[tuple[str, str | None]]:
        thing = step.about.post or step.about.account or ""
        records = [
            (actor, record) for (actor, record), fact in self.notes.items()
            if (actor, record) not in self.taken and fact.signal == step.signal
            and (fact.about.post or fact.about.account) == thing
        ]  # fmt: skip
        return [*((one, None) for one in self.edges(step.signal, thing)), *records]


# -- steps, run ------------------------------------------------------------------------------------------------


class Pump:
    """Runs a connector's steps one after the other, as the driver does, without its patience."""

    def __init__(self, session: Session, held: Held) -> None:
        self.session, self.held = session, held
        self.cursor: str | None = None
        self.calls = 0
        self._http = httpx.Client(limits=NO_KEEPING, timeout=60)

    def run(self, steps: Generator[Any, Any, Any], *, pages: int | None = None, lane: bool = True) -> Any:
        """Run to the end, or until so many pages were kept: then it is killed there."""
        answer: Any = None
        kept = 0
        stream: Iterator[Frame | None] | None = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as done:
                return done.value
            answer = None
            if isinstance(step, Ask):
                answer = self.ask(step)
            elif isinstance(step, Recall):
                answer = self.held.recall(step)
            elif isinstance(step, Open):
                stream = self._events(step)
            elif isinstance(step, Next):
                assert stream is not None
                answer = next(stream, None)
            elif isinstance(step, Page):
                self.held.take(step)
                self.cursor = step.cursor if lane and step.cursor is not None else self.cursor
                kept += 1
                if pages is not None and kept >= pages:
                    steps.close()
                    return None

    def ask(self, ask: Ask) -> Answer:
        self.calls += 1
        url = ask.url if "://" in ask.url else self.session.account.host + ask.url
        headers = dict(ask.headers) | ({} if ask.guarded else dict(self.session.headers))
        params = {name: value for name, value in ask.params.items() if value is not None}
        content = ask.body
        if content is not None and not isinstance(content, bytes | msgspec.Raw):
            content, headers = msgspec.json.encode(content), {"content-type": "application/json", **headers}
        for _ in range(8):
            found = self._http.request(
                ask.method,
                url.partition("#")[0],
                params=params or None,
                headers=headers,
                content=None if content is None else bytes(content),
            )
            if found.status_code not in (429, 500, 502, 503):
                break
            time.sleep(0.05)
        return Answer(found.status_code, {k.lower(): v for k, v in found.headers.items()}, found.content)

    def _events(self, step: Open) -> Iterator[Frame | None]:
        headers = dict(self.session.headers)
        with httpx.stream(
            "GET", step.url, headers=headers, params=dict(step.params), timeout=httpx.Timeout(20, read=None)
        ) as answer:
            assert answer.status_code == 200, answer.read()
            event = ""
            for line in answer.iter_lines():
                if line.startswith("event:"):
                    event = line[6:].strip()
                elif line.startswith("data:"):
                    yield Frame(line[5:].strip(), event)


# -- mastodon-mock ---------------------------------------------------------------------------------------------


@contextmanager
def mastodon_mock() -> Iterator[str]:
    """The URL of a mastodon-mock with its demo accounts; it forgets everything in the end."""
    port = free_port()
    command = [sys.executable, "-m", "mastodon_mock", "serve", "--in-memory", "--demo", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found = f"http://127.0.0.1:{port}"
    try:
        until(lambda: _answers(f"{found}/api/v1/instance"), seconds=120, why="mastodon-mock listens")
        yield found
    finally:
        process.kill()
        process.wait()


def app(url: str, token: str) -> httpx.Client:
    """Somebody's app."""
    return httpx.Client(
        base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=60, limits=NO_KEEPING
    )


# -- snac2 -----------------------------------------------------------------------------------------------------


class Snac:
    """A running snac2.

    Args:
        folder: of its data.
        port: where it listens; ``public`` is the port in its addresses, if another one stands before it.
    """

    def __init__(self, folder: Path, *, public: int | None = None) -> None:
        self.port = free_port()
        self.host = f"127.0.0.1:{public or self.port}"
        self.url = f"http://{self.host}"
        self._folder = folder
        answers = f"127.0.0.1\n{self.port}\n{self.host}\n\n\n"
        subprocess.run([snac(), "init", folder], input=answers, text=True, check=True, capture_output=True)
        self._set(
            folder / "server.json",
            protocol="http",
            queue_retry_minutes=0,
            queue_retry_max=1_000,
            disable_inbox_collection=True,
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._passwords: dict[str, str] = {}

    @staticmethod
    def _set(path: Path, **values: Any) -> None:
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    def add(self, name: str) -> None:
        subprocess.run(
            [snac(), "adduser", self._folder, name], input="", text=True, check=True, capture_output=True
        )
        self._set(self._folder / "user" / name / "user.json", show_contact_metrics=True)

    def start(self) -> None:
        log = (self._folder / "log").open("wb")
        self._process = subprocess.Popen([snac(), "httpd", self._folder], stdout=log, stderr=log)
        until(lambda: _answers(f"http://127.0.0.1:{self.port}/api/v1/instance"), why="snac listens")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def waits(self) -> bool:
        """Whether something is to be delivered by now; what is put off for later has its time as a name."""
        queues = (self._folder / "queue", *self._folder.glob("user/*/queue"))
        due = [re.match(r"\d+", one.stem) for queue in queues for one in queue.glob("*.json")]
        return any(found is None or int(found[0]) <= time.time() for found in due)

    def delete(self, name: str, uri: str) -> None:
        """Delete a post, by the page for people: the API cannot."""
        form = {"action": "Delete", "id": uri, "actor": f"{self.url}/{name}", "redir": "top"}
        done = httpx.post(
            f"http://127.0.0.1:{self.port}/{name}/admin/action", data=form, auth=(name, self._passwords[name]),
            headers={"host": self.host}, timeout=60,
        )  # fmt: skip
        assert done.status_code in (200, 303), done.text

    def client(self, name: str) -> httpx.Client:
        """An app of an account."""
        told = subprocess.run(
            [snac(), "resetpwd", self._folder, name], text=True, capture_output=True, check=True
        )
        password = re.search(r"is (\S+)", told.stdout + told.stderr)
        assert password
        self._passwords[name] = password[1]
        base = f"http://127.0.0.1:{self.port}"
        form = {"login": name, "passwd": password[1]}
        page = httpx.post(f"{base}/oauth/x-snac-get-token", data=form, headers={"host": self.host})
        token = re.search(r"[0-9a-f]{32}", page.text)
        assert token, page.text
        return httpx.Client(
            base_url=base, limits=NO_KEEPING, timeout=60,
            headers={"authorization": f"Bearer {token[0]}", "host": self.host},
        )  # fmt: skip


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


# -- in front of them ------------------------------------------------------------------------------------------

Delivery = tuple[dict[str, str], bytes]
Serve = Callable[[str, str, Mapping[str, str], bytes], tuple[int, Mapping[str, str], bytes]]


@contextmanager
def serving(port: int, serve: Serve) -> Iterator[None]:
    """A plain server: ``serve(method, path, headers, body) -> (status, headers, body)``."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def handle_one(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, more, body = serve(self.command, self.path, headers, self.rfile.read(size))
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = handle_one  # noqa: N815 - the library's names

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


class Passing:
    """Passes all requests on to a server, and keeps a copy of what is delivered to inboxes.

    Attributes:
        mirror: where a copy of each delivery goes besides, as a web server mirrors it: nobody waits for the answer.
        mirrored: how many of them were answered with which status.
    """

    def __init__(self, target: Callable[[], str]) -> None:
        self.deliveries: list[Delivery] = []
        self.mirror: Callable[[], str] | None = None
        self.mirrored: Counter[int] = Counter()
        self._target = target
        self._one = threading.Lock()
        self._http = httpx.Client(limits=NO_KEEPING, timeout=60)
        self._copies: queue.Queue[tuple[Callable[[], str], dict[str, str], bytes]] = queue.Queue()
        threading.Thread(target=self._copying, daemon=True).start()

    def _copying(self) -> None:
        """Send copies, in the order in which they came; who delivers does not wait for it."""
        while True:
            where, headers, body = self._copies.get()
            with suppress(httpx.HTTPError):
                answer = self._http.post(where(), headers=headers, content=body)
                self.mirrored[answer.status_code] += 1

    def __call__(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Mapping[str, str], bytes]:
        if method == "POST" and path.endswith("inbox"):
            with self._one:  # in one order, for both
                self.deliveries.append(
                    ({**headers, ":method": method, ":path": path, ":received-at": _ms()}, body)
                )
                found = self._passed(method, path, headers, body)
                if self.mirror is not None:
                    self._copies.put((self.mirror, dict(headers), body))
                time.sleep(0.002)
        else:
            found = self._passed(method, path, headers, body)
        kept = {k: v for k, v in found.headers.items() if k.lower() in ("content-type", "link", "location")}
        return found.status_code, kept, found.content

    def _passed(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> httpx.Response:
        return self._http.request(method, self._target() + path, headers=dict(headers), content=body)


def _ms() -> str:
    return str(time.time_ns() // 1_000_000)


class Wire:
    """A plain line to a server, that can be cut: all that is open then breaks, and who comes back may come."""

    def __init__(self, port: int) -> None:
        self._to, self._open = port, set[socket.socket]()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accepting, daemon=True).start()

    def cut(self) -> None:
        for one in list(self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listening.close()
        self.cut()

    def _accepting(self) -> None:
        with suppress(OSError):
            while True:
                ours, _ = self._listening.accept()
                theirs = socket.create_connection(("127.0.0.1", self._to), 10)
                theirs.settimeout(None)
                self._open |= {ours, theirs}
                for one, other in ((ours, theirs), (theirs, ours)):
                    threading.Thread(target=self._passing, args=(one, other), daemon=True).start()

    def _passing(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65_536):
                other.sendall(data)
        for each in (one, other):
            self._open.discard(each)
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
