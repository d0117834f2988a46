"""Networks that stay at their warm start, for tests that train but do not need a fit."""

from __future__ import annotations

from typing import Any

from recsys.features.query import Arrays
from recsys.networks.fit import NETWORKS, Epoch, Fit, shapes
from recsys.settings import Training


def at_its_start(name: str, data: Any, start: Arrays, options: Training, report: Any, **metric_and_epochs: Any) -> Fit:
    report(Epoch(name, 1, 1, 0.7, 0.0))
    network = NETWORKS[name](shapes(data, options), options.seed)
    network.warm_start(start)
    metric, *_ = metric_and_epochs.values()
    return Fit(network, 0, [0.7], [metric(network)] if metric else [])
