"""Load ratings from a CSV file with a line of names; products must exist, users are made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from recsys_suggestions.exports import load_ratings
from recsys_suggestions.ml_utils import COLUMNS


class Command(BaseCommand):
    """The command."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the file and the names of its columns."""
        parser.add_argument("file", type=Path)
        for name, default in zip(("user", "item", "rating", "timestamp"), COLUMNS, strict=True):
            parser.add_argument(f"--{name}", default=default, metavar="COLUMN", help=f"default {default}")

    def handle(self, *args: Any, **flags: Any) -> None:
        """Load the file and print the counts."""
        columns = (flags["user"], flags["item"], flags["rating"], flags["timestamp"])
        try:
            with flags["file"].open(encoding="utf-8-sig", newline="") as file:
                counts = load_ratings(file, columns)
        except (OSError, ValueError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(", ".join(f"{n} {what}" for what, n in counts.items()))
