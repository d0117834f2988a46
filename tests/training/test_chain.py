"""One fit goes on from another, and never from one that has seen what comes after its cut."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from recsys.artifacts import Version
from recsys.data.interactions import Interactions
from recsys.training.chain import Learned, active_fits, newest, places
from recsys.training.fitting import FittedModels
from recsys.training.run import TrainingRun
from recsys.training.stages import encode_events, evaluate, known_at
from tests.data.test_leaks import joined
from tests.helpers.checkerboard import (
    CUT,
    DAY,
    FAST,
    N_USERS,
    after_the_cut,
    before_the_cut,
    eagerly,
    events_of,
    hyperparameters,
    shop_of,
)
from tests.helpers.tiny_shop import Quiet, Trained

SHORT = replace(FAST, epochs=2)


def learned(board: FittedModels, data_until: int = CUT - 1) -> Learned:
    return replace(board.learned, data_until=data_until)


# Which fit may go on


@pytest.mark.parametrize(
    ("ends", "cut", "chosen"),
    [
        ((10, 20), 30, 20),
        ((10, 30), 30, 10),  # an event at the cut is after it
        ((30, 40), 30, None),
        ((None, 20), 30, 20),
        ((), 30, None),
    ],
)
def test_the_newest_fit_that_has_seen_nothing_after_the_cut_is_chosen(
    ends: tuple[int | None, ...], cut: int, chosen: int | None, board: FittedModels
) -> None:
    fits = [None if end is None else learned(board, end) for end in ends]
    found = newest(fits, cut)

    assert (None if found is None else found.data_until) == chosen


def test_a_fit_of_unknown_order_is_no_start_where_each_last_item_is_held_out(board: FittedModels) -> None:
    run = replace(shop_of(before_the_cut()), active={"evaluation": learned(board)})

    assert run.active_evaluation is not None
    assert replace(run, protocol="loo99").active_evaluation is None


# Rows


def test_rows_are_found_by_id_and_new_ones_are_told(board: FittedModels) -> None:
    """The next fit knows a new user before all others, and lacks the first item."""
    rows = [(1, 501, "purchase", CUT), *((100 + user, 501, "view", CUT + 1) for user in range(3))]
    new, _ = encode_events(shop_of(joined(before_the_cut(), events_of(rows))), events_of(rows * 2))
    found = places(board.encoders, new)

    assert found["users"].tolist() == [-1, 0, 1, 2]
    assert found["items"].tolist() == [1]
    sizes = new.contexts.sizes
    assert [len(found[n]) for n in range(len(sizes))] == list(sizes)
    assert found[0].tolist() == list(range(sizes[0])), "the clock has the same values in every fit"


def test_als_starts_from_vectors_of_its_own_width_only(board: FittedModels) -> None:
    start = learned(board).start_of_als(board.encoders, FAST.factors)

    np.testing.assert_array_equal(start, board.features["item_factors"])
    assert learned(board).start_of_als(board.encoders, FAST.factors + 1) is None


def test_a_network_that_stays_at_its_start_is_not_carried_and_one_that_ended_is_not_trained(
    board: FittedModels,
) -> None:
    earlier = learned(board).for_networks(board.encoders, {"ENCM": 3, "LNCM": 2, "NeuMF": 0}, {"LNCM"})

    assert earlier is not None
    assert (set(earlier.networks), earlier.more) == ({"ENCM", "LNCM"}, {"ENCM": 1, "LNCM": 0})
    assert learned(board).for_networks(board.encoders, {"BMF": 0}) is None


# Large shops


@pytest.mark.parametrize(
    ("full_fits_below", "is_warm", "goes_on"), [(10**6, False, False), (10**6, True, True), (1, False, True)]
)
def test_a_fit_of_a_large_shop_goes_on_from_the_one_before_it(
    full_fits_below: int, is_warm: bool, goes_on: bool, board: FittedModels
) -> None:
    options = replace(SHORT, full_fits_below=full_fits_below)
    run = shop_of(joined(before_the_cut(), after_the_cut()), options)
    active = {"evaluation": learned(board)} if is_warm else {}
    run = replace(run, hyperparameters=replace(hyperparameters(options), learned=learned(board)), active=active)
    with eagerly():
        evaluated = evaluate(run, known_at(run, CUT), after_the_cut(), CUT, Quiet()).evaluated

    assert {len(losses) for losses in evaluated.losses.values()} == {1 if goes_on else SHORT.epochs}


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_network_without_a_weight_is_not_trained_again_and_the_report_knows_it(
    goes_on: bool, board: FittedModels
) -> None:
    """ENCM has no weight; validation ended the training of LNCM, whose weights are carried over as they are."""
    options = replace(SHORT, full_fits_below=1 if goes_on else 10**6)
    chosen = replace(hyperparameters(options), learned=learned(board), ended=frozenset({"LNCM"}))
    weightless = chosen.ensemble_weights["ENCM"].copy()
    weightless[:, -1] = 0
    weights = {**chosen.ensemble_weights, "ENCM": weightless}
    chosen = replace(chosen, epochs={**chosen.epochs, "ENCM": 0}, ensemble_weights=weights)
    run = replace(shop_of(joined(before_the_cut(), after_the_cut()), options), hyperparameters=chosen)
    with eagerly():
        run = evaluate(run, known_at(run, CUT), after_the_cut(), CUT, Quiet())

    more = {"ENCM": 0, "LNCM": 0, "NeuMF": 1, "BMF": 1} if goes_on else dict.fromkeys(chosen.epochs, SHORT.epochs)
    assert {name: len(losses) for name, losses in run.evaluated.losses.items()} == {**more, "ENCM": 0}
    assert {name for name, row in run.rows["hide"].items() if row.get("without_weight")} == {"ENCM"}
    assert {name for name, row in run.rows["hide"].items() if row.get("ended_early")} == {"LNCM"}
    assert run.context_lift is None


# Leaks


def warm_evaluation(board: FittedModels, later: Interactions) -> TrainingRun:
    """Return a run whose evaluation fit went on from the active version's, with some events after the cut."""
    run = shop_of(joined(before_the_cut(), later), SHORT)
    run = replace(run, hyperparameters=hyperparameters(SHORT), active={"evaluation": learned(board)})
    with eagerly():
        return evaluate(run, known_at(run, CUT), later, CUT, Quiet())


def test_events_after_the_cut_leave_the_warm_evaluation_fit_unchanged_to_the_bit(board: FittedModels) -> None:
    more = [(100 + user, 500 + user % 16, "purchase", CUT + DAY + user) for user in range(N_USERS)]
    fits = [
        warm_evaluation(board, later).evaluated for later in (after_the_cut(), joined(after_the_cut(), events_of(more)))
    ]

    for name, network in fits[0].networks.items():
        assert len(fits[0].losses[name]) == 1, "the fit went on"
        for weight, values in network.arrays().items():
            np.testing.assert_array_equal(fits[1].networks[name].arrays()[weight], values, err_msg=f"{name} {weight}")
    for weight, values in fits[0].features.items():
        np.testing.assert_array_equal(fits[1].features[weight], values, err_msg=weight)


# The active version


@pytest.fixture
def weighted(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Gives every network that is read from a version a weight, except one."""

    def weigh_all_but(without: str) -> None:
        arrays = Version.arrays

        def read(version: Version, name: str) -> Mapping[str, Any]:
            found = dict(arrays(version, name))
            if "vars/signal_weights" in found:
                weight = 0 if name.endswith(f"{without.lower()}_model.weights.h5") else 1
                found["vars/signal_weights"] = np.full_like(found["vars/signal_weights"], weight)
            return found

        monkeypatch.setattr(Version, "arrays", read)

    return weigh_all_but


def test_both_fits_of_the_active_version_are_read_as_they_were(
    trained: Trained, weighted: Callable[[str], None]
) -> None:
    weighted("none")
    run = trained.run
    found = active_fits(run.settings.models_dir, run.settings.training, pytest.fail)

    assert found["evaluation"].data_until == run.cut - 1
    assert found["final"].data_until == int(run.final.data.timestamps.max())
    for name, models in (("evaluation", run.evaluated), ("final", run.final)):
        assert found[name].encoders.users.ids.tolist() == models.encoders.users.ids.tolist()
        assert found[name].encoders.items.ids.tolist() == models.encoders.items.ids.tolist()
        assert found[name].encoders.contexts.values == models.encoders.contexts.values
        for network, fitted in models.networks.items():
            for weight, values in fitted.arrays().items():
                if weight != "signal_weights":
                    np.testing.assert_array_equal(found[name].networks[network][weight], values)


def test_a_network_that_the_active_version_has_without_a_weight_is_left_out(
    trained: Trained, weighted: Callable[[str], None]
) -> None:
    """It was not trained: one epoch more would not be enough."""
    weighted("BMF")
    run = trained.run
    found = active_fits(run.settings.models_dir, run.settings.training, pytest.fail)

    assert all(set(learned.networks) == {*run.final.networks} - {"BMF"} for learned in found.values())


def test_networks_of_another_width_are_left_out(trained: Trained) -> None:
    run = trained.run
    wider = replace(run.settings.training, dim=run.settings.training.dim + 1)

    assert active_fits(run.settings.models_dir, wider, pytest.fail)["final"].networks == {}


def test_without_a_version_there_is_nothing_to_go_on_from_and_the_reason_is_told(tmp_path: object) -> None:
    notes: list[str] = []

    assert active_fits(tmp_path / "models", FAST, notes.append) == {}  # type: ignore[operator]
    assert len(notes) == 1
    assert "none is active" in notes[0]
