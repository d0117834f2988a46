"""A synthetic but believable shop, for demonstrations and tests: the same seed gives the same rows.

Its effects are planted (taste, season, time of day, complements, repeat purchases), so figures measured on it are no evidence.
"""
