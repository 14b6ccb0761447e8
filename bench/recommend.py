"""How well the model foretells, and how soon it is fitted, beside the recommenders of others, each tuned as long.

The sets lie in ``../shared/datasets`` (or where ``PLAIT_DATASETS`` says); a set that is not there is left out. A part of each
is held back as ``plait evaluate`` does it, by seed 0; full rankings, without a person's own items. The others know of no ties and
of one kind of act: they are given everything a person did, by its logarithm. One core each; seconds are of the processor.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench import Line
from plait.evaluate import SOCIAL_SIGNALS, lines, metrics, rank, rankable, split
from plait.evaluate.dataset import Dataset, read
from plait.models.fit import fit_with

ROOT = Path(__file__).parent.parent
SETS = Path(os.environ.get("PLAIT_DATASETS", ROOT.parent / "shared" / "datasets"))
APART = ROOT / ".peers" / "recommenders"
LOCK = ROOT / "requirements" / "rivals.lock"
CALLED = {"als": "implicit ALS", "bpr": "implicit BPR", "ease": "RecTools EASE"}


def measure(quick: bool) -> Iterator[Line]:
    python = environment()
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})  # one core for us and, as our children, for the others
    try:
        for name in ("deskdrop",) if quick else ("beidian", "deskdrop", "lastfm"):
            if (SETS / name).is_dir():
                yield from measured(name, python, most=5.0 if quick else None)
            else:
                print(f"recommend: {SETS / name} is not there; left out", file=sys.stderr)
    finally:
        os.sched_setaffinity(0, cores)


def environment() -> Path:
    """The python of the rivals' own environment, made by their lock when it is not there."""
    python = APART / "bin" / "python"
    stamp = APART / "installed"
    if not stamp.exists() or stamp.read_bytes() != LOCK.read_bytes():
        venv.create(APART, with_pip=True, clear=True)
        command = [
            python,
            "-m",
            "pip",
            "install",
            "-q",
            "--require-hashes",
            "--only-binary",
            ":all:",
            "-r",
            LOCK,
        ]
        subprocess.run(command, check=True)
        stamp.write_bytes(LOCK.read_bytes())
    return python


def measured(name: str, python: Path, *, most: float | None = None) -> Iterator[Line]:
    """Ours beside each of the others on one set; these are tuned for as many seconds as ours was, at ``most`` so many."""
    dataset = split.reachable(split.split(read(SETS / name), seed=0, social=SOCIAL_SIGNALS))
    people, sizes = np.unique(dataset.test_person, return_counts=True)
    truth = dataset.test_item[np.lexsort((dataset.test_item, dataset.test_person))]
    starts = np.concatenate([[0], np.cumsum(sizes)])

    def ndcg(ranked: np.ndarray) -> np.ndarray:
        return metrics.by_person(ranked, truth, starts)["ndcg@20"]

    table, now = lines.table_of(dataset, SOCIAL_SIGNALS)
    heard = np.ones(len(table.channels), np.bool_)
    began = time.process_time()
    fit = fit_with(table, heard, now=now, half_life=lines.HALF_LIFE, seed=0)
    # By the processor's time, which is the clock's while nobody else wants the core. The fit itself is what comes after
    # tuning; it is done once more, without what is imported and compiled at the first time.
    total = time.process_time() - began
    began = time.process_time()
    model = fit_with(table, heard, now=now, half_life=lines.HALF_LIFE, seed=0, frozen=fit.decided).model
    seconds = time.process_time() - began
    tuning = total - seconds
    ours = ndcg(rank(dataset, model, table, people))
    inversion = inverted(len(dataset.people))
    yield Line(f"{name}: fit, tuning apart ({tuning:.0f} s)", seconds, "s", f"inversion of n x n (n = {len(dataset.people):,})",
               seconds / inversion, bar=3.0 if name == "lastfm" else None, bar_on="ratio", least=False)  # fmt: skip
    error = ours.std(ddof=1) / np.sqrt(len(ours))
    budget = tuning if most is None else min(most, tuning)
    for rival, (theirs, took) in others(dataset, people, python, budget).items():
        value = ndcg(theirs)
        low, high = metrics.lift(ours, value, seed=0)["ci95"] or (np.nan, np.nan)
        yield Line(
            f"{name}: NDCG@20 (+- {error:.4f}, {len(people):,} people) and {seconds:.2f} s, against {value.mean():.4f} and "
            f"{took:.2f} s; lift {low:+.0%} to {high:+.0%}",
            float(ours.mean()), "", CALLED[rival], float(ours.mean() / value.mean()), bar=1.0, bar_on="ratio",
        )  # fmt: skip


def others(
    dataset: Dataset, people: np.ndarray, python: Path, budget: float
) -> dict[str, tuple[np.ndarray, float]]:
    with tempfile.TemporaryDirectory() as folder:
        told, found = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(
            told, person=dataset.person, item=dataset.item, value=dataset.value, people=people,
            shelf=rankable(dataset), shape=(len(dataset.people), len(dataset.items)),
        )  # fmt: skip
        subprocess.run([python, Path(__file__).parent / "rivals.py", told, found, str(budget)], check=True)
        with np.load(found) as answer:
            return {
                name: (answer[f"{name}_ranked"], float(answer[f"{name}_seconds"]))
                for name in CALLED
                if f"{name}_ranked" in answer
            }


def inverted(n: int) -> float:
    """Seconds of the processor that one inversion of an n x n float64 matrix takes, the better of two."""
    random = np.random.default_rng(0)
    matrix = random.standard_normal((n, n))
    matrix[np.diag_indices(n)] += n
    took = []
    for _ in range(2):
        began = time.process_time()
        np.linalg.inv(matrix)
        took.append(time.process_time() - began)
    return min(took)
