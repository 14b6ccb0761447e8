"""The documentation does what it says: its blocks are run in the order of their page, against a real server.

- ``python`` blocks of a page share their names. ``bash`` blocks that call ``plait`` or ``curl`` are run, others are
  checked for syntax; a ``console`` block's lines that begin with ``$`` are run.
- A block with ``title="name"`` is written to that file, in the folder where the page's blocks run. The server's data
  folder is ``data`` there, and starts with the page's first block that needs it.
- ``json``, ``toml`` and their like must parse. ``text`` is for what nobody can run.
"""

from __future__ import annotations

import configparser
import contextlib
import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import defusedxml.ElementTree as Xml
import duckdb
import pytest
import sqlglot
import yaml
from tests.conftest import Server

from plait.intake.signals import load_signals
from plait.keys import load_keys
from plait.settings import load

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
_FENCE = re.compile(r"^( *)(`{3,})([^\n`]*)\n(.*?)^\1\2 *$", re.M | re.S)
_RUN = re.compile(r"^(?:\w+=\S* )*(?:\w+=\$\()?(plait|curl)\b", re.M)
# Where a reader's Plait stands, in the docs' words.
_ADDRESS = re.compile(
    r"https?://(?:127\.0\.0\.1:8080|localhost:8080|(?:plait|events|data)\.shop\.example)(?![\w.])"
)


class Block(NamedTuple):
    """A fenced block of a page."""

    where: str
    language: str
    title: str | None
    body: str


def blocks_of(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text()
    found = []
    for hit in _FENCE.finditer(text):
        indent, _, info, body = hit.groups()
        title = re.search(r'title="([^"]+)"', info)
        lines = "".join(line.removeprefix(indent) for line in body.splitlines(keepends=True))
        where = f"{page.relative_to(ROOT)}:{text.count(chr(10), 0, hit.start()) + 1}"
        found.append(Block(where, info.partition(" ")[0].strip(), title and title[1], lines))
    return found


@pytest.mark.parametrize(
    "page", [one for one in PAGES if blocks_of(one)], ids=lambda one: str(one.relative_to(ROOT))
)
def test_the_blocks_of_a_page_do_what_they_say(page: Path, tmp_path: Path) -> None:
    with _Reader(tmp_path).reading() as reader:
        for block in blocks_of(page):
            if block.title:
                reader.write(block)
            check = _CHECKS.get(block.language)
            assert check, (
                f"{block.where}: a block in {block.language!r} is neither run nor checked; `text` says so"
            )
            try:
                check(reader, block)
            except Exception as exc:
                raise AssertionError(f"{block.where}: {exc}") from exc


class _Reader:
    """Somebody who follows a page with an empty folder, a shell, and Plait."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: dict[str, object] = {"__name__": "__main__"}
        self.server = Server(folder / "data", own_keys=False)

    @contextlib.contextmanager
    def reading(self) -> Iterator[_Reader]:
        before = Path.cwd()
        os.chdir(self.folder)
        try:
            yield self
        finally:
            os.chdir(before)
            if self.server.process is not None:
                self.server.kill()

    def write(self, block: Block) -> None:
        path = self.folder / str(block.title)
        assert path.resolve().is_relative_to(self.folder), "a title is a file name"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.body)

    def here(self, text: str) -> str:
        """``text`` with the address of this server, which is started when it is first needed."""
        if self.server.process is None:
            self.server.start()
            keys = load_keys(load(str(self.server.data), env={}))
            self.server.write, self.server.secret = keys.write, keys.secret
            # A reader types slower than a fold starts.
            self.server.collect({"type": "track", "event": "Began", "userId": "reader", "messageId": "began"})
            self.server.eventually(lambda: self.server.profile("user:reader"), seconds=60)
        return _ADDRESS.sub(self.server.url, text)

    def env(self) -> dict[str, str]:
        commands = self.folder / ".commands"
        if not commands.exists():
            commands.mkdir()
            for name, body in _COMMANDS.items():
                (commands / name).write_text(body.format(python=sys.executable, curl=shutil.which("curl")))
                (commands / name).chmod(0o755)
        keys = {"PLAIT_WRITE_KEY": self.server.write, "PLAIT_SECRET_KEY": self.server.secret}
        bare = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        return {**bare, **keys, "PLAIT_DATA": "data", "PATH": f"{commands}:{os.environ['PATH']}"}


# A server is running already: `serve` and `demo` are only read, as far as their options go. curl fails when the answer
# says that it failed; the keys in the environment are for it, `plait` has those of the data folder.
_COMMANDS = {
    "plait": """#!/bin/sh
unset PLAIT_WRITE_KEY PLAIT_SECRET_KEY
case "$1" in
serve|demo) exec {python} -c 'import sys; from plait.cli import main
main.commands[sys.argv[1]].make_context(sys.argv[1], sys.argv[2:])' "$@" ;;
*) exec {python} -m plait "$@" ;;
esac
""",
    "curl": """#!/bin/sh
exec {curl} -sS --fail-with-body --max-time 30 "$@"
""",
}


def _python(reader: _Reader, block: Block) -> None:
    code = compile(
        reader.here(block.body) if _ADDRESS.search(block.body) else block.body, block.where, "exec"
    )
    with contextlib.redirect_stdout(io.StringIO()), _keys_in_environment(reader):
        exec(code, reader.names)


@contextlib.contextmanager
def _keys_in_environment(reader: _Reader) -> Iterator[None]:
    """As a shop's program has them; gone again afterwards, for `plait` takes those of the data folder."""
    names = ("PLAIT_SECRET_KEY", "PLAIT_WRITE_KEY")
    before = {name: os.environ.pop(name) for name in names if name in os.environ}
    if reader.server.process is not None:
        os.environ.update({name: reader.env()[name] for name in names})
    try:
        yield
    finally:
        for name in names:
            os.environ.pop(name, None)
        os.environ.update(before)


def _shell(reader: _Reader, block: Block) -> None:
    lines = block.body
    if block.language == "console":
        lines = "\n".join(one[2:] for one in lines.splitlines() if one.startswith(("$ ", "> ")))
        assert lines, "a console block needs a line that begins with `$ `"
    if not _RUN.search(lines):
        subprocess.run(["bash", "-n", "-c", lines], check=True)
        return
    if re.search(r"\bcurl\b", lines) and not shutil.which("curl"):
        assert not os.environ.get("CI"), "curl is missing"
        pytest.skip("curl is missing")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", reader.here(lines)],
        env=reader.env(),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}"


def _toml(reader: _Reader, block: Block) -> None:
    tomllib.loads(block.body)
    name = Path(block.title or "").name
    if name == "plait.toml":
        folder = reader.folder / ".settings"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(block.body)
        load(str(folder), env={})
    elif name == "signals.toml":
        folder = reader.folder / ".signals"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(block.body)
        load_signals(folder)


def _sql(_: _Reader, block: Block) -> None:
    try:
        assert duckdb.extract_statements(block.body)
    except duckdb.Error:
        assert sqlglot.parse_one(block.body, into=sqlglot.exp.Condition) is not None


def _lines_of_json(_: _Reader, block: Block) -> None:
    for line in block.body.splitlines():
        json.loads(line)


def _table(delimiter: str) -> Callable[[_Reader, Block], None]:
    def check(_: _Reader, block: Block) -> None:
        rows = list(csv.reader(io.StringIO(block.body), delimiter=delimiter))
        assert len({len(row) for row in rows}) == 1, "rows of different lengths"

    return check


_CHECKS: dict[str, Callable[[_Reader, Block], object]] = {
    "text": lambda _, block: None,
    "python": _python,
    "bash": _shell,
    "sh": _shell,
    "console": _shell,
    "json": lambda _, block: json.loads(block.body),
    "jsonl": _lines_of_json,
    "toml": _toml,
    "ini": lambda _, block: configparser.RawConfigParser(strict=False).read_string(block.body),
    "yaml": lambda _, block: yaml.safe_load(block.body),
    "xml": lambda _, block: Xml.fromstring(block.body),
    "csv": _table(","),
    "tsv": _table("\t"),
    "sql": _sql,
    # `make peers` has a node to check these with; here they must only be there.
    "js": lambda _, block: block.body.strip() or pytest.fail("empty"),
    "html": lambda _, block: block.body.strip() or pytest.fail("empty"),
}
