"""Secrets at rest: sealed under keys of their own, in a file that only its owner can read.

A sealed text that leaves the machine without the key file (a backup of one folder, a log, a bug report) tells nothing.
The key in use is the first; older ones still open what they sealed until ``rotate`` drops them.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from pathlib import Path
from typing import Literal

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from plait.errors import Corrupt, Unavailable

# Secrets of accounts; codes of proofs; deliveries that wait.
What = Literal["sources", "proofs", "inbox"]


def key_file(what: What) -> str:
    """The name of the file with the keys of a kind of secret."""
    return f"{what}.key"


class _Key(msgspec.Struct, frozen=True):
    key: str
    made_at: int

    def __repr__(self) -> str:
        return f"_Key({self.made_at})"


class Seal:
    """Seals and opens bytes under the keys of one file, which is made at first use.

    Args:
        path: of the key file.
        now: ms since the epoch, for a key that is made now.
    """

    def __init__(self, path: Path, *, now: int) -> None:
        self._path = path
        self._changing = threading.Lock()
        self._seen = (0, 0)
        self._keys: list[_Key] = []
        if not path.exists():
            self._create([_Key(Fernet.generate_key().decode(), now)])
        self._follow()

    @classmethod
    def of(cls, data: Path, what: What, *, now: int) -> Seal:
        """The seal of one kind of secret in a data folder. Each has a key file of its own: they rotate at their own times."""
        return cls(data / key_file(what), now=now)

    def __repr__(self) -> str:
        return f"Seal({self._path.name})"

    @property
    def made_at(self) -> int:
        """When the key in use was made, ms since the epoch."""
        return self._keys[0].made_at

    def seal(self, plain: bytes) -> bytes:
        """``plain`` so that nobody can read or change it without the key."""
        self._follow()
        return self._box().encrypt(plain)

    def open(self, sealed: bytes) -> bytes:
        """The inverse of ``seal``.

        Raises:
            Corrupt: it was changed, or its key is not here (any more).
        """
        self._follow()
        try:
            return self._box().decrypt(sealed)
        except InvalidToken:
            raise Corrupt(
                f"what was sealed cannot be opened with {self._path.name}: it was changed, or is another folder's",
                code="not_opened",
            ) from None

    def rotate(self, *, now: int, keep_since: int | None = None) -> None:
        """Seal with a new key from now on; keys that were made before ``keep_since`` (ms) open nothing any more.

        Args:
            now: ms since the epoch.
            keep_since: ``None`` keeps all.
        """
        with self._changing:
            self._follow()
            kept = [one for one in self._keys if keep_since is None or one.made_at >= keep_since]
            write_whole(self._path, msgspec.json.encode([_Key(Fernet.generate_key().decode(), now), *kept]))
        self._follow()

    def drop_old(self) -> None:
        """Keep the key in use alone."""
        with self._changing:
            self._follow()
            write_whole(self._path, msgspec.json.encode(self._keys[:1]))
        self._follow()

    def _box(self) -> MultiFernet:
        return MultiFernet([Fernet(one.key) for one in self._keys])

    def _follow(self) -> None:
        """Read the file again when it changed: another process may have rotated."""
        try:
            told = self._path.stat()
            written = (told.st_ino, told.st_mtime_ns)  # two changes can fall on one tick of the clock
            if written == self._seen:
                return
            self._keys = msgspec.json.decode(self._path.read_bytes(), type=list[_Key])
            MultiFernet([Fernet(one.key) for one in self._keys])
        except OSError as exc:
            raise Unavailable(
                f"{self._path} cannot be read: {exc.strerror}", code="data_not_readable"
            ) from exc
        except (msgspec.MsgspecError, ValueError):
            raise Corrupt(f"{self._path} is not what Plait wrote", code="keys_corrupt") from None
        self._seen = written

    def _create(self, keys: list[_Key]) -> None:
        """Write the first keys. When two processes do so at once, one wins and both read the winner's."""
        fresh = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}")
        write_whole(fresh, msgspec.json.encode(keys))
        try:
            with contextlib.suppress(FileExistsError):
                os.link(fresh, self._path)
        finally:
            fresh.unlink()


def write_whole(path: Path, body: bytes) -> None:
    """Write a file whole and durably, readable by its owner only; readers find the old one or the new one.

    Raises:
        Unavailable: the folder cannot be written, or the disk is full.
    """
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        sync_folder(path.parent)
    except OSError as exc:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise Unavailable(f"{path} cannot be written: {exc.strerror}", code="data_not_writable") from exc


def sync_folder(folder: Path) -> None:
    """Let the names in a folder survive a power loss."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
