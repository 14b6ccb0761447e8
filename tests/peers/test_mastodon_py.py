"""What real servers answered to Mastodon.py's own tests: each notification, status, account and thread is read, or ignored by name."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from tests.peers.setup import PEERS

from plait.connectors._fediverse import Ignored, told
from plait.connectors._mastodon import Me, actor_of, fact_of, note_of, post_of, unwrapped

pytestmark = pytest.mark.peers

FOLDER = PEERS / "mastodon_py" / "tests"
IGNORED = frozenset({  # everything that is not read, and why
    "status: a post that is not public",  # only as a post of ours; as somebody's note it is read
    "notification: without a status",  # of a mention that was deleted meanwhile
    "notification: a poll ended",
    "notification: a list of accounts, not an act towards us",
    "notification: for the server's administrators",
    "notification: an edit of a post that we boosted",
    "notification: between the server and its user",
    "notification: a post of an account that we asked to hear of is not about us",
})  # fmt: skip
ME = Me(account="mastodon:shop@shop.example", id="none of them", domain="localhost")


def answers() -> Iterator[tuple[str, Any]]:
    """(address, JSON) of every answer that was recorded."""
    for path in sorted(FOLDER.glob("cassettes*/*.yaml")):
        if path.name.endswith(".ws.yaml"):
            continue
        # The C loader, or the Python one takes minutes.
        for one in (yaml.load(path.read_text(errors="replace"), Loader=yaml.CSafeLoader) or {}).get(
            "interactions", []
        ):
            body = one["response"]["body"].get("string", "")
            try:
                yield one["request"]["uri"], json.loads(body)
            except (ValueError, TypeError, UnicodeDecodeError):
                continue


def entities(found: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """(kind, entity) of all that lie anywhere in an answer."""
    if isinstance(found, list):
        for one in found:
            yield from entities(one)
    elif isinstance(found, dict):
        # The second form of notifications, in groups, is not asked for: it has no single act.
        if {
            "type",
            "account",
            "created_at",
            "id",
        } <= found.keys() and "most_recent_notification_id" not in found:
            yield "notification", found
        elif {"uri", "content", "account"} <= found.keys():
            yield "status", found
        elif {"acct", "username"} <= found.keys():
            yield "account", found
        for one in found.values():
            yield from entities(one)


def test_what_real_servers_answered_is_read_without_loss():
    seen: Counter[str] = Counter()
    why: Counter[str] = Counter()
    for _, found in answers():
        for kind, entity in entities(found):
            seen[kind] += 1
            try:
                if kind == "notification":
                    fact = fact_of(entity, ME, lambda _: None)
                    assert fact.actor.startswith("mastodon:")
                elif kind == "status":
                    fact = told(note_of(unwrapped(entity), ME, lambda _: None), ME.account)
                    assert fact.record
                    post_of(unwrapped(entity))
                else:
                    assert actor_of(entity, ME).startswith("mastodon:")
            except Ignored as exc:
                why[f"{kind}: {exc}"] += 1

    print(seen, why)
    assert seen["status"] > 500
    assert seen["account"] > 500
    assert seen["notification"] > 20
    assert set(why) <= IGNORED
