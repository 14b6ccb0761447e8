"""What the house promises about itself: nothing undocumented, nothing out of place, nothing of one machine."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import pytest

import plait
from plait.cli import main
from plait.events import Signal
from plait.settings import Settings

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def _tracked() -> list[Path]:
    """Every file that a clone has, but binary ones."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True)
    if done.returncode:
        pytest.skip("not a clone: an archive has no list of its files")
    files = [ROOT / name for name in done.stdout.decode().split("\0") if name]
    return [one for one in files if one.is_file() and b"\0" not in one.read_bytes()[:4096]]


# Written so that this file does not hold what it looks for.
_REGISTRY = re.compile(
    "|".join([r"py[p]i\.org", r"python[h]osted", r"registry\.[n]pmjs", r"proxy\.[g]olang"])
)
_MACHINE = re.compile(
    r"(?<![\w.~$}])/(?:root|home/(?!you\b|plait\b)\w+|Users/\w+|work/\w+|tmp/(?:w|venv|spec|hub)\b)"
)


def test_no_file_names_a_package_registry() -> None:
    assert _found(_REGISTRY) == []


def test_no_file_names_a_path_of_one_machine() -> None:
    assert _found(_MACHINE) == []


def _found(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{one.relative_to(ROOT)}: {hit[0]}"
        for one in _tracked()
        for hit in [pattern.search(one.read_text(errors="replace"))]
        if hit
    ]


def test_lock_files_hold_hashes_and_no_address() -> None:
    for lock in (ROOT / "requirements").glob("*.lock"):
        packages = re.split(r"\n(?=\S)", lock.read_text().strip())
        assert all("==" in one and "--hash=sha256:" in one for one in packages), lock
        assert "://" not in lock.read_text(), lock
    packages = [one for one in _tracked() if one.name == "package-lock.json"]
    assert packages
    for lock in packages:
        assert '"resolved"' not in lock.read_text(), lock
        assert '"integrity"' in lock.read_text(), lock


def test_every_dependency_is_locked() -> None:
    def names(lines: list[str]) -> set[str]:
        return {re.split(r"[^\w-]", one)[0] for one in lines}

    def locked(name: str) -> set[str]:
        return names([x for x in (ROOT / f"requirements/{name}.lock").read_text().splitlines() if "==" in x])

    groups = PROJECT["dependency-groups"]
    run = names(PROJECT["project"]["dependencies"])
    assert run <= locked("run")
    assert run | names(groups["dev"]) <= locked("dev")
    rivals = names(groups.pop("rivals"))  # they want other versions than we do, and live apart
    assert rivals <= locked("rivals")
    assert run | {one for group in groups.values() for one in names(group)} <= locked("all")


def test_every_module_stands_on_a_floor() -> None:
    floors = PROJECT["tool"]["importlinter"]["contracts"][0]
    placed = {name for layer in floors["layers"] for name in re.split(r"\s*[|:]\s*", layer.strip())}
    modules = {one.stem for one in (ROOT / "src/plait").glob("*.py")} - {"__init__"}
    packages = {one.parent.name for one in (ROOT / "src/plait").glob("*/__init__.py")}

    assert modules | packages == placed
    assert floors["exhaustive"]


def test_the_architecture_page_names_every_module() -> None:
    text = (DOCS / "explanation/architecture.md").read_text()
    modules = {one.stem for one in (ROOT / "src/plait").glob("[a-z]*.py")}

    assert [one for one in sorted(modules) if f"`{one}`" not in text] == []


def test_versions_agree() -> None:
    assert PROJECT["project"]["version"] == plait.__version__
    assert f"\n## {plait.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def _settings(told: msgspec.Struct, prefix: str = "") -> Iterator[str]:
    for name in told.__struct_fields__:
        value = getattr(told, name)
        if isinstance(value, msgspec.Struct):
            yield from _settings(value, f"{prefix}{name}.")
        else:
            yield prefix + name


@pytest.mark.parametrize("name", list(_settings(Settings())))
def test_every_setting_is_documented(name: str) -> None:
    text = (DOCS / "reference/settings.md").read_text()
    group, _, last = name.rpartition(".")

    assert f"`{name}`" in text or (f"`{last}`" in text and f"[{group}]" in text)


def _commands(command: click.Command, words: str = "plait") -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for name, one in command.commands.items():
            yield from _commands(one, f"{words} {name}")
    else:
        yield words, command


@pytest.mark.parametrize(("words", "command"), list(_commands(main)))
def test_every_command_and_its_options_are_documented(words: str, command: click.Command) -> None:
    text = (DOCS / "reference/cli.md").read_text()
    part = re.search(rf"^#+ .*{re.escape(words)}\b.*?(?=^#+ |\Z)", text, re.M | re.S)

    assert part, f"docs/reference/cli.md has no heading for {words}"
    said = part[0] + text.partition("\n## ")[0]  # what every command has is said before the first
    options = [
        [*param.opts, *param.secondary_opts] for param in command.params if param.opts[0].startswith("-")
    ]
    assert [names for names in options if not any(name in said for name in names)] == []


@pytest.mark.parametrize("signal", list(Signal))
def test_every_signal_is_documented(signal: Signal) -> None:
    assert f"`{signal}`" in (DOCS / "reference/signals.md").read_text()


def test_every_decision_is_in_the_index() -> None:
    folder = DOCS / "explanation/decisions"
    index = (folder / "index.md").read_text()
    pages = sorted(one.name for one in folder.glob("[0-9]*.md"))

    assert [one for one in pages if f"]({one})" not in index] == []
    numbers = [one[:4] for one in pages]
    assert len(numbers) == len(set(numbers)), "two decisions have one number"


def test_every_decision_tells_its_price_and_when_to_ask_again() -> None:
    for page in (DOCS / "explanation/decisions").glob("[0-9]*.md"):
        text = page.read_text().lower()
        assert "price" in text, page.name
        assert "ask again" in text, page.name


def test_the_changelog_and_the_picture_are_there() -> None:
    readme = (ROOT / "README.md").read_text()
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", readme)

    assert pictures
    assert [one for one in pictures if not (ROOT / one).is_file()] == []


def test_links_between_files_of_the_repository_lead_somewhere() -> None:
    broken = [
        f"{page.name}: {link}"
        for page in ROOT.glob("*.md")
        for link in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text())
        if not (ROOT / link).exists()
    ]

    assert broken == []


def test_files_that_the_documentation_names_are_there() -> None:
    named = {
        (page.name, one)
        for page in [*DOCS.rglob("*.md"), *ROOT.glob("*.md")]
        for one in re.findall(
            r"`((?:tests|src|bench|docs|requirements)/[\w/.-]+\.\w+)(?:::\w+)?`", page.read_text()
        )
    }

    assert len(named) > 5
    assert (
        sorted(f"{page}: {one}" for page, one in named if not (ROOT / one).exists() and "NNN" not in one)
        == []
    )
