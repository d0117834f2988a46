"""Make the example site with invented films and ratings, train, predict, and serve it."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser

from example.films.models import Film

KINDS = {
    "sea": "set on the water",
    "night": "set after dark",
    "garden": "set in the open",
    "engine": "set among machines",
}
SHAPES = (
    "The Last",
    "A Long",
    "Under the",
    "Beyond the",
    "The Quiet",
    "One More",
    "The Paper",
    "Twelve",
    "The Other",
    "A Small",
)
VIEWERS = 120
RATED = 22  # films that a viewer rates, of those that are made
START = 1_700_000_000  # seconds since 1970, of the first rating


class Command(BaseCommand):
    """The command."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the flags."""
        parser.add_argument("--port", type=int, default=8000, help="default 8000")
        parser.add_argument("--make-only", action="store_true", help="do not serve")

    def handle(self, *args: Any, **flags: Any) -> None:
        """Do all steps; those that were done before change nothing."""
        Path(settings.DATA).mkdir(parents=True, exist_ok=True)
        call_command("migrate", verbosity=0)
        films = self._films()
        with tempfile.NamedTemporaryFile("w", suffix=".csv", encoding="utf-8") as file:
            file.write(ratings_csv(films))
            file.flush()
            call_command("load_ratings", file.name, stdout=self.stdout)
        self._accounts()
        call_command("train", stdout=self.stdout)
        call_command("recommend", stdout=self.stdout)
        if not flags["make_only"]:
            self.stdout.write(f"Serving http://127.0.0.1:{flags['port']}/ until Ctrl-C.")
            call_command("runserver", f"127.0.0.1:{flags['port']}", use_reloader=False, insecure_serving=True)

    def _films(self) -> list[int]:
        for kind, overview in KINDS.items():
            for shape in SHAPES:
                Film.objects.get_or_create(
                    title=f"{shape} {kind.title()}", defaults={"overview": f"A story {overview}."}
                )
        return list(Film.objects.order_by("pk").values_list("pk", flat=True))

    def _accounts(self) -> None:
        """Let two accounts sign in: a viewer and an administrator."""
        users, password = get_user_model(), os.environ.get("EXAMPLE_PASSWORD") or secrets.token_urlsafe(9)
        for name, is_staff in (("dataset-user-1", False), ("admin", True)):
            user, _ = users.objects.get_or_create(username=name)
            user.is_staff = user.is_superuser = is_staff
            user.set_password(password)
            user.save()
        self.stdout.write(f"Sign in as dataset-user-1 or admin with the password {password}")


def ratings_csv(films: list[int]) -> str:
    """Return ratings in which each viewer likes one kind of film: 4 or 5 stars, and 1 to 3 for the others."""
    rng = np.random.default_rng(7)
    lines = ["user_id,object_id,rating,timestamp"]
    for viewer in range(VIEWERS):
        for film in rng.choice(len(films), min(RATED, len(films)), replace=False).tolist():
            liked = film // len(SHAPES) % len(KINDS) == viewer % len(KINDS)
            stars = rng.integers(4, 6) if liked else rng.integers(1, 4)
            lines.append(f"{viewer},{films[film]},{stars},{START + int(rng.integers(0, 10**7))}")
    return "\n".join(lines) + "\n"
