from math import exp, log

import numpy as np
import pytest

from recsys.evaluation.metrics import Calibration
from recsys.evaluation.results import EvaluationResult
from recsys.training.calibration import calibrate, fit_calibration


def test_probabilities_are_the_sigmoid_of_the_line() -> None:
    probabilities = Calibration(slope=2.0, intercept=-1.0).apply(np.array([0.5, 1.5], np.float32))

    assert probabilities.tolist() == pytest.approx([0.5, 1 / (1 + exp(-2))])


def test_extreme_logits_give_zero_and_one_without_overflow() -> None:
    assert Calibration(1.0, 0.0).apply(np.array([-1e6, 1e6])).tolist() == [0.0, 1.0]


def test_two_groups_are_fitted_to_their_own_rates() -> None:
    # 1000 rows at each logit; 20 % and 60 % of them happened, so a·0 + b = logit(0.2) and a·2 + b = logit(0.6)
    logits = np.repeat([0.0, 2.0], 1000)
    labels = np.concatenate([np.arange(1000) < 200, np.arange(1000) < 600])

    fitted = fit_calibration(logits, labels)

    assert fitted.intercept == pytest.approx(log(0.2 / 0.8), abs=0.01)
    assert fitted.slope == pytest.approx((log(0.6 / 0.4) - log(0.2 / 0.8)) / 2, abs=0.01)


def test_separable_data_keep_a_finite_slope() -> None:
    # targets 3/4 and 1/4 at -1 and 1: two points determine the line through logit(1/4) = -log 3 and log 3
    fitted = fit_calibration(np.array([-1.0, -1.0, 1.0, 1.0]), np.array([False, False, True, True]))

    assert (fitted.slope, fitted.intercept) == pytest.approx((log(3), 0.0), abs=1e-6)


@pytest.mark.parametrize(("label", "rate"), [(True, 11 / 12), (False, 1 / 12)])
def test_data_of_one_class_are_fitted_to_the_smoothed_rate(label: bool, rate: float) -> None:
    fitted = fit_calibration(np.linspace(-3, 3, 10), np.full(10, label))

    assert fitted.slope == pytest.approx(0.0, abs=1e-6)
    assert fitted.apply(np.array([0.0]))[0] == pytest.approx(rate)


def test_a_constant_scorer_is_fitted_to_the_base_rate() -> None:
    fitted = fit_calibration(np.full(1000, 4.2), np.arange(1000) < 200)

    assert fitted.slope == 0.0
    assert fitted.apply(np.array([4.2]))[0] == pytest.approx(0.2, abs=0.001)


def test_the_fit_does_not_depend_on_the_scale_of_the_logits() -> None:
    logits, labels = np.array([-3.0, -1.0, 0.0, 1.0, 2.0, 4.0]), np.array([False, True, False, False, True, True])

    small, large = fit_calibration(logits, labels), fit_calibration(1e6 * logits + 5e6, labels)

    assert large.apply(1e6 * logits + 5e6) == pytest.approx(small.apply(logits), rel=1e-6)


def test_a_scorer_that_ranks_backwards_gets_a_negative_slope() -> None:
    assert fit_calibration(np.array([3.0, 2.0, -2.0, -3.0]), np.array([False, False, True, True])).slope < 0


@pytest.mark.parametrize("logits", [[], [1.0, np.nan], [np.inf, 0.0]])
def test_nothing_and_infinity_are_refused(logits: list[float]) -> None:
    with pytest.raises(ValueError, match="`logits` should be finite"):
        fit_calibration(np.array(logits), np.zeros(len(logits), bool))


@pytest.mark.parametrize(("labels", "fits"), [([0, 1, 0], True), ([0, 0, 0], False), ([1, 1, 1], False), ([], False)])
def test_a_scorer_is_calibrated_on_pairs_of_both_kinds_only(labels: list[int], fits: bool) -> None:
    result = EvaluationResult({}, (), np.arange(len(labels), dtype=np.float32), np.array(labels, bool))

    assert (calibrate(result) is not None) is fits


@pytest.mark.parametrize("seed", range(20))
def test_the_fit_has_the_smallest_cross_entropy_of_all_lines(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(rng.normal(0, 10), 10.0 ** rng.integers(-3, 4), 300)
    labels = rng.random(300) < rng.random()
    targets = np.where(labels, (labels.sum() + 1) / (labels.sum() + 2), 1 / ((~labels).sum() + 2))
    fitted = fit_calibration(logits, labels)
    errors = fitted.apply(logits) - targets  # the gradient: 0 at the minimum, and there is only one

    assert abs(errors.mean()) < 1e-6
    assert abs((errors * (logits - logits.mean()) / logits.std()).mean()) < 1e-6


def test_rounding_noise_of_float32_is_no_slope() -> None:
    fitted = fit_calibration(
        np.array([4.2, np.nextafter(np.float32(4.2), np.float32(9))] * 500, np.float32), np.arange(1000) < 200
    )

    assert fitted.slope == 0.0
