"""The four models in Keras: training only. Nothing that serves imports this package."""

from recsys.networks.base import Network, Past, Shapes
from recsys.networks.fit import FAILURES, NETWORKS, Epoch, Fit, Judge, Start, fit

__all__ = ["FAILURES", "NETWORKS", "Epoch", "Fit", "Judge", "Network", "Past", "Shapes", "Start", "fit"]
