"""One request answered: user, models in threads, the winner by honest evidence, the list."""

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
from recsys.recommending.explain import causes
from recsys.recommending.fill import Listing, list_items, wanted
from recsys.recommending.loading import Loaded, Numbers, indices, numbers
from recsys.recommending.runs import Judgement, Scored, competing, fresh_exam, judge, score_all
from recsys.recommending.user import Customer, find_customer, purchased
from recsys.scorers.registry import MODELS, REGISTRY
from recsys.settings import Shop

SIMILAR = "item_cf"  # what answers "similar": neighbours by shared customers
LAST_RESORT = "popularity"


def recommend(
    request: Request,
    loaded: Loaded,
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
        request: The question.
        loaded: The version.
        db: The shop's database.
        shop: The mapping.
        now: Seconds since 1970.
        deadline: The moment of `monotonic` after which an answer is of no use.
        monotonic: The clock of the deadline.
        threads: How many models score at once, from 1; None leaves it to `score_all`.

    Raises:
        UnknownUser: There is nothing to go on.
        ModelMismatch: The database does not hold the version's encoders.
        DeadlineExceeded: The budget is used up.
    """

    def in_time() -> None:
        if deadline is not None and monotonic() > deadline:
            raise DeadlineExceeded(f"`budget_ms` should be enough for an answer. Received: {request.budget_ms}.", field="budget_ms")

    shop = loaded.shop(shop)
    named = numbers(request, loaded)
    if request.op == "similar":
        customer = _viewer(request, loaded, db, named, shop, now)
    else:
        customer = find_customer(request, loaded, db, numbers=named, shop=shop, now=now)
    in_time()
    truth, warnings = _ground_truth(request, customer, named)
    asked, want = _asked(request, customer), wanted(request, customer, named)
    names = list(dict.fromkeys([*MODELS, loaded.priors.best, *([asked] if asked else [])]))
    exam = fresh_exam(names, customer, truth)
    items = competing(names, customer, customer.query(), want.allowed, want.depth)
    runs = score_all(names, customer, exam, items, threads)
    judgement = judge(runs, customer, exam)
    winner = _winner(asked, customer, runs, judgement, items)
    runs = [run for run in runs if run.model in MODELS] + [winner] * (winner.model not in MODELS)
    in_time()
    best = cache(lambda k: winner.best(k, want.allowed))
    tops = {run.model: run.best(request.limit, want.allowed) for run in runs if run.scores is not None and run is not winner}
    tops[winner.model] = best(want.depth_of(0))[: request.limit]
    listing = list_items(db, customer, best, want, [int(item) for top in tops.values() for item in top])
    in_time()
    return Response(
        user_id=customer.user_id,
        model=winner.model,
        model_version=loaded.name,
        items=_items(customer, winner, listing),
        runs=tuple(_run(run, judgement, listing, tops.get(run.model)) for run in runs),
        source=_source(winner, customer),
        context=customer.context,
        warnings=(*warnings, *_warnings(request, customer, listing)),
    )


def _viewer(request: Request, loaded: Loaded, db: store.Database, named: Numbers, shop: Shop, now: int) -> Customer:
    """Return somebody whose one event is a look at the item that `similar` starts from; what she has bought stays hidden."""
    store.require_version(db, loaded.name)
    item = named.get(request.item_id) if request.item_id is not None else None
    known = item is not None and item.index >= 0
    strongest = max(shop.event_weights, key=lambda name: shop.event_weights[name])
    rows = slice(None) if known else slice(0)
    event = Interactions(
        users=np.zeros(1, np.int64)[rows],
        items=np.array([item.item_id if item else 0], object)[rows],
        events=np.zeros(1, np.int16)[rows],
        timestamps=np.array([now], np.int64)[rows],
        row_ids=np.zeros(1, np.int64)[rows],
        event_names=(strongest,),
    )
    index = np.array([item.index if item else 0], np.int32)[rows]
    context = dict.fromkeys(loaded.contexts.features)
    quiet = replace(shop, purchase_events=(), relevant_events=())  # the look is no purchase to hide and no evidence
    user_id = loaded.user_id(request.user_id)
    bought = frozenset() if user_id is None else purchased(db, shop, user_id, loaded, now)
    return Customer(user_id, loaded.n_users, False, event, index, bought, context, quiet, loaded, now)


def _ground_truth(request: Request, customer: Customer, named: Numbers) -> tuple[NDArray[np.int32], list[str]]:
    """Return the item indices that were chosen after `data_until`, and a warning for the rest."""
    truth = indices(named, request.ground_truth)
    before = customer.indices[customer.events.timestamps <= customer.loaded.data_until]
    kept = distinct(set(truth.tolist()) - set(before.tolist()))
    given = {named[item].item_id if item in named else item for item in request.ground_truth}
    dropped = len(given) - len(kept)
    note = f"ground_truth: {dropped} dropped, because training had seen them with this user or does not know them"
    return kept, [note] if dropped else []


def _asked(request: Request, customer: Customer) -> str | None:
    """Return the scorer that the request asks for, or None where the evidence shall choose."""
    if request.model != AUTO:
        return request.model
    if request.op == "similar":
        return SIMILAR if len(customer.indices) else LAST_RESORT
    return None


def _winner(asked: str | None, customer: Customer, runs: Sequence[Scored], judgement: Judgement, items: NDArray[np.int32] | None) -> Scored:
    """Return the run that answers: the one asked for, else the choice on evidence, else the last resort."""
    done = {run.model: run for run in runs if run.scores is not None}
    if asked in done:
        return done[asked]
    if done:
        return done[choose(customer.loaded.priors, judgement.evidence, [name for name in REGISTRY if name in done])]
    [last] = score_all([LAST_RESORT], customer, None, items)
    if last.scores is None:
        raise InternalError(f"At least {LAST_RESORT} should score. Received: {[run.error for run in runs]}.")
    return last


def _items(customer: Customer, winner: Scored, listing: Listing) -> tuple[Item, ...]:
    """Return the list with its scores and true reasons."""
    scorer = customer.loaded.scorer(winner.model)
    answered = np.array([index for _, index in listing.items if index >= 0], np.int32)
    because = causes(scorer, customer.query(), answered)
    ids = dict(zip(customer.indices.tolist(), customer.events.items.tolist(), strict=True))
    reasons = {item: Reason("history", ids[cause]) for item, cause in because.items()}
    squash = _share if REGISTRY[winner.model].counts else _sigmoid
    return tuple(Item(item, squash(winner.score_of(index)) if index >= 0 else 0.0, reasons.get(index)) for item, index in listing.items)


def _run(run: Scored, judgement: Judgement, listing: Listing, top: NDArray[np.int32] | None) -> Run:
    """Return a run as the wire shows it; of its list, what the shop sells now."""
    if run.scores is None or top is None:
        return Run(run.model, error=run.error)
    items = tuple(listing.ids[int(item)] for item in top if int(item) in listing.sold)
    return Run(run.model, items, judgement.metrics.get(run.model), judgement.basis if run.model in judgement.metrics else None)


def _source(winner: Scored, customer: Customer) -> Source:
    source = REGISTRY[winner.model].source
    return "fold_in" if source == "model" and not customer.known else source


def _warnings(request: Request, customer: Customer, listing: Listing) -> list[str]:
    unknown = sorted(set(request.context) - set(customer.context))
    notes = [*customer.notes, *listing.notes, *(f"context: {name} is no feature of this version" for name in unknown)]
    if customer.loaded.has_unread_index:
        notes.append(f"candidates: every item is scored, because {LIBRARY}, which reads this version's index, is not installed")
    if len(listing.items) < request.limit:
        notes.append(f"items: {len(listing.items)} of {request.limit}, because the shop has no more that may be shown")
    return notes


def _share(score: float) -> float:
    """Return a count or a similarity, from 0, as a share of 1; σ would tie whatever is counted more than 40 times."""
    return score / (1 + score)


def _sigmoid(z: float) -> float:
    """Return σ(z) in double precision: float32 would tie the best items at 1."""
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))
