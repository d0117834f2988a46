"""Training throughput of NeuMF without history: the project's own loop compared with `keras.Model.fit`.

Both train the same architecture (64-32-16, d = 50, binary cross-entropy, 4 uniform negatives) on the same events. They
take turns, each in a process of its own that sleeps while the other is timed. A sample is a row (user, item, label).

The project's loop passes over all events with 65,536 events per step; drawing and shuffling are included. Keras gets
batches of 256 samples of an epoch that was drawn and shuffled into NumPy arrays before; that time is reported
separately. Keras runs twice: with the defaults of `compile()`, and with jit_compile=True.

    python benchmarks/throughput.py             a million synthetic events of 6,040 users and 3,706 items
    python benchmarks/throughput.py DATA_DIR    the ratings of ml-1m-ncf in that folder
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow would introduce itself in each process

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from rich.table import Table  # noqa: E402

from recsys.data.dataset import Dataset  # noqa: E402
from recsys.settings import Training  # noqa: E402
from recsys.training.terminal import console  # noqa: E402

if TYPE_CHECKING:
    from recsys.networks.windows import Windows

N_USERS, N_ITEMS, N_EVENTS = 6040, 3706, 1_000_000  # about MovieLens-1M
OPTIONS = Training(
    dim=50,
    batch=65_536,
    loss="bce",
    negatives=4,
    learning_rate=1e-3,
    dropout=0.0,
    dropped_users=0.0,
    dropped_contexts=0.0,
    seed=7,
)
KERAS_BATCH = 256  # of He et al. 2017
LABELS = {"ours": "our loop", "keras": "keras.Model.fit", "keras_xla": "Model.fit, jit_compile"}


class Side(Protocol):
    """One of the compared programs."""

    def run(self) -> tuple[int, float]:
        """Train for a while; returns how many samples were trained on and the seconds that took."""

    def notes(self) -> dict[str, float]:
        """Return further measurements by name."""


class Ours:
    """The project's loop; a run is one pass over all events."""

    def __init__(self, data: Dataset, steps: int) -> None:
        del steps
        from recsys.networks.fit import NETWORKS, prepare, shapes
        from recsys.networks.losses import Negatives
        from recsys.networks.trainer import Examples, Trainer

        prepare(OPTIONS.seed)
        self._samples = len(data) * (1 + OPTIONS.negatives)
        popularity = np.bincount(data.items, minlength=data.n_items).astype(np.float32)
        self._loop = Trainer(
            NETWORKS["NeuMF"](shapes(data, OPTIONS), OPTIONS.seed),
            Examples([pairs(data)], OPTIONS.batch, 1),
            Negatives.of(popularity, OPTIONS),
            OPTIONS,
        )

    def run(self) -> tuple[int, float]:
        """Pass over the events once."""
        started = time.perf_counter()
        self._loop.epoch("NeuMF", 1)
        return self._samples, time.perf_counter() - started

    def notes(self) -> dict[str, float]:
        """Return nothing."""
        return {}


class Keras:
    """`keras.Model.fit`; a run is so many steps, the next ones of the epoch each time."""

    def __init__(self, data: Dataset, steps: int, **compiled: bool) -> None:
        import keras

        keras.utils.set_random_seed(OPTIONS.seed)
        started = time.perf_counter()
        self._columns = drawn(np.random.default_rng(OPTIONS.seed), data, OPTIONS.negatives)
        self._drawing_s = time.perf_counter() - started
        self._slice, self._at = steps * KERAS_BATCH, 0
        self._model = keras_neumf(data.n_users, data.n_items, OPTIONS.dim)
        loss = keras.losses.BinaryCrossentropy(from_logits=True)
        self._model.compile(keras.optimizers.Adam(OPTIONS.learning_rate), loss, **compiled)

    def run(self) -> tuple[int, float]:
        """Fit the next samples."""
        if self._at + self._slice > len(self._columns[0]):
            self._at = 0
        users, items, labels = (column[self._at : self._at + self._slice] for column in self._columns)
        self._at += self._slice
        started = time.perf_counter()
        self._model.fit([users, items], labels, batch_size=KERAS_BATCH, shuffle=False, verbose=0)
        return len(labels), time.perf_counter() - started

    def notes(self) -> dict[str, float]:
        """Return the seconds that drawing an epoch took, which no run counts."""
        return {"drawing_s_an_epoch": self._drawing_s}


def drawn(
    rng: np.random.Generator, data: Dataset, negatives: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """Return users, items and labels `(n · (1 + negatives),)` of an epoch, shuffled."""
    items = np.concatenate(
        [data.items[:, None], rng.integers(0, data.n_items, (len(data), negatives), np.int32)], axis=1
    )
    labels = np.zeros(items.shape, np.float32)
    labels[:, 0] = 1.0
    order = rng.permutation(items.size)
    return np.repeat(data.users, 1 + negatives)[order], items.ravel()[order], labels.ravel()[order]


def pairs(data: Dataset) -> Windows:
    """Return windows without history, each with one event as its target.

    The networks train on these windows as on any others. Without padding and pooled histories `Training.batch` can be
    tens of thousands, so that the matrix products of a step run near the speed of the machine.

    Args:
        data: The events.

    Returns:
        Windows of width 0: a target each, and no events beside it.
    """
    from recsys.networks.windows import Windows  # loads TensorFlow, for which `--help` should not wait

    n = len(data)
    return Windows(
        users=data.users,
        items=np.zeros((n, 0), np.int32),
        weights=np.zeros((n, 0), np.float32),
        history_end=np.full((n, 1), -1, np.int32),
        targets=data.items[:, None],
        confidences=data.confidences[:, None],
        contexts=data.contexts[:, None],
    )


def keras_neumf(n_users: int, n_items: int, dim: int) -> Any:
    """Return `recsys.networks.NeuMF` without history as a usual Keras model: the same logit from the same weights."""
    import keras

    from recsys.networks.base import HIDDEN

    user, item = keras.Input((), dtype="int32"), keras.Input((), dtype="int32")
    sizes = {
        "user_factors": (user, n_users),
        "item_factors": (item, n_items),
        "mlp_users": (user, n_users),
        "mlp_items": (item, n_items),
    }
    rows = {name: keras.layers.Embedding(size, dim, name=name)(index) for name, (index, size) in sizes.items()}
    hidden = keras.layers.Concatenate()([rows["mlp_users"], rows["mlp_items"]])
    for n, width in enumerate(HIDDEN):
        hidden = keras.layers.Dense(width, "relu", name=f"mlp_{n}")(hidden)
    both = keras.layers.Concatenate()([keras.layers.Multiply()([rows["user_factors"], rows["item_factors"]]), hidden])
    bias = keras.layers.Embedding(n_items, 1, embeddings_initializer="zeros", name="item_bias")(item)
    return keras.Model([user, item], keras.layers.Add()([keras.layers.Dense(1, name="output")(both), bias]))


def synthetic(n_events: int) -> Dataset:
    """Return events of random users on random items, a few items being far more popular than the rest."""
    rng = np.random.default_rng(0)
    users = np.sort(rng.integers(0, N_USERS, n_events)).astype(np.int32)
    items = (N_ITEMS * rng.random(n_events) ** 2).astype(np.int32)
    ones, times = np.ones(n_events, np.float32), np.arange(n_events)
    return Dataset(users, items, ones, ones, times, ones > 0, np.zeros((n_events, 0), np.int32), N_USERS, N_ITEMS, ())


def movielens(folder: Path) -> Dataset:
    """Return the ratings of ml-1m-ncf, the official test left out."""
    from benchmarks.sets.movielens import ML_1M_NCF

    return ML_1M_NCF.read(folder).test.data


def measure(data: Dataset, rounds: int, steps: int) -> dict[str, Any]:
    """Return the figures of so many rounds, as the JSON file holds them.

    Args:
        data: The events.
        rounds: How often each side is timed, one after another; what they do before, compiling for one, is timed apart.
        steps: Of Keras, in a run.
    """
    spawned = multiprocessing.get_context(
        "spawn"
    )  # op determinism cannot be switched off again, and it slows Keras down
    sides = {name: ProcessPoolExecutor(1, spawned, _open, (name, data, steps)) for name in LABELS}
    try:
        first = {name: side.submit(_run).result() for name, side in sides.items()}
        timed: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(rounds):
            for name in list(sides)[:: 1 if number % 2 else -1]:  # no side is always the later one, on a warm machine
                samples, seconds = sides[name].submit(_run).result()
                timed[name].append(samples / seconds)
        notes = {name: {"first_run_s": first[name][1], **side.submit(_notes).result()} for name, side in sides.items()}
        versions = sides["ours"].submit(_versions).result()
    finally:
        for side in sides.values():
            side.shutdown()
    details = {"rounds": rounds, "events": len(data), **versions, **_circumstances(data, steps)}
    return figures(timed, notes, len(data) * (1 + OPTIONS.negatives)) | details


def figures(
    timed: Mapping[str, Sequence[float]], notes: Mapping[str, Mapping[str, float]], epoch: int
) -> dict[str, Any]:
    """Return medians and ratios.

    Args:
        timed: Samples a second of each side, round by round.
        notes: Of each side.
        epoch: Samples in an epoch.
    """
    sides: dict[str, dict[str, Any]] = {}
    for name, rates in timed.items():
        median = statistics.median(rates)
        sides[name] = {"samples_per_s": median, "least": min(rates), "most": max(rates), **notes[name]}
        if name != "ours":
            sides[name]["samples_per_s_with_drawing"] = epoch / (epoch / median + notes[name]["drawing_s_an_epoch"])
            sides[name]["ratio_of_medians"] = statistics.median(timed["ours"]) / median
            sides[name]["median_of_ratios"] = statistics.median(
                ours / theirs for ours, theirs in zip(timed["ours"], rates, strict=True)
            )
    return {"sides": sides, "samples_an_epoch": epoch}


def table(result: Mapping[str, Any]) -> Table:
    """Return the figures as a table."""
    size = f"{result['users']:,} users, {result['items']:,} items, {result['events']:,} events"
    title = f"NeuMF, {size}, {result['rounds']} rounds"
    made = Table(
        title=title, caption=f"TensorFlow {result['tensorflow']}, Keras {result['keras']}, {result['machine']}"
    )
    made.add_column("1,000 samples/s")
    for column in ("median", "range", "with draws", "first, s", "ratio"):
        made.add_column(column, justify="right", no_wrap=True)
    for name, side in result["sides"].items():
        median, least, most = (f"{side[key] / 1000:,.0f}" for key in ("samples_per_s", "least", "most"))
        drawn_too = f"{side.get('samples_per_s_with_drawing', side['samples_per_s']) / 1000:,.0f}"
        ratio = f"{side['ratio_of_medians']:.1f} ×" if name != "ours" else ""
        made.add_row(LABELS[name], median, f"{least} – {most}", drawn_too, f"{side['first_run_s']:.1f}", ratio)
    return made


def main(argv: list[str]) -> int:
    """Measure, print the table, write the JSON; returns the exit status."""
    flags = _parser().parse_args(argv)
    result = measure(
        movielens(flags.data_dir) if flags.data_dir else synthetic(flags.events), flags.rounds, flags.steps
    )
    console().print(table(result))
    if flags.json:
        flags.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if flags.min_ratio is not None and result["sides"]["keras"]["ratio_of_medians"] < flags.min_ratio:
        console(stderr=True).print(f"throughput: the ratio should be at least {flags.min_ratio}.")
        return 1
    return 0


def make_side(name: str, data: Dataset, steps: int) -> Side:
    """Return one of the compared programs, ready to run."""
    if name == "ours":
        return Ours(data, steps)
    return Keras(data, steps, **({"jit_compile": True} if name == "keras_xla" else {}))


_side: Side  # of a process that a pool has started


def _open(name: str, data: Dataset, steps: int) -> None:
    global _side
    _side = make_side(name, data, steps)


def _run() -> tuple[int, float]:
    return _side.run()


def _notes() -> dict[str, float]:
    return _side.notes()


def _versions() -> dict[str, str]:
    import keras
    import tensorflow as tf

    return {"tensorflow": tf.__version__, "keras": keras.__version__}


def _circumstances(data: Dataset, steps: int) -> dict[str, Any]:
    return {
        "users": data.n_users,
        "items": data.n_items,
        "batch_of_events": OPTIONS.batch,
        "keras_batch_of_samples": KERAS_BATCH,
        "keras_steps_a_run": steps,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "data_dir", type=Path, nargs="?", metavar="DATA_DIR", help="the folder of ml-1m-ncf; default: synthetic events"
    )
    parser.add_argument("--events", type=int, default=N_EVENTS, metavar="N", help="synthetic events; default a million")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="default 5")
    parser.add_argument("--steps", type=int, default=2000, metavar="N", help="of Keras in a run; default 2,000")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures are written, too")
    parser.add_argument(
        "--min-ratio", type=float, metavar="R", help="leave with 1 if the ratio of medians to keras.Model.fit is below"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
