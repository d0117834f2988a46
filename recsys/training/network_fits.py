"""Fits of all networks: with early stopping and successive halving on validation, or for a given number of epochs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any

import numpy as np

from recsys.data.dataset import Dataset
from recsys.evaluation.protocol import EvaluationSet
from recsys.evaluation.results import average_precisions
from recsys.features.query import Arrays
from recsys.networks.base import Network
from recsys.networks.fit import FAILURES, NETWORKS, Course, Earlier, Epoch, Fit, ValidationMetric, fit, give_memory_back
from recsys.networks.trainer import Examples
from recsys.scorers.base import Scorer
from recsys.scorers.registry import REGISTRY
from recsys.settings import Training
from recsys.training.halving import RUNGS, Gain

MOST_SCORES = 10_000_000  # scored pairs of a user and an item in one validation of an epoch
LEAST_USERS, MOST_USERS = 500, 2000  # of that validation
Report = Callable[[Epoch], None]
Note = Callable[[str], None]
Verdicts = dict[str, dict[int, Gain]]  # of each network, by the number of epochs after which it was judged


def print_nothing(text: str) -> None:
    """Drop a line about progress."""


def fit_networks(
    data: Dataset,
    start: Arrays,
    options: Training,
    report: Report,
    metric_of: Callable[[str], ValidationMetric] | None = None,
    *,
    epochs: Mapping[str, int] | None = None,
    earlier: Earlier | None = None,
    note: Note = print_nothing,
) -> tuple[dict[str, Fit], dict[str, str]]:
    """Fit the networks one after another; one that fails for lack of resources is left out.

    Args:
        data: The events to learn from.
        start: The values that networks start from, as `fit_start` returns them.
        options: How to train.
        report: Receives every epoch.
        metric_of: Returns the validation metric of a network by its name; None trains without early stopping.
        epochs: The number of epochs of each network to fit, as chosen on validation; None fits all networks.
        earlier: A fit that networks go on from, for as many epochs as it says.
        note: Receives what is done in the minutes without an epoch.

    Returns:
        The fits by name; the reason for each network that failed.
    """
    give_memory_back()
    fits, failures, examples = {}, {}, cache(lambda: Examples.of(data, options))
    for name in NETWORKS if epochs is None else epochs:
        goes_on = earlier if earlier and name in earlier.networks else None
        n_epochs = epochs[name] if epochs else options.epochs
        if goes_on and not metric_of:
            n_epochs = goes_on.more[name]
        try:
            if n_epochs:
                note(f"{name}: its graph is compiled, then epoch 1")
            metric = metric_of(name) if metric_of else None
            fits[name] = fit(
                name,
                data,
                start,
                options,
                report,
                examples=examples,
                validation_metric=metric,
                epochs=n_epochs,
                earlier=goes_on,
            )
        except FAILURES as error:
            failures[name] = _why(error)
    return fits, failures


def choose_networks(
    data: Dataset,
    start: Arrays,
    options: Training,
    report: Report,
    metric_of: Callable[[str], ValidationMetric],
    measure_gains: Callable[[Mapping[str, Network], Mapping[str, float]], dict[str, Gain]],
    *,
    earlier: Earlier | None = None,
    note: Note = print_nothing,
) -> tuple[dict[str, Fit], dict[str, str], Verdicts]:
    """Fit all networks with early stopping. With `halving`, those that add nothing to the linear sum end early.

    Args:
        data: The events to learn from.
        start: The values that networks start from, as `fit_start` returns them.
        options: How to train.
        report: Receives every epoch.
        metric_of: Returns the validation metric of a network by its name.
        measure_gains: Returns what each network adds to the linear sum, and which ones go on, from the networks and
            their `Gain.alone_share` at the rung before; empty if that is unknown.
        earlier: A fit that networks start from.
        note: Receives what is done in the minutes without an epoch.

    Returns:
        The fits by name; the reason for each network that failed; the verdicts of each network by number of epochs.
    """
    give_memory_back()
    examples = cache(lambda: Examples.of(data, options))
    courses: dict[str, Course] = {}
    fits: dict[str, Fit] = {}
    failures: dict[str, str] = {}
    verdicts: Verdicts = {name: {} for name in NETWORKS}
    running = list(NETWORKS)
    rungs = [n_epochs for n_epochs in RUNGS if n_epochs < options.epochs] if options.halving else []
    for until in (*rungs, options.epochs):
        for name in running:
            try:
                if name not in courses:  # at the first rung
                    note(f"{name}: its graph is compiled, then epoch 1")
                    courses[name] = Course(
                        name,
                        data,
                        start,
                        options,
                        report,
                        examples=examples,
                        validation_metric=metric_of(name),
                        earlier=earlier if earlier and name in earlier.networks else None,
                    )
                courses[name].run(until)
            except FAILURES as error:
                failures[name] = _why(error)
                courses.pop(name, None)
                continue
            if courses[name].ended or until == options.epochs:
                fits[name] = courses.pop(name).finish()  # what training needs of memory is free for the next network
        running = [name for name in running if name in courses]
        if not running:
            break
        before = {
            name: gain.alone_share for name, judged in verdicts.items() for gain in judged.values()
        }  # the newest stays
        for name, gain in measure_gains({name: courses[name].network for name in running}, before).items():
            verdicts[name][until] = gain
            if not gain.goes_on:
                running.remove(name)
                fits[name] = courses.pop(name).finish()
                note(
                    f"{name} ends after {until} epochs: it adds {gain.mean:+.4f} ± {gain.error:.4f} to the sum's MAP@10"
                )
    return {name: fits[name] for name in NETWORKS if name in fits}, failures, verdicts


def _why(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def load_network(name: str, arrays: Arrays) -> Scorer:
    """Return the scorer of a network as it serves, without the features.

    Raises:
        ValueError: `name` is not a network.
    """
    load = REGISTRY[name].load
    if load is None:
        raise ValueError(f"`name` should be a network. Received: {name}.")
    return load(arrays)


def validation_metric(evaluation_set: EvaluationSet, name: str) -> ValidationMetric:
    """Return AP@10 of a network's own score, of each user, as a function of the network.

    The larger the catalogue, the fewer users decide: the time of an epoch's validation has a bound, too.
    """
    limit = int(np.clip(MOST_SCORES // len(evaluation_set.active), LEAST_USERS, MOST_USERS))
    return lambda network: average_precisions(load_network(name, network.arrays()), evaluation_set, limit)


def network_trials(
    fits: Mapping[str, Fit], failures: Mapping[str, str], verdicts: Verdicts, idle: Collection[str]
) -> list[dict[str, Any]]:
    """Return the entries of the report on each network: epochs, failures, and what it adds to the linear sum.

    Args:
        fits: The fits by network.
        failures: Why the others are missing.
        verdicts: Those of halving.
        idle: The networks without a weight, which the later fits do not train.
    """
    epochs = [
        {
            "model": name,
            "choice": "epochs",
            "value": result.epochs,
            "map10_by_epoch": list(result.validation_scores),
            "losses": list(result.losses),
        }
        | ({"without_weight": True} if name in idle else {})
        for name, result in fits.items()
    ]
    added = [
        {"model": name, "choice": "added to the sum", "value": n_epochs, "map10": gain.mean, **_verdict(gain)}
        for name, rungs in verdicts.items()
        for n_epochs, gain in rungs.items()
    ]
    return [*epochs, *added, *({"model": name, "failed": why} for name, why in failures.items())]


def _verdict(gain: Gain) -> dict[str, Any]:
    return {"standard_error": gain.error, "alone_share": gain.alone_share, "goes_on": gain.goes_on}
