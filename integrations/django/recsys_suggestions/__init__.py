"""A reusable Django app: ratings, and suggestions predicted from them by nightly Celery tasks."""
