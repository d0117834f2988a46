"""A fifth model costs one scorer file, one network file, one line of the registry and one row of the parity test."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.doors import PATIENCE_S, ROOT

NAME = "Plain"
SCORER = '''\
"""Plain, matrix factorisation without biases: z = g * s_u·q_i."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.scorers.base import Arrays, Query
from recsys.features.user_vector import Taste


@dataclass(frozen=True)
class Plain:
    """The user's vector against the item's.

    Attributes:
        taste: The user side.
        item_factors: `(n_items, dim)` float32.
        gain: Scalar float32.
    """

    taste: Taste
    item_factors: NDArray[np.float32]
    gain: NDArray[np.float32]

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Plain:
        """Build the scorer from a version's arrays."""
        return cls(Taste.from_arrays(arrays), arrays["item_factors"], arrays["gain"])

    @property
    def n_items(self) -> int:
        """The number of items."""
        return len(self.item_factors)

    def score(self, query: Query, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        """Return logits; see `Scorer.score`."""
        factors = self.item_factors if items is None else self.item_factors[items]
        scores: NDArray[np.float32] = self.gain * (self.taste.of(query) @ factors.T)
        return scores
'''
NETWORK = '''\
"""Plain in Keras: z = g * s_u·q_i."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from recsys.networks.base import Drop, Network, Past, dot, keep


class Plain(Network):
    """Matrix factorisation without biases; `recsys.scorers.plain` serves it."""

    pairwise = False

    def grow(self) -> None:
        """Add the gain."""
        self.table("gain", (), 0.0, centre=1.0)

    def encode(self, past: Past, drop: Drop = keep) -> Sequence[tf.Tensor]:
        """Return the user's vector."""
        return (drop(self.taste(past)),)

    def match(self, state: Sequence[tf.Tensor], items: tf.Tensor) -> tf.Tensor:
        """Return logits `(n, c)`."""
        return self.tables["gain"] * dot(state[0], tf.gather(self.tables["item_factors"], items))
'''
FILES = {"recsys/scorers/plain.py": SCORER, "recsys/networks/plain.py": NETWORK}
LINES = {  # behind which line of which file
    "recsys/scorers/__init__.py": ('    "BMF": model("BMF"),\n', '    "Plain": model("Plain"),\n'),
    "tests/networks/test_parity.py": ('    "BMF": False,\n', '    "Plain": False,\n'),
}
SUITES = (
    "tests/scorers/test_contract.py",
    "tests/networks/test_parity.py",
    "tests/training/test_report.py",
    "tests/docs/test_pages.py",
    "tests/contract/test_schema.py::test_the_files_are_what_the_command_writes",
    "tests/test_architecture.py",
)
OF_EACH_MODEL = SUITES[:2]  # which run once for each entry of the registry
REPORT = """
import sys
sys.path[:0] = [".", "tests", "tests/training"]
from recsys.networks import NETWORKS
from test_report import ENTRY, page
print(page(ENTRY, dict.fromkeys(NETWORKS, [2.0, 1.0])))
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with a fifth model."""
    folder = tmp_path_factory.mktemp("fifth")
    for part in ("recsys", "tests", "scripts", "docs"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "upgrade"))
    for part in ("pyproject.toml", "recommend_api.py", "train.py"):
        shutil.copy(ROOT / part, folder)
    for path, text in FILES.items():
        (folder / path).write_text(text, encoding="utf-8")
    for path, (before, line) in LINES.items():
        text = (folder / path).read_text(encoding="utf-8")
        assert text.count(before) == 1, f"{path} should have one line {before!r}"
        (folder / path).write_text(text.replace(before, before + line), encoding="utf-8")
    return folder


def run(folder: Path, *argv: str) -> str:
    """Return what a Python command prints in a folder; it has to succeed."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
    done = subprocess.run(
        [sys.executable, *argv],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    return done.stdout


@pytest.mark.slow
def test_the_docs_command_the_report_and_the_suites_take_it_up(copy: Path) -> None:
    run(copy, "scripts/write_schema.py")
    assert (
        f"`{NAME}`"
        in re.findall(r"^Models: .*$", (copy / "docs/PROTOCOL.md").read_text(encoding="utf-8"), re.MULTILINE)[0]
    )
    assert f'"{NAME}"' in (copy / "docs/schema/request.json").read_text(encoding="utf-8")

    assert f"<!-- {NAME} -->" in run(copy, "-c", REPORT).split("Loss of each epoch")[1]

    told = run(copy, "-m", "pytest", "-v", "-p", "no:cacheprovider", *SUITES)
    for suite in OF_EACH_MODEL:
        assert re.search(rf"^{suite}::\S+\[{NAME}\b.* PASSED", told, re.MULTILINE), (
            f"{suite} should have tests of {NAME}"
        )
