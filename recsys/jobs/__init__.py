"""Nightly work through Celery, for shops that have workers: training, lists for everybody, exports."""
