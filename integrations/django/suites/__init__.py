"""Suites of the Django app, which Django runs; `tests/test_suite.py` runs them on three databases."""
