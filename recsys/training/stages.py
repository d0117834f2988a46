"""The steps of a training run: split, the fits for validation, test and serving, and evaluation on the test."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.data.cleaning import CleanReport, clean
from recsys.data.dataset import Dataset
from recsys.data.encoding import Encoders, encode
from recsys.data.ids import IdMap
from recsys.data.interactions import Catalogue, Interactions
from recsys.data.splitting import cut_time, last_item_out, split_at
from recsys.errors import NotEnoughData
from recsys.errors.wording import listed
from recsys.evaluation.metrics import paired_lower_bound
from recsys.evaluation.protocol import (
    EvaluationResult,
    EvaluationSet,
    build_evaluation_set,
    evaluate_all,
    leave_one_out,
    summarise,
)
from recsys.settings import Shop, Training
from recsys.training.fitting import FittedModels, Hyperparameters, Report, ValidationSplit, choose, fit_everything

MIN_EVENTS, MIN_USERS, MIN_ITEMS = 100, 10, 10


@dataclass(frozen=True)
class ShopData:
    """The shop's data and the options of one training run.

    Attributes:
        recorded: Events as the shop's tables hold them, not cleaned.
        interactions: Cleaned events, ordered by time.
        catalogue: The shop's products.
        cleaning: How many rows were dropped, for each reason.
        shop: How the shop is mapped.
        options: How to train.
        now: Seconds since 1970.
    """

    recorded: Interactions
    interactions: Interactions
    catalogue: Catalogue
    cleaning: CleanReport
    shop: Shop
    options: Training
    now: int

    def known_at(self, moment: int) -> Interactions:
        """Return the events before a moment, cleaned without later cancellations and later bots.

        Args:
            moment: Seconds since 1970.
        """
        before, _ = split_at(self.recorded, moment)
        return clean(before, shop=self.shop, training=self.options, now=moment)[0]

    def check_enough(self) -> None:
        """Refuse a shop that is too small to learn from.

        Raises:
            NotEnoughData: The message says how much there is and what is needed.
        """
        events, active = self.interactions, int(self.catalogue.active.sum())
        users, items = len(np.unique(events.users)), len(np.unique(events.items))
        if len(events) < MIN_EVENTS or users < MIN_USERS or items < MIN_ITEMS or not active:
            dropped = listed(f"{count} {reason}" for reason, count in self.cleaning.dropped.items())
            raise NotEnoughData(
                f"Training needs {MIN_EVENTS} events of {MIN_USERS} users on {MIN_ITEMS} items and an active product. "
                f"There are {len(events)} events of {users} users on {items} items, {active} active products "
                f"({self.cleaning.rows_in} rows were read; dropped: {dropped})."
            )


@dataclass(frozen=True)
class EncodedEvents:
    """Events up to a moment, with the encoders fitted on them.

    Attributes:
        encoders: Encoders of users, items and contexts.
        data: The encoded events.
        active: `(n_items,)` bool, which encoded items the shop sells now.
    """

    encoders: Encoders
    data: Dataset
    active: NDArray[np.bool_]


@dataclass(frozen=True)
class TrainedModels(EncodedEvents, FittedModels):
    """Encoded events up to a moment, and all scorers fitted on them."""


@dataclass(frozen=True)
class Results:
    """The results of the evaluation on the test part.

    Attributes:
        rows: One row of the report for each repeat rule and each scorer.
        evaluations: The results of each scorer under the repeat rule in force.
        evaluation_set: The evaluation set behind `evaluations`.
        context_lift: What ENCM gains from the true context of each event; None where there is no event to measure it
            on.
    """

    rows: Mapping[str, Mapping[str, Mapping[str, Any]]]
    evaluations: Mapping[str, EvaluationResult]
    evaluation_set: EvaluationSet
    context_lift: Mapping[str, float] | None


def encode_events(source: ShopData, events: Interactions) -> EncodedEvents:
    """Encode events by nothing but themselves and the catalogue.

    Raises:
        NotEnoughData: No item has enough events.
    """
    encoders = Encoders.fit(events, source.catalogue, source.options.min_item_events)
    if not len(encoders.items):
        needed = source.options.min_item_events
        raise NotEnoughData(
            f"An item needs {needed} events (min_item_events). "
            f"None of the training part's {len(events)} events is on one."
        )
    now = int(events.timestamps.max()) + 1
    return EncodedEvents(
        encoders, encode(events, encoders, source.shop, source.options, now), active_items(encoders, source.catalogue)
    )


def fit_stage(
    source: ShopData, events: Interactions, report: Report, hyperparameters: Hyperparameters
) -> TrainedModels:
    """Encode events and fit all scorers on them, without looking at any other event of the shop.

    Args:
        source: The shop.
        events: The events to learn from.
        report: Receives every epoch.
        hyperparameters: Chosen on validation.
    """
    encoded = encode_events(source, events)
    fitted = fit_everything(encoded.data, source.options, hyperparameters, report)
    return TrainedModels(**{**vars(fitted), **vars(encoded)})


def active_items(encoders: Encoders, catalogue: Catalogue) -> NDArray[np.bool_]:
    """Return which encoded items the shop sells now, `(n_items,)` bool."""
    if not len(catalogue):
        return np.zeros(len(encoders.items), bool)
    listed = IdMap.fit(catalogue.items)
    order = np.argsort(catalogue.items, kind="stable")
    positions = listed.indices(encoders.items.ids)
    return np.append(catalogue.active[order], False)[positions]


def split(
    source: ShopData, events: Interactions, protocol: str, quantile: float
) -> tuple[Interactions, Interactions, int]:
    """Return the events before a cut, the events after it, and the moment of the cut in seconds since 1970.

    Args:
        source: The shop.
        events: Cleaned events to cut.
        protocol: `time` or `loo99`.
        quantile: The share of `events` before the cut, between 0 and 1; `loo99` ignores it.
    """
    if protocol == "loo99":
        before, after = last_item_out(events)
        return before, after, int(events.timestamps.max()) + 1
    cut = cut_time(events.timestamps, quantile)
    return source.known_at(cut), split_at(events, cut)[1], cut


def check_left(before: Interactions, part: str) -> None:
    """Refuse a cut without events before it.

    Args:
        before: The events before the cut.
        part: `test` or `validation`, for the message.

    Raises:
        NotEnoughData: There is no event before the cut.
    """
    if not len(before):
        raise NotEnoughData(f"Nothing is left to learn from before the {part} cut: the events share too few moments.")


def build_evaluation_sets(
    source: ShopData, stage: EncodedEvents, after: Interactions, cut: int, protocol: str
) -> dict[str, EvaluationSet]:
    """Return the evaluation set under each repeat rule: `hide` and `allow`, or only `allow` for `loo99`.

    Args:
        source: The shop.
        stage: Encoded events before the cut.
        after: Events after the cut.
        cut: Seconds since 1970.
        protocol: `time` or `loo99`.
    """
    options, rng = source.options, np.random.default_rng(source.options.seed)
    if protocol == "loo99":
        max_users = options.max_exam_users
        last_items = leave_one_out(stage.data, after, stage.encoders, shop=source.shop, rng=rng, max_users=max_users)
        return {"allow": last_items}
    allowed_after = source.shop.repeat_after_days if source.shop.repeat_after_days < math.inf else 0.0
    return {
        rule: build_evaluation_set(
            stage.data,
            after,
            stage.encoders,
            shop=source.shop,
            active=stage.active,
            cut=cut,
            repeat_after_days=days,
            rng=rng,
            max_users=options.max_exam_users,
        )
        for rule, days in (("hide", math.inf), ("allow", allowed_after))
    }


def in_force(shop: Shop, protocol: str) -> str:
    """Return the repeat rule that serves, `hide` or `allow`; a rule of some days counts as `allow`."""
    return "allow" if protocol == "loo99" or shop.repeat_after_days < math.inf else "hide"


def validate(
    source: ShopData, events: Interactions, later: Interactions, cut: int, protocol: str, report: Report
) -> Hyperparameters:
    """Choose hyperparameters, ensemble weights and the winner on the events after a cut.

    Args:
        source: The shop.
        events: Events before the cut.
        later: Events after the cut.
        cut: Seconds since 1970.
        protocol: `time` or `loo99`.
        report: Receives every epoch.
    """
    encoded = encode_events(source, events)
    rule = in_force(source.shop, protocol)
    evaluation_sets = build_evaluation_sets(source, encoded, later, cut, protocol)
    return choose(ValidationSplit(encoded.data, evaluation_sets, rule), source.options, report)


def evaluate_on_test(
    source: ShopData,
    stage: TrainedModels,
    after: Interactions,
    evaluation_sets: Mapping[str, EvaluationSet],
    rule: str,
    hyperparameters: Hyperparameters,
) -> Results:
    """Evaluate every scorer on the test under each repeat rule.

    Args:
        source: The shop.
        stage: Models fitted before the test cut.
        after: Events after the cut.
        evaluation_sets: The evaluation set of each repeat rule.
        rule: The repeat rule in force.
        hyperparameters: Chosen on validation; they hold the calibrations.

    Raises:
        NotEnoughData: No known user has a relevant item.
    """
    check_evaluation_set(evaluation_sets[rule], "test")
    rows: dict[str, dict[str, Any]] = {}
    for label, evaluation_set in evaluation_sets.items():
        evaluations = evaluate_all(stage.scorers, evaluation_set)
        rng = np.random.default_rng(source.options.seed)
        rows[label] = {
            name: summarise(evaluation, evaluation_set, hyperparameters.calibrations.get(name), rng)
            for name, evaluation in evaluations.items()
        }
        for name in stage.networks:
            rows[label][name] |= network_gain(evaluations[name], evaluations["blend"], evaluation_set, rng)
        if label == rule:
            in_force_evaluations = evaluations
    return Results(rows, in_force_evaluations, evaluation_sets[rule], context_lift(source, stage, after))


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


def check_evaluation_set(evaluation_set: EvaluationSet, part: str) -> None:
    """Refuse an evaluation set in which no known user has a relevant item.

    Args:
        evaluation_set: The set to check.
        part: `test`, for the message.

    Raises:
        NotEnoughData: The message counts the users that there are.
    """
    if not evaluation_set.known.any():
        raise NotEnoughData(
            f"The {part} part needs a user who bought before its cut and chose something new after it. "
            f"There are {len(evaluation_set)} users with something relevant, none of them known from before; "
            f"{evaluation_set.n_nothing_relevant} have nothing relevant."
        )


def context_lift(
    source: ShopData, stage: TrainedModels, after: Interactions, limit: int = 2000
) -> Mapping[str, float] | None:
    """Return ENCM's mean reciprocal rank of held-out events, with their own context and with unknown context.

    Args:
        source: The shop.
        stage: Models fitted before the cut.
        after: Events after the cut.
        limit: The largest number of events; more are sampled down.

    Returns:
        `with_context` and `without_context`, from 0 to 1; `lift`, their difference; `events`, the number of events.
        None without ENCM or without events on known users and items.
    """
    later = encode(after, stage.encoders, source.shop, source.options, source.now)
    if not len(later) or "ENCM" not in stage.scorers:
        return None
    contexts = _contexts_after_cut(stage, later)
    picked = np.random.default_rng(source.options.seed).permutation(len(later))[:limit]
    unknown = np.array([size - 1 for size in stage.data.context_sizes], np.int32)
    ranks: dict[str, list[float]] = {"with_context": [], "without_context": []}
    for n in picked:
        for label, context in zip(ranks, (contexts[n], unknown), strict=True):
            query = stage.data.query(int(later.users[n]), context=context, now=int(later.timestamps[n]), repeats=True)
            scores = stage.scorers["ENCM"].score(query)
            ranks[label].append(1.0 / (1 + int((scores > scores[later.items[n]]).sum())))
    figures = {label: float(np.mean(values)) for label, values in ranks.items()}
    return {**figures, "lift": figures["with_context"] - figures["without_context"], "events": float(len(picked))}


def _contexts_after_cut(stage: TrainedModels, later: Dataset) -> NDArray[np.int32]:
    """Return the contexts of events after the cut, `(n, m)` int32.

    The category before a user's first event after the cut is that of the user's newest event before it.
    """
    contexts, is_first = later.contexts.copy(), later.baskets == later.starts[later.users]
    newest = stage.data.starts[later.users[is_first] + 1] - 1
    category = stage.encoders.contexts.features.index("category")
    contexts[is_first, category] = stage.encoders.item_categories[stage.data.items[newest]]
    return contexts
