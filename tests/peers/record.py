"""Record what Bluesky's own servers say of invented people, for tests, benches and the demo without a server.

    python -m tests.peers.record frames
    python -m tests.peers.record day

``frames`` writes ``tests/data/bluesky/frames.zst`` (frames of the firehose, each after its length in four bytes) and
``frames.json``: who is the shop, and with which keys commits are signed. ``day`` writes a day of the demo shop's account to
``src/plait/demo/social-day.jsonl``, in the words of Jetstream.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

import libipld
import zstandard
from tests.peers.bluesky import Network, Person, stamp
from websockets.sync.client import connect

from plait.demo.shelf import shelf

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


def record_frames() -> None:
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


# -- a day of the demo shop ------------------------------------------------------------------------------------

DAY = Path(__file__).parents[2] / "src" / "plait" / "demo" / "social-day.jsonl"
NAMES = [
    "mara",
    "aylin",
    "noor",
    "edda",
    "kasimir",
    "lotte",
    "thandi",
    "bruno",
    "sanna",
    "pavel",
    "ines",
    "odile",
    "rafael",
    "mikko",
    "greta",
    "yusuf",
    "hanna",
    "piet",
]
WORDS = [
    "Is it warm enough for October?", "Mine has done four winters.", "Does it fit two and a dog?", "Want.",
    "The zip on mine broke after a week, what now?", "Which colour is that?", "Best thing I carry.", "Price?",
    "Passt das in einen 40-Liter-Rucksack?", "Hold my oatmeal, I am going.", "Merci, je cherchais exactement ça.",
]  # fmt: skip


# Who follows whom: three guests of the demo, and customers whom they know (``plait.demo.visitors``).
FOLLOWS = {
    "mara": ("lotte", "thandi", "bruno", "sanna", "kasimir", "edda", "pavel"),
    "aylin": ("edda", "lotte", "ines", "sanna", "thandi"),
    "noor": ("pavel", "ines", "bruno", "kasimir", "sanna", "lotte"),
    "lotte": ("thandi", "bruno", "kasimir", "mara"), "thandi": ("lotte", "mara", "pavel"), "bruno": ("sanna", "ines"),
    "sanna": ("edda", "pavel", "noor"), "pavel": ("ines", "thandi"), "ines": ("kasimir", "aylin"),
    "kasimir": ("edda", "lotte"), "edda": ("aylin", "sanna"),
}  # fmt: skip


def record_day() -> None:
    """Posts of the shop over a day, and what people do with them: some change their minds, some leave."""
    chance = random.Random(164)
    posts = [one for one in shelf().posts if one.network == "bluesky"]
    network = Network().start()
    plan: list[int] = []  # seconds of the day of each frame
    try:
        shop = network.account("skerryoutdoor")
        people = {name: network.account(f"{name}outside") for name in NAMES}
        before = len(frames(network, cursor=0, until=1))
        made: list[tuple[Person, dict[str, str]]] = []
        shown: list[dict[str, str]] = []
        names: dict[str, str] = {}
        for moment, tie in moments(chance):
            plan.append(moment)
            if tie is not None:
                people[tie[0]].follow(people[tie[1]].did)
                continue
            if len(shown) < len(posts) and chance.random() < (1 if not shown else 0.07):
                post = posts[len(shown)]
                shown.append(shop.post(post.text))
                names[shown[-1]["uri"]] = post.id
                continue
            who = chance.choice(list(people.values()))
            # New posts are seen more.
            post_ref = shown[-1 - min(int(chance.expovariate(0.7)), len(shown) - 1)]
            kind = chance.choices(
                ["like", "repost", "reply", "quote", "follow", "back"], [52, 12, 12, 6, 8, 10]
            )[0]
            if kind == "back" and made:
                one, ref = made.pop(chance.randrange(len(made)))
                one.delete(ref)
            elif kind == "follow":
                made.append((who, who.follow(shop.did)))
            elif kind in ("reply", "quote"):
                getattr(who, kind)(post_ref, chance.choice(WORDS))
            else:
                made.append((who, (who.repost if kind == "repost" else who.like)(post_ref)))
        told = frames(network, cursor=0, until=before + len(plan))[before:]
    finally:
        network.stop()
    who_is = {name: one.did for name, one in people.items()}
    lines = [{"me": shop.did, "posts": names, "people": who_is}]
    lines += [line for one in told if (line := jetstream(one))]
    # What says nothing (following whom one follows) makes no frame: spread what there is over the day.
    for number, line in enumerate(lines[1:]):
        line["second"] = plan[number * len(plan) // (len(lines) - 1)]
    DAY.write_text(
        "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines)
    )
    print(f"{len(lines) - 1} acts, {DAY.stat().st_size} bytes")


def moments(chance: random.Random) -> list[tuple[int, tuple[str, str] | None]]:
    """Seconds of the day at which something happens; where it is somebody following somebody, who whom."""
    acts = [(one, None) for one in chance.sample(range(7 * 3_600, 23 * 3_600), 260)]
    pairs = [(who, whom) for who, some in FOLLOWS.items() for whom in some]
    chance.shuffle(pairs)
    ties = zip(chance.sample(range(9 * 3_600, 13 * 3_600), len(pairs)), pairs, strict=True)
    return sorted([*acts, *ties], key=lambda one: one[0])


def jetstream(raw: bytes) -> dict[str, Any]:
    """A frame of one act, or of what became of an account, in the words of Jetstream; empty when it is neither."""
    header, body = libipld.decode_dag_cbor_multi(raw)
    if header["t"] == "#account":
        told = {name: body[name] for name in ("active", "did", "seq", "status", "time") if name in body}
        return {"did": body["did"], "time_us": body["seq"], "kind": "account", "account": told}
    if header["t"] != "#commit" or not body["ops"]:  # a repo begins with a commit of nothing
        return {}
    records = libipld.decode_car(body["blocks"])[1]
    [op, *_] = sorted(body["ops"], key=lambda one: one["action"] == "delete")
    collection, _, rkey = op["path"].partition("/")
    told = {"rev": body["rev"], "operation": op["action"], "collection": collection, "rkey": rkey}
    if op["action"] != "delete":
        told |= {"cid": libipld.encode_cid(op["cid"]), "record": _plain(records[op["cid"]])}
    return {"did": body["repo"], "time_us": body["seq"], "kind": "commit", "commit": told}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return {"$link": libipld.encode_cid(value)} if isinstance(value, bytes) else value


if __name__ == "__main__":
    {"frames": record_frames, "day": record_day}[sys.argv[1]]()
