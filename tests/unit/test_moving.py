"""The scripts of the guides for moving here: what was once told to others becomes the right events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.e2e.test_docs import ROOT, blocks_of

from plait.events import Record
from plait.intake.records import events_of
from plait.intake.signals import load_signals


def blocks(page: str) -> dict[str | None, str]:
    return {one.title: one.body for one in blocks_of(ROOT / "docs/how-to" / page)}


def understood(calls: list[dict[str, Any]], folder: Path) -> list[tuple[Any, ...]]:
    body = json.dumps({"batch": calls}).encode()
    record = Record(kind="segment", source="web", received_at=1_780_000_000_000, trusted=True, body=body)
    return [
        (one.signal, one.about.item or one.about.url, one.value, one.who[0], one.at)
        for one in events_of(record, load_signals(folder))
    ]


def test_rows_of_ga4s_export_become_what_happened(tmp_path: Path) -> None:
    told, names = blocks("move-from-ga4.md"), dict[str, Any]()
    exec(told["bring_ga4.py"].rpartition("assert")[0], names)
    rows = [json.loads(line) for line in told["ga4.jsonl"].splitlines()]
    calls = [names["call_of"](row) for row in rows]

    assert understood(calls, tmp_path) == [
        ("view", "https://shop.example/tents", None, "anonymous:1234567890.1772359100", 1_772_359_200_000),
        ("view", "tent-2", None, "user:42", 1_772_359_230_000),
        ("purchase", "tent-2", 349.0, "user:42", 1_772_359_500_000),
    ]
    assert [names["call_of"](row)["messageId"] for row in rows] == [one["messageId"] for one in calls]


def test_segments_raw_calls_keep_their_time(tmp_path: Path) -> None:
    calls = [json.loads(line) for line in blocks("move-from-segment.md")["segment.jsonl"].splitlines()]
    for call in calls:  # as the script does
        call.pop("sentAt"), call.pop("originalTimestamp", None)

    assert understood(calls, tmp_path) == [
        ("identify", None, None, "user:42", 1_772_359_200_000),
        ("purchase", "tent-2", 349.0, "user:42", 1_772_359_500_000),
        ("purchase", "stove-1", 49.0, "user:42", 1_772_359_500_000),
    ]
