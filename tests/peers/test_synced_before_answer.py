"""Power loss: strace watches a real server, and no 200 leaves before its event is on the disk."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from tests.conftest import Server

CALLS = "write,writev,sendto,sendmsg,pwrite64,pwritev,fdatasync,fsync"
LOG_FILE = re.compile(r"/log/\d+/data\.mdb")
REQUESTS = 40


@pytest.mark.peers
def test_every_200_comes_after_the_sync_of_its_event(own_server: Server, tmp_path: Path) -> None:
    assert shutil.which("strace"), "tests/peers/setup.py installs strace"
    trace = tmp_path / "trace"
    pid = own_server.start().process.pid
    through = handles_that_write_through(pid)
    command = ["strace", "-f", "-y", "-qq", "-s", "32", "-e", f"trace={CALLS}", "-o", trace, "-p", str(pid)]
    watcher = subprocess.Popen([str(word) for word in command])
    own_server.eventually(lambda: own_server.ask("GET", "/health/live") and trace.stat().st_size)
    before = trace.stat().st_size

    # One after the other: the next group is on its way to the disk while the answers of this one leave.
    for n in range(REQUESTS):
        own_server.collect({"type": "track", "event": "Seen", "messageId": f"m{n}", "anonymousId": "a1"})
    watcher.send_signal(signal.SIGINT)
    watcher.wait(20)

    assert (
        list(answers(trace.read_bytes()[before:].decode(errors="replace"), through)) == ["synced"] * REQUESTS
    )


def handles_that_write_through(pid: int) -> set[str]:
    """Handles opened with O_DSYNC on the log: LMDB ends a commit by writing one page through it."""
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed: the log's stay open
            if LOG_FILE.search(str(link.readlink())):
                told = Path(f"/proc/{pid}/fdinfo/{link.name}").read_text()
                if int(re.search(r"flags:\s*(\d+)", told)[1], 8) & 0o10000:
                    found.add(link.name)
    assert found, "the log has no handle that writes through"
    return found


def answers(trace: str, through: set[str]) -> list[str]:
    """For every 200 what had happened to the log since the one before: ``synced``, or what was missing."""
    told, state = [], "nothing written"
    for line in trace.splitlines():
        found = re.match(r"\d+\s+(?:<\.\.\. )?(\w+)(?: resumed>|\()(?:(\d+)<([^>]*)>)?", line)
        if found and found[3] and LOG_FILE.search(found[3]):
            if found[1] in ("fdatasync", "fsync"):
                state = "pages synced"
            elif found[2] in through:
                state = "synced" if state == "pages synced" else "the commit counts, its pages may be missing"
            else:
                state = "pages written"
        elif "HTTP/1.1 200" in line:
            told.append(state)
            state = "nothing written"
    return told
