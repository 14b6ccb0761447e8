"""What is wrong with an installation, and what to do about it, before it costs somebody a night."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from plait.accounts import FOLDER, Accounts
from plait.connectors import connector_of
from plait.errors import PlaitError
from plait.events import decode_record
from plait.keys import FILE as KEYS_FILE
from plait.keys import load_keys
from plait.log import open_log
from plait.profiles.state import ASIDE
from plait.sealed import key_file
from plait.settings import RESERVE, Settings, load
from plait.store import open_store

_GIB = 1 << 30
_SLOW_SYNC = 0.02  # seconds; every answer of collect waits for one
_IN_MEMORY = {"tmpfs", "ramfs"}
# LMDB maps its file into memory and locks it; network file systems keep neither promise.
_OVER_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "glusterfs"}


class Check(NamedTuple):
    """One finding; ``message`` says what was seen and, unless it is ok, what to do."""

    name: str
    verdict: Literal["ok", "warn", "fail"]
    message: str


def checks(
    data: str | None, *, overrides: Mapping[str, Any] | None = None, served: bool = False
) -> Iterator[Check]:
    """All checks of a data folder, in the order in which they matter; ends early when nothing further can be told.

    Args:
        data: the folder, as given to ``plait serve``.
        overrides: settings of the command line.
        served: a server runs on the folder now, so its port is taken by right.
    """
    try:
        settings = load(data, overrides=overrides)
    except PlaitError as error:
        yield Check("settings", "fail", error.message)
        return
    yield Check("settings", "ok", "every name is known")
    folder = Path(settings.data)
    for check in (_folder, _disk, _filesystem, _sync):
        found = check(folder)
        yield found
        if found.verdict == "fail" and check is _folder:
            return
    rest: tuple[Callable[[Settings], Check], ...] = (_keys, _clock, _files, _log, _state, _sources)
    for look in rest:
        try:
            yield look(settings)
        except PlaitError as error:
            yield Check(look.__name__.strip("_"), "fail", error.message)
    yield Check("port", "ok", "in use by this folder's server") if served else _port(settings)


def _folder(folder: Path) -> Check:
    if not folder.exists():
        above = next((one for one in folder.resolve().parents if one.exists()), Path("/"))
        if os.access(above, os.W_OK):
            return Check("folder", "ok", f"{folder} will be made by the first start")
        return Check(
            "folder", "fail", f"{folder} does not exist and {above} is not writable; make it, or use --data"
        )
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK) or _read_only(folder):
        return Check(
            "folder", "fail", f"{folder} is not writable for this user; change its owner or mount it writable"
        )
    return Check("folder", "ok", f"{folder} can be read and written")


def _read_only(folder: Path) -> bool:
    return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def _existing(folder: Path) -> Path:
    return next(one for one in (folder, *folder.resolve().parents) if one.exists())


def _disk(folder: Path) -> Check:
    free = shutil.disk_usage(_existing(folder)).free
    told = f"{free / _GIB:.1f} GiB free"
    if free < RESERVE:
        return Check(
            "disk", "fail", f"{told}; below 64 MiB nothing is accepted: make room or move the folder"
        )
    if free < _GIB:
        return Check("disk", "warn", f"{told}; below 64 MiB nothing is accepted any more")
    return Check("disk", "ok", told)


def _filesystem(folder: Path) -> Check:
    kind = _kind_of_filesystem(_existing(folder))
    if kind in _OVER_NETWORK:
        return Check("filesystem", "fail", f"{kind} is a network file system; use a local disk")
    if kind in _IN_MEMORY:
        return Check("filesystem", "warn", f"{kind} is memory: a power cut loses everything; use a disk")
    return Check("filesystem", "ok", kind or "unknown kind")


def _kind_of_filesystem(path: Path) -> str:
    try:
        mounts = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:  # not Linux
        return ""
    best = ("", "")
    for line in mounts:
        _, where, kind, *_ = line.split(" ")
        where = where.replace("\\040", " ")
        if path.resolve().is_relative_to(where) and len(where) >= len(best[0]):
            best = (where, kind)
    return best[1]


def _sync(folder: Path) -> Check:
    probe = _existing(folder) / f".doctor-{os.getpid()}"
    times = []
    try:
        with probe.open("wb", buffering=0) as file:
            for _ in range(20):
                begun = time.perf_counter()
                file.write(b"x" * 4096)
                os.fdatasync(file.fileno())
                times.append(time.perf_counter() - begun)
    except OSError as exc:
        return Check("sync", "fail", f"cannot write a file and sync it: {exc.strerror}")
    finally:
        probe.unlink(missing_ok=True)
    median = sorted(times)[len(times) // 2]
    told = f"a sync of the disk takes {median * 1000:.2f} ms"
    if median > _SLOW_SYNC:
        return Check("sync", "warn", f"{told}; every accepted request waits for one: a faster disk helps")
    return Check("sync", "ok", told)


def _keys(settings: Settings) -> Check:
    path = Path(settings.data) / KEYS_FILE
    if not path.exists():
        return Check("keys", "ok", "will be made by the first start")
    load_keys(settings)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        return Check(
            "keys", "fail", f"{path} can be read by others (mode {mode:o}); chmod 600 it and rotate the keys"
        )
    return Check("keys", "ok", "readable by their owner only")


def _clock(settings: Settings) -> Check:
    now = time.time()
    if now < 1_700_000_000:
        return Check("clock", "fail", "the clock stands before 2023; set it")
    if (Path(settings.data) / "log").exists():
        log = open_log(settings.url("log"))
        try:
            newest = [
                decode_record(raw, position).received_at for position, raw in log.read(max(0, log.last - 1))
            ]
        finally:
            log.close()
        if newest and newest[-1] / 1000 > now + 60:
            ahead = newest[-1] / 1000 - now
            return Check(
                "clock", "fail", f"the clock is {ahead:.0f} s behind the newest event of the log; set it"
            )
    return Check("clock", "ok", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now)))


def _files(_: Settings) -> Check:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 1_024:
        return Check(
            "files", "warn", f"at most {soft} open files, one a connection; raise it (ulimit -n {hard})"
        )
    return Check("files", "ok", f"up to {soft} open files")


def _log(settings: Settings) -> Check:
    if not (Path(settings.data) / "log").exists():
        return Check("log", "ok", "empty")
    log = open_log(settings.url("log"))
    try:
        last = log.last
        for position, raw in log.read(max(0, last - 1_000)):
            decode_record(raw, position)
    finally:
        log.close()
    return Check("log", "ok", f"{last:,} records; the newest can be read")


def _state(settings: Settings) -> Check:
    if not (Path(settings.data) / "store").exists():
        return Check("state", "ok", "empty")
    log, store = open_log(settings.url("log")), open_store(settings.url("store"))
    try:
        snapshot = store.snapshot()
        folded, last = snapshot.position, log.last
        aside = [int.from_bytes(key[len(ASIDE) :], "big") for key, _ in snapshot.scan("meta", ASIDE)]
        snapshot.close()
    finally:
        log.close()
        store.close()
    if folded > last:
        return Check(
            "state",
            "fail",
            f"folded up to {folded:,} of a log of {last:,}: they do not belong together; plait replay",
        )
    if aside:
        return Check(
            "state",
            "warn",
            f"{len(aside):,} records could not be folded, the first at {aside[0]:,}: a mistake of ours, please report "
            "it; they stay in the log, and plait replay of a version that can takes them in",
        )
    return Check("state", "ok", f"folded up to {folded:,} of {last:,}")


def _sources(settings: Settings) -> Check:
    data = Path(settings.data)
    if not (data / FOLDER).exists():
        return Check("sources", "ok", "no account is connected")
    accounts = Accounts(data, now=time.time_ns() // 1_000_000)
    bad = accounts.unreadable()
    if bad:
        return Check(
            "sources",
            "fail",
            f"{FOLDER}/{bad[0]} cannot be opened with {key_file('sources')}; plait connect it again",
        )
    for path in (data / key_file("sources"), *(data / FOLDER).iterdir()):
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            return Check(
                "sources",
                "fail",
                f"{path} can be read by others; chmod 600 it and plait keys --rotate sources",
            )
    for one in accounts.all():
        try:
            connector_of(one.network)
        except PlaitError as error:
            return Check("sources", "fail", f"{one.source}: {error.message}")
    return Check("sources", "ok", f"{len(accounts.all())} connected; plait sources shows how they are")


def _port(settings: Settings) -> Check:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        socket.create_server((settings.host, settings.port), family=family).close()
    except (OSError, OverflowError) as exc:
        return Check(
            "port", "fail", f"cannot listen on {settings.host} port {settings.port}: {exc}; choose another"
        )
    return Check("port", "ok", f"{settings.host} port {settings.port} is free")
