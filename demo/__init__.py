"""A synthetic shop for demonstrations and tests; the same seed gives the same rows.

Its effects are built in: taste, season, time of day, complements, repeat purchases. Metrics on it are no evidence.
"""
