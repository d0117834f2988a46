"""Export all active ratings, or all products, as a CSV file."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from recsys_suggestions.exports import export_csv
from recsys_suggestions.models import Export


class Command(BaseCommand):
    """The command."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        """Add what to export."""
        parser.add_argument("kind", choices=Export.Kind.values)

    def handle(self, *args: Any, **flags: Any) -> None:
        """Write the file and print its place."""
        export = export_csv(flags["kind"])
        self.stdout.write(f"{export.n_rows} rows in {export.file.path}")
