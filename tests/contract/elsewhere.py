"""An engine in another process: what readers and writers see of each other, and what `kill -9` leaves."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class Elsewhere:
    """A log, store or lake opened in a process of its own; methods are called by name.

    Args:
        kind: ``log``, ``store`` or ``lake``; ``smaller`` is a log in an LMDB map of 128 KiB.
        largest_file: bytes after which the system refuses to make a file longer, as a full disk does.
        as_nobody: without root's right to write everywhere.
    """

    def __init__(
        self, kind: str, url: str, *, write: bool = True, largest_file: int = 0, as_nobody: bool = False
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.contract.elsewhere"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.send(kind, url, write, largest_file, as_nobody)
        self.opened = self.answer()

    def __enter__(self) -> Elsewhere:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def send(self, *words: Any) -> None:
        """Ask without waiting."""
        pickle.dump(words, self._process.stdin)
        self._process.stdin.flush()

    def answer(self) -> Any:
        """What it answered next; an error is an ``Exception`` that is returned, not raised."""
        return pickle.load(self._process.stdout)

    def call(self, method: str, *args: Any, **more: Any) -> Any:
        """Ask, and wait for the answer."""
        self.send(method, args, more)
        return self.answer()

    def kill(self) -> None:
        """``kill -9``."""
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


def _opened(kind: str, url: str, write: bool) -> Any:
    if kind == "log":
        from plait.log import open_log

        return open_log(url, write=write)
    if kind == "store":
        from plait.store import open_store

        return open_store(url, write=write)
    if kind == "smaller":
        from plait.log.lmdb import Log

        return Log(url, write=write, map_size=1 << 17)
    from plait.lake import open_lake

    return open_lake(url)


def _look(store: Any) -> tuple[int, dict[bytes, bytes]]:
    """Position and items of a store."""
    snapshot = store.snapshot()
    try:
        return snapshot.position, dict(snapshot.scan("items"))
    finally:
        snapshot.close()


def _confine(largest_file: int, as_nobody: bool) -> None:
    if largest_file:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, resource.RLIM_INFINITY))
    if as_nobody and os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)


def _try(what: Callable[[], Any]) -> Any:
    try:
        return what()
    except Exception as exc:
        return exc


def main() -> None:
    """Answer one pickled question after the other."""
    asked, out = sys.stdin.buffer, sys.stdout.buffer
    kind, url, write, largest_file, as_nobody = pickle.load(asked)
    import plait.log.lmdb
    import plait.store.lmdb  # noqa: F401  before rights are given up

    _confine(largest_file, as_nobody)
    engine = _try(lambda: _opened(kind, url, write))
    held: list[Any] = []
    told = engine if isinstance(engine, Exception) else None
    while True:
        pickle.dump(told, out)
        out.flush()
        try:
            method, args, more = pickle.load(asked)
        except EOFError:
            return
        if method == "look":
            told = _try(lambda: _look(engine))
        elif method == "hold":  # a snapshot that is never given back
            held.append(engine.snapshot())
            told = None
        elif method == "last":
            told = engine.last
        elif method == "size":  # how large files may get from here on
            told = _confine(*args)
        else:
            told = _try(lambda: getattr(engine, method)(*args, **more))  # noqa: B023


if __name__ == "__main__":
    main()
