"""Patches that break something on purpose: the suite must notice each.

``tests/mutants/NNN-name.patch`` says in prose what it breaks, then ``Killed-by: tests/path::test_name``, then the diff.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.peers

ROOT = Path(__file__).parent.parent.parent
MUTANTS = sorted((ROOT / "tests" / "mutants").glob("*.patch"))


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree in which every killer passes: a test that fails anyway would kill any mutant."""
    folder = tmp_path_factory.mktemp("mutants")
    for name in ("src", "tests", "pyproject.toml", "bench"):
        whole = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        whole(ROOT / name, folder / name)
    killers = sorted({_killer(patch) for patch in MUTANTS})
    done = _run(folder, *killers)
    assert done.returncode == 0, f"killers must pass on the healthy tree:\n{done.stdout[-4000:]}"
    return folder


@pytest.mark.timeout(300)
@pytest.mark.parametrize("patch", MUTANTS, ids=lambda patch: patch.stem)
def test_the_suite_kills_every_mutant(copy: Path, patch: Path) -> None:
    _apply(copy, patch)
    try:
        done = _run(copy, _killer(patch))
    finally:
        _apply(copy, patch, "-R")

    # 1: tests ran and some failed. Anything else (a test not found, no import) is a mutant that proves nothing.
    assert done.returncode == 1, f"{patch.name} survives:\n{done.stdout[-4000:]}{done.stderr[-2000:]}"


def _killer(patch: Path) -> str:
    told, _, _ = patch.read_text().partition("\ndiff ")
    found = re.search(r"^Killed-by: (tests/\S+::\S.*)$", told, re.M)
    assert found, f"{patch.name} does not say `Killed-by: tests/path::test_name` before its diff"
    assert told.index("Killed-by") > 40, f"{patch.name} does not say what it breaks"
    return found[1].strip()


def _apply(folder: Path, patch: Path, *options: str) -> None:
    # The ceiling keeps git from taking a repository further up for this one, where it would apply nothing, quietly.
    env = {**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent)}
    done = subprocess.run(
        ["git", "apply", *options, patch], cwd=folder, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{patch.name} does not apply any more; make it anew: {done.stderr}"


def _run(folder: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "--hypothesis-seed=0",
        *tests,
    ]
    env = {**os.environ, "PYTHONPATH": str(folder / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=280)
