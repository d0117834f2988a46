"""Fits with a closed-form solution, for baselines and features: EASE, item-based CF, ALS, transitions, popularity."""
