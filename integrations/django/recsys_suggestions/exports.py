"""Exports as CSV, and the load of ratings from CSV."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from django.contrib.auth import get_user_model
from django.core.files import File
from django.db import transaction
from django.db.models import Exists, OuterRef, Subquery
from django.utils import timezone

from recsys.ratings.ratings import NEVER, clean_ratings
from recsys_suggestions.apps import option, product_model
from recsys_suggestions.ml_utils import COLUMNS, export_ratings_dataset
from recsys_suggestions.models import Export, Rating, Suggestion, product_type

ROWS_AT_ONCE = 2_000


def export_csv(kind: str) -> Export:
    """Write all active ratings, or all products, into a new file and return its row.

    Args:
        kind: `ratings` or `products`.
    """
    if kind == Export.Kind.RATINGS:
        columns, rows = COLUMNS, ([row[name] for name in COLUMNS] for row in export_ratings_dataset())
    else:
        columns, rows = ("object_id", "title", "overview"), _products()
    with tempfile.NamedTemporaryFile("w+", encoding="utf-8", newline="", suffix=".csv") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        n_rows = 0
        for row in rows:
            writer.writerow(row)
            n_rows += 1
        file.flush()
        export = Export(kind=kind, n_rows=n_rows)
        with Path(file.name).open("rb") as whole:
            export.file.save(f"{kind}-{timezone.now():%Y%m%dT%H%M%SZ}.csv", File(whole), save=False)
    export.save()
    return export


def load_ratings(file: TextIO, columns: tuple[str, str, str, str] = COLUMNS) -> dict[str, int]:
    """Load ratings from CSV; users become accounts without a password, named `dataset-user-<id>`.

    A pair that is rated already gets a new active rating if the file's value is another one. Ratings are written in
    bulk, and suggestions are then marked together.

    Args:
        file: CSV with a line of names.
        columns: The names of user, product, stars and seconds since 1970; the last may be missing.

    Returns:
        How many ratings are new, how many are known, and how many rows were dropped for each reason.

    Raises:
        ValueError: A column is missing.
    """
    rows = list(csv.DictReader(file))
    if rows and (missing := [name for name in columns[:3] if name not in rows[0]]):
        raise ValueError(f"The file should have the columns {', '.join(columns[:3])}. Missing: {', '.join(missing)}.")
    ratings, dropped = clean_ratings(*([row.get(name) for row in rows] for name in columns))
    keys = {str(key) for key in product_model()._default_manager.values_list("pk", flat=True)}
    triples = zip(ratings.users.tolist(), ratings.items.tolist(), ratings.values.tolist(), strict=True)
    usable = [
        (*row, moment) for row, moment in zip(triples, ratings.timestamps.tolist(), strict=True) if row[1] in keys
    ]
    accounts = _accounts({f"dataset-user-{row[0]}" for row in usable})
    counts = {"new": 0, "known": 0, **dropped, "unknown product": len(ratings) - len(usable)}
    for start in range(0, len(usable), ROWS_AT_ONCE):
        n_new = _load(usable[start : start + ROWS_AT_ONCE], accounts)
        counts["new"] += n_new
        counts["known"] += len(usable[start : start + ROWS_AT_ONCE]) - n_new
    mark_rated()
    return counts


def mark_rated() -> int:
    """Mark all suggestions of pairs that have an active rating; returns how many were marked."""
    pair = {name: OuterRef(name) for name in ("user_id", "content_type_id", "object_id")}
    rated = Rating.objects.filter(**pair, active=True)
    rated_fields = {
        "did_rate": True,
        "did_rate_timestamp": timezone.now(),
        "rating_value": Subquery(rated.values("value")[:1]),
    }
    return Suggestion.objects.filter(Exists(rated), did_rate=False).update(**rated_fields)


def _products() -> Iterator[list[Any]]:
    names = (option("TITLE"), option("OVERVIEW"))
    for product in product_model()._default_manager.order_by("pk").iterator(chunk_size=ROWS_AT_ONCE):
        yield [product.pk, *(getattr(product, name) for name in names)]


def _accounts(names: Iterable[str]) -> dict[str, Any]:
    """Return the keys of accounts by name; missing ones are made, and nobody can sign in with them."""
    users = get_user_model()
    field = users.USERNAME_FIELD
    wanted = sorted(names)
    known = dict(users._base_manager.filter(**{f"{field}__startswith": "dataset-user-"}).values_list(field, "pk"))
    made = [users(**{field: name, "password": "!"}) for name in wanted if name not in known]
    users._base_manager.bulk_create(made, batch_size=ROWS_AT_ONCE)
    return dict(users._base_manager.filter(**{f"{field}__startswith": "dataset-user-"}).values_list(field, "pk"))


def _load(rows: list[tuple[str, str, float, int]], accounts: dict[str, Any]) -> int:
    content_type = product_type()
    users = {row[0]: accounts[f"dataset-user-{row[0]}"] for row in rows}
    with transaction.atomic():
        active = Rating.objects.filter(content_type=content_type, active=True, user_id__in=set(users.values()))
        known = {
            (user, item): (pk, value)
            for user, item, pk, value in active.values_list("user_id", "object_id", "pk", "value")
        }
        new = [
            Rating(
                user_id=users[user], content_type=content_type, object_id=item, value=value, created_at=_moment(moment)
            )
            for user, item, value, moment in rows
            if known.get((users[user], item), (0, None))[1] != value
        ]
        replaced = [
            known[rating.user_id, rating.object_id][0] for rating in new if (rating.user_id, rating.object_id) in known
        ]
        Rating.objects.filter(pk__in=replaced).update(active=False, active_changed_at=timezone.now())
        Rating.objects.bulk_create(new, batch_size=ROWS_AT_ONCE)
    return len(new)


def _moment(seconds: int) -> datetime:
    return timezone.now() if seconds == NEVER else datetime.fromtimestamp(seconds, UTC)
