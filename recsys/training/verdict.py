"""The gate of a training run: measure the candidate beside the active version, and decide whether it is published."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np

from recsys.artifacts import Version, current
from recsys.data.splitting import split_at
from recsys.errors import ModelRefused, NoModel
from recsys.lifecycle.choice import ALL, MIN_COMPARED, POPULARITY, HeldoutFigures, ValidationFigures, choose_scorers
from recsys.lifecycle.comparison import (
    EvaluationFit,
    LaterEvents,
    SharedCases,
    agreement,
    average_precisions,
    shared_cases,
    stored_fit,
)
from recsys.lifecycle.gate import ActiveFigures, CandidateFigures, PairedFigures, decide
from recsys.scorers.registry import MODELS, REGISTRY
from recsys.training.fitting import FittedModels, not_finite
from recsys.training.run import Progress, TrainingRun
from recsys.training.stages import active_items, known_at

MAX_AGREEING_USERS = 500  # a median of more users would not differ


def pass_gate(run: TrainingRun, cut: int, progress: Progress) -> TrainingRun:
    """Return the run with the gate's verdict.

    Args:
        run: The run with both fits and the results on the test.
        cut: The test cut, in seconds since 1970.
        progress: Receives the verdict.
    """
    progress.stage("Compare with the active version")
    limits, seed = run.settings.lifecycle, run.settings.training.seed
    hyperparameters, heldout = run.hyperparameters, _heldout(run)
    validation = ValidationFigures(
        hyperparameters.winner, hyperparameters.per_user, hyperparameters.n_events, run.shown, hyperparameters.recall10
    )
    scorers, notes = choose_scorers(validation, heldout, limits, seed, run.settings.training.among_equals)
    with ExitStack() as stack:
        try:
            version: Version | None = stack.enter_context(current(run.settings.models_dir))
        except NoModel:
            version = None
        except ModelRefused as error:
            version = None
            notes.append(f"The active version cannot be read, so that nothing was compared with it: {error}")
        verdict = decide(
            _candidate(run, heldout, scorers, cut),
            scorers,
            None if version is None else active_figures(version, run.protocol, run.rule),
            "nothing is published" if version is None else paired_figures(run, scorers, cut, version),
            limits,
            notes=tuple(notes),
            seed=seed,
        )
    verdict = replace(verdict, forced=run.force and bool(verdict.reasons) and verdict.can_be_forced)
    run = replace(run, cut=cut, verdict=verdict)
    progress.decided(run)
    return run


def active_figures(version: Version, protocol: str, rule: str) -> ActiveFigures:
    """Return the figures of a version's publication.

    Args:
        version: The open version.
        protocol: The candidate's protocol.
        rule: The candidate's repeat rule.
    """
    manifest = version.manifest
    offline, winner = manifest["offline"], manifest["winner"]
    return ActiveFigures(
        name=version.name,
        counts={**manifest["counts"], "for_sale": int(version.arrays("items.h5")["active"].sum())},
        scorer=winner,
        map10=offline.get(winner, {}).get("map10"),
        popularity=offline.get(POPULARITY, {}).get("map10"),
        comparable=(manifest["protocol"], manifest["rule"]) == (protocol, rule),
    )


def paired_figures(run: TrainingRun, scorers: Mapping[str, str], cut: int, version: Version) -> PairedFigures | str:
    """Return the AP@10 of both evaluation fits after the later of their cuts, or the reason why there is none.

    Args:
        run: The run with its evaluation fit.
        scorers: The scorer that serves each segment of the candidate.
        cut: The candidate's test cut, in seconds since 1970.
        version: The open active version.
    """
    encoders = run.final.encoders
    if version.manifest["id_type"] != {"users": encoders.users.kind, "items": encoders.items.kind}:
        return "its ids have another type"
    if {run.protocol, version.manifest["protocol"]} != {"time"}:
        return "only versions that are evaluated by one cut in time have later events in common"
    try:
        theirs = stored_fit(version, run.catalogue)
    except (ModelRefused, LookupError, TypeError, ValueError) as error:
        return f"its evaluation fit cannot be read: {error!r}"
    if theirs is None:
        return "it is too old to hold all of its evaluation fit"
    events = later_events(run, max(cut, int(version.manifest["evaluation_cut"])))
    shared = shared_cases(events, run.evaluated.encoders.contexts)
    if len(shared) < MIN_COMPARED:
        return f"{len(shared)} known users chose something later, {MIN_COMPARED} are needed"
    ours = fit_of(run.evaluated, scorers)
    return PairedFigures(
        events.moment,
        average_precisions(ours, shared, events),
        average_precisions(theirs, shared, events),
        shared.n_events,
    )


def later_events(run: TrainingRun, moment: int) -> LaterEvents:
    """Return the events around a moment, in seconds since 1970."""
    before, after = known_at(run, moment), split_at(run.events, moment)[1]
    return LaterEvents(before, after, moment, run.catalogue, run.settings.shop, run.settings.training)


def fit_of(models: FittedModels, scorers: Mapping[str, str]) -> EvaluationFit:
    """Return a fit of this run as the comparison takes it."""
    return EvaluationFit(models.encoders, models.scorers, scorers)


def _heldout(run: TrainingRun) -> HeldoutFigures:
    evaluation_set = run.evaluation_set
    known = evaluation_set.known
    n_events = np.array([len(case.query.items) for case in evaluation_set.cases], np.int64)
    return HeldoutFigures(
        {name: result.per_user["map10"][known] for name, result in run.evaluations.items()}, n_events[known]
    )


def _candidate(run: TrainingRun, heldout: HeldoutFigures, scorers: Mapping[str, str], cut: int) -> CandidateFigures:
    broken = tuple(dict.fromkeys([*not_finite(run.evaluated), *not_finite(run.final)]))
    users, counts = np.unique(run.events.users, return_counts=True)
    largest = int(np.argmax(counts))
    return CandidateFigures(
        counts={**counts_of(run.final), "for_sale": int(active_items(run.final.encoders, run.catalogue).sum())},
        largest_user=users[largest : largest + 1].tolist()[0],
        largest_share=float(counts[largest] / len(run.events)),
        heldout=heldout,
        not_finite=broken,
        changed={name: _changed(run, name) for name in set(scorers.values()) if name in MODELS},
        agreement=None if broken else _agreement(run, scorers, cut),
    )


def counts_of(models: FittedModels) -> dict[str, int]:
    """Return the number of users, items and events of a fit."""
    return {"users": len(models.encoders.users), "items": len(models.encoders.items), "events": len(models.data)}


def _changed(run: TrainingRun, name: str) -> float:
    """Return the share of known users whose ten items differ from those of the ensemble without a network."""
    lists: list[Any] = [run.evaluations[scorer].lists for scorer in (name, "blend")]
    pairs = [pair for pair, known in zip(zip(*lists, strict=True), run.evaluation_set.known, strict=True) if known]
    return sum(not np.array_equal(a, b) for a, b in pairs) / len(pairs) if pairs else 1.0


def _agreement(run: TrainingRun, scorers: Mapping[str, str], cut: int) -> float | None:
    """Return how far the fit that serves agrees with the evaluation fit.

    None for `loo99`, and where a count serves: it cannot diverge, and what is popular changes with the events.
    """
    if run.protocol == "loo99" or REGISTRY[scorers[ALL]].source == "popularity":
        return None
    events = later_events(run, cut)
    few = replace(events.training, max_exam_users=min(events.training.max_exam_users, MAX_AGREEING_USERS))
    events = replace(events, training=few)
    shared: SharedCases = shared_cases(events, run.evaluated.encoders.contexts)
    return agreement([fit_of(run.evaluated, scorers), fit_of(run.final, scorers)], shared, events)
