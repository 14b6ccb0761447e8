"""The firehose of Bluesky: commits a second on one core, beside the floor of decoding alone; and what signatures would cost.

The frames are what the official server said of invented people (``tests/peers/record.py``), one in twenty about the shop. On
the network almost none are, so the true rate is nearer to that of strangers' frames.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import libipld
import zstandard
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature

from bench import Line
from plait.connectors import Account, Frame, Next, Page
from plait.connectors.bluesky import Connector

FOLDER = Path(__file__).parent.parent / "tests" / "data" / "bluesky"
# 232 GB a day: what the whole network told in its busiest month that figures were published of (jazco.dev, 2024-09).
NETWORK = 232e9 / 86_400  # bytes a second


def recorded() -> tuple[list[bytes], dict[str, Any]]:
    """The frames, and who is the shop."""
    raw = zstandard.ZstdDecompressor().decompress(
        (FOLDER / "frames.zst").read_bytes(), max_output_size=1 << 28
    )
    found, at = [], 0
    while at < len(raw):
        size = int.from_bytes(raw[at : at + 4])
        found.append(raw[at + 4 : at + 4 + size])
        at += 4 + size
    return found, json.loads((FOLDER / "frames.json").read_text())


def streamed(frames: list[bytes], me: str, times: int) -> int:
    """Send the frames through the connector, as the driver would; returns the facts it told."""
    account = Account(
        source="bluesky:bench",
        host="",
        me=f"bluesky:{me}",
        settings={"stream": "firehose", "relay": "wss://bench"},
    )
    steps = Connector(account, watched=_Nobody(), now=lambda: time.time_ns() // 1_000_000).stream(
        "firehose:0"
    )
    step, told = steps.send(None), 0
    for _ in range(times):
        for one in frames:
            while not isinstance(step, Next):
                told += len(step.facts) if isinstance(step, Page) else 0
                step = steps.send(None)
            step = steps.send(Frame(one))
    step = steps.send(None)
    return told + (len(step.facts) if isinstance(step, Page) else 0)


class _Nobody:
    def __call__(self, _: str) -> bool:
        return False

    def known(self, _: str) -> bool:
        return False


def floor(frames: list[bytes], times: int) -> None:
    """What anybody has to do who reads these frames: the envelope and the blocks."""
    multi, car = libipld.decode_dag_cbor_multi, libipld.decode_car
    for _ in range(times):
        for one in frames:
            car(multi(one)[1]["blocks"])


def verified(frames: list[bytes], keys: dict[str, ec.EllipticCurvePublicKey]) -> int:
    """Check the signature of every commit; returns how many were right."""
    right = 0
    for one in frames:
        header, body = libipld.decode_dag_cbor_multi(one)
        if header["t"] != "#commit":
            continue
        root, blocks = libipld.decode_car(body["blocks"])
        commit = dict(blocks[root["roots"][0]])
        signed = commit.pop("sig")
        # Links are bytes to the decoder; as links they are signed.
        raw = _linked(commit)
        halves = (int.from_bytes(signed[:32]), int.from_bytes(signed[32:]))
        keys[body["repo"]].verify(
            encode_dss_signature(*halves), hashlib.sha256(raw).digest(), ec.ECDSA(Prehashed(hashes.SHA256()))
        )
        right += 1
    return right


def _linked(commit: dict[str, Any]) -> bytes:
    """A commit as it was signed: DAG-CBOR with its links as links."""
    parts = {name: libipld.encode_dag_cbor(value) for name, value in commit.items()}
    for name in ("data", "prev"):
        if isinstance(commit.get(name), bytes):
            link = b"\x00" + commit[name]
            parts[name] = b"\xd8\x2a\x58" + bytes((len(link),)) + link
    order = sorted(parts, key=lambda name: (len(name), name))
    return bytes((0xA0 | len(parts),)) + b"".join(
        libipld.encode_dag_cbor(name) + parts[name] for name in order
    )


def key_of(did_key: str) -> ec.EllipticCurvePublicKey:
    raw = libipld.decode_multibase(did_key.removeprefix("did:key:"))[1]
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), raw[2:])


def seconds(work: Callable[[], Any], tries: int) -> float:
    taken = []
    for _ in range(tries):
        began = time.process_time()  # of this core: what else the machine does is no fault of ours
        work()
        taken.append(time.process_time() - began)
    return statistics.median(taken)


def measure(quick: bool) -> Iterator[Line]:
    frames, told = recorded()
    commits = [one for one in frames if libipld.decode_dag_cbor_multi(one)[0]["t"] == "#commit"]
    times, tries = (3, 3) if quick else (25, 7)
    total = len(commits) * times
    assert streamed(commits, told["me"], 1) > 0
    bare = seconds(lambda: floor(commits, times), tries)
    ours = seconds(lambda: streamed(commits, told["me"], times), tries)
    strangers = seconds(lambda: streamed(commits, "did:plc:nobodythatanyoneknows000", times), tries)
    bytes_each = sum(map(len, commits)) / len(commits)
    yield Line(
        f"firehose commits of {bytes_each / 1000:.1f} KB decoded and filtered", total / ours, "commits/s", "bare libipld decode",
        bare / ours, bar=10_000,
    )  # fmt: skip
    yield Line(
        "the same, none about the shop", total / strangers, "commits/s", "bare libipld decode", bare / strangers,
        bar=10_000,
    )  # fmt: skip
    yield Line("catching up", total * bytes_each / strangers / NETWORK, "x real time (232 GB a day)", bar=20)
    keys = {did: key_of(key) for did, key in told["keys"].items()}
    assert verified(commits, keys) == len(commits)
    signed = seconds(lambda: verified(commits, keys), tries) / len(commits)
    yield Line(
        "with every commit's signature verified", 1 / (strangers / total + signed), "commits/s", "without",
        (strangers / total) / (strangers / total + signed),
    )  # fmt: skip
