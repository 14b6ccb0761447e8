"""The documentation's scripts for browser and node, which `make test` has no node to check with."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from tests.e2e.test_docs import PAGES, blocks_of
from tests.peers.setup import node

pytestmark = pytest.mark.peers


def test_examples_for_browser_and_node_are_well_formed(tmp_path: Path) -> None:
    checked = 0
    for page in PAGES:
        for block in blocks_of(page):
            scripts = [block.body] if block.language == "js" else []
            if block.language == "html":
                scripts = re.findall(r"<script[^>]*>(.+?)</script>", block.body, re.S)
            for script in scripts:
                file = tmp_path / "example.mjs"
                file.write_text(script)
                done = subprocess.run([node(), "--check", file], capture_output=True, text=True)
                assert done.returncode == 0, f"{block.where}: {done.stderr}"
                checked += 1

    assert checked
