"""What the training report says of the networks."""

import re

import numpy as np
import pytest

from recsys.evaluation.protocol import EvaluationCase, EvaluationResult, EvaluationSet
from recsys.features.query import Query
from recsys.scorers.registry import REGISTRY
from recsys.training.report import COLUMNS, network_gains, page
from recsys.training.stages import network_gain
from tests.helpers.checkerboard import CUT

NOTHING = np.zeros(0, np.int32)


def marks(ndcg: list[float]) -> EvaluationResult:
    return EvaluationResult({"ndcg10": np.array(ndcg)}, (), np.zeros(0, np.float32), np.zeros(0, bool))


def evaluation_set(known: list[bool]) -> EvaluationSet:
    query = Query(0, NOTHING, NOTHING.astype(np.float32), NOTHING.astype(np.int64), NOTHING, CUT)
    return EvaluationSet(
        tuple(EvaluationCase(query, NOTHING, 1, NOTHING) for _ in known), np.array(known), 0, np.ones(3, bool), ()
    )


def test_an_own_part_is_the_mean_difference_over_known_users() -> None:
    found = network_gain(
        marks([0.5, 0.7, 9.0]), marks([0.4, 0.6, 0.0]), evaluation_set([True, True, False]), np.random.default_rng(1)
    )

    assert {name: round(value, 9) for name, value in found.items()} == {"own_part": 0.1, "own_part_low": 0.1}


def test_without_known_users_there_is_nothing_to_compare() -> None:
    assert network_gain(marks([0.5]), marks([0.4]), evaluation_set([False]), np.random.default_rng(1)) == {}


def test_the_report_says_who_adds_nothing() -> None:
    rows = {
        "ENCM": {"own_part": 0.012, "own_part_low": 0.004},
        "BMF": {"own_part": 0.012, "own_part_low": -0.001},
        "blend": {},
    }

    assert network_gains(rows) == (
        "What the networks add to the blend of shared signals, NDCG@10: ENCM +0.0120 (at least +0.0040), BMF nothing that is certain."
    )


ROW = {**dict.fromkeys((*COLUMNS, "map10_low", "map10_high"), 0.1), "users": 9}
ENTRY = {
    "protocol": "time",
    "rule": "hide",
    "winner": "BMF",
    "rows": {"hide": dict.fromkeys(REGISTRY, ROW)},
    "users_without_relevant": 0,
    "context_lift": None,
    "cleaning": {"rows_in": 9, "rows_out": 9, "dropped": {}},
    "seed": 7,
    "git_commit": None,
    "data_sha256": "0" * 64,
}


@pytest.mark.parametrize("n_models", [1, 4, 5, 12])
def test_every_model_has_a_loss_curve_of_its_own_colour(n_models: int) -> None:
    names = [f"model {n}" for n in range(n_models)]

    drawing = page(ENTRY, dict.fromkeys(names, [3.0, 2.0])).split("Loss of each epoch")[1]

    assert re.findall(r"<!-- (model \d+) -->", drawing) == names
    curves = re.findall(r'clip-path="[^"]+" style="fill: none; stroke: (#\w+); stroke-width: 1.5', drawing)
    assert len(set(curves)) == n_models
