"""Record walks of connectors through real servers, with people who do not exist, for `tests/contract/test_connectors.py`.

    python -m tests.peers.transcripts [mock | snac | bluesky]

writes ``tests/data/<network>/<server>-<lane>.transcript.json``: what was asked, what the server answered (without its headers, but for the ones
that are read), and the pages that were told. Nothing that signs a request is among it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import msgspec
from tests.contract.test_connectors import DATA, Transcript, Turn
from tests.peers.bluesky import Network
from tests.peers.fediverse import Held, Pump, free_port, until
from tests.peers.town import PEOPLE, Town

from plait.connectors import Account, Answer, Ask, Page, Recall, Session, connector_of

READ = ("link", "content-type")


def now() -> int:
    return time.time_ns() // 1_000_000


def recorded(server: str, network: str, lane: str, session: Session, cursor: str | None = None) -> str | None:
    """Walk through one generator, keep what came of it, and return its cursor."""
    pump, at = Pump(session, Held()), now()
    one = connector_of(network)(session.account, watched=lambda _: False, now=lambda: at)
    steps = getattr(one, lane)(cursor)
    turns: list[Turn] = []
    pages: list[Any] = []
    answer: Any = None
    began = cursor
    while True:
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
    finally:
        network.stop()


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
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mastodon_mock", "serve", "--in-memory", "--demo", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: _stands(url), seconds=120, why="mastodon-mock listens")
        shop, grace = (
            httpx.Client(base_url=url, headers={"authorization": f"Bearer {name}_token"}, timeout=60)
            for name in ("ada", "grace")
        )
        me = shop.get("/api/v1/accounts/verify_credentials").json()
        post = shop.post("/api/v1/statuses", json={"status": "A tent #tent"}).json()
        grace.post(f"/api/v1/statuses/{post['id']}/favourite")
        grace.post(f"/api/v1/accounts/{me['id']}/follow")
        text = {"status": f"@{me['acct']} how heavy?", "in_reply_to_id": post["id"]}
        grace.post("/api/v1/statuses", json=text)
        session = signed_in("mastodon", {"access_token": "ada_token"}, url)
        for lane in ("backfill", "poll"):
            recorded("mastodon-mock", "mastodon", lane, session)
    finally:
        process.kill()
        process.wait()


def _stands(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/v1/instance", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    for name in sys.argv[1:] or ("mock", "snac", "bluesky"):
        globals()[name]()
