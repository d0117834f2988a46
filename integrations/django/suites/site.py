"""A small site for the suites: films, users with two tastes, and a folder of models for each test."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

from django.conf import settings
from django.contrib.auth import get_user_model
from django.test import TestCase, override_settings
from example.films.models import Film
from recsys_suggestions import ml_utils
from recsys_suggestions.models import Rating, Suggestion, product_type

N_USERS, N_FILMS = 24, 12
START = 1_700_000_000


class SiteCase(TestCase):
    """Each test has films and users with ratings of two tastes, and no model yet."""

    @classmethod
    def setUpTestData(cls) -> None:
        cls.films = [Film.objects.create(title=f"Film {n:02}", overview=f"About {n}.") for n in range(N_FILMS)]
        cls.users = [get_user_model().objects.create(username=f"user{n:02}") for n in range(N_USERS)]
        Rating.objects.bulk_create(two_tastes(cls.users, cls.films))

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        table = {
            **settings.RECSYS_SUGGESTIONS,
            "MODELS_DIR": self.folder / "models",
            "EXPORTS_DIR": self.folder / "out",
        }
        changed = override_settings(RECSYS_SUGGESTIONS=table)
        changed.enable()
        self.addCleanup(changed.disable)
        self.addCleanup(ml_utils._loaded.clear)

    def options(self, **changed: Any) -> override_settings:
        """Return other settings of the app, for a with statement."""
        return override_settings(RECSYS_SUGGESTIONS={**settings.RECSYS_SUGGESTIONS, **changed})

    def suggestions(self) -> dict[tuple[int, str], Suggestion]:
        return {(row.user_id, row.object_id): row for row in Suggestion.objects.all()}


def two_tastes(users: list[Any], films: list[Film]) -> list[Rating]:
    """Return ratings: users like the films of their own parity; two films of each are left out."""
    content_type, rows = product_type(), []
    for u, user in enumerate(users):
        for f, film in enumerate(films):
            if (u // 2 + f) % 6:
                moment = datetime.fromtimestamp(START + (u * 37 + f * 101) % 997, UTC)
                rows.append(
                    Rating(
                        user=user,
                        content_type=content_type,
                        object_id=str(film.pk),
                        value=5 if (u + f) % 2 == 0 else 1,
                        created_at=moment,
                    )
                )
    return rows


def later(days: float) -> Any:
    """Return a patch by which the clock of the app is some days ahead."""
    from datetime import timedelta

    from django.utils import timezone

    moment = timezone.now() + timedelta(days=days)
    return mock.patch("recsys_suggestions.predicting.timezone.now", return_value=moment)
