"""docs/how-to/render-on-the-server.md: its JavaScript in node draws the page that its Python draws."""

from __future__ import annotations

import html
import json
import re
import subprocess
from pathlib import Path

import pytest
from tests.conftest import Server
from tests.e2e.test_render_on_the_server import ITEMS, SAW, script
from tests.peers.setup import node

from plait.client import Client

pytestmark = pytest.mark.peers


def in_node(folder: Path, plait: dict[str, str]) -> str:
    (folder / "placement.mjs").write_text(script("placement.mjs"))
    (folder / "page.mjs").write_text(
        f"""import {{ rendered }} from "./placement.mjs";
        const told = {{ events: [{json.dumps(SAW)}], fallback: "<p>Bestsellers</p>", timeout: 30000 }};
        process.stdout.write(await rendered({json.dumps(plait)}, "home.grid", "user:r-bob", told));"""
    )
    return subprocess.run(
        [node(), folder / "page.mjs"], capture_output=True, text=True, check=True, timeout=60
    ).stdout


def same(page: str) -> str:
    """Without what differs each time: the decision, and how a sign is escaped."""
    return html.unescape(re.sub(r'shown="d_[0-9A-Z]+"', "", page))


def test_node_draws_the_same_page(server: Server, tmp_path: Path) -> None:
    names: dict = {}
    exec(compile(script("placement.py"), "placement.py", "exec"), names)
    with Client(server.url, server.secret) as plait:
        plait.put_items(ITEMS)
        expected = names["rendered"](plait, "home.grid", "user:r-bob", events=[SAW], timeout=30)

    page = in_node(tmp_path, {"url": server.url, "key": server.secret})

    assert "Dome for <one>" not in page
    assert 'shown="d_' in page
    assert same(page) == same(expected)


def test_node_draws_a_page_without_plait_too(tmp_path: Path) -> None:
    assert in_node(tmp_path, {"url": "http://127.0.0.1:9", "key": "sk"}) == "<p>Bestsellers</p>"
