"""What goes with what: the model that turns a person's acts into scores of items, fitted now and then, asked all the time.

``score(item) = sum over acts of gate(channel, history) * intensity * B_channel[act, item]`` plus what its topics and
its popularity add: linear in the acts, so that new acts count at once and every score can say what it came from.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from plait.errors import Corrupt, Unavailable
from plait.settings import RESERVE

# A person's history is the number of different items they wanted; a bucket begins at each of these.
HISTORY = (0, 1, 2, 4, 8, 16)
Channel = tuple[str, str]  # kind of source, signal

_ARRAYS = ("indptr", "columns", "values", "place", "popularity", "gates", "visit", "returns")
_FORMAT = 3
_log = structlog.get_logger()


class Manifest(msgspec.Struct, kw_only=True):
    """What a fit did.

    Attributes:
        id: unique, newer ones sort later.
        fitted_at: ms since the epoch, the time that weights were decayed to.
        half_life: ms.
        channels: (kind of source, signal) of each block of rows.
        wanted: of each channel, whether its acts show that an item was wanted: what the model foretells.
        seconds, tuning_seconds: what fitting took on all there is, and before that on a part to learn the gates.
        quality: NDCG@20 on what was held out: ``popularity``, ``model``, by bucket of history ``by_history``.
        gated_off: channels that did not help.
    """

    id: str = ""
    format: int = _FORMAT
    fitted_at: int = 0
    half_life: int = 0
    items: int = 0
    people: int = 0
    acts: int = 0
    channels: list[Channel] = []
    wanted: list[bool] = []
    seconds: float = 0.0
    tuning_seconds: float = 0.0
    quality: dict[str, Any] = {}
    gated_off: list[str] = []
    position: int = 0


@dataclass(frozen=True)
class Model:
    """A fitted model; arrays may be mapped from disk. Never changed.

    Attributes:
        entities: ``kind SEP id``, the items it may recommend first.
        place: (channels + 3, entities) which row of B an entity has in a channel's block, -1 none; then in the one that pools
            all channels, in the one that foretells what is wanted lately, and in the one of what goes with it in one visit.
        indptr, columns, values: B, rows compressed, columns are items' numbers, sorted.
        popularity: (items,) 0..1.
        gates: (2 * (channels + 1) + 2, buckets of history): each channel and any other one, the same for what they say lately,
            topics, popularity.
        visit: (buckets of history,) the gate of what goes with what was wanted in the visit of now.
        returns: (channels + 1,) how often people come back to what they touched, by channel.
    """

    manifest: Manifest
    entities: list[str]
    place: NDArray[np.int32]
    indptr: NDArray[np.int64]
    columns: NDArray[np.int32]
    values: NDArray[np.float32]
    popularity: NDArray[np.float32]
    gates: NDArray[np.float64]
    visit: NDArray[np.float64]
    returns: NDArray[np.float64]
    entity: dict[str, int] = field(default_factory=dict)
    channel: dict[Channel, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.entity.update((name, place) for place, name in enumerate(self.entities))
        self.channel.update(((one[0], one[1]), place) for place, one in enumerate(self.manifest.channels))

    @property
    def id(self) -> str:
        """Names this fit; newer ones sort later."""
        return self.manifest.id

    @property
    def fitted_at(self) -> int:
        """When it was fitted, ms since the epoch; 0 when never."""
        return self.manifest.fitted_at

    def save(self, folder: Path, *, beside: Callable[[Path], object] = lambda _: None) -> Path:
        """Write the model into a folder of its own under ``folder``, whole or not at all.

        Args:
            folder: of all models.
            beside: writes what else belongs to it into its folder.

        Raises:
            Unavailable: the disk is full or the folder read-only.
        """
        done = folder / self.id
        fresh = folder / f".{self.id}.{os.getpid()}"
        try:
            fresh.mkdir(parents=True)
            if shutil.disk_usage(folder).free < RESERVE:  # the next fit may find more
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            for name in _ARRAYS:
                with (fresh / f"{name}.npy").open("wb") as file:
                    np.save(file, getattr(self, name))
                    file.flush()
                    os.fsync(file.fileno())
            _write(fresh / "entities.msgpack", msgspec.msgpack.encode(self.entities))
            _write(fresh / "manifest.json", msgspec.json.format(msgspec.json.encode(self.manifest)))
            beside(fresh)
            fresh.rename(done)
            _sync(folder)
        except OSError as exc:
            shutil.rmtree(fresh, ignore_errors=True)
            raise Unavailable(
                f"a model cannot be written to {folder}: {exc}", code="model_not_saved"
            ) from exc
        return done

    @classmethod
    def load(cls, folder: Path) -> Model:
        """The model in ``folder``, its arrays mapped, not read.

        Raises:
            Corrupt: a file is missing or not what we wrote.
        """
        try:
            manifest = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=Manifest)
            if manifest.format != _FORMAT:
                raise ValueError(f"format {manifest.format}")
            entities = msgspec.msgpack.decode((folder / "entities.msgpack").read_bytes(), type=list[str])
            arrays: dict[str, Any] = {name: _mapped(folder / f"{name}.npy") for name in _ARRAYS}
        except (OSError, EOFError, ValueError, msgspec.MsgspecError) as exc:
            raise Corrupt(f"the model in {folder} cannot be read: {exc}", code="model_corrupt") from exc
        return cls(manifest, entities, **arrays)


def _mapped(path: Path) -> NDArray[Any]:
    # Copy on write, though nobody writes: kernels are compiled for plain writable arrays, and would be again for others.
    array: NDArray[Any] = np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))
    # Looked at once here, page by page, so that no answer waits for the disk.
    array.reshape(-1)[:: max(1, 4096 // array.itemsize)].max(initial=0)
    return array


def _write(path: Path, raw: bytes) -> None:
    with path.open("wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def current(folder: Path, *, known: str | None = None) -> Model | None:
    """The newest model under ``folder`` that can be read; ``None`` when there is none, or it is ``known`` already.

    A model is made anew by every fit, so a damaged one is told in the log and passed over.
    """
    for name in reversed(_names(folder)):
        if name == known:
            return None
        try:
            return Model.load(folder / name)
        except Corrupt as error:
            _log.error("model_passed_over", code=error.code, message=error.message)
    return None


def _names(folder: Path) -> list[str]:
    """The models under ``folder``, the newest last."""
    if not folder.is_dir():
        return []
    return sorted(one.name for one in folder.iterdir() if not one.name.startswith("."))


def newest(folder: Path) -> Path | None:
    """The folder of the newest model under ``folder``."""
    names = _names(folder)
    return folder / names[-1] if names else None


def drop_old(folder: Path, *, keep: int = 2) -> None:
    """Remove all but the newest models, and what a fit that was killed left half written; who has one mapped keeps it until it lets go."""
    for name in _names(folder)[:-keep]:
        shutil.rmtree(folder / name, ignore_errors=True)
    for fresh in folder.glob(".*"):
        if not _is_alive(fresh.name.rpartition(".")[2]):
            shutil.rmtree(fresh, ignore_errors=True)


def _is_alive(process: str) -> bool:
    """Whether a process, by its number, may still be writing."""
    try:
        os.kill(int(process), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def prior(half_life: int) -> Model:
    """What to go by before the first fit: topics, what a person touched, and nothing else."""
    gates = np.ones((4, len(HISTORY)))
    gates[1] = 0.0  # nothing is known of lately
    return Model(
        Manifest(id="prior", half_life=half_life),
        [],
        np.zeros((3, 0), np.int32),
        np.zeros(1, np.int64),
        np.zeros(0, np.int32),
        np.zeros(0, np.float32),
        np.zeros(0, np.float32),
        gates,
        np.zeros(len(HISTORY)),
        np.full(1, 0.3),
    )


def rarity(counts: NDArray[Any], items: int) -> NDArray[np.float64]:
    """How much a topic of ``counts`` items out of ``items`` says, 0..1: what is on everything says little."""
    found: NDArray[np.float64] = np.log1p(items / (1.0 + counts)) / np.log1p(max(1, items))
    return np.minimum(found, 1.0)


def bucket_of(wanted: int) -> int:
    """The bucket of somebody who wanted so many different items."""
    return sum(1 for least in HISTORY[1:] if wanted >= least)
