"""A folder with one LMDB file in it: opened once a process, grown when full, followed when it is rewritten.

The log and the state each rest in a folder of their own::

    log/writer.lock          whoever holds its lock is the one writer
    log/current -> 000003    which generation counts; replaced in one step by ``compact``
    log/000003/data.mdb      the file itself, with LMDB's lock.mdb beside it
    store/unsynced           the state is being written without syncs; holds the name of this boot of the machine

Readers look at ``current`` before each transaction, so a compaction reaches every process without a word.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import lmdb

from plait.errors import Corrupt, PlaitError, Rejected, Unavailable

T = TypeVar("T")

# Address space, not disk: the file is as long as what is in it. Growing throws out whoever is reading in this
# process, so begin where few will ever arrive.
MAP_SIZE = 1 << 40
MAX_READERS = 512
CHECK_READERS = 1_000  # commits; a reader killed while it read would keep every page from being used again
ALMOST_FULL = 1 << 20  # bytes; with less, LMDB's "input/output error" is a write that the disk cut short
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}

_open_files: dict[str, File] = {}
_opening = threading.Lock()


class _Generation(NamedTuple):
    name: str
    env: Any
    tables: dict[str, Any]


class File:
    """The environment of one folder, shared by all who open that folder in this process.

    LMDB's locks belong to the pair of process and file, so a second opening in one process would take away
    the locks of the first; therefore ``File.at`` gives everybody the same one, and ``release`` closes it
    with its last user.
    """

    @classmethod
    def at(cls, folder: str, *, tables: tuple[str, ...], durable: bool, map_size: int = MAP_SIZE) -> File:
        """The file of a folder, made if it is not there.

        Args:
            folder: its path; made with its parents, for the owner's eyes only.
            tables: names of its tables; none means one table without a name.
            durable: a commit survives power loss on return. Otherwise it survives ``kill -9`` only, and after a
                power loss the file begins empty: right for what can be made again.
            map_size: bytes of address space to begin with.

        Raises:
            Unavailable: the folder cannot be made or written.
            Corrupt: what is in it is not ours or is cut off.
        """
        with _opening:
            key = os.path.realpath(folder)
            file = _open_files.get(key)
            if file is None:
                file = _open_files[key] = cls(key, tables, durable, map_size)
            file._users += 1
            return file

    def __init__(self, folder: str, tables: tuple[str, ...], durable: bool, map_size: int) -> None:
        self.folder = Path(folder)
        self._tables, self._durable, self._map_size = tables, durable, map_size
        self._link = str(self.folder / "current")
        self._users = 0
        self._writing = threading.RLock()
        self._following = threading.Lock()
        self._writer: int | None = None
        self._writes = 0
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._first_generation()
            self._distrust()
            self._follow()
        except (OSError, lmdb.Error) as exc:
            raise self.told(exc) from exc

    # -- opening ---------------------------------------------------------------------------------------------

    def _first_generation(self) -> None:
        if not self._link_target():
            (self.folder / "000001").mkdir(exist_ok=True, mode=0o700)
            with suppress(FileExistsError):  # another process was faster; its link is as good
                Path(self._link).symlink_to("000001")
            _sync_folder(self.folder)

    def _distrust(self) -> None:
        """Begin empty when the machine went down while commits were not synced: pages may be missing anywhere."""
        if not self._went_down():
            return
        with os.fdopen(self._lock_handle(), "rb") as handle:
            fcntl.flock(
                handle, fcntl.LOCK_EX
            )  # whoever else comes to the same conclusion waits, and then sees
            if self._went_down():
                fresh = f"{int(self._link_target()) + 1:06d}"
                shutil.rmtree(self.folder / fresh, ignore_errors=True)
                (self.folder / fresh).mkdir(mode=0o700)
                self._point_to(fresh)
                (self.folder / "unsynced").unlink()
                _sync_folder(self.folder)

    def _went_down(self) -> bool:
        try:
            return (self.folder / "unsynced").read_text() != _BOOT
        except FileNotFoundError:
            return False

    def _link_target(self) -> str:
        try:
            return os.readlink(self._link)  # noqa: PTH115
        except FileNotFoundError:
            return ""

    def _follow(self) -> None:
        """Open the generation that counts now. Who still reads the old one keeps it until they are done."""
        with self._following:
            while True:
                name = self._link_target()
                try:
                    env, tables = self._opened(self.folder / name)
                except (lmdb.Error, OSError):
                    if name != self._link_target():  # compacted away while we were opening it
                        continue
                    raise
                if name == self._link_target():
                    break
            self._now = _Generation(name, env, tables)

    def _opened(self, folder: Path) -> tuple[Any, dict[str, Any]]:
        data = folder / "data.mdb"
        env = lmdb.open(
            str(folder),
            map_size=max(self._map_size, data.stat().st_size if data.exists() else 0),
            create=False,
            max_dbs=len(self._tables) + 1,
            max_readers=MAX_READERS,
            max_spare_txns=1,
            sync=self._durable or not _BOOT,
            metasync=self._durable,
            readahead=False,  # the state is read at random; a big log would push it out of memory
            mode=0o600,
        )
        _check_length(env, data)
        env.reader_check()
        return env, _tables(env, self._tables)

    def lock_for_writing(self) -> None:
        """Become the one writer of this folder.

        Raises:
            Unavailable: code ``locked``: another process, or another part of this one, is.
        """
        try:
            handle = self._lock_handle()
        except OSError as exc:
            raise self.told(exc) from exc
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            os.close(handle)
            raise Unavailable(
                f"{self.folder} is being written by another process; stop it, or give this one another folder",
                code="locked",
            ) from exc
        self._writer = handle
        # A writer killed within a commit may leave it written but not told to readers; whoever takes LMDB's lock
        # next settles that. Do so now, not with the first append an hour later.
        try:
            self._now.env.begin(write=True).abort()
            self._sweep()
            if not self._durable and _BOOT:
                self._mark(_BOOT)
        except (OSError, lmdb.Error) as exc:
            self._writer = None
            os.close(handle)
            raise self.told(exc) from exc

    def _lock_handle(self) -> int:
        return os.open(self.folder / "writer.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _mark(self, boot: str) -> None:
        # In one step: a reader that found it half written would take the file for one of another boot.
        fresh = self.folder / "unsynced.new"
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as marker:
            marker.write(boot)
            marker.flush()
            os.fsync(marker.fileno())
        fresh.replace(self.folder / "unsynced")
        _sync_folder(self.folder)

    def release(self, *, writer: bool) -> None:
        """Undo one ``at``; with ``writer`` also give up writing."""
        with _opening:
            self._users -= 1
            if writer and self._writer is not None:
                with self._writing:
                    if not self._durable:
                        with suppress(lmdb.Error, OSError):
                            self._now.env.sync(True)
                            (self.folder / "unsynced").unlink(missing_ok=True)
                            _sync_folder(self.folder)
                    os.close(self._writer)
                    self._writer = None
            if self._users == 0:
                del _open_files[str(self.folder)]
                self._now.env.close()

    # -- reading and writing ---------------------------------------------------------------------------------

    def read(self) -> tuple[Any, dict[str, Any]]:
        """A read transaction on what is committed now, and handles of the tables by name.

        ``abort`` gives the transaction back for the next.
        """
        try:
            if os.readlink(self._link) != self._now.name:  # noqa: PTH115  (0.5 µs; pathlib takes 5)
                self._follow()
            now = self._now
            try:
                return now.env.begin(), now.tables
            except lmdb.MapResizedError:  # another process made it larger
                now.env.set_mapsize(0)
                return now.env.begin(), now.tables
        except (OSError, lmdb.Error) as exc:
            raise self.told(exc) from exc

    def write(self, work: Callable[[Any, dict[str, Any]], T], *, reserve: int = 0) -> T:
        """Run ``work`` in a write transaction: all of it is kept, or nothing.

        ``work`` may run more than once, when the map has to grow.

        Args:
            work: is given the transaction and the tables; what it returns is returned.
            reserve: bytes that must stay free on the disk, else nothing is begun.

        Raises:
            Unavailable: ``disk_full``, ``read_only``, ``disk_error``; nothing was changed.
            Corrupt: the file is not what was written.
        """
        with self._writing:
            if self._writer is None:
                raise Unavailable(f"{self.folder} is open for reading only", code="read_only")
            if reserve:
                self._check_room(reserve)
            self._writes += 1
            if self._writes % CHECK_READERS == 0:
                self._now.env.reader_check()
            while True:
                now = self._now
                try:
                    with now.env.begin(write=True) as txn:
                        return work(txn, now.tables)
                except lmdb.MapFullError:
                    self._map_size = 2 * int(now.env.info()["map_size"])
                    now.env.set_mapsize(self._map_size)
                except (OSError, lmdb.Error) as exc:
                    told = self.told(exc)
                    if isinstance(exc, lmdb.PanicError):  # LMDB wants the environment opened anew after it
                        now.env.close()
                        self._follow()
                    raise told from exc

    def _room(self) -> int:
        """Free bytes on the disk."""
        disk = os.statvfs(self.folder)
        return disk.f_bavail * disk.f_frsize

    def _check_room(self, reserve: int) -> None:
        try:
            room = self._room()
        except OSError as exc:
            raise self.told(exc) from exc
        if room < reserve:
            raise Unavailable(
                f"less than {reserve >> 20} MiB are free on the disk of {self.folder}; free some",
                code="disk_full",
                retry_after=10,
            )

    # -- compacting ------------------------------------------------------------------------------------------

    def compact(self, *, catch_up: Callable[[Any, Any], None] | None = None) -> None:
        """Rewrite the file without its free pages, and delete the old one.

        Args:
            catch_up: given, writers go on while the file is copied, and this brings the copy (a write transaction)
                up to date from the original (a read transaction). Otherwise writers wait.
        """
        name = f"{int(self._now.name) + 1:06d}"
        try:
            if catch_up is None:
                with self._writing:
                    self._copy(self.folder / name)
                    self._swap(name, None)
            else:
                self._copy(self.folder / name)
                with self._writing:
                    self._swap(name, catch_up)
        except (OSError, lmdb.Error) as exc:
            if self._link_target() != name:
                shutil.rmtree(self.folder / name, ignore_errors=True)
            raise self.told(exc) from exc

    def copy(self, folder: Path) -> None:
        """A copy that can be opened like the original, synced; writers go on meanwhile.

        Raises:
            Rejected: code ``exists``: something is there already.
            Unavailable: ``disk_full`` and others.
        """
        if folder.exists() and any(folder.iterdir()):
            raise Rejected(f"{folder} is not empty; name a new folder", code="exists")
        try:
            first = folder / "000001"
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._copy(first)
            (folder / "current").symlink_to("000001")
            _sync_folder(folder)
        except (OSError, lmdb.Error) as exc:
            raise self.told(exc) from exc

    def _copy(self, fresh: Path) -> None:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        self._now.env.copy(str(fresh), compact=True)
        (fresh / "data.mdb").chmod(0o600)
        _sync_file(fresh / "data.mdb")
        _sync_folder(fresh)

    def _swap(self, name: str, catch_up: Callable[[Any, Any], None] | None) -> None:
        fresh = self.folder / name
        if catch_up is not None:
            env = lmdb.open(
                str(fresh), map_size=self._now.env.info()["map_size"], max_dbs=len(self._tables) + 1
            )
            with self._now.env.begin() as old, env.begin(write=True) as new:
                catch_up(old, new)
            env.close()
            _sync_file(fresh / "data.mdb")
        self._point_to(name)
        self._follow()
        self._sweep()

    def _point_to(self, name: str) -> None:
        coming = self.folder / "coming"
        coming.unlink(missing_ok=True)
        coming.symlink_to(name)
        coming.replace(self._link)
        _sync_folder(self.folder)

    def _sweep(self) -> None:
        """Delete generations that do not count any more, also those of a compaction that was cut short."""
        current = self._link_target()
        for path in self.folder.iterdir():
            if path.is_dir() and not path.is_symlink() and path.name != current:
                # Renamed first: a reader that is just opening it then finds nothing, instead of half.
                gone = path.with_suffix(".gone")
                if path != gone:
                    shutil.rmtree(gone, ignore_errors=True)
                    path.rename(gone)
                shutil.rmtree(gone, ignore_errors=True)

    def told(self, exc: Exception) -> PlaitError:
        """What a driver's error means for the caller."""
        code = exc.errno if isinstance(exc, OSError) else _errno_of(exc)
        if code in _FULL or (code == errno.EIO and self._room() < ALMOST_FULL):
            return Unavailable(f"{self.folder}: the disk is full: {exc}", code="disk_full", retry_after=10)
        if code in _READ_ONLY or isinstance(exc, lmdb.ReadonlyError | lmdb.LockError):
            return Unavailable(f"{self.folder} cannot be written: {exc}", code="read_only", retry_after=10)
        if isinstance(exc, lmdb.BadValsizeError):
            return Rejected(f"{self.folder}: a key is too long: {exc}", code="key_too_long")
        if isinstance(exc, _DAMAGED):
            return Corrupt(
                f"{self.folder} is not what Plait wrote: {exc}; put back a backup; the state may also be "
                "deleted, it is folded again from the log",
                code="corrupt",
            )
        return Unavailable(f"{self.folder}: {exc}", code="disk_error")


_DAMAGED = (
    lmdb.CorruptedError,
    lmdb.InvalidError,
    lmdb.VersionMismatchError,
    lmdb.PageNotFoundError,
    lmdb.IncompatibleError,
)


def _errno_of(exc: Exception) -> int:
    """The system's error number inside an LMDB error, which carries it as text only."""
    text = str(exc)
    for code in (*_FULL, *_READ_ONLY, errno.EIO):
        if os.strerror(code) in text:
            return code
    return 0


def _check_length(env: Any, data: Path) -> None:
    """A file that ends before its last page would kill the process on the first read behind the end."""
    needed = (env.info()["last_pgno"] + 1) * env.stat()["psize"]
    found = data.stat().st_size
    if found < needed:
        env.close()
        raise Corrupt(f"{data} holds {found} bytes of {needed}: it was cut off", code="corrupt")


def _tables(env: Any, names: tuple[str, ...]) -> dict[str, Any]:
    if not names:
        return {"": None}
    # In a write transaction also for readers: handles from a read transaction die when it is kept for the next.
    before = env.info()["last_txnid"]
    with env.begin(write=True) as txn:
        tables = {name: env.open_db(name.encode(), txn=txn) for name in names}
    if env.info()["last_txnid"] != before:
        env.sync(True)  # also where commits are not synced: nobody has marked the folder yet
    return tables


def _boot() -> str:
    """A name of this boot of the machine, other than that of the next; "" where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


_BOOT = _boot()


def _sync_file(path: Path) -> None:
    """Make what is in a file survive power loss; LMDB's copy leaves that to us."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make names in a folder survive power loss."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
