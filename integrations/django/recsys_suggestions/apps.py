"""The app and its settings, which are the table RECSYS_SUGGESTIONS of the site's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

DEFAULTS: dict[str, Any] = {
    "TITLE": "title",
    "OVERVIEW": "overview",
    "MIN_NEW_RATINGS": 1,
    "FRESH_DAYS": 7,
}
REQUIRED = ("MODEL", "MODELS_DIR", "EXPORTS_DIR")


class RecsysSuggestionsConfig(AppConfig):
    """The app; its settings are checked when the site starts."""

    name = "recsys_suggestions"
    verbose_name = "Suggestions"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Check the settings.

        Raises:
            ImproperlyConfigured: A name is missing or unknown, or a value is not what it should be.
        """
        table = getattr(settings, "RECSYS_SUGGESTIONS", {})
        missing = [name for name in REQUIRED if name not in table]
        unknown = sorted(set(table) - set(REQUIRED) - set(DEFAULTS))
        if missing or unknown:
            raise ImproperlyConfigured(
                f"RECSYS_SUGGESTIONS should have {', '.join(REQUIRED)} and may have {', '.join(DEFAULTS)}. "
                f"Missing: {', '.join(missing) or 'nothing'}. Unknown: {', '.join(unknown) or 'nothing'}."
            )
        for name in ("MIN_NEW_RATINGS", "FRESH_DAYS"):
            value = option(name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ImproperlyConfigured(
                    f"RECSYS_SUGGESTIONS {name} should be a whole number from 0. Received: {value!r}."
                )
        product_model()


def option(name: str) -> Any:
    """Return a setting of the app, or its default."""
    return {**DEFAULTS, **settings.RECSYS_SUGGESTIONS}[name]


def models_dir() -> Path:
    """Return the folder of models of ratings."""
    return Path(option("MODELS_DIR"))


def product_model() -> Any:
    """Return the model that users rate, such as films.

    Raises:
        ImproperlyConfigured: The setting names none.
    """
    try:
        return apps.get_model(option("MODEL"))
    except (LookupError, ValueError, AttributeError) as error:
        raise ImproperlyConfigured(
            f"RECSYS_SUGGESTIONS MODEL should name a model, as `films.Film`. Received: {option('MODEL')!r}."
        ) from error
