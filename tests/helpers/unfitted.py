"""Networks that stay at their warm start and plots without content, for tests that train but need neither."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest

from recsys.features.query import Arrays
from recsys.networks.base import FittedNetwork
from recsys.networks.fit import NETWORKS, Epoch, Fit, shapes
from recsys.settings import Training
from recsys.training import network_fits
from tests.helpers.tiny_shop import Published, train_in


def train_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what takes most of a training's time on a tiny shop: the fits of networks, and the plots."""
    monkeypatch.setattr(network_fits, "fit", at_its_start)
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", undrawn)


def published_quickly(folder: Path) -> Published:
    """Return the tiny shop with a version of such a training, for trainings that are compared with it."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        train_quickly(monkeypatch)
        return train_in(folder).published


def undrawn(drawing: Any, file: IO[str], **options: Any) -> None:
    file.write("<svg></svg>")


def at_its_start(
    name: str, data: Any, start: Arrays, options: Training, report: Any, *, validation_metric: Any, **_: Any
) -> Fit:
    report(Epoch(name, 1, 1, 0.7, 0.0))
    network = NETWORKS[name](shapes(data, options), options.seed)
    network.warm_start(start)
    fitted = FittedNetwork(type(network), network.shapes, network.arrays())
    return Fit(fitted, 0, [0.7], [float(np.mean(validation_metric(network)))] if validation_metric else [])
