"""Honest evaluation: protocol, metrics, ranking, sampled negatives, calibration."""
