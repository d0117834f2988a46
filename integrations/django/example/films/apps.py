"""The app of the example site."""

from __future__ import annotations

from django.apps import AppConfig


class FilmsConfig(AppConfig):
    """Films."""

    name = "example.films"
    label = "films"
    default_auto_field = "django.db.models.BigAutoField"
