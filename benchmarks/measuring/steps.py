"""One dry run of training in a process of its own, with the seconds of each step; run as a script by `training.py`.

    python steps.py CHECKOUT FOLDER '{"epochs": 1}'

CHECKOUT is the code to measure, FOLDER holds `shop.sqlite`. With `"export"` among the options, the events and the test
cases are written there for other libraries. The last line of stdout is a JSON object. It uses nothing
but the entry of training, so that it can measure other commits.
"""

from __future__ import annotations

import inspect
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

PER_MB = 1024 if sys.platform != "darwin" else 1024 * 1024  # of the unit of ru_maxrss
EXPORTED = 500  # test cases
PARTS = (
    *("choose_l2", "choose_regularization", "choose_min_co_occurrence", "fit_baselines", "fit_features", "fit_start"),
    *("gains", "fit_ensembles", "evaluate_all", "evaluate_set", "encode_events", "build_evaluation_sets"),
)


class Stopwatch:
    """Takes the place of a terminal: it adds up the seconds of each stage, and those of each network's epochs."""

    def __init__(self) -> None:
        self.stages: list[dict[str, Any]] = []
        self._since = (time.process_time(), time.perf_counter())
        self.stage("Start")

    def stage(self, title: str) -> None:
        """End a stage, and begin another."""
        self._lap()
        self.stages.append({"title": title, "cpu": 0.0, "wall": 0.0, "epochs": {}})

    def epoch(self, epoch: Any) -> None:
        """Add an epoch: all time since the line before is its own, validation and compilation included."""
        cpu = self._lap()
        of_network = self.stages[-1]["epochs"].setdefault(epoch.model, {"count": 0, "cpu": 0.0, "last": 0.0})
        of_network["count"] += 1
        of_network["cpu"] += cpu
        of_network["last"] = cpu
        sys.stderr.write(
            f"  {epoch.model} {epoch.number}/{epoch.of} loss {epoch.loss:.4f} {epoch.validation_score} {cpu:.1f} s\n"
        )

    def note(self, text: str) -> None:
        """Print it."""
        sys.stderr.write(f"  {text}\n")

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None

    def end(self) -> list[dict[str, Any]]:
        """Return all stages."""
        self._lap()
        return self.stages

    def _lap(self) -> float:
        now = (time.process_time(), time.perf_counter())
        cpu, wall = (new - old for new, old in zip(now, self._since, strict=True))
        self._since = now
        if self.stages:
            self.stages[-1]["cpu"] += cpu
            self.stages[-1]["wall"] += wall
        return cpu


def timed(parts: dict[str, float]) -> None:
    """Let the CPU seconds of the parts of a run be added up by name; a commit that lacks one is measured without it."""
    from recsys.training import fitting, stages

    def wrap(module: Any, name: str) -> None:
        inner = getattr(module, name)

        def measured(*arguments: Any, **named: Any) -> Any:
            began = time.process_time()
            result = inner(*arguments, **named)
            parts[name] = parts.get(name, 0.0) + time.process_time() - began
            return result

        setattr(module, name, measured)

    for module in (fitting, stages):
        for name in PARTS:
            if hasattr(module, name):
                wrap(module, name)


def epochs_timed(taken: list[tuple[str, float]]) -> None:
    """Let the CPU seconds of each epoch be kept by network, without validation."""
    from recsys.networks.fit import Trainer

    inner = Trainer.epoch

    def epoch(trainer: Any, name: str, number: int) -> float:
        began = time.process_time()
        loss = inner(trainer, name, number)
        taken.append((name, time.process_time() - began))
        return loss

    Trainer.epoch = epoch  # type: ignore[method-assign]


def main(checkout: str, folder: str, options: dict[str, Any]) -> None:
    """Train, and print the figures."""
    sys.path[0] = checkout
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from recsys.settings import Training, load_settings
    from recsys.training.train import train

    root, now = Path(folder), int(options.pop("now"))
    settings = load_settings({"DATABASE_URL": f"sqlite:///{root / 'shop.sqlite'}"}, root)
    known = {name: value for name, value in options.items() if name in {field.name for field in fields(Training)}}
    settings = replace(settings, training=replace(settings.training, **known))
    watch, parts = Stopwatch(), dict[str, float]()
    timed(parts)
    taken: list[tuple[str, float]] = []
    epochs_timed(taken)
    began, wall = time.process_time(), time.perf_counter()
    forced = {"force": True} if "force" in inspect.signature(train).parameters else {}
    run: Any = train(settings, now=now, progress=watch, dry_run=True, **forced)
    figures = {
        "cpu": time.process_time() - began,
        "wall": time.perf_counter() - wall,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / PER_MB,
        "stages": watch.end(),
        "parts": parts,
        "winner": run.winner,
        "ndcg10": {name: row["ndcg10"] for name, row in run.rows[run.rule].items()},
        "epoch_cpu": dict(taken),  # of each network's newest epoch, without validation
    }
    if hasattr(run, "evaluated"):  # older commits return less
        events, training = len(run.evaluated.data), run.settings.training
        samples = min(events, training.samples) * (1 + training.negatives)
        neumf = [seconds for name, seconds in taken if name == "NeuMF"]
        figures |= {
            "users": int(run.evaluation_set.known.sum()),
            "events": len(run.events),
            "neumf_samples_per_s": samples / min(neumf) if neumf else None,
        }
    if "export" in options:
        export(run, Path(options["export"]))
    print(json.dumps(figures), flush=True)


def export(run: Any, path: Path) -> None:
    """Write the events before the test cut as indices, and up to `EXPORTED` test cases of known users."""
    import numpy as np

    data = run.evaluated.data
    cases = [run.evaluation_set.cases[n] for n in np.flatnonzero(run.evaluation_set.known)[:EXPORTED]]
    lists = {"relevant": [case.relevant for case in cases], "hidden": [case.hidden for case in cases]}
    flat = {name: np.concatenate([np.zeros(0, np.int32), *parts]) for name, parts in lists.items()}
    ends = {f"{name}_ends": np.cumsum([len(part) for part in parts]) for name, parts in lists.items()}
    counts = np.array([case.n_relevant for case in cases])
    users = np.array([case.query.user for case in cases])
    np.savez(path, users=data.users, items=data.items, test_users=users, counts=counts, **flat, **ends)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
