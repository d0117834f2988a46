"""Train on all active ratings and publish the model if it beats the biases alone."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from recsys.errors import RecsysError
from recsys_suggestions.ml_utils import train_surprise_model
from recsys_suggestions.sending import enqueue
from recsys_suggestions.tasks import train_surprise_model_task


class Command(BaseCommand):
    """The command."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the flags."""
        parser.add_argument("--epochs", type=int, default=20, help="passes over the ratings; default 20")
        parser.add_argument("--async", action="store_true", dest="sent", help="let a worker train, then predict")

    def handle(self, *args: Any, **flags: Any) -> None:
        """Train, or send the task."""
        if flags["epochs"] < 1:
            raise CommandError("--epochs should be a whole number from 1.")
        if flags["sent"]:
            has_broker = enqueue(train_surprise_model_task, n_epochs=flags["epochs"])
            self.stdout.write("Sent." if has_broker else "The broker is away; the task waits.")
            return
        try:
            model = train_surprise_model(flags["epochs"])
        except RecsysError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Published {model.name}.")
