"""The steps of a training run before publication: read, split, choose on validation, evaluate on the test, fit.

Each step takes the run so far, and returns it with more fields filled.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys import store
from recsys.data.cleaning import add_counts, clean
from recsys.data.dataset import Dataset
from recsys.data.encoding import Encoders, encode
from recsys.data.ids import IdMap
from recsys.data.interactions import Catalogue, Interactions
from recsys.data.splitting import cut_time, last_item_out, split_at
from recsys.errors import NotEnoughData, SettingsError
from recsys.errors.wording import listed
from recsys.evaluation.metrics import paired_lower_bound
from recsys.evaluation.protocol import EvaluationSet, build_evaluation_set, leave_one_out
from recsys.evaluation.results import EvaluationResult, evaluate_all, shared_features, summarise
from recsys.evaluation.shown import shown_lists
from recsys.features.query import Indices, Mask
from recsys.lifecycle.gate import too_small
from recsys.networks.fit import give_memory_back
from recsys.scorers.layers import LinearEnsemble
from recsys.settings import Settings
from recsys.training.chain import Learned, newest
from recsys.training.closed_form.choose import popularity
from recsys.training.closed_form.content import content
from recsys.training.fitting import FittedModels, check_complete, choose, fit_models
from recsys.training.hooks import Hooks, apply_hooks
from recsys.training.network_fits import LEAST_USERS, MOST_SCORES
from recsys.training.run import CHOOSE, EVALUATE, FINAL, READ, REFIT, Progress, TrainingRun


def read_shop(
    db: store.Database,
    settings: Settings,
    *,
    protocol: str,
    now: int,
    progress: Progress,
    hooks: Hooks | None = None,
) -> TrainingRun:
    """Return a run with the shop's events, raw and cleaned, and its catalogue.

    Args:
        db: The shop's database.
        settings: How the shop is mapped and how to train.
        protocol: `time` or `loo99`.
        now: Seconds since 1970.
        progress: Receives the progress of the run.
        hooks: The shop's own step before cleaning; None for none.
    """
    progress.stage(READ)
    unreadable: list[str] = []
    recorded, dropped = store.read_interactions(db, settings.shop, progress=progress.rows, tell=unreadable.append)
    catalogue = store.read_catalogue(db, settings.shop, tell=unreadable.append)
    check_ids(recorded.items, catalogue.items)
    kept, dropped_by_shop = apply_hooks(hooks, recorded, catalogue)
    events, report = clean(kept, shop=settings.shop, training=settings.training, now=now)
    report = report.preceded_by(add_counts(dropped, dropped_by_shop), unreadable)
    progress.cleaned(report)
    return TrainingRun(settings, protocol, now, recorded, events, catalogue, report, hooks=hooks)


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


def check_enough(run: TrainingRun) -> None:
    """Refuse a shop that is too small to learn from.

    Raises:
        NotEnoughData: The message says how much there is and what is needed.
    """
    events, active = run.events, int(run.catalogue.active.sum())
    limits, users, items = run.settings.lifecycle, len(np.unique(events.users)), len(np.unique(events.items))
    if too_small({"events": len(events), "users": users, "items": items}, limits) or not active:
        dropped = listed(f"{count} {reason}" for reason, count in run.cleaning.dropped.items())
        raise NotEnoughData(
            f"Training needs {limits.min_events} events of {limits.min_users} users on {limits.min_products} items and "
            "an active product. "
            f"There are {len(events)} events of {users} users on {items} items, {active} active products "
            f"({run.cleaning.rows_in} rows were read; dropped: {dropped})."
        )


def split(run: TrainingRun, events: Interactions, part: str) -> tuple[Interactions, Interactions, int]:
    """Return the events before a cut, the events after it, and the moment of the cut in seconds since 1970.

    Args:
        run: Holds the protocol and the share of events before each cut.
        events: Cleaned events to cut.
        part: What comes after the cut, `test` or `validation`.

    Raises:
        NotEnoughData: There is no event before the cut.
    """
    if run.protocol == "loo99":
        before, after = last_item_out(events)
        cut = int(events.timestamps.max()) + 1
    else:
        options = run.settings.training
        cut = cut_time(events.timestamps, options.test_quantile if part == "test" else options.validation_quantile)
        before, after = known_at(run, cut), split_at(events, cut)[1]
    if not len(before):
        raise NotEnoughData(f"Nothing is left to learn from before the {part} cut: the events share too few moments.")
    return before, after, cut


def known_at(run: TrainingRun, moment: int) -> Interactions:
    """Return the events before a moment, cleaned without later cancellations and later bots.

    Args:
        run: Holds the events as they were recorded.
        moment: Seconds since 1970.
    """
    recorded, _ = split_at(run.recorded, moment)
    before, _ = apply_hooks(run.hooks, recorded, run.catalogue)
    return clean(before, shop=run.settings.shop, training=run.settings.training, now=moment)[0]


def validate(run: TrainingRun, before: Interactions, progress: Progress) -> TrainingRun:
    """Choose hyperparameters, ensemble weights and the winner on the newest events before the test cut.

    Args:
        run: The run so far.
        before: Events before the test cut.
        progress: Receives every epoch, and each network that could not be fitted.

    Raises:
        NotEnoughData: There is no event before the validation cut.
    """
    earlier, later, cut = split(run, before, "validation")
    progress.stage(CHOOSE)
    encoders, data = encode_events(run, earlier)
    evaluation_sets = build_evaluation_sets(run, encoders, data, later, cut)
    described, options = content(run.catalogue, encoders.items.ids), run.settings.training
    hyperparameters = choose(
        data,
        evaluation_sets,
        run.rule,
        options,
        progress.epoch,
        described,
        encoders=encoders,
        earlier=newest([run.active_evaluation], cut),
        goes_on=run.goes_on,
        note=progress.step,
    )
    if hyperparameters.defaults:
        progress.note(hyperparameters.defaults)
    _note_failures(hyperparameters.failures, progress)
    popular = popularity(data)
    shown = shown_lists(hyperparameters.lists, evaluation_sets[run.rule], popular, encoders.item_categories)
    return replace(run, hyperparameters=hyperparameters, shown=shown)


def evaluate(run: TrainingRun, before: Interactions, after: Interactions, cut: int, progress: Progress) -> TrainingRun:
    """Fit all models before the test cut, and evaluate every scorer on what came after, under each repeat rule.

    Args:
        run: The run with the hyperparameters that validation chose.
        before: Events before the test cut.
        after: Events after it.
        cut: Seconds since 1970.
        progress: Receives every epoch, and each network that could not be fitted.

    Raises:
        NotEnoughData: No known user has a relevant item.
        TrainingRefused: A scorer is missing, or scores no finite numbers.
    """
    progress.stage(REFIT)
    earlier = newest([run.hyperparameters.learned, run.active_evaluation], cut) if run.goes_on else None
    run = replace(run, evaluated=_fit(run, before, progress, earlier))
    check_complete(run.evaluated)
    models, seed = run.evaluated, run.settings.training.seed
    run = replace(run, hyperparameters=run.hyperparameters.without(models.failures))
    progress.stage(EVALUATE)
    # what choosing has learned is needed no more, and takes as much memory as all networks
    run = replace(run, hyperparameters=replace(run.hyperparameters, learned=None))
    evaluation_sets = build_evaluation_sets(run, models.encoders, models.data, after, cut)
    check_evaluation_set(evaluation_sets[run.rule])
    evaluations = evaluate_all(models.scorers, evaluation_sets)
    rows: dict[str, dict[str, Any]] = {}
    for rule, results in evaluations.items():
        rule_set, rng = evaluation_sets[rule], np.random.default_rng(seed)
        rows[rule] = {
            name: summarise(result, rule_set, run.hyperparameters.calibrations.get(name), rng)
            for name, result in results.items()
        }
        for name in models.networks:
            rows[rule][name] |= network_gain(results[name], results["blend"], rule_set, rng)
            rows[rule][name] |= {"ended_early": True} if name in models.ended else {}
            idle = not run.hyperparameters.ensemble_weights[name][:, -1].any()
            rows[rule][name] |= {"without_weight": True} if idle else {}
    return replace(
        run,
        rows=rows,
        evaluations=evaluations[run.rule],
        evaluation_set=evaluation_sets[run.rule],
        context_lift=context_lift(run, models, after),
    )


def fit_to_serve(run: TrainingRun, progress: Progress) -> TrainingRun:
    """Fit all models on all events."""
    progress.stage(FINAL)
    until = int(run.events.timestamps.max()) + 1
    earlier = newest([run.evaluated.learned, run.active.get("final")], until) if run.goes_on else None
    final = _fit(run, run.events, progress, earlier)
    return replace(run, final=final, hyperparameters=run.hyperparameters.without(final.failures))


def _fit(run: TrainingRun, events: Interactions, progress: Progress, earlier: Learned | None = None) -> FittedModels:
    """Encode events and fit all models on them, without looking at any other event of the shop.

    Args:
        run: The run so far.
        events: The events to learn from.
        progress: Receives every epoch.
        earlier: A fit to go on from; None of its events may be after these.
    """
    give_memory_back()
    encoders, data = encode_events(run, events)
    described, options = content(run.catalogue, encoders.items.ids), run.settings.training
    models = fit_models(
        encoders, data, options, run.hyperparameters, progress.epoch, described, earlier=earlier, note=progress.step
    )
    known = run.hyperparameters.failures
    _note_failures({name: why for name, why in models.failures.items() if name not in known}, progress)
    return models


def _note_failures(failures: Mapping[str, str], progress: Progress) -> None:
    for name, why in failures.items():
        progress.note(f"{name} is left out: {why}")


def encode_events(run: TrainingRun, events: Interactions) -> tuple[Encoders, Dataset]:
    """Encode events by nothing but themselves and the catalogue.

    Returns:
        The encoders fitted on the events; the encoded events.

    Raises:
        NotEnoughData: No item has enough events.
    """
    shop, options = run.settings.shop, run.settings.training
    encoders = Encoders.fit(events, run.catalogue, options.min_item_events)
    if not len(encoders.items):
        raise NotEnoughData(
            f"An item needs {options.min_item_events} events (min_item_events). "
            f"None of the training part's {len(events)} events is on one."
        )
    return encoders, encode(events, encoders, shop, options, int(events.timestamps.max()) + 1)


def active_items(encoders: Encoders, catalogue: Catalogue) -> Mask:
    """Return which encoded items the shop sells now, `(n_items,)` bool."""
    return np.append(catalogue.active, False)[catalogue.rows_of(encoders.items.ids)]


def build_evaluation_sets(
    run: TrainingRun, encoders: Encoders, past: Dataset, after: Interactions, cut: int
) -> dict[str, EvaluationSet]:
    """Return the evaluation set under each repeat rule: `hide` and `allow`, or only `allow` for `loo99`.

    Args:
        run: Holds the protocol and the settings.
        encoders: Encoders of the events before the cut.
        past: Encoded events before the cut.
        after: Events after the cut.
        cut: Seconds since 1970.
    """
    shop, options = run.settings.shop, run.settings.training
    if run.protocol == "loo99":
        rng, max_users = np.random.default_rng(options.seed), options.max_exam_users
        return {"allow": leave_one_out(past, after, encoders, shop=shop, rng=rng, max_users=max_users)}
    allowed_after = shop.repeat_after_days if shop.repeat_after_days < math.inf else 0.0
    return {
        rule: build_evaluation_set(
            past,
            after,
            encoders,
            shop=shop,
            active=active_items(encoders, run.catalogue),
            cut=cut,
            repeat_after_days=days,
            rng=np.random.default_rng(options.seed),  # the same users under each rule
            max_users=options.max_exam_users,
        )
        for rule, days in (("hide", math.inf), ("allow", allowed_after))
    }


def network_gain(
    network: EvaluationResult, blend: EvaluationResult, evaluation_set: EvaluationSet, rng: np.random.Generator
) -> dict[str, float]:
    """Return the ablation gain of a network: how much it adds to the NDCG@10 of the ensemble without a network.

    Args:
        network: The result of the model with its network.
        blend: The result of the ensemble without a network.
        evaluation_set: The set behind both results.
        rng: Source of the bootstrap.

    Returns:
        `own_part`, the mean difference over known users, and `own_part_low`, its one-sided 95 % lower bound; empty
        without known users.
    """
    if not evaluation_set.known.any():
        return {}
    full, ablated = (result.per_user["ndcg10"][evaluation_set.known] for result in (network, blend))
    return {"own_part": float((full - ablated).mean()), "own_part_low": paired_lower_bound(full, ablated, rng)}


def check_evaluation_set(evaluation_set: EvaluationSet) -> None:
    """Refuse an evaluation set of the test in which no known user has a relevant item.

    Raises:
        NotEnoughData: The message counts the users that there are.
    """
    if not evaluation_set.known.any():
        raise NotEnoughData(
            "The test part needs a user who bought before its cut and chose something new after it. "
            f"There are {len(evaluation_set)} users with something relevant, none of them known from before; "
            f"{evaluation_set.n_nothing_relevant} have nothing relevant."
        )


def context_lift(
    run: TrainingRun, models: FittedModels, after: Interactions, limit: int = 1000
) -> Mapping[str, float] | None:
    """Return ENCM's mean reciprocal rank of held-out events, with their own context and with unknown context.

    Args:
        run: Holds the settings.
        models: Models fitted before the cut.
        after: Events after the cut.
        limit: The largest number of events; more are sampled down.

    Returns:
        `with_context` and `without_context`, from 0 to 1; `lift`, their difference; `events`, the number of events.
        None without ENCM or its weight, or without events on known users and items.
    """
    options = run.settings.training
    later = encode(after, models.encoders, run.settings.shop, options, run.now)
    scorer = models.scorers.get("ENCM")
    if not len(later) or scorer is None or (isinstance(scorer, LinearEnsemble) and not scorer.weights[1, -1]):
        return None
    contexts = _contexts_after_cut(models, later)
    limit = int(np.clip(MOST_SCORES // models.data.n_items, LEAST_USERS, limit))
    picked = np.random.default_rng(options.seed).permutation(len(later))[:limit]
    ranks: dict[str, list[float]] = {"with_context": [], "without_context": []}
    for n in picked:
        features = None  # they do not depend on the context
        for label, context in zip(ranks, (contexts[n], models.data.unknown_context), strict=True):
            query = models.data.query(int(later.users[n]), context=context, now=int(later.timestamps[n]), repeats=True)
            features = features or shared_features([scorer], query)
            scores = scorer.score(query, features)
            ranks[label].append(1.0 / (1 + int((scores > scores[later.items[n]]).sum())))
    figures = {label: float(np.mean(values)) for label, values in ranks.items()}
    return {**figures, "lift": figures["with_context"] - figures["without_context"], "events": float(len(picked))}


def _contexts_after_cut(models: FittedModels, later: Dataset) -> Indices:
    """Return the contexts of events after the cut, `(n, m)` int32.

    The category before a user's first event after the cut is that of the user's newest event before it.
    """
    contexts, is_first = later.contexts.copy(), later.baskets == later.starts[later.users]
    newest = models.data.starts[later.users[is_first] + 1] - 1
    category = models.encoders.contexts.features.index("category")
    contexts[is_first, category] = models.encoders.item_categories[models.data.items[newest]]
    return contexts
