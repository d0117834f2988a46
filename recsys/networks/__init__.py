"""The four models in Keras: training only. Nothing that serves imports this package."""

from recsys.networks.base import Network, Past, Shapes
from recsys.networks.fit import NETWORKS, Epoch, fit

__all__ = ["NETWORKS", "Epoch", "Network", "Past", "Shapes", "fit"]
