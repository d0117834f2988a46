"""The example site: films and their ratings. The Celery app is loaded with it, so that `shared_task` finds the app."""

from example.celery import app

__all__ = ["app"]
