"""Record walks of connectors through real servers, with people who do not exist, for `tests/contract/test_connectors.py`.

    python -m tests.peers.transcripts [mock | snac | bluesky]

writes ``tests/data/<network>/<server>-<lane>.transcript.json``: what was asked, what the server answered (without its headers, but for the ones
that are read) or streamed, and the pages that were told. Nothing that signs a request is among it.
"""

from __future__ import annotations

import base64
import json
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

import httpx
import msgspec
from tests.contract.test_connectors import DATA, Transcript, Turn
from tests.peers.bluesky import Network, Person
from tests.peers.fediverse import Held, Pump, app, mastodon_mock
from tests.peers.record import jetstream
from tests.peers.town import PEOPLE, Town
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from plait.connectors import Account, Answer, Ask, Frame, Next, Open, Page, Recall, Session, connector_of

READ = ("link", "content-type")


def now() -> int:
    return time.time_ns() // 1_000_000


def recorded(
    server: str,
    network: str,
    lane: str,
    session: Session,
    cursor: str | None = None,
    *,
    line: Callable[[Open], Line] | None = None,
) -> str | None:
    """Walk through one generator, keep what came of it, and return its cursor.

    Args:
        server: whose answers.
        network, lane: of the connector.
        session: signed in.
        cursor: where it goes on.
        line: what streams are read from; ends the walk when it has nothing more.
    """
    pump, at = Pump(session, Held()), now()
    one = connector_of(network)(session.account, watched=lambda _: False, now=lambda: at)
    steps = getattr(one, lane)(cursor)
    turns: list[Turn] = []
    pages: list[Any] = []
    answer: Any = None
    began, stream = cursor, None
    while stream is None or not stream.over:
        try:
            step = steps.send(answer)
        except StopIteration:
            break
        answer = None
        if isinstance(step, Page):
            pages.append(msgspec.json.decode(msgspec.json.encode(step)))
            cursor = step.cursor or cursor
        elif isinstance(step, Recall):
            turns.append(Turn(asks="Recall"))
        elif isinstance(step, Open):
            assert line is not None
            stream = line(step)
            turns.append(Turn(asks=step.url))
        elif isinstance(step, Next):
            assert stream is not None
            answer = stream.next(step.seconds)
            turns.append(framed(answer))
        elif isinstance(step, Ask):
            answer = pump.ask(step)
            turns.append(turn_of(step, answer, session.account.host))
    told = Transcript(
        network=network, lane=lane, account=session.account, now=at, cursor=began, turns=turns, pages=pages
    )
    path = DATA / network / f"{server}-{lane}.transcript.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=1) + b"\n")
    print(
        f"{path.name}: {len(turns)} turns, {len(pages)} pages, {sum(len(page['facts']) for page in pages)} facts"
    )
    return cursor


def turn_of(ask: Ask, answer: Answer, host: str) -> Turn:
    url = ask.url if "://" in ask.url else host + ask.url
    kept = {name: value for name, value in answer.headers.items() if name in READ}
    try:
        body = msgspec.json.decode(answer.body)
    except msgspec.DecodeError:
        body = answer.body.decode()
    return Turn(asks=f"{ask.method} {url}", status=answer.status, headers=kept, body=body)


def framed(frame: Frame | None) -> Turn:
    if frame is None:
        return Turn()
    if isinstance(frame.data, bytes):
        return Turn(frame=base64.b64encode(frame.data).decode(), packed=True, event=frame.event)
    return Turn(frame=frame.data, event=frame.event)


class Line(Protocol):
    """A stream, while it is recorded; ``over`` when nothing more is to come."""

    over: bool

    def next(self, seconds: float) -> Frame | None: ...


class Real:
    """A real stream, read in a thread of its own, while people act in another.

    Args:
        session: signs it.
        live: what people do once it stands.
    """

    def __init__(self, step: Open, session: Session, live: Callable[[], None]) -> None:
        self.over = False
        self._quiet, self._done = 0, threading.Event()
        self._frames: queue.Queue[Frame] = queue.Queue()
        headers = dict(session.headers) if step.signed else {}
        read = self._events if step.kind == "sse" else self._socket
        stands = threading.Event()
        threading.Thread(target=read, args=(step, headers, stands), daemon=True).start()
        assert stands.wait(30), "the stream did not open"
        threading.Thread(target=self._act, args=(live,), daemon=True).start()

    def next(self, seconds: float) -> Frame | None:
        try:
            found = self._frames.get(timeout=min(seconds, 0.5))
        except queue.Empty:
            self._quiet += self._done.is_set()
            self.over = self._quiet > 6
            return None
        self._quiet = 0
        return found

    def _act(self, live: Callable[[], None]) -> None:
        time.sleep(1)
        live()
        self._done.set()

    def _socket(self, step: Open, headers: dict[str, str], stands: threading.Event) -> None:
        params = {name: value for name, value in step.params.items() if value is not None}
        url = "ws" + step.url.removeprefix("http") if step.url.startswith("http") else step.url
        url += "?" + urlencode(params, doseq=True) if params else ""
        with connect(url, proxy=None, max_size=8 << 20, additional_headers=headers) as line:
            stands.set()
            with suppress(ConnectionClosed):  # its server is stopped in the end
                for data in line:
                    self._frames.put(Frame(data))

    def _events(self, step: Open, headers: dict[str, str], stands: threading.Event) -> None:
        timeout = httpx.Timeout(20, read=None)
        with httpx.stream(
            "GET", step.url, headers=headers, params=dict(step.params), timeout=timeout
        ) as answer:
            stands.set()
            event = ""
            for line in answer.iter_lines():
                if line.startswith("event:"):
                    event = line[6:].strip()
                elif line.startswith("data:"):
                    self._frames.put(Frame(line[5:].strip(), event))


class Shaped:
    """Frames that come one after the other, and then nothing."""

    def __init__(self, frames: list[Frame]) -> None:
        self.over, self._frames, self._quiet = False, frames, 0

    def next(self, seconds: float) -> Frame | None:
        if self._frames:
            return self._frames.pop(0)
        self._quiet += 1
        self.over = self._quiet > 2
        return None


def signed_in(network: str, credentials: dict[str, str], host: str) -> Session:
    pump = Pump(Session(account=Account(source="", host=host), headers={}), Held())
    found: Session = pump.run(connector_of(network).sign_in(credentials, host, now()))
    return found


def bluesky() -> None:
    network = Network().start()
    try:
        shop, ann, bob = (network.account(f"recorded{name}") for name in ("shop", "ann", "bob"))
        tent, stove = shop.post("A tent: https://shop.example/tarn-2"), shop.post("A stove")
        like = ann.like(tent)
        ann.follow(shop.did)
        bob.repost(tent)
        bob.reply(tent, "How heavy is it?")
        bob.quote(stove, "I want this")
        network.settle()
        told = {"identifier": shop.handle, "password": shop.password, "stream": "none"}
        session = signed_in("bluesky", told, network.pds)
        recorded("pds", "bluesky", "backfill", session)
        place = recorded("pds", "bluesky", "poll", session)
        ann.delete(like)
        bob.like(stove)
        network.settle()
        recorded("pds-later", "bluesky", "poll", session, place)
        bluesky_streams(network, shop, [ann, bob], tent)
    finally:
        network.stop()


def bluesky_streams(network: Network, shop: Person, people: list[Person], tent: dict[str, str]) -> None:
    """The firehose as the PDS says it, and the same frames in the words of Jetstream."""
    url = network.pds.replace("http", "ws") + "/xrpc/com.atproto.sync.subscribeRepos"
    told = {"identifier": shop.handle, "password": shop.password, "stream": "firehose", "relay": url}
    session = signed_in("bluesky", told, network.pds)
    leaves = network.account("recordedcleo")
    ann, bob = people

    def live() -> None:
        like, follow = ann.like(tent), bob.follow(shop.did)
        answer = ann.reply(tent, "Is it warm enough for October?")
        bob.quote(tent, "This one")
        bob.post(f"@{shop.handle} hello", facets=[mention(shop)])
        share = bob.repost(tent)
        leaves.like(tent)
        for who, ref in ((ann, like), (bob, follow), (ann, answer), (bob, share)):
            who.delete(ref)
        ann.like(tent)
        shop.delete(shop.post("A mistake"))
        leaves.leave()

    recorded("pds", "bluesky", "stream", session, line=lambda step: Real(step, session, live))
    frames = streamed_frames("pds", "bluesky")
    settings = {"stream": "jetstream"}
    account = Account(source=session.account.source, host=session.account.host, me=session.account.me, settings=settings)  # fmt: skip
    shaped = [Frame(json.dumps(one)) for raw in frames if (one := jetstream(raw))]
    walk = Session(account=account, headers={})
    recorded("jetstream-shaped", "bluesky", "stream", walk, line=lambda _: Shaped(shaped))


def streamed_frames(server: str, network: str) -> list[bytes]:
    """The binary frames of a stream that was recorded."""
    raw = (DATA / network / f"{server}-stream.transcript.json").read_bytes()
    told = msgspec.json.decode(raw, type=Transcript)
    return [bytes(one.data) for turn in told.turns if (one := turn.framed()) and isinstance(one.data, bytes)]


def mention(whom: Person) -> dict[str, Any]:
    feature = {"$type": "app.bsky.richtext.facet#mention", "did": whom.did}
    return {"index": {"byteStart": 0, "byteEnd": len(whom.handle) + 1}, "features": [feature]}


def snac() -> None:
    from tests.peers.fediverse import serving

    with tempfile.TemporaryDirectory() as folder:
        town = Town(Path(folder))
        try:
            with serving(town.port, town.passing):
                town.meet()
                post = town.publish("A tent: https://shop.example/tarn-2 #tent")
                for name, what in zip(PEOPLE, ("favourite", "reblog", "favourite"), strict=True):
                    town.apps[name].post(f"/api/v1/statuses/{town.number(name, post['uri'])}/{what}")
                text = {"status": "how heavy?", "in_reply_to_id": town.number("cat", post["uri"])}
                town.apps["cat"].post("/api/v1/statuses", data=text)
                town.settled()
                session = signed_in("mastodon", {"access_token": town.token}, town.home.url)
                for lane in ("backfill", "poll"):
                    recorded("snac", "mastodon", lane, session)
        finally:
            town.stop()


def mock() -> None:
    with mastodon_mock() as url:
        shop, grace, alan = (app(url, f"{name}_token") for name in ("ada", "grace", "alan"))
        me = shop.get("/api/v1/accounts/verify_credentials").json()
        post = shop.post("/api/v1/statuses", json={"status": "A tent #tent"}).json()
        grace.post(f"/api/v1/statuses/{post['id']}/favourite")
        grace.post(f"/api/v1/accounts/{me['id']}/follow")
        text = {"status": f"@{me['acct']} how heavy?", "in_reply_to_id": post["id"]}
        grace.post("/api/v1/statuses", json=text)
        session = signed_in("mastodon", {"access_token": "ada_token"}, url)
        for lane in ("backfill", "poll"):
            recorded("mastodon-mock", "mastodon", lane, session)

        def live() -> None:
            grace.post(f"/api/v1/statuses/{post['id']}/reblog")
            alan.post(f"/api/v1/statuses/{post['id']}/favourite")
            alan.post(f"/api/v1/accounts/{me['id']}/follow")
            told = alan.post(
                "/api/v1/statuses", json=text | {"status": f"@{me['acct']} and in winter?"}
            ).json()
            direct = {"status": f"@{me['acct']} my order is lost", "visibility": "direct"}
            grace.post("/api/v1/statuses", json=direct)
            alan.delete(f"/api/v1/statuses/{told['id']}")
            shop.post("/api/v1/statuses", json={"status": "A stove #stove"})

        recorded("mastodon-mock", "mastodon", "stream", session, line=lambda step: Real(step, session, live))


if __name__ == "__main__":
    for name in sys.argv[1:] or ("mock", "snac", "bluesky"):
        globals()[name]()
