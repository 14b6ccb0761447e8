"""docs/how-to/render-on-the-server.md: its Python against a real server, as a shop would run it. Its JavaScript: tests/peers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.conftest import Server
from tests.e2e.test_docs import ROOT, blocks_of

from plait.client import Client

PAGE = ROOT / "docs/how-to/render-on-the-server.md"
ITEMS = [
    {
        "id": "r-tent-1",
        "title": "Dome for <one>",
        "topics": ["r-tents"],
        "url": "https://shop.example/tent-1?a=1&b=2",
    },
    {
        "id": "r-tent-2",
        "title": "Tunnel for two",
        "topics": ["r-tents"],
        "url": "https://shop.example/tent-2",
    },
    {
        "id": "r-stove-1",
        "title": 'A "little" stove',
        "topics": ["r-cooking"],
        "url": "https://shop.example/stove-1",
    },
]
SAW = {"id": "r-1", "signal": "dwell", "about": {"item": "r-tent-2", "section": "specs"}, "value": 48.2}


def script(title: str) -> str:
    """A block of the page, by its title."""
    (found,) = [one.body for one in blocks_of(PAGE) if one.title == title]
    return found


@pytest.fixture(scope="module")
def rendered() -> Callable[..., str]:
    names: dict[str, Any] = {}
    exec(compile(script("placement.py"), "placement.py", "exec"), names)
    return names["rendered"]


def test_a_page_comes_with_its_items_in_it(server: Server, rendered: Callable[..., str]) -> None:
    with Client(server.url, server.secret) as plait:
        plait.put_items(ITEMS)
        html = rendered(plait, "home.grid", "user:r-ann", events=[SAW], timeout=30)

    assert html.startswith('<ul id="home.grid"><li data-plait-item="r-tent-2" data-plait-shown="d_')
    assert html.count("<li") == 3
    assert "Dome for &lt;one&gt;" in html
    assert 'href="https://shop.example/tent-1?a=1&amp;b=2"' in html


def test_a_page_comes_without_plait_too(rendered: Callable[..., str]) -> None:
    with Client("http://127.0.0.1:9", "sk") as plait:
        assert (
            rendered(plait, "home.grid", "user:r-ann", fallback="<p>Bestsellers</p>") == "<p>Bestsellers</p>"
        )
