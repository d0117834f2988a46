"""A fifth model costs a scorer file, a network file, and a line of registry, schema, protocol and parity test each."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.entry_points import PATIENCE_S, ROOT

NAME = "Plain"
SCORER = '''\
"""Plain, matrix factorisation without biases: z = g * s_u·q_i."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.features.features import FeatureValues
from recsys.features.query import Arrays, Query
from recsys.scorers.layers import UserRepresentation


@dataclass(frozen=True)
class Plain:
    """The dot product of user and item vectors, times a gain.

    Attributes:
        user_representation: The user's embedding and pooled histories.
        item_factors: `(n_items, dim)` float32.
        gain: Scalar float32.
    """

    user_representation: UserRepresentation
    item_factors: NDArray[np.float32]
    gain: NDArray[np.float32]

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Plain:
        """Build the scorer from a version's arrays."""
        return cls(UserRepresentation.from_arrays(arrays), arrays["item_factors"], arrays["gain"])

    @property
    def n_items(self) -> int:
        """The number of items."""
        return len(self.item_factors)

    def score(
        self,
        query: Query,
        features: FeatureValues | None = None,
        items: NDArray[np.int32] | None = None,
        masks: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.float32]:
        """Return logits; see `Network.score`."""
        factors = self.item_factors if items is None else self.item_factors[items]
        scores: NDArray[np.float32] = self.gain * (self.user_representation.of(query, masks) @ factors.T)
        return scores
'''
NETWORK = '''\
"""Plain in Keras: z = g * s_u·q_i."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from recsys.networks.base import Drop, Network, UserBatch, dot_scores, identity


class Plain(Network):
    """Matrix factorisation without biases; `recsys.scorers.plain` serves it."""

    per_example_negatives = False

    def add_weights(self) -> None:
        """Add the gain."""
        self.add_embedding("gain", (), 0.0, centre=1.0)

    def encode(self, user_batch: UserBatch, dropout: Drop = identity) -> Sequence[tf.Tensor]:
        """Return the user representation."""
        return (dropout(self.user_representation(user_batch)),)

    def score(self, state: Sequence[tf.Tensor], items: tf.Tensor) -> tf.Tensor:
        """Return logits `(n, c)`."""
        return self.tables["gain"] * dot_scores(state[0], tf.gather(self.tables["item_factors"], items))
'''
NEW_FILES = {"recsys/scorers/plain.py": SCORER, "recsys/networks/plain.py": NETWORK}
NEW_LINES = {  # of each file: existing text, and the new one behind it
    "recsys/scorers/registry.py": ('    "BMF": model("BMF"),\n', '    "Plain": model("Plain"),\n'),
    "docs/schema/request.json": ('        "BMF",\n', '        "Plain",\n'),
    "docs/PROTOCOL.md": ("`BMF`, ", "`Plain`, "),
    "tests/networks/test_parity.py": ('    "BMF": False,\n', '    "Plain": False,\n'),
}
SUITES = (
    "tests/scorers/test_contract.py",
    "tests/networks/test_parity.py",
    "tests/training/test_report.py",
    "tests/docs/test_pages.py",
    "tests/contract/test_schema.py::test_operations_and_models_of_the_schema_are_those_of_the_code",
    "tests/test_architecture.py",
)
SUITES_PER_MODEL = SUITES[:2]  # they run once for each entry of the registry
REPORT = """
import sys
sys.path.insert(0, ".")
from recsys.networks.fit import NETWORKS
from tests.training.test_report import ENTRY, page
print(page(ENTRY, dict.fromkeys(NETWORKS, [2.0, 1.0])))
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with a fifth model."""
    folder = tmp_path_factory.mktemp("fifth")
    for part in ("recsys", "tests", "scripts", "demo", "docs"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "upgrade"))
    for part in ("pyproject.toml", "recommend_api.py", "train.py"):
        shutil.copy(ROOT / part, folder)
    for path, text in NEW_FILES.items():
        (folder / path).write_text(text, encoding="utf-8")
    for path, (existing_line, new_line) in NEW_LINES.items():
        text = (folder / path).read_text(encoding="utf-8")
        assert text.count(existing_line) == 1, f"{path} should have once {existing_line!r}"
        (folder / path).write_text(text.replace(existing_line, existing_line + new_line), encoding="utf-8")
    return folder


def run(folder: Path, *argv: str) -> str:
    """Return what a Python command prints in a folder; it has to succeed."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
    process = subprocess.run(
        [sys.executable, *argv],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE_S,
        check=False,
    )
    assert process.returncode == 0, (process.stdout + process.stderr)[-5000:]
    return process.stdout


@pytest.mark.slow
def test_report_and_test_suites_include_a_fifth_model(copy: Path) -> None:
    assert f"<!-- {NAME} -->" in run(copy, "-c", REPORT).split("Loss of each epoch")[1]

    output = run(copy, "-m", "pytest", "-v", "-p", "no:cacheprovider", *SUITES)
    for suite in SUITES_PER_MODEL:
        passed = re.search(rf"^{suite}::\S+\[{NAME}\b.* PASSED", output, re.MULTILINE)
        assert passed, f"{suite} should have tests of {NAME}"
