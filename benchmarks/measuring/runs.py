"""One seed of one data set in a process of its own: choose on validation, fit on train, evaluate on test."""

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
    from recsys.data.dataset import Dataset
    from recsys.networks.fit import Epoch
    from recsys.training.fitting import Hyperparameters

KIBIBYTES = 1 if sys.platform != "darwin" else 1024  # of one unit of ru_maxrss
PER_MB = 1024 * KIBIBYTES


@dataclass(frozen=True)
class Task:
    """The work of one process.

    Attributes:
        data_dir: Folder of the data sets.
        set: Name of the data set.
        seed: Seed of the fits; the draws of the evaluation set do not depend on it.
        options: Training options that differ from the defaults.
        ablations: Names of the ablations to run besides the full models.
        choices: Earlier choices by variant and rule; missing ones are made on validation.
    """

    data_dir: Path
    set: str
    seed: int
    options: Mapping[str, Any] = field(default_factory=dict)
    ablations: Sequence[str] = ()
    choices: Mapping[tuple[str, str], Hyperparameters] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """The results of one variant under one repeat rule with one seed.

    Attributes:
        variant: `everything` or the name of an ablation.
        rule: The repeat rule of choices and test.
        seed: Seed of the fits.
        winner: Scorer that validation chose.
        validation: MAP@10 of each scorer on validation.
        trials: All trials on validation; empty if the choices were made earlier.
        choices: Hyperparameters and winner.
        results: Result of each scorer on the test.
        seconds: Seconds of each fit on the train part, if known: the epochs of a network, or a fit in closed form.
        choosing_seconds: Seconds of all fits and evaluations on validation; 0 if the choices were made earlier.
        fitting_seconds: Seconds of all fits on the train part.
        peak_mb: Peak resident memory of the process up to the end of this run, MiB.
        failures: Reason for each missing model.
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
    """Return the runs of a task from a new process, so that its peak memory is its own."""
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
    """Choose on validation, fit on train, evaluate on test.

    Args:
        parts: Parts of the data set.
        rule: The repeat rule.
        variant: Name of the variant.
        options: Training options.
        say: Called with each line of progress.
        chosen: Choices of another seed; None chooses on validation, as large sets always do.
    """
    # here, because TensorFlow takes seconds to import, and reading a table does not need it
    from recsys.training.fitting import choose, fit_models

    watch, n_events = Watch(say), len(parts.test.data)
    validation, options = parts.validation, options.for_shop(n_events)
    saves_time = options.saves_time(n_events)
    if saves_time:  # the fit goes on from the one that chooses, so that each seed has one of its own
        chosen = None
    choices = chosen or choose(
        validation.data,
        validation.evaluation_sets,
        rule,
        options,
        watch.epoch,
        encoders=validation.encoders,
        goes_on=saves_time,
    )
    choosing = 0.0 if chosen else watch.lap("chose on validation")
    earlier = choices.learned if saves_time else None
    fitted = fit_models(parts.test.encoders, parts.test.data, options, choices, watch.epoch, earlier=earlier)
    fitting = watch.lap("fitted on train")
    seconds = watch.epoch_seconds | closed_form_seconds(parts.test.data, options, choices)
    results = evaluate_scorers(fitted.scorers, parts.test.evaluation_sets[rule])
    watch.lap("evaluated on test")
    return Run(
        variant=variant,
        rule=rule,
        seed=options.seed,
        winner=choices.winner,
        validation=choices.map10,
        trials=() if chosen else choices.trials,
        choices=choices,
        results=results,
        seconds=seconds,
        choosing_seconds=choosing,
        fitting_seconds=fitting,
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / PER_MB,
        failures=fitted.failures,
    )


def closed_form_seconds(data: Dataset, options: Training, choices: Hyperparameters) -> dict[str, float]:
    """Return the seconds of each fit in closed form; that of `blend` covers all features.

    Args:
        data: The events, which are fitted once more.
        options: Training options.
        choices: Hold the hyperparameters.
    """
    from recsys.training.closed_form.choose import fit_features
    from recsys.training.closed_form.co_occurrence import user_item_matrix
    from recsys.training.closed_form.ease import ease
    from recsys.training.closed_form.item_cf import item_cf

    fits = {
        "ease": lambda: ease(user_item_matrix(data), choices.l2),
        "item_cf": lambda: item_cf(user_item_matrix(data)),
        "blend": lambda: fit_features(data, choices.regularization, options),
    }
    seconds = {}
    for name, fit in fits.items():
        started = time.perf_counter()
        fit()
        seconds[name] = time.perf_counter() - started
    return {**seconds, "blend": seconds["blend"] + seconds["ease"]}


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
        validation = "" if epoch.validation_score is None else f"  validation {epoch.validation_score:.4f}"
        progress = f"{epoch.model:<6} epoch {epoch.number}/{epoch.of}  loss {epoch.loss:.4f}  {epoch.seconds:.1f} s"
        self._say(f"  {progress}{validation}")

    def lap(self, step: str) -> float:
        """End a step; returns its seconds."""
        seconds, self._since = time.perf_counter() - self._since, time.perf_counter()
        if self._now:
            self.epoch_seconds, self._now = self._now, {}
        self._say(f"  {step}: {seconds:.1f} s")
        return seconds


def _changed(parts: Parts, options: Training, variant: str) -> tuple[Parts, Training]:
    if variant == EVERYTHING:
        return parts, options

    def change(part: Part) -> Part:
        return ABLATIONS[variant](part, options)[0]

    return Parts(change(parts.validation), change(parts.test)), ABLATIONS[variant](parts.test, options)[1]
