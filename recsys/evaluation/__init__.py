"""Evaluation: protocol, metrics, ranking, calibration, and the choice of a model for one request."""
