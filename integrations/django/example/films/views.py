"""The page of the example site: what is suggested, what the user rated, and all films."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.db.models import CharField, OuterRef, Subquery
from django.db.models.functions import Cast
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST
from recsys_suggestions.api import best_suggestions
from recsys_suggestions.models import Rating, product_type

from example.films.models import Film

STARS = (1, 2, 3, 4, 5)
SUGGESTED = 8


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """Show the suggestions of who is signed in, and all films with a form to rate."""
    films, suggested = Film.objects.all(), []
    if request.user.is_authenticated:
        own = Rating.objects.filter(
            user=request.user, content_type=product_type(), active=True, object_id=OuterRef("key")
        )
        films = films.annotate(key=Cast("pk", CharField(max_length=64))).annotate(own=Subquery(own.values("value")[:1]))
        suggested = best_suggestions(request.user.pk, SUGGESTED)
    return render(request, "films/home.html", {"films": films, "suggested": suggested, "stars": STARS})


@require_POST
@login_required
def rate(request: HttpRequest, film_id: int) -> HttpResponse:
    """Keep a rating; its suggestion leaves the list at once."""
    film = get_object_or_404(Film, pk=film_id)
    try:
        rating = Rating(user=request.user, content_object=film, value=float(request.POST.get("value", "")))
        rating.full_clean(exclude=["content_type", "object_id"], validate_unique=False, validate_constraints=False)
    except (ValidationError, ValueError):
        messages.error(request, "A rating is a number of stars from 1 to 5.")
        return redirect("home")
    rating.save()
    messages.success(request, f"You gave {film.title} {rating.value:g} stars.")
    return redirect("home")
