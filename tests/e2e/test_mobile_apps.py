"""Requests in the shapes of Segment's SDKs for apps, written after their sources: none of the SDKs is run here.

docs/how-to/mobile-apps.md says what was read and what was run.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator

import httpx
import pytest
from tests.conftest import Server

CONTEXT = {
    "app": {"name": "Shop", "version": "3.1", "build": "77", "namespace": "example.shop"},
    "device": {"id": "d-1", "manufacturer": "Maker", "model": "Phone 9", "name": "phone", "type": "android"},
    "library": {"name": "analytics-kotlin", "version": "1.22.0"},
    "locale": "en-US",
    "network": {"wifi": True, "cellular": False},
    "os": {"name": "Android", "version": "15"},
    "screen": {"width": 1080, "height": 2400},
    "timezone": "Europe/Berlin",
    "instanceId": "i-1",
}
ABOUT = {"integrations": {}, "_metadata": {"bundled": [], "unbundled": [], "bundledIds": []}}
JSON = "application/json; charset=utf-8"


def calls(app: str, type: str) -> list[dict]:
    device = CONTEXT["device"] | {"type": type}
    common = ABOUT | {
        "anonymousId": f"{app}-7b3e0f9a-1c2d-4e5f-8a9b-0c1d2e3f4a5b",
        "context": CONTEXT | {"device": device, "os": {"name": "iOS" if type == "ios" else "Android"}},
    }
    told = [
        {
            "type": "screen",
            "name": "Tent for two",
            "category": "products",
            "properties": {"product_id": "tent-2"},
        },
        {"type": "track", "event": "Product Added", "properties": {"product_id": "tent-2", "price": 149}},
        {"type": "track", "event": "Application Opened", "properties": {"from_background": False}},
        {"type": "identify", "userId": app, "traits": {"plan": "gold"}},
    ]
    return [
        common | {"messageId": f"{app}-{n}", "timestamp": "2026-05-01T10:00:00.000Z"} | one
        for n, one in enumerate(told)
    ]


def in_pieces(body: bytes) -> Iterator[bytes]:
    """Without a length beforehand, as a chunked upload sends it."""
    for start in range(0, len(body), 100):
        yield body[start : start + 100]


@pytest.mark.parametrize(
    ("app", "type", "headers", "zipped"),
    [
        ("swift", "ios", {"user-agent": "analytics-ios/1.9.1", "content-type": JSON}, False),
        (
            "kotlin",
            "android",
            {
                "user-agent": "analytics-kotlin/1.22.0",
                "content-type": "text/plain",
                "content-encoding": "gzip",
            },
            True,
        ),
        ("react-native", "android", {"user-agent": "okhttp/4.12.0", "content-type": "text/plain"}, False),
        (
            "react-native-ios",
            "ios",
            {"user-agent": "Shop/77 CFNetwork/1568.100.1 Darwin/24.0.0", "content-type": "text/plain"},
            False,
        ),
        ("flutter", "android", {"user-agent": "analytics-flutter/1.1.8", "content-type": JSON}, False),
    ],
)
def test_an_apps_batch_is_understood(
    server: Server, app: str, type: str, headers: dict, zipped: bool
) -> None:
    batch = {"batch": calls(app, type), "sentAt": "2026-05-01T10:00:05.000Z", "writeKey": server.write}
    body = json.dumps(batch).encode()
    content = in_pieces(gzip.compress(body)) if zipped else body

    answer = httpx.post(f"{server.url}/v1/b", content=content, headers=headers, trust_env=False)

    assert answer.status_code == 200, answer.text
    assert answer.json() == {"success": True, "accepted": 4}
    profile = server.eventually(lambda: server.profile(f"anonymous:{calls(app, type)[0]['anonymousId']}"))
    assert profile["counts"] == {"view": 1, "add": 1, "session": 1}, "a screen is a page"
    assert "mobile" in str(profile["devices"])
    assert profile["bots"] == 0


def test_an_app_finds_its_settings(server: Server) -> None:
    answer = httpx.get(
        f"{server.url}/v1/projects/{server.write}/settings",
        headers={"host": "plait.shop.example", "content-type": JSON, "cache-control": "no-cache"},
        trust_env=False,
    )

    assert answer.status_code == 200
    # Swift and Kotlin take an integration for enabled when it is named; all four send where `apiHost` says.
    assert answer.json()["integrations"] == {
        "Segment.io": {"apiKey": server.write, "apiHost": "plait.shop.example/v1"}
    }
