"""The routes of the app."""

from __future__ import annotations

from django.urls import path

from recsys_suggestions.api import api_suggestions

urlpatterns = [path("api/suggestions/", api_suggestions, name="api_suggestions")]
