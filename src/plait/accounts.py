"""The accounts that are connected: one file each in ``sources/`` of the data folder, its secrets sealed.

The file changes whole or not at all, so that a refresh token that the network has just rotated is never lost half way. That one is
on its way stands beside it, from before it leaves until what came for it is on disk.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import msgspec

from plait.connectors import Account
from plait.errors import Corrupt, Rejected
from plait.sealed import Seal, sync_folder, write_whole

FOLDER = "sources"
_AGAIN = 0.05  # seconds between two looks at whether another process has let go
LONGEST_SOURCE = 128  # characters: as a name of events and, escaped, of a file


class Connected(msgspec.Struct, frozen=True, kw_only=True):
    """An account that is connected.

    Attributes:
        network: whose connector.
        account: as ``sign_in`` told it.
        connected_at: ms since the epoch.
    """

    network: str
    account: Account
    connected_at: int

    @property
    def source(self) -> str:
        """Of its events."""
        return self.account.source


class _File(msgspec.Struct, kw_only=True):
    """What rests in a file; ``sealed`` is JSON of the secrets, sealed."""

    network: str
    account: Account
    connected_at: int
    sealed: str

    def __repr__(self) -> str:
        return f"_File({self.account.source})"


class Accounts:
    """The connected accounts of a data folder. Any number of processes may read; they find each other's changes.

    Args:
        data: the data folder.
        now: ms since the epoch, for a key that is made now.
    """

    def __init__(self, data: Path, *, now: int) -> None:
        self._folder = data / FOLDER
        self._seal = Seal.of(data, "sources", now=now)

    def all(self) -> list[Connected]:
        """All of them by source. A file that cannot be read is left out; ``plait doctor`` tells."""
        found = []
        for path in self._paths():
            try:
                file = _read(path)
            except Corrupt:
                continue
            if file is not None:
                found.append(
                    Connected(network=file.network, account=file.account, connected_at=file.connected_at)
                )
        return sorted(found, key=lambda one: one.source)

    def unreadable(self) -> list[str]:
        """Names of files that are not what we wrote, or whose secrets cannot be opened."""
        found = []
        for path in self._paths():
            try:
                file = _read(path)
                if file is not None:
                    self._seal.open(file.sealed.encode())
            except Corrupt:
                found.append(path.name)
        return found

    def secrets(self, source: str) -> dict[str, str]:
        """What ``sign_in`` is to be given.

        Raises:
            Rejected: no such account; code ``unknown_source``.
            Corrupt: the file is not what we wrote.
        """
        file = _read(self._path(source))
        if file is None:
            raise unknown(source)
        told: dict[str, str] = msgspec.json.decode(self._seal.open(file.sealed.encode()), type=dict[str, str])
        return told

    def keep(self, one: Connected, secrets: dict[str, str]) -> None:
        """Write an account with its secrets; durable on return.

        Raises:
            Rejected: its source cannot be one.
            Unavailable: the folder cannot be written.
        """
        path = self._path(one.source)
        file = _File(
            network=one.network, account=one.account, connected_at=one.connected_at,
            sealed=self._seal.seal(msgspec.json.encode(secrets)).decode(),
        )  # fmt: skip
        write_whole(path, msgspec.json.encode(file))
        _mark(path).unlink(missing_ok=True)  # afterwards: until then nobody knows what became of those before

    def renew(self, source: str, secrets: dict[str, str]) -> None:
        """Keep secrets in place of those there are; an account that was dropped meanwhile stays dropped."""
        file = _read(self._path(source))
        if file is not None and secrets != self.secrets(source):
            one = Connected(network=file.network, account=file.account, connected_at=file.connected_at)
            self.keep(one, secrets)

    def spending(self, source: str, on: bool) -> None:
        """Note that a secret which works once is on its way to the network; ``on=False`` when it was refused. Durable on return.

        Who finds the note later knows that its answer was never kept (``interrupted``): to keep secrets takes it away.
        """
        path = _mark(self._path(source))
        if on:
            write_whole(path, b"")
        else:
            path.unlink(missing_ok=True)

    def interrupted(self, source: str) -> bool:
        """Whether a secret that works once was on its way when somebody died."""
        return _mark(self._path(source)).exists()

    @asynccontextmanager
    async def alone(self, source: str) -> AsyncIterator[None]:
        """Held while the session of an account is renewed: no two renew one at once, whatever process they are of.

        A refresh token works once, and a network takes its second use for a theft. Who dies lets go.
        """
        path = self._path(source)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.open(path.with_name(f".{path.stem}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    await asyncio.sleep(_AGAIN)
            yield
        finally:
            os.close(file)

    def sealed(self, what: bytes) -> str:
        """Something of an account that is being connected, to be given out and back."""
        return self._seal.seal(what).decode()

    def unsealed(self, text: str) -> bytes:
        """The inverse.

        Raises:
            Corrupt: it is not ours.
        """
        return self._seal.open(text.encode())

    def drop(self, source: str) -> None:
        """Forget an account and its secrets.

        Raises:
            Rejected: no such account.
        """
        try:
            self._path(source).unlink()
        except FileNotFoundError:
            raise unknown(source) from None
        _mark(self._path(source)).unlink(missing_ok=True)
        sync_folder(self._folder)

    def rotate(self, *, now: int) -> int:
        """Seal all secrets with a new key, and let the old one go; how many there were."""
        self._seal.rotate(now=now)
        kept = self.all()
        for one in kept:
            self.keep(one, self.secrets(one.source))
        self._seal.drop_old()
        return len(kept)

    def changed_at(self) -> int:
        """Something that changes whenever an account comes, goes or changes."""
        marks = [path.stat().st_mtime_ns for path in self._paths() if path.exists()]
        return hash((len(marks), *marks))

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("[!.]*.json")) if self._folder.exists() else []

    def _path(self, source: str) -> Path:
        if not source or len(source) > LONGEST_SOURCE or not source.isprintable():
            raise Rejected(
                f"a source is 1 to {LONGEST_SOURCE} printable characters, not {source[:80]!r}",
                code="invalid_source", field="source",
            )  # fmt: skip
        name = (
            quote(source, safe="").replace(".", "%2E") if source.startswith(".") else quote(source, safe="")
        )
        if len(name) > 240:
            raise Rejected("the source is too long", code="invalid_source", field="source")
        return self._folder / f"{name}.json"


def _mark(path: Path) -> Path:
    return path.with_name(f".{path.stem}.spent")


def _read(path: Path) -> _File | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_File)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError):
        raise Corrupt(f"{path.name} is not what Plait wrote", code="account_corrupt") from None


def ours(connected: Iterable[Connected]) -> dict[str, frozenset[str]]:
    """What the company's accounts are called -> their identifiers: each by source, all of a network by its name, all by ``""``."""
    found: dict[str, set[str]] = {}
    for one in connected:
        if one.account.me:
            for name in ("", one.network, one.account.me.partition(":")[0], one.source):
                found.setdefault(name, set()).add(one.account.me)
    return {name: frozenset(some) for name, some in found.items()}


def unknown(source: str) -> Rejected:
    """That no account of this source is connected."""
    return Rejected(
        f"no account is connected as {source[:80]!r}; plait sources lists them",
        code="unknown_source", field="source", status=404,
    )  # fmt: skip
