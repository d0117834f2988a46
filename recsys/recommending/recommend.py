"""Answers one request: reads the user, scores with every model, chooses the winner and fills its list."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from recsys import store
from recsys.artifacts.nearest import LIBRARY
from recsys.contract import AUTO, Item, Reason, Request, Response, Run, Source
from recsys.data.ids import distinct
from recsys.data.interactions import Interactions
from recsys.errors import DeadlineExceeded, InternalError
from recsys.evaluation.selection import choose
from recsys.recommending.explain import explanations
from recsys.recommending.fill import RecommendationList, build_item_filter, fill_list
from recsys.recommending.loading import ItemRefs, ModelBundle, indices, resolve_items
from recsys.recommending.runs import (
    ModelEvidence,
    Scored,
    build_recent_holdout,
    pick_evidence,
    retrieve_candidates,
    score_all,
)
from recsys.recommending.user import User, load_user, purchased
from recsys.scorers.registry import MODELS, REGISTRY
from recsys.settings import Shop

SIMILAR = "item_cf"  # the scorer of `similar`: items that the same users chose
LAST_RESORT = "popularity"


def recommend(
    request: Request,
    bundle: ModelBundle,
    db: store.Database,
    *,
    shop: Shop,
    now: int,
    deadline: float | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    threads: int | None = None,
) -> Response:
    """Answer one request.

    Args:
        request: The checked request, `recommend` or `similar`.
        bundle: The version that answers.
        db: The shop's database.
        shop: The mapping of the shop's tables.
        now: Seconds since 1970.
        deadline: The moment of `monotonic` after which an answer is of no use.
        monotonic: The clock of the deadline.
        threads: How many models score at once, from 1; None leaves it to `score_all`.

    Raises:
        UnknownUser: The user has no row, and no event on an item of the version.
        ModelMismatch: The database does not hold the version's encoders.
        DeadlineExceeded: The deadline has passed.
    """

    def check_deadline() -> None:
        if deadline is not None and monotonic() > deadline:
            raise DeadlineExceeded(
                f"`budget_ms` should be enough for an answer. Received: {request.budget_ms}.", field="budget_ms"
            )

    shop = bundle.shop(shop)
    resolved = resolve_items(request, bundle)
    if request.op == "similar":
        user = _similar_query_user(request, bundle, db, resolved, shop, now)
    else:
        user = load_user(request, bundle, db, resolved=resolved, shop=shop, now=now)
    check_deadline()

    ground_truth, warnings = _new_ground_truth(request, user, resolved)
    item_filter = build_item_filter(request, user, resolved)
    eligible = item_filter.allowed
    requested_model = _requested_model(request, user)
    names = list(dict.fromkeys([*MODELS, bundle.priors.best, *([requested_model] if requested_model else [])]))
    holdout = build_recent_holdout(names, user, ground_truth)
    candidates = retrieve_candidates(names, user, user.query(), eligible, item_filter.depth)
    runs = score_all(names, user, holdout, candidates, threads)
    model_evidence = pick_evidence(runs, user, holdout)
    winner = _winner(requested_model, user, runs, model_evidence, candidates)
    runs = [run for run in runs if run.model in MODELS] + [winner] * (winner.model not in MODELS)
    check_deadline()

    top_of_winner = cache(lambda k: winner.best(k, eligible))
    other_runs = [run for run in runs if run.scores is not None and run is not winner]
    top_items = {run.model: run.best(request.limit, eligible) for run in other_runs}
    top_items[winner.model] = top_of_winner(item_filter.depth_of(0))[: request.limit]
    all_top_items = [int(item) for top in top_items.values() for item in top]
    recommended = fill_list(db, user, top_of_winner, item_filter, all_top_items)
    check_deadline()

    return Response(
        user_id=user.user_id,
        model=winner.model,
        model_version=bundle.name,
        items=_explained_items(user, winner, recommended),
        runs=tuple(_run(run, model_evidence, recommended, top_items.get(run.model)) for run in runs),
        source=_source(winner, user),
        context=user.context,
        warnings=(*warnings, *_warnings(request, user, recommended)),
    )


def _similar_query_user(
    request: Request, bundle: ModelBundle, db: store.Database, resolved: ItemRefs, shop: Shop, now: int
) -> User:
    """Return a user whose only event is on the item of `similar`; the real user's purchases stay hidden."""
    store.require_version(db, bundle.name)
    item = resolved.get(request.item_id) if request.item_id is not None else None
    is_known = item is not None and item.index >= 0
    strongest_event = max(shop.event_weights, key=lambda name: shop.event_weights[name])
    rows = slice(None) if is_known else slice(0)
    event = Interactions(
        users=np.zeros(1, np.int64)[rows],
        items=np.array([item.item_id if item else 0], object)[rows],
        events=np.zeros(1, np.int16)[rows],
        timestamps=np.array([now], np.int64)[rows],
        row_ids=np.zeros(1, np.int64)[rows],
        event_names=(strongest_event,),
    )
    index = np.array([item.index if item else 0], np.int32)[rows]
    context = dict.fromkeys(bundle.contexts.features)
    # The event is made up: it is neither a purchase to hide nor evidence of a choice.
    shop_without_events = replace(shop, purchase_events=(), relevant_events=())
    user_id = bundle.user_id(request.user_id)
    bought = frozenset() if user_id is None else purchased(db, shop, user_id, bundle, now)
    return User(user_id, bundle.n_users, False, event, index, bought, context, shop_without_events, bundle, now)


def _new_ground_truth(request: Request, user: User, resolved: ItemRefs) -> tuple[NDArray[np.int32], list[str]]:
    """Return the item indices of the ground truth that training has not seen, and a warning about the others.

    Returns:
        `(n,)` int32 distinct item indices, ascending; at most one warning.
    """
    ground_truth = indices(resolved, request.ground_truth)
    seen = user.indices[user.events.timestamps <= user.bundle.data_until]
    new = distinct(set(ground_truth.tolist()) - set(seen.tolist()))
    distinct_ids = {resolved[item].item_id if item in resolved else item for item in request.ground_truth}
    n_dropped = len(distinct_ids) - len(new)
    warning = f"ground_truth: {n_dropped} dropped, because training had seen them with this user or does not know them"
    return new, [warning] if n_dropped else []


def _requested_model(request: Request, user: User) -> str | None:
    """Return the name of the scorer that the request prescribes, or None where the evidence chooses."""
    if request.model != AUTO:
        return request.model
    if request.op == "similar":
        return SIMILAR if len(user.indices) else LAST_RESORT
    return None


def _winner(
    requested_model: str | None,
    user: User,
    runs: Sequence[Scored],
    model_evidence: ModelEvidence,
    candidates: NDArray[np.int32] | None,
) -> Scored:
    """Return the run that answers: the requested model's, else the one with the best evidence, else the last resort's.

    Raises:
        InternalError: Not even the last resort scores.
    """
    scored = {run.model: run for run in runs if run.scores is not None}
    if requested_model in scored:
        return scored[requested_model]
    if scored:
        names = [name for name in REGISTRY if name in scored]
        return scored[choose(user.bundle.priors, model_evidence.evidence, names)]
    [last_resort] = score_all([LAST_RESORT], user, None, candidates)
    if last_resort.scores is None:
        raise InternalError(f"At least {LAST_RESORT} should score. Received: {[run.error for run in runs]}.")
    return last_resort


def _explained_items(user: User, winner: Scored, recommended: RecommendationList) -> tuple[Item, ...]:
    """Return the recommended items with their scores from 0 to 1 and the explanations that hold."""
    scorer = user.bundle.scorer(winner.model)
    ranked = np.array([index for _, index in recommended.items if index >= 0], np.int32)
    explained = explanations(scorer, user.query(), ranked)
    ids = dict(zip(user.indices.tolist(), user.events.items.tolist(), strict=True))
    reasons = {item: Reason("history", ids[cause]) for item, cause in explained.items()}
    to_unit = _share if REGISTRY[winner.model].is_count else _sigmoid
    return tuple(
        Item(item, to_unit(winner.score_of(index)) if index >= 0 else 0.0, reasons.get(index))
        for item, index in recommended.items
    )


def _run(
    run: Scored, model_evidence: ModelEvidence, recommended: RecommendationList, top: NDArray[np.int32] | None
) -> Run:
    """Return a run for the response, with those of its top items that are available now.

    Args:
        run: The scorer's run.
        model_evidence: The metrics of each scorer.
        recommended: The list that is answered; it knows which items are available.
        top: `(k,)` int32, the run's best items, best first; None where it failed.
    """
    if run.scores is None or top is None:
        return Run(run.model, error=run.error)
    items = tuple(recommended.ids[int(item)] for item in top if int(item) in recommended.available)
    metrics = model_evidence.metrics.get(run.model)
    return Run(run.model, items, metrics, None if metrics is None else model_evidence.basis)


def _source(winner: Scored, user: User) -> Source:
    """Return the kind of scorer that the items come from; a model folds an unseen user in."""
    source = REGISTRY[winner.model].source
    return "fold_in" if source == "model" and not user.known else source


def _warnings(request: Request, user: User, recommended: RecommendationList) -> list[str]:
    """Return what was ignored, left out or missing, for people."""
    unknown_features = sorted(set(request.context) - set(user.context))
    warnings = [
        *user.notes,
        *recommended.notes,
        *(f"context: {name} is no feature of this version" for name in unknown_features),
    ]
    if user.bundle.has_unread_index:
        warnings.append(
            f"candidates: every item is scored, because {LIBRARY}, which reads this version's index, is not installed"
        )
    n_items = len(recommended.items)
    if n_items < request.limit:
        warnings.append(f"items: {n_items} of {request.limit}, because the shop has no more that may be shown")
    return warnings


def _share(score: float) -> float:
    """Return a count or similarity (0 or more) on a scale from 0 to 1; the sigmoid would tie all counts above 40."""
    return score / (1 + score)


def _sigmoid(z: float) -> float:
    """Return σ(z) in double precision: float32 would tie the best items at 1."""
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))
