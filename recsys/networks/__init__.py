"""The four networks in Keras, for training only. What serves never imports this package."""

from recsys.networks.base import Network, Shapes, UserBatch
from recsys.networks.fit import FAILURES, NETWORKS, Epoch, Fit, ValidationMetric, WarmStart, fit

__all__ = [
    "FAILURES",
    "NETWORKS",
    "Epoch",
    "Fit",
    "ValidationMetric",
    "Network",
    "UserBatch",
    "Shapes",
    "WarmStart",
    "fit",
]
