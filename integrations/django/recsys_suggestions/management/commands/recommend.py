"""Predict the stars of users for the most rated products, and keep them as suggestions."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from django.core.management.base import BaseCommand, CommandError, CommandParser

from recsys.errors import RecsysError
from recsys_suggestions.predicting import predict_page
from recsys_suggestions.sending import enqueue
from recsys_suggestions.tasks import batch_users_prediction_task


class Command(BaseCommand):
    """The command."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the flags."""
        parser.add_argument("--users", help="keys of users with commas between them; all active users by default")
        parser.add_argument("--start-page", type=int, default=0, help="the first page; default 0")
        parser.add_argument("--offset", type=int, default=50, help="products on a page; default 50")
        parser.add_argument("--max-pages", type=int, default=1000, help="the most pages; default 1000")
        parser.add_argument("--async", action="store_true", dest="sent", help="let workers predict")

    def handle(self, *args: Any, **flags: Any) -> None:
        """Predict page after page, or send the first one."""
        users = None if flags["users"] is None else [key.strip() for key in flags["users"].split(",") if key.strip()]
        offset, max_pages = flags["offset"], flags["max_pages"]
        if flags["sent"]:
            first = {"start_page": flags["start_page"], "offset": offset, "max_pages": max_pages}
            has_broker = enqueue(batch_users_prediction_task, users_ids=users, **first)
            self.stdout.write("Sent." if has_broker else "The broker is away; the task waits.")
            return
        run, page, n_written = uuid4().hex, flags["start_page"], 0
        try:
            while page is not None:
                result = predict_page(run, run, users, page, offset, max_pages)
                n_written, page = n_written + result.n_written, result.next_page
        except (RecsysError, ValueError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{n_written} suggestions were written.")
