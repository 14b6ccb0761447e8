"""Record what Bluesky's own servers say of invented people: frames of the firehose, for tests and benches without a server.

    python -m tests.peers.record

Writes ``tests/data/bluesky/frames.zst`` (frames, each after its length in four bytes) and ``frames.json``: who is the shop,
and with which keys commits are signed.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import zstandard
from tests.peers.bluesky import Network, Person, stamp
from websockets.sync.client import connect

HERE = Path(__file__).parent.parent / "data" / "bluesky"
PEOPLE, FILLED, ACTS = 12, 600, 400
TOUCHES = 0.05  # of the acts are about the shop; on the network far fewer are


def frames(network: Network, *, cursor: int, until: int) -> list[bytes]:
    """Frames of the PDS after ``cursor``, until as many as ``until`` have come and it falls silent."""
    url = network.pds.replace("http", "ws") + f"/xrpc/com.atproto.sync.subscribeRepos?cursor={cursor}"
    found: list[bytes] = []
    with connect(url, proxy=None, max_size=8 << 20) as line:
        while True:
            try:
                found.append(line.recv(timeout=2 if len(found) >= until else 30))
            except TimeoutError:
                return found


def fill(who: Person, whom: list[Person], chance: random.Random) -> None:
    """A repo as large as that of somebody who has been there for a while: its tree is as deep."""
    for start in range(0, FILLED, 200):
        who.call(
            "com.atproto.repo.applyWrites", repo=who.did,
            writes=[
                {
                    "$type": "com.atproto.repo.applyWrites#create", "collection": "app.bsky.feed.like",
                    "value": {
                        "$type": "app.bsky.feed.like", "createdAt": stamp(),
                        "subject": {
                            "uri": f"at://{chance.choice(whom).did}/app.bsky.feed.post/3aaaaaaa{start + number:04}a",
                            "cid": "bafyreibjo4xmgaevkgud7mbifn3dzp4v4lyc5tpu7fxu3kzykgkfyxrjia",
                        },
                    },
                }
                for number in range(200)
            ],
        )  # fmt: skip


def live(network: Network, shop: Person, people: list[Person], chance: random.Random) -> None:
    """Acts one by one, in about the proportions of the network."""
    posts = {who.did: [who.post(f"hello from {who.handle}")] for who in [shop, *people]}
    made: list[tuple[Person, dict[str, str]]] = []
    for number in range(ACTS):
        who = chance.choice(people)
        whom = shop if chance.random() < TOUCHES else chance.choice(people)
        post = chance.choice(posts[whom.did])
        kind = chance.choices(["like", "repost", "post", "reply", "follow", "delete"], [48, 9, 9, 9, 13, 12])[
            0
        ]
        if kind == "delete" and made:
            one, ref = made.pop(chance.randrange(len(made)))
            one.delete(ref)
        elif kind == "post":
            posts[who.did].append(who.post(f"number {number} " + "and so on " * chance.randrange(20)))
        elif kind == "follow":
            made.append((who, who.follow(whom.did)))
        elif kind == "reply":
            made.append((who, who.reply(post, f"reply {number} " + "indeed " * chance.randrange(20))))
        else:
            made.append((who, (who.like if kind == "like" else who.repost)(post)))


def main() -> int:
    network = Network().start()
    chance = random.Random(160)
    try:
        shop = network.account("recordedshop")
        people = [network.account(f"recorded{number}") for number in range(PEOPLE)]
        for who in people:
            fill(who, people, chance)
        before = len(frames(network, cursor=0, until=1))
        live(network, shop, people, chance)
        told = frames(network, cursor=0, until=before + ACTS)[before:]
        keys: dict[str, Any] = {
            who.did: network.http.get(f"{network.plc}/{who.did}/data").json()["verificationMethods"][
                "atproto"
            ]
            for who in [shop, *people]
        }
    finally:
        network.stop()
    HERE.mkdir(parents=True, exist_ok=True)
    packed = b"".join(len(one).to_bytes(4) + one for one in told)
    (HERE / "frames.zst").write_bytes(zstandard.ZstdCompressor(level=19).compress(packed))
    (HERE / "frames.json").write_text(
        json.dumps({"me": shop.did, "frames": len(told), "keys": keys}, indent=1) + "\n"
    )
    print(f"{len(told)} frames, {len(packed)} bytes, {(HERE / 'frames.zst').stat().st_size} packed")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
