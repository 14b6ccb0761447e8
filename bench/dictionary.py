"""Make ``src/plait/records.zdict``: ``python -m bench.dictionary``. What clients say in every call, for zstd to know beforehand.

Single calls are too short for a compressor to find anything in; with the words of the protocol known beforehand a record is a
third of its size, in no more time. A dictionary that was ever released is kept: records of the log name the one they need.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import zstandard

from plait.events import DICTIONARY, Record, _record_encoder

SIZE = 12 << 10  # bytes; twice that gains 2 %
WORDS = ("Tent", "Trail boots", "Lamp", "Bag", "Rope", "Jacket", "Stove", "Bottle", "Map", "Gloves")
AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{v}.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{v}.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:{v}.0) Gecko/20100101 Firefox/{v}.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.{v} Safari/605.1.15",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_{v} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.{v} "
    "Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{v}.0.0.0 Mobile Safari/537.36",
    "analytics-python/2.{v}.0", "analytics-node/2.{v}.0", "RudderAnalyticsNode/3.{v}", "analytics-ruby/2.{v}.0",
)  # fmt: skip
EVENTS = (
    "Product Viewed", "Product List Viewed", "Product Added", "Product Removed", "Cart Viewed", "Checkout Started", "Order Completed",
    "Products Searched", "Product Clicked", "Promotion Viewed", "Promotion Clicked", "Product Added to Wishlist", "Signed Up",
)  # fmt: skip
SIGNALS = ("view", "dwell", "click", "add", "search", "shown", "form_start", "form_submit", "play", "save")


def _id(chance: random.Random) -> str:
    digits = f"{chance.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _time(chance: random.Random) -> str:
    return (
        f"20{chance.randrange(26, 36)}-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}T{chance.randrange(24):02}:"
        f"{chance.randrange(60):02}:{chance.randrange(60):02}.{chance.randrange(1000):03}Z"
    )


def _properties(chance: random.Random) -> dict[str, Any]:
    return {
        "product_id": f"{chance.choice(WORDS).lower()}-{chance.randrange(999)}", "name": chance.choice(WORDS),
        "price": chance.randrange(1, 999) + 0.5, "quantity": chance.randrange(1, 4), "category": chance.choice(WORDS).lower(),
        "brand": chance.choice(WORDS), "currency": chance.choice(("EUR", "USD")), "position": chance.randrange(20),
    }  # fmt: skip


def _browser(chance: random.Random, library: dict[str, str]) -> dict[str, Any]:
    path = f"/p/{chance.choice(WORDS).lower()}-{chance.randrange(999)}"
    page = {
        "path": path,
        "referrer": "",
        "search": "",
        "title": chance.choice(WORDS),
        "url": f"https://www.example.com{path}",
    }
    return {
        "page": page, "userAgent": chance.choice(AGENTS).format(v=chance.randrange(20, 200)),
        "userAgentData": {"brands": [{"brand": "Chromium", "version": str(chance.randrange(20, 200))}], "mobile": False,
                          "platform": chance.choice(("Windows", "macOS", "Linux", "Android"))},
        "locale": chance.choice(("en-US", "de-DE", "fr-FR", "en-GB")), "library": library,
        "timezone": chance.choice(("Europe/Berlin", "America/New_York", "UTC")),
    }  # fmt: skip


def _segment(chance: random.Random) -> dict[str, Any]:
    """analytics-next."""
    kind = chance.choice(("track", "track", "page", "identify"))
    context = _browser(chance, {"name": "analytics.js", "version": f"npm:next-1.{chance.randrange(99)}.0"})
    call: dict[str, Any] = {"timestamp": _time(chance), "integrations": {"Segment.io": True}, "type": kind}
    if kind == "track":
        call |= {"event": chance.choice(EVENTS), "properties": _properties(chance)}
    elif kind == "page":
        call |= {"properties": context["page"] | {"name": None, "category": None}, "name": None}
    else:
        call |= {"userId": f"u{chance.randrange(10**6)}", "traits": {"email": "", "name": "", "plan": ""}}
    return call | {
        "context": context, "messageId": f"ajs-next-{chance.randrange(10**12, 10**13)}-{_id(chance)}", "anonymousId": _id(chance),
        "writeKey": "", "userId": call.get("userId"), "sentAt": _time(chance), "_metadata": {"bundled": ["Segment.io"]},
    }  # fmt: skip


def _server(chance: random.Random) -> dict[str, Any]:
    """The clients for servers."""
    library = {
        "name": chance.choice(("analytics-python", "@segment/analytics-node", "analytics-node")),
        "version": "2.1.0",
    }
    return {
        "type": "track", "event": chance.choice(EVENTS), "properties": _properties(chance), "userId": f"u{chance.randrange(10**6)}",
        "anonymousId": _id(chance), "context": {"library": library}, "integrations": {}, "timestamp": _time(chance),
        "messageId": _id(chance), "channel": "server", "originalTimestamp": _time(chance), "sentAt": _time(chance),
    }  # fmt: skip


def _rudder(chance: random.Random) -> dict[str, Any]:
    """RudderStack's browser client."""
    context = _browser(chance, {"name": "RudderLabs JavaScript SDK", "version": "3.1.0"}) | {
        "traits": {}, "sessionId": chance.randrange(10**9), "app": {"name": "RudderLabs JavaScript SDK", "namespace": "com.rudderlabs.javascript",
        "version": "3.1.0"}, "os": {"name": "", "version": ""}, "screen": {"density": 1, "width": 1280, "height": 720, "innerWidth": 1280,
        "innerHeight": 720}, "campaign": {}, "trackingPlanId": None,
    }  # fmt: skip
    return {
        "properties": _properties(chance), "event": chance.choice(EVENTS), "type": "track", "channel": "web", "context": context,
        "originalTimestamp": _time(chance), "integrations": {"All": True}, "messageId": _id(chance), "userId": "",
        "anonymousId": _id(chance), "sentAt": _time(chance),
    }  # fmt: skip


def _ours(chance: random.Random) -> list[dict[str, Any]]:
    """plait.js, some events at once."""
    anonymous, view = f"anonymous:{chance.getrandbits(150):032x}", f"{chance.getrandbits(120):030x}"
    found = []
    for number in range(chance.randrange(1, 5)):
        signal = chance.choice(SIGNALS)
        about = {
            "item": f"{chance.choice(WORDS).lower()}-{chance.randrange(999)}",
            "section": chance.choice(("specs", "reviews", "size")),
        }
        event: dict[str, Any] = {"id": f"{view}.{number}", "signal": signal, "at": chance.randrange(17 * 10**11, 18 * 10**11),
                                 "who": [anonymous], "about": about}  # fmt: skip
        if signal == "dwell":
            event |= {"value": chance.randrange(99999) / 1000, "counter": {"view": view, "started_at": event["at"], "epoch": 0},
                      "properties": {"visible": 1.5, "focused": 1.5, "active": 1.5, "expected": 9.5}}  # fmt: skip
        found.append(event | {"context": {"seq": chance.randrange(999)}})
    return found


def records(seed: int, count: int) -> list[bytes]:
    """Records as they are before they are packed."""
    chance, found = random.Random(seed), []
    for number in range(count):
        agent = chance.choice(AGENTS).format(v=chance.randrange(20, 200))
        if number % 4 == 3:
            kind, body = "events", json.dumps(_ours(chance), separators=(",", ":"))
        else:
            call = (_segment, _server, _rudder)[number % 4](chance)
            kind, body = "segment", json.dumps({"batch": [call]}, separators=(",", ":"))
        one = Record(
            kind=kind,
            source="web",
            received_at=chance.randrange(17 * 10**11, 18 * 10**11),
            agent=agent,
            body=body.encode(),
        )  # type: ignore[arg-type]
        found.append(_record_encoder.encode(one))
    return found


def main() -> None:
    """Train it, and say what it gains on records it has not seen."""
    made = zstandard.train_dictionary(SIZE, records(seed=1, count=4_000), level=1)
    where = Path(__file__).parents[1] / "src" / "plait" / DICTIONARY
    where.write_bytes(made.as_bytes())
    unseen = records(seed=2, count=500)
    made.precompute_compress(level=1)
    short = zstandard.ZstdCompressor(level=1, dict_data=made, write_checksum=True).compress
    plain = zstandard.ZstdCompressor(level=-1, write_checksum=True).compress
    whole = sum(map(len, unseen))
    print(f"{where.name}: id {made.dict_id()}, {len(made.as_bytes())} bytes")
    print(
        f"of {whole} bytes: {sum(len(plain(one)) for one in unseen)} without, {sum(len(short(one)) for one in unseen)} with it"
    )


if __name__ == "__main__":
    main()
