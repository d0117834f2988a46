"""The suggestions of a user as JSON."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import Exists, OuterRef
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from recsys_suggestions.apps import option, product_model
from recsys_suggestions.models import Rating, Suggestion, product_type

MOST = 50
MAY_SEE_ALL = "recsys_suggestions.view_suggestion"


@never_cache
@require_safe
def api_suggestions(request: HttpRequest) -> JsonResponse:
    """Answer `GET /api/suggestions/?user_id=`: the best unrated products of a user, at most 50.

    Statuses: 400 without a usable id, 403 for somebody else's list, 404 for an unknown user, which only those who may
    see all lists are told.
    """
    users = get_user_model()
    try:
        user_id = users._meta.pk.to_python(request.GET.get("user_id") or None)
    except ValidationError:
        user_id = None
    if user_id is None:
        return JsonResponse({"error": "user_id should be the id of a user."}, status=400)
    if not (request.user.is_authenticated and request.user.pk == user_id) and not request.user.has_perm(MAY_SEE_ALL):
        return JsonResponse({"error": "These suggestions are somebody else's."}, status=403)
    try:
        is_known = users._base_manager.filter(pk=user_id).exists()
    except OverflowError:  # SQLite, for an integer that it cannot hold
        is_known = False
    if not is_known:
        return JsonResponse({"error": "There is no such user."}, status=404)
    title, overview = option("TITLE"), option("OVERVIEW")
    best = [
        {"id": product.pk, "title": getattr(product, title), "overview": getattr(product, overview), "value": value}
        for product, value in best_suggestions(user_id)
    ]
    return JsonResponse({"suggestions": best})


def best_suggestions(user_id: Any, most: int = MOST) -> list[tuple[Any, float]]:
    """Return a user's best unrated products that still exist, with the stars predicted, the best first."""
    pair = {name: OuterRef(name) for name in ("user_id", "content_type_id", "object_id")}
    rows = (
        Suggestion.objects.filter(user_id=user_id, content_type=product_type(), active=True, did_rate=False)
        .exclude(Exists(Rating.objects.filter(**pair, active=True)))
        .order_by("-value", "object_id")
        .values_list("object_id", "value")
    )
    found: list[tuple[Any, float]] = []
    start = 0
    while len(found) < most and (page := list(rows[start : start + 2 * most])):
        products = product_model()._default_manager.in_bulk([key for key, _ in page])
        by_key = {str(key): product for key, product in products.items()}
        found += [(by_key[key], value) for key, value in page if key in by_key]
        start += len(page)
    return found[:most]
