"""One page of predictions: the stars of every user for the products of the page, upserted in bulk.

A page is idempotent. A task that was killed in the middle is delivered again and writes only what is missing. The page
belongs to the message that came first, so that a second chain, which such a delivery may start, stops at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, transaction
from django.db.models import Count
from django.utils import timezone

from recsys.ratings.model import RatingModel
from recsys.ratings.ratings import one_type
from recsys_suggestions.apps import option, product_model
from recsys_suggestions.ml_utils import load_model
from recsys_suggestions.models import PredictionPage, PredictionRun, Rating, Suggestion, product_type
from recsys_suggestions.upserting import Predicted, blocks, upsert

USERS_AT_ONCE = 500
DAILY = "daily"  # stands for the run of today with the active model, which two schedulers share


class PageResult(NamedTuple):
    """What became of a page.

    Attributes:
        run: The key of the run.
        n_written: The number of suggestions written.
        next_page: The page that follows; None where the run ends.
        stopped: Why nothing was done; empty where something was.
    """

    run: str
    n_written: int
    next_page: int | None
    stopped: str = ""


def predict_page(
    run: str, message: str, users_ids: Sequence[Any] | None, page: int, offset: int, max_pages: int
) -> PageResult:
    """Predict one page of a run.

    Args:
        run: The run's key; `daily` for that of today. A new key makes a run with the candidates of now.
        message: The id of the task; another message with the same page stops.
        users_ids: Keys of the users; None for all active ones, and an empty list for nobody.
        page: The page's number. The first one of a run need not be 0.
        offset: Products on a page.
        max_pages: The most pages of the run.

    Raises:
        NoModel: There is no model yet.
        ValueError: A number is out of range.
    """
    if page < 0 or offset < 1 or max_pages < 0:
        raise ValueError(
            "`start_page`, `offset` and `max_pages` should be from 0, 1 and 0. "
            f"Received: {page}, {offset}, {max_pages}."
        )
    model = load_model()
    if run == DAILY:
        run = f"{DAILY} {timezone.localdate()} {model.name}"
    row = _run(run, page, offset, max_pages)
    if not row.has_page(page) or (users_ids is not None and not users_ids):
        return _ended(row, 0)
    claimed, _ = PredictionPage.objects.get_or_create(run=row, number=page, defaults={"message": message})
    if claimed.message != message:
        return PageResult(row.key, 0, None, "another message has this page")
    if claimed.done_at is None:
        claimed.n_written = sum(_predict(model, row.page(page), users) for users in _users(users_ids))
        claimed.done_at = timezone.now()
        claimed.save()
    if not row.has_page(page + 1):
        return _ended(row, claimed.n_written)
    return PageResult(row.key, claimed.n_written, page + 1)


def candidates(limit: int) -> list[str]:
    """Return the keys of the most rated products, of equally many ratings the smaller key first."""
    counts = (
        Rating.objects.filter(active=True, content_type=product_type())
        .order_by()
        .values_list("object_id")
        .annotate(n=Count("pk"))
    )
    n_ratings = dict(counts)
    keys = [str(key) for key in product_model()._default_manager.order_by("pk").values_list("pk", flat=True)]
    return sorted(keys, key=lambda key: -n_ratings.get(key, 0))[:limit]


def _run(key: str, page: int, offset: int, max_pages: int) -> PredictionRun:
    row = PredictionRun.objects.filter(key=key).first()
    if row is None:
        made = {"first_page": page, "offset": offset, "max_pages": max_pages, "content_type": product_type()}
        made["candidates"] = candidates((page + max_pages) * offset)
        row, _ = PredictionRun.objects.get_or_create(key=key, defaults=made)
    return row


def _ended(run: PredictionRun, n_written: int) -> PageResult:
    PredictionRun.objects.filter(pk=run.pk, finished_at=None).update(finished_at=timezone.now())
    return PageResult(run.key, n_written, None)


def _users(users_ids: Sequence[Any] | None) -> Iterator[list[Any]]:
    """Yield the keys of users that exist, in blocks."""
    users = get_user_model()._base_manager.filter(is_active=True).order_by("pk").values_list("pk", flat=True)
    if users_ids is None:
        found = blocks(users.iterator(chunk_size=USERS_AT_ONCE), USERS_AT_ONCE)
    else:
        found = (users.filter(pk__in=block) for block in blocks(dict.fromkeys(users_ids), USERS_AT_ONCE))
    for block in found:
        yield list(block)


def _predict(model: RatingModel, keys: Sequence[str], users: Sequence[Any]) -> int:
    """Predict for a block of users and the products that still exist; returns how many suggestions were written."""
    there = {str(key) for key in product_model()._default_manager.filter(pk__in=keys).values_list("pk", flat=True)}
    items = [key for key in keys if key in there]
    if not items or not users:
        return 0
    content_type, now = product_type(), timezone.now()
    skipped = _rated_or_fresh(model, content_type, items, users)
    stars = model.predict_all(one_type([str(user) for user in users]), one_type(items)).tolist()
    new = [
        Predicted(user, item, stars[row][column])
        for row, user in enumerate(users)
        for column, item in enumerate(items)
        if (user, item) not in skipped
    ]
    try:
        with transaction.atomic():
            upsert(new, content_type=content_type.pk, model=model.name, now=now)
    except IntegrityError:  # a user was deleted meanwhile
        left = set(get_user_model()._base_manager.filter(pk__in=users).values_list("pk", flat=True))
        if len(left) == len(users):
            raise
        return _predict(model, keys, [user for user in users if user in left])
    return len(new)


def _rated_or_fresh(
    model: RatingModel, content_type: ContentType, items: Sequence[str], users: Sequence[Any]
) -> set[tuple[Any, str]]:
    """Return the pairs that are rated, or were predicted by this model within the last days."""
    since = timezone.now() - timedelta(days=option("FRESH_DAYS"))
    places = {"user_id__in": users, "content_type": content_type, "object_id__in": items}
    rated = Rating.objects.filter(**places, active=True)
    fresh = Suggestion.objects.filter(**places, model=model.name, updated_at__gt=since)
    return {pair for rows in (rated, fresh) for pair in rows.values_list("user_id", "object_id")}
