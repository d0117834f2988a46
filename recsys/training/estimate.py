"""How long a run may take, told at its start; and how much it may learn from within a given time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from recsys.networks.trainer import pace
from recsys.settings import Training
from recsys.training.candidates import MAX_CASES
from recsys.training.chain import MORE_EPOCHS
from recsys.training.network_fits import LEAST_USERS, MOST_SCORES, MOST_USERS
from recsys.training.run import CHOOSE, EVALUATE, FINAL, REFIT, Progress, TrainingRun

# Seconds on the two processors that gave `benchmarks/results/training.json`, with the default options.
REFERENCE_S = 0.02  # of `pace`
COMPILED = 4.0  # the graphs of all networks
SAMPLE = 55e-6  # one event in one epoch of all networks together
CHECK = 4e-7  # one item scored for one user by all networks, in the validation of an epoch
CASE, SCORE = 2.2e-3, 0.15e-6  # one user ranked by all scorers, and each item of it
SUM, CANDIDATE = 5e-3, 0.85e-6  # one validation case in the fits of all linear sums, and each item of it
CLOSED = 20e-6  # one event in all closed forms together
GRAM = 3e-9  # one pair of items in the closed forms
EPOCHS, BEST_EPOCHS = 0.6, 0.5  # shares of the epochs that networks have before they end, and up to the best one
TRAINED_AGAIN = 0.25  # of the later fits of all networks: most have no weight, and are not trained again
EPOCHS_OF_LARGE = 0.2  # share of the short epochs of a large shop
CLOSED_CHOICES = 3.0  # fits of each closed form when choosing
LATE_USERS = 0.4  # share of the users who come again after a cut
LEAST_SAMPLES = 20_000  # of an epoch within a budget; with fewer a network learns nothing


def estimate(n_events: int, n_items: int, n_users: int, options: Training, slowness: float = 1.0) -> dict[str, float]:
    """Return the seconds that each step after reading may take.

    Args:
        n_events: Cleaned events.
        n_items: Items with enough events.
        n_users: Users with an event.
        options: How to train.
        slowness: How much slower this machine is than the one of the constants.
    """
    n_test = int(n_events * options.test_quantile)
    n_validation = int(n_test * options.validation_quantile)
    cases = min(int(n_users * LATE_USERS), options.max_exam_users)
    is_large = options.saves_time(n_events)
    users = int(np.clip(MOST_SCORES // max(n_items, 1), LEAST_USERS, MOST_USERS))
    validation = min(users, cases) * n_items * CHECK
    ranking = cases * (CASE + n_items * SCORE)

    def epoch(events: int) -> float:
        return min(events, options.samples) * SAMPLE * options.dim / 64

    def refit(events: int) -> float:
        return closed(events) + TRAINED_AGAIN * (COMPILED + refits * epoch(events))

    def closed(events: int) -> float:
        return events * CLOSED + n_items**2 * GRAM

    epochs = max(options.epochs * (EPOCHS_OF_LARGE if is_large else EPOCHS), 1.0)
    refits = MORE_EPOCHS if is_large else max(options.epochs * BEST_EPOCHS, 1.0)
    choosing = CLOSED_CHOICES * closed(n_validation) + COMPILED + epochs * (epoch(n_validation) + validation)
    sums = 2 * min(cases, MAX_CASES) * (SUM + n_items * CANDIDATE)
    seconds = {
        CHOOSE: choosing + sums + ranking,
        REFIT: refit(n_test),
        EVALUATE: 2 * ranking,
        FINAL: refit(n_events),
    }
    return {step: value * slowness for step, value in seconds.items()}


def within(
    seconds: float, options: Training, n_events: int, seconds_of: Callable[[Training], Mapping[str, float]]
) -> Training:
    """Return the options with the most samples, then the most epochs, whose estimate is within a time.

    Args:
        seconds: The time.
        options: As set.
        n_events: Cleaned events; more samples than that change nothing.
        seconds_of: Estimates the seconds of each step.
    """
    samples, epochs = min(options.samples, n_events), options.epochs
    while sum(seconds_of(replace(options, samples=samples, epochs=epochs)).values()) > seconds:
        if samples > LEAST_SAMPLES:
            samples = max(samples * 3 // 4, LEAST_SAMPLES)
        elif epochs > 1:
            epochs -= 1
        else:
            break
    changed = (samples, epochs) != (min(options.samples, n_events), options.epochs)
    return replace(options, samples=samples, epochs=epochs) if changed else options


def plan(run: TrainingRun, budget: float | None, progress: Progress) -> TrainingRun:
    """Tell how long the run may take; within a budget, let epochs learn from fewer events, and then have fewer epochs.

    The chosen numbers become settings of the run, so that the version names them and a rerun with them is the same.

    Args:
        run: A run that has read the shop.
        budget: Minutes; None for as long as it takes.
        progress: Receives the estimate, and what a budget leaves out.
    """
    slowness = pace() / REFERENCE_S
    n_events, n_items = len(run.events), len(np.unique(run.events.items))
    n_users = len(np.unique(run.events.users))

    def seconds_of(options: Training) -> Mapping[str, float]:
        return estimate(n_events, n_items, n_users, options, slowness)

    usual = options = run.settings.training.for_shop(n_events)
    if budget is not None:
        options = within(budget * 60, options, n_events, seconds_of)
        if options != usual:
            progress.note(
                f"within {budget:g} minutes: {options.samples:,} events and {options.epochs} epochs at most "
                f"(otherwise {usual.samples:,} and {usual.epochs})"
            )
        if sum(seconds_of(options).values()) > budget * 60:
            progress.note(f"{budget:g} minutes are less than what even the smallest fit may take")
    progress.planned(seconds_of(options))
    return replace(run, settings=replace(run.settings, training=options))
