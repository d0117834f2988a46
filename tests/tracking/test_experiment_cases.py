"""The table of cases that the Express backend reads, too: arms, definitions, ids, and the names on both sides."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from recsys.errors import SettingsError
from recsys.scorers.registry import REGISTRY
from recsys.settings.experiments import _ARM, read_experiment
from recsys.tracking.analytics import ALGORITHMS, algorithm_of
from recsys.tracking.experiments import arm_of, check_arms, definition
from recsys.tracking.record import interaction_id, list_event_id

ROOT = Path(__file__).parents[2]
CASES: dict[str, Any] = json.loads((ROOT / "tests/tracking/experiment_cases.json").read_text(encoding="utf-8"))
NAMES = json.loads((ROOT / "backend/src/config/names.json").read_text(encoding="utf-8"))


def test_the_backend_knows_the_names_of_python() -> None:
    assert NAMES == {"models": list(REGISTRY), "algorithms": sorted(ALGORITHMS), "arm_keys": list(_ARM)}


@pytest.mark.parametrize("case", CASES["accepted"], ids=lambda case: case["definition"])
def test_arms_and_definitions(case: dict[str, Any]) -> None:
    experiment = read_experiment(tomllib.loads(case["toml"]))
    assert experiment is not None

    assert definition(experiment) == case["definition"]
    found = {user: arm_of(experiment, user) for user in case["arms"]}
    assert {user: arm and arm.name for user, arm in found.items()} == case["arms"]
    assert set(case["arms"].values()) >= {arm.name for arm in experiment.arms}


@pytest.mark.parametrize("toml", CASES["refused"])
def test_what_is_wrong_is_refused(toml: str) -> None:
    with pytest.raises(SettingsError):
        check_arms(read_experiment(tomllib.loads(toml)))


def test_ids() -> None:
    for case in CASES["interaction_ids"]:
        assert interaction_id(case["user"], case["event"]) == case["id"]
    for case in CASES["list_event_ids"]:
        assert list_event_id(case["answer"], case["kind"], case["product"], case["event"]) == case["id"]
    assert {one: algorithm_of(one) for one in CASES["algorithms"]} == CASES["algorithms"]
