"""One seed of one set, in a process of its own: chosen on validation, or by an earlier seed; fitted on train, sitting the test."""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measuring.ablations import ABLATIONS, EVERYTHING
from benchmarks.measuring.results import EvaluationResult, evaluate_scorers
from benchmarks.sets import SETS, Part, Parts
from benchmarks.sets.base import training
from recsys.settings import Training
from recsys.training.terminal import console

if TYPE_CHECKING:
    from recsys.networks import Epoch
    from recsys.training.fitting import Hyperparameters

KIBIBYTES = 1 if sys.platform != "darwin" else 1024  # of one unit of ru_maxrss
PER_MB = 1024 * KIBIBYTES


@dataclass(frozen=True)
class Task:
    """What one process is to do.

    Attributes:
        data_dir: Holds the sets.
        set: Its name.
        seed: Of every draw of the fits; the exam's own draws do not follow it.
        options: Options of training that are not at their default.
        ablations: Names of those wanted beside everything.
        choices: What validation chose before, by variant and rule; what is not there is chosen now.
    """

    data_dir: Path
    set: str
    seed: int
    options: Mapping[str, Any] = field(default_factory=dict)
    ablations: Sequence[str] = ()
    choices: Mapping[tuple[str, str], Hyperparameters] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """What came of one rule of one variant with one seed.

    Attributes:
        variant: `everything` or the name of an ablation.
        rule: The repeat rule that was chosen under and examined.
        seed: Of the fits.
        winner: The scorer that validation chose.
        validation: MAP@10 of each scorer on validation.
        trials: Everything that was tried on validation; nothing where the choices were made before.
        choices: What validation decided.
        results: Of each scorer on the test.
        seconds: What each fit on the train part took, where it is known.
        choosing_seconds: What choosing took: all fits on the validation part, and their exams; 0 where it was done
            before.
        fitting_seconds: What fitting everything on the train part took.
        peak_mb: The largest resident memory of the process up to the end of this run, MiB.
        failures: Why a model is missing.
    """

    variant: str
    rule: str
    seed: int
    winner: str
    validation: Mapping[str, float]
    trials: Sequence[Mapping[str, Any]]
    choices: Hyperparameters
    results: Mapping[str, EvaluationResult]
    seconds: Mapping[str, float]
    choosing_seconds: float
    fitting_seconds: float
    peak_mb: float
    failures: Mapping[str, str]


def in_its_own_process(task: Task) -> list[Run]:
    """Return the runs of a task from a new process, so that its peak of memory is its own."""
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(execute, task).result()


def execute(task: Task) -> list[Run]:
    """Return a run for each variant and each rule of the set."""
    err, benchmark = console(stderr=True), SETS[task.set]
    parts, runs = benchmark.load(task.data_dir), []
    options = replace(training(benchmark.has_clock), seed=task.seed, **task.options)
    for variant in (EVERYTHING, *task.ablations):
        changed, chosen_options = _changed(parts, options, variant)
        for rule in benchmark.rules:
            err.print(f"{task.set} seed {task.seed}, {rule}, {variant}", style="bold")
            runs.append(one_run(changed, rule, variant, chosen_options, err.print, task.choices.get((variant, rule))))
    return runs


def one_run(
    parts: Parts,
    rule: str,
    variant: str,
    options: Training,
    say: Callable[[str], object],
    chosen: Hyperparameters | None = None,
) -> Run:
    """Choose on validation, fit on train, sit the test.

    Args:
        parts: Of the set.
        rule: The repeat rule in force.
        variant: Its name in the run.
        options: Of the fits.
        say: Told of progress, a line at a time.
        chosen: What validation chose with another seed.
    """
    from recsys.training.fitting import (
        ValidationSplit,
        choose,
        fit_everything,
    )  # TensorFlow takes seconds: not for reading a table

    watch = Watch(say)
    choices = chosen or choose(
        ValidationSplit(parts.validation.data, parts.validation.evaluation_sets, rule), options, watch.epoch
    )
    choosing = 0.0 if chosen else watch.lap("chose on validation")
    fitted = fit_everything(parts.test.data, options, choices, watch.epoch)
    fitting = watch.lap("fitted on train")
    results = evaluate_scorers(fitted.scorers, parts.test.evaluation_sets[rule])
    watch.lap("sat the test")
    return Run(
        variant=variant,
        rule=rule,
        seed=options.seed,
        winner=choices.winner,
        validation=choices.map10,
        trials=() if chosen else choices.trials,
        choices=choices,
        results=results,
        seconds=fitted.seconds,
        choosing_seconds=choosing,
        fitting_seconds=fitting,
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / PER_MB,
        failures=fitted.failures,
    )


class Watch:
    """Times the steps of a run, and the epochs of each network in the newest step.

    Attributes:
        epoch_seconds: By model, in the step that ended last.
    """

    def __init__(self, say: Callable[[str], object]) -> None:
        self.epoch_seconds: dict[str, float] = {}
        self._say, self._since, self._now = say, time.perf_counter(), dict[str, float]()

    def epoch(self, epoch: Epoch) -> None:
        """Report a pass over the data."""
        self._now[epoch.model] = self._now.get(epoch.model, 0.0) + epoch.seconds
        marked = "" if epoch.validation_score is None else f"  validation {epoch.validation_score:.4f}"
        self._say(
            f"  {epoch.model:<6} epoch {epoch.number}/{epoch.of}  loss {epoch.loss:.4f}  {epoch.seconds:.1f} s{marked}"
        )

    def lap(self, done: str) -> float:
        """End a step; returns its seconds."""
        seconds, self._since = time.perf_counter() - self._since, time.perf_counter()
        if self._now:
            self.epoch_seconds, self._now = self._now, {}
        self._say(f"  {done}: {seconds:.1f} s")
        return seconds


def _changed(parts: Parts, options: Training, variant: str) -> tuple[Parts, Training]:
    if variant == EVERYTHING:
        return parts, options

    def change(part: Part) -> Part:
        return ABLATIONS[variant](part, options)[0]

    return Parts(change(parts.validation), change(parts.test)), ABLATIONS[variant](parts.test, options)[1]
