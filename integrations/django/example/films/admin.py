"""Films in the admin."""

from __future__ import annotations

from django.contrib import admin

from example.films.models import Film


@admin.register(Film)
class FilmAdmin(admin.ModelAdmin):
    """Films."""

    list_display = ("title", "overview")
    search_fields = ("title",)
