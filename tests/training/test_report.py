"""The training report: ablation gains of the networks and curves of losses."""

import re

import numpy as np
import pytest

from recsys.evaluation.protocol import EvaluationCase, EvaluationResult, EvaluationSet
from recsys.features.query import Query
from recsys.scorers.registry import REGISTRY
from recsys.training.report import COLUMNS, network_gains, page
from recsys.training.stages import network_gain
from tests.helpers.checkerboard import CUT

NO_ITEMS = np.zeros(0, np.int32)


def result_of(ndcg: list[float]) -> EvaluationResult:
    return EvaluationResult({"ndcg10": np.array(ndcg)}, (), np.zeros(0, np.float32), np.zeros(0, bool))


def evaluation_set(known: list[bool]) -> EvaluationSet:
    query = Query(0, NO_ITEMS, NO_ITEMS.astype(np.float32), NO_ITEMS.astype(np.int64), NO_ITEMS, CUT)
    return EvaluationSet(
        tuple(EvaluationCase(query, NO_ITEMS, 1, NO_ITEMS) for _ in known), np.array(known), 0, np.ones(3, bool), ()
    )


def test_an_ablation_gain_is_the_mean_difference_over_known_users() -> None:
    gain = network_gain(
        result_of([0.5, 0.7, 9.0]),
        result_of([0.4, 0.6, 0.0]),
        evaluation_set([True, True, False]),
        np.random.default_rng(1),
    )

    assert {name: round(value, 9) for name, value in gain.items()} == {"own_part": 0.1, "own_part_low": 0.1}


def test_without_known_users_there_is_no_ablation_gain() -> None:
    assert network_gain(result_of([0.5]), result_of([0.4]), evaluation_set([False]), np.random.default_rng(1)) == {}


def test_the_report_names_networks_without_a_certain_gain() -> None:
    rows = {
        "ENCM": {"own_part": 0.012, "own_part_low": 0.004},
        "BMF": {"own_part": 0.012, "own_part_low": -0.001},
        "blend": {},
    }

    assert network_gains(rows) == (
        "What each network adds to the ensemble of shared features, NDCG@10: "
        "ENCM +0.0120 (at least +0.0040), BMF nothing that is certain."
    )


ROW = {**dict.fromkeys((*COLUMNS, "map10_low", "map10_high"), 0.1), "users": 9}
ENTRY = {
    "protocol": "time",
    "rule": "hide",
    "winner": "BMF",
    "rows": {"hide": dict.fromkeys(REGISTRY, ROW)},
    "users_without_relevant": 0,
    "context_lift": None,
    "cleaning": {"rows_in": 9, "rows_out": 9, "dropped": {}, "unreadable": []},
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
