"""Write the lock files anew: names, versions and hashes, and no registry's address.

``make lock`` keeps what is pinned already as far as ``pyproject.toml`` allows; ``python requirements/lock.py --upgrade``
takes the newest. Whoever installs uses the registry that their pip is set up for.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent

# Each lock holds all of the one before it, at the same versions: installing a later one on top changes nothing.
LOCKS = {"run": (), "dev": ("dev",), "all": ("dev", "peers", "bench")}
# What cannot live beside us, since it wants other versions: an environment of its own, made by the bench that needs it.
APART = {"rivals": ("rivals",)}


def main(argv: list[str]) -> int:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "-q", "uv"], check=True)
        # The widest set first: the others are cut from its versions.
        for name in sorted(LOCKS, key=lambda one: -len(LOCKS[one])):
            wanted = [
                *project["project"]["dependencies"],
                *(line for group in LOCKS[name] for line in project["dependency-groups"][group]),
            ]
            _lock(python, name, wanted, upgrade=("--upgrade" in argv and name == "all"))
        for name, groups in APART.items():
            wanted = [line for group in groups for line in project["dependency-groups"][group]]
            _lock(python, name, wanted, upgrade="--upgrade" in argv, apart=True)
    return 0


def _lock(python: Path, name: str, wanted: list[str], *, upgrade: bool, apart: bool = False) -> None:
    told = HERE / f"{name}.lock"
    widest = HERE / "all.lock"
    bound = [] if apart or told == widest else ["--constraint", str(widest)]
    if bound:
        told.unlink(missing_ok=True)  # what the widest set says counts, not what stood here
    subprocess.run(
        [
            python, "-m", "uv", "pip", "compile", "-", "-o", told, *bound, *(["--upgrade"] if upgrade else []),
            "--universal", "--python-version", "3.11", "--generate-hashes",
            "--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links", "-q",
        ],
        input="\n".join(wanted),
        text=True,
        check=True,
    )  # fmt: skip
    if "://" in told.read_text():
        raise SystemExit(f"{told} names an address; a lock holds names, versions and hashes only")
    print(f"{told.relative_to(ROOT)}: {told.read_text().count('==')} packages")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
