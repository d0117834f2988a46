"""The four models in Keras: training only. Nothing that serves imports this package."""

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
