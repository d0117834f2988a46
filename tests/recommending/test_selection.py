import json
from dataclasses import replace
from math import nan, sqrt

import numpy as np
import pytest

from recsys.errors import ModelRefused
from recsys.evaluation.selection import Priors, fit_priors
from recsys.recommending.runs import Evidence, choose

ORDER = ("ENCM", "LNCM", "NeuMF", "BMF")
PRIORS = Priors(
    "BMF",
    mean={"ENCM": -0.01, "LNCM": -0.02, "NeuMF": -0.03},
    spread={"ENCM": 0.5, "LNCM": 0.5, "NeuMF": 0.5},
    strength=10,
)


def test_priors_are_mean_and_spread_of_the_differences_to_the_best() -> None:
    ap = {"BMF": np.array([0.5, 0.2, 0.1]), "ENCM": np.array([0.6, 0.0, 0.3])}  # differences +0.1, -0.2, +0.2

    priors = fit_priors("BMF", ap, np.array([2, 1, 3]))

    mu = (0.1 - 0.2 + 0.2) / 3
    tau = sqrt((2 * (0.1 - mu) ** 2 + 1 * (-0.2 - mu) ** 2 + 3 * (0.2 - mu) ** 2) / 3)
    assert priors.best == "BMF"
    assert priors.strength == 10
    assert priors.mean == {"ENCM": pytest.approx(mu)}
    assert priors.spread == {"ENCM": pytest.approx(tau)}


def test_users_with_nothing_relevant_do_not_shape_the_priors() -> None:
    ap = {"BMF": np.array([0.5, nan, 0.1]), "ENCM": np.array([0.6, nan, 0.3])}

    priors = fit_priors("BMF", ap, np.array([1, 0, 1]))

    assert priors.mean["ENCM"] == pytest.approx(0.15)


def test_without_any_user_the_best_is_always_chosen() -> None:
    priors = fit_priors("BMF", {"BMF": np.array([nan]), "ENCM": np.array([nan])}, np.array([0]))

    assert (priors.mean, priors.spread) == ({"ENCM": 0.0}, {"ENCM": 0.0})
    assert choose(priors, Evidence({"BMF": 0.0, "ENCM": 1.0}, 50), ("ENCM", "BMF")) == "BMF"


def test_without_evidence_the_best_answers() -> None:
    assert choose(PRIORS, None, ORDER) == "BMF"
    assert choose(PRIORS, Evidence({"BMF": 0.0, "ENCM": 1.0}, n_relevant=0), ORDER) == "BMF"


def test_with_a_spread_of_zero_the_best_answers() -> None:
    priors = Priors("BMF", {"ENCM": -0.01}, {"ENCM": 0.0})

    assert choose(priors, Evidence({"BMF": 0.0, "ENCM": 1.0}, 100), ("ENCM", "BMF")) == "BMF"


@pytest.mark.parametrize(
    ("difference", "chosen"),
    [
        # n = 10, k = 10: θ = (10 d − 0.1) / 20, sd = 0.5 / √20 = 0.1118; P > 0.9 needs θ > 1.2816 sd = 0.14328, d >
        # 0.29656
        (0.297, "ENCM"),
        (0.296, "BMF"),
        (-0.5, "BMF"),
    ],
)
def test_another_model_is_chosen_only_with_nine_to_one_confidence(difference: float, chosen: str) -> None:
    assert choose(PRIORS, Evidence({"BMF": 0.5, "ENCM": 0.5 + difference}, n_relevant=10), ORDER) == chosen


def test_the_same_difference_convinces_with_more_evidence() -> None:
    # θ/sd = (n·0.2 − 0.1) / (0.5·√(n+10)): 0.22 at n = 3, 1.62 at n = 30
    few, many = (Evidence({"BMF": 0.1, "ENCM": 0.3}, n_relevant=n) for n in (3, 30))

    assert choose(PRIORS, few, ORDER) == "BMF"
    assert choose(PRIORS, many, ORDER) == "ENCM"


def test_of_several_confident_models_the_highest_shrunk_gain_wins() -> None:
    # θ at n = 30: ENCM (30·0.5 − 0.1)/40 = 0.3725, LNCM (30·0.5 − 0.2)/40 = 0.37, NeuMF (30·0.6 − 0.3)/40 = 0.4425
    assert choose(PRIORS, Evidence({"BMF": 0.0, "ENCM": 0.5, "LNCM": 0.5, "NeuMF": 0.6}, 30), ORDER) == "NeuMF"
    assert choose(PRIORS, Evidence({"BMF": 0.0, "ENCM": 0.5, "LNCM": 0.5, "NeuMF": 0.1}, 30), ORDER) == "ENCM"


def test_ties_go_to_precision_and_then_to_registry_order() -> None:
    priors = Priors("BMF", {"ENCM": -0.01, "LNCM": -0.01}, {"ENCM": 0.5, "LNCM": 0.5})
    ap = {"BMF": 0.0, "ENCM": 0.6, "LNCM": 0.6}

    assert choose(priors, Evidence(ap, 30, precision={"ENCM": 0.1, "LNCM": 0.2}), ORDER) == "LNCM"
    assert choose(priors, Evidence(ap, 30, precision={"ENCM": 0.2, "LNCM": 0.2}), ORDER) == "ENCM"
    assert choose(priors, Evidence(ap, 30), ("BMF", "LNCM", "ENCM")) == "LNCM"


def test_a_model_that_failed_is_never_chosen() -> None:
    evidence = Evidence({"BMF": 0.0, "ENCM": 1.0, "LNCM": 0.9}, 30)

    assert choose(PRIORS, evidence, ("LNCM", "NeuMF", "BMF")) == "LNCM"


def test_if_the_best_model_failed_the_next_by_the_priors_answers() -> None:
    assert choose(PRIORS, Evidence({"LNCM": 1.0, "ENCM": 0.0}, 30), ("LNCM", "NeuMF", "ENCM")) == "ENCM"
    assert choose(PRIORS, None, ("unheard_of", "NeuMF")) == "NeuMF"


def test_a_model_without_evidence_is_not_chosen() -> None:
    assert choose(PRIORS, Evidence({"BMF": 0.1}, 30), ORDER) == "BMF"
    assert choose(PRIORS, Evidence({"ENCM": 1.0}, 30), ORDER) == "BMF"


def test_a_model_that_the_priors_do_not_know_is_not_chosen() -> None:
    assert choose(PRIORS, Evidence({"BMF": 0.0, "EASE": 1.0}, 30), (*ORDER, "EASE")) == "BMF"


def test_priors_are_the_same_after_a_round_trip_through_json() -> None:
    assert Priors.from_json(json.loads(json.dumps(PRIORS.to_json()))) == PRIORS


def test_a_version_that_does_not_choose_for_each_user_answers_by_the_best() -> None:
    evidence = Evidence({"BMF": 0.0, "ENCM": 1.0}, 100)

    assert choose(PRIORS, evidence, ORDER) == "ENCM"
    assert choose(replace(PRIORS, per_user=False), evidence, ORDER) == "BMF"


def test_whether_a_version_chooses_for_each_user_is_stored_and_an_older_version_does() -> None:
    off = replace(PRIORS, per_user=False)
    older = {name: value for name, value in PRIORS.to_json().items() if name != "per_user"}

    assert Priors.from_json(json.loads(json.dumps(off.to_json()))) == off
    assert Priors.from_json(older).per_user


@pytest.mark.parametrize(
    "damage",
    [
        {"best": None, "mean": None},
        {"mean": {"ENCM": "much"}},
        {"mean": {"ENCM": nan}},
        {"spread": {}},
        {"spread": {"ENCM": -0.1, "LNCM": 0.1, "NeuMF": 0.1}},
        {"strength": 0.0},
        {"strength": None},
    ],
)
def test_damaged_priors_are_refused(damage: dict[str, object]) -> None:
    with pytest.raises(ModelRefused, match="Selection priors should hold"):
        Priors.from_json({**PRIORS.to_json(), **damage})


def test_priors_without_a_field_are_refused() -> None:
    with pytest.raises(ModelRefused, match="Selection priors should hold"):
        Priors.from_json({"best": "BMF"})
