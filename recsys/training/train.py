"""The training run: from the shop's tables to a published version, or to a refusal with its reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from recsys import store
from recsys.artifacts import DISK, Draft, Files, activate, append_history, is_current
from recsys.data.cleaning import CleanReport, clean
from recsys.data.dataset import Dataset
from recsys.data.ids import IdMap
from recsys.errors import NotEnoughData, RecsysError, SettingsError, TrainingRefused
from recsys.features.query import Query
from recsys.networks import Epoch
from recsys.settings import Settings
from recsys.training.ann_index import write_candidates
from recsys.training.fitting import Hyperparameters, check_complete
from recsys.training.publishing import history_entry, manifest, write_version
from recsys.training.report import write_report
from recsys.training.stages import (
    Results,
    ShopData,
    TrainedModels,
    build_evaluation_sets,
    check_left,
    evaluate_on_test,
    fit_stage,
    in_force,
    split,
    validate,
)


class Progress(Protocol):
    """Receives the progress of a run, such as a terminal."""

    def rows(self, n_rows: int) -> None:
        """Report the number of rows read so far."""

    def cleaned(self, report: CleanReport) -> None:
        """Report that the events are cleaned."""

    def stage(self, title: str) -> None:
        """Report that a part of the run begins."""

    def epoch(self, epoch: Epoch) -> None:
        """Report that an epoch has ended."""

    def note(self, text: str) -> None:
        """Report something unusual, such as a network that could not be fitted."""


@dataclass(frozen=True)
class TrainingResult:
    """The result of a training run.

    Attributes:
        version: The published version's name; None for a dry run.
        winner: The registry name of the scorer that serves by default.
        rule: The repeat rule in force, `hide` or `allow`.
        rows: One row of the report for each repeat rule and each scorer.
        context_lift: What ENCM gains from context, as `stages.context_lift` returns it.
        users_without_relevant: Users after the test cut without relevant items; they are counted, not averaged.
    """

    version: str | None
    winner: str
    rule: str
    rows: Mapping[str, Mapping[str, Mapping[str, Any]]]
    context_lift: Mapping[str, float] | None
    users_without_relevant: int


def train(
    settings: Settings,
    *,
    now: int,
    progress: Progress,
    protocol: str = "time",
    dry_run: bool = False,
    files: Files = DISK,
    connect: Callable[..., store.Database] = store.connect,
) -> TrainingResult:
    """Read, clean, cut, fit, evaluate and publish; a crash at any line leaves the old version serving.

    Args:
        settings: Where the shop is, how it is mapped and how to train.
        now: Seconds since 1970.
        progress: Receives the progress of the run.
        protocol: `time` cuts at one moment; `loo99` ranks each user's last item among 99 sampled ones.
        dry_run: Stop before anything is written.
        files: Performs every change on the disk.
        connect: Opens the database.

    Raises:
        NotEnoughData: The shop is too small; the message says what there is and what is needed.
        TrainingRefused: The candidate did not pass the gate.
    """
    # The draft comes first: it takes the publisher's lock, so that a second run stops before it reads anything.
    with nullcontext() if dry_run else Draft.create(settings.models_dir, now, files) as draft:
        with connect(settings.database_url) as db:
            source = read_shop(db, settings, now=now, progress=progress)
        try:
            source.check_enough()
            evaluated, hyperparameters, results = evaluate(source, protocol, progress)
            progress.stage("Fit on all events; this fit serves")
            final = fit_stage(source, source.interactions, progress.epoch, hyperparameters)
            hyperparameters = left_out(hyperparameters, final, progress)
            pass_gate(evaluated, final)
        except (NotEnoughData, TrainingRefused) as refusal:
            if draft:
                entry = {"trained_at": now, "published": None, "reason": str(refusal)}
                append_history(settings.models_dir, entry, files)
            raise
        run = (settings, source, evaluated, final, results, hyperparameters, protocol, files, connect, progress)
        name = publish(*run, draft) if draft else None
    rule = in_force(source.shop, protocol)
    return TrainingResult(
        name,
        hyperparameters.winner,
        rule,
        results.rows,
        results.context_lift,
        results.evaluation_set.n_nothing_relevant,
    )


def read_shop(db: store.Database, settings: Settings, *, now: int, progress: Progress) -> ShopData:
    """Return the shop's events, raw and cleaned, and its catalogue.

    Args:
        db: The shop's database.
        settings: How the shop is mapped and how to train.
        now: Seconds since 1970.
        progress: Receives the progress of the run.
    """
    progress.stage("Read the shop's tables")
    unreadable: list[str] = []
    interactions, dropped = store.read_interactions(db, settings.shop, progress=progress.rows, tell=unreadable.append)
    catalogue = store.read_catalogue(db, settings.shop, tell=unreadable.append)
    check_ids(interactions.items, catalogue.items)
    cleaned, report = clean(interactions, shop=settings.shop, training=settings.training, now=now)
    report = report.preceded_by(dropped, unreadable)
    progress.cleaned(report)
    return ShopData(interactions, cleaned, catalogue, report, settings.shop, settings.training, now)


def check_ids(events: NDArray, products: NDArray) -> None:
    """Refuse a shop whose events and products have item ids of different types: no learned item could be recommended.

    Args:
        events: `(n,)` item ids of the events.
        products: `(m,)` item ids of the catalogue.

    Raises:
        SettingsError: One column holds whole numbers and the other texts.
    """
    words = {"int": "whole numbers", "str": "texts"}
    kinds = [words[IdMap(ids).kind] for ids in (events, products)]
    if len(events) and len(products) and kinds[0] != kinds[1]:
        raise SettingsError(
            "Events and products should name items by one type of id. "
            f"Received: {kinds[0]} in the events, {kinds[1]} in the products. CAST one of them in recsys.toml."
        )


def evaluate(source: ShopData, protocol: str, progress: Progress) -> tuple[TrainedModels, Hyperparameters, Results]:
    """Choose on validation, fit on all events before the test cut, and evaluate on what came after it.

    Args:
        source: The shop.
        protocol: `time` or `loo99`.
        progress: Receives the progress of the run.

    Returns:
        The evaluation fit, what validation chose, and the results on the test.

    Raises:
        NotEnoughData: A cut has no events before it, or the test has no known user.
    """
    rule = in_force(source.shop, protocol)
    before, after, cut = split(source, source.interactions, protocol, source.options.test_quantile)
    check_left(before, "test")
    earlier, later, earlier_cut = split(source, before, protocol, source.options.validation_quantile)
    check_left(earlier, "validation")
    progress.stage("Fit before the validation cut, and choose")
    hyperparameters = validate(source, earlier, later, earlier_cut, protocol, progress.epoch)
    if hyperparameters.defaults:
        progress.note(hyperparameters.defaults)
    for name, why in hyperparameters.failures.items():
        progress.note(f"{name} is left out: {why}")
    progress.stage("Fit before the test cut")
    evaluated = fit_stage(source, before, progress.epoch, hyperparameters)
    hyperparameters = left_out(hyperparameters, evaluated, progress)
    progress.stage("Evaluate on what came after")
    evaluation_sets = build_evaluation_sets(source, evaluated, after, cut, protocol)
    results = evaluate_on_test(source, evaluated, after, evaluation_sets, rule, hyperparameters)
    return evaluated, hyperparameters, results


def left_out(hyperparameters: Hyperparameters, stage: TrainedModels, progress: Progress) -> Hyperparameters:
    """Return the hyperparameters without the networks that failed in this fit, and report new failures."""
    for name, why in stage.failures.items():
        if name not in hyperparameters.failures:
            progress.note(f"{name} is left out: {why}")
    return hyperparameters.without(stage.failures)


def pass_gate(evaluated: TrainedModels, final: TrainedModels) -> None:
    """Refuse to publish scorers that are incomplete or not finite.

    Args:
        evaluated: The evaluation fit.
        final: The fit that would serve.

    Raises:
        TrainingRefused: It says which scorer fails and how.
    """
    for stage in (evaluated, final):
        check_complete(stage.scorers, _first_query(stage.data), stage.failures)


def _first_query(data: Dataset) -> Query:
    """Return the query of the first user with events, in unknown context."""
    unknown = np.array([size - 1 for size in data.context_sizes], np.int32)
    return data.query(int(data.users[0]), context=unknown, now=int(data.timestamps.max()), repeats=True)


def publish(
    settings: Settings,
    source: ShopData,
    evaluated: TrainedModels,
    final: TrainedModels,
    results: Results,
    hyperparameters: Hyperparameters,
    protocol: str,
    files: Files,
    connect: Callable[..., store.Database],
    progress: Progress,
    draft: Draft | None = None,
) -> str:
    """Write the version, its metrics and its encoders, then activate it; a failure before that removes them again.

    Returns:
        The version's name.
    """
    rule = in_force(source.shop, protocol)
    progress.stage("Publish the version")
    with draft or Draft.create(settings.models_dir, source.now, files) as draft:
        write_version(draft, source, evaluated, final, results, hyperparameters)
        write_candidates(draft, final, repeats=rule == "allow", seed=source.options.seed, note=progress.note)
        entry = history_entry(source, final, results, hyperparameters, protocol, rule)
        write_report(draft, entry, evaluated.losses)
        name = draft.publish(manifest(source, final, results, hyperparameters, protocol, rule))
        progress.stage("Put the encoders into the database")
        try:
            write_encoders(settings, name, final, connect)
            activate(settings.models_dir, name, files)
        except BaseException:  # Ctrl-C included
            if draft.is_new and not is_current(settings.models_dir, name):
                take_back(settings, name, connect, progress)
            raise
    try:
        append_history(settings.models_dir, {**entry, "published": name}, files)
        with connect(settings.database_url) as db:
            store.set_active(db, name)
    except RecsysError:
        progress.note(f"Version {name} serves all the same. scripts/migrate_encoders.py lets the views show it.")
        raise
    return name


def write_encoders(settings: Settings, name: str, final: TrainedModels, connect: Callable[..., store.Database]) -> None:
    """Store a version's encoders in the database, after removing encoders that killed runs left unfinished.

    Args:
        settings: Where the database is.
        name: The version's name.
        final: The fit that serves.
        connect: Opens the database.
    """
    encoders = final.encoders
    with connect(settings.database_url) as db:
        store.migrate(db, shop=False)
        store.purge_unfinished(db)
        store.write_version(
            db,
            name,
            data_until=int(final.data.timestamps.max()),
            users=encoders.users.ids,
            items=encoders.items.ids,
            contexts=encoders.contexts.values,
        )


def take_back(settings: Settings, name: str, connect: Callable[..., store.Database], progress: Progress) -> None:
    """Remove a version's encoders from the database; if it cannot be reached, report that they stay."""
    try:
        with connect(settings.database_url) as db:
            store.purge(db, name)
    except RecsysError as error:
        progress.note(f"The encoders of version {name} stay in the database, where nothing uses them: {error}")
