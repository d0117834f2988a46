"""Evaluation fits on the same later events: a kept fit scores as the run did, and each segment has its scorer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from recsys.artifacts import Draft, Version, current, open_version
from recsys.lifecycle.comparison import agreement, average_precisions, shared_cases, stored_fit
from recsys.lifecycle.gate import PairedFigures
from recsys.recommending.loading import load
from recsys.scorers.registry import REGISTRY
from recsys.training.run import TrainingRun
from recsys.training.verdict import fit_of, later_events, paired_figures
from tests.helpers.second_version import second_version
from tests.helpers.tiny_shop import Published, Trained


@pytest.fixture
def version(published: Published) -> Version:
    return current(published.models_dir)


def test_the_kept_fit_scores_as_the_run_did(trained: Trained, version: Version) -> None:
    run = trained.run
    events = later_events(run, run.cut)
    shared = shared_cases(events, run.evaluated.encoders.contexts)
    kept = stored_fit(version, run.catalogue)
    assert kept is not None

    found = average_precisions(kept, shared, events)

    np.testing.assert_array_equal(found, average_precisions(fit_of(run.evaluated, run.serves), shared, events))
    known = run.evaluation_set.known
    assert len(found) == known.sum()
    assert found.mean() == pytest.approx(run.evaluations[run.winner].per_user["map10"][known].mean())


@pytest.mark.parametrize("name", REGISTRY)
def test_every_scorer_of_the_registry_can_be_compared(trained: Trained, name: str) -> None:
    run = trained.run
    events = later_events(run, run.cut)
    shared = shared_cases(events, run.evaluated.encoders.contexts)

    found = average_precisions(fit_of(run.evaluated, {"all": name}), shared, events)

    assert np.isfinite(found).all()
    known = run.evaluation_set.known
    assert found.mean() == pytest.approx(run.evaluations[name].per_user["map10"][known].mean(), abs=1e-6)


def test_a_user_that_the_older_fit_does_not_know_has_a_history_all_the_same(trained: Trained) -> None:
    """The later moment is a month before the last event: by then there are events that the fit has not seen."""
    run = trained.run
    events = later_events(run, int(run.events.timestamps.max()) - 30 * 86_400)
    shared = shared_cases(events, run.evaluated.encoders.contexts)
    strangers = replace(run.evaluated.encoders, users=replace(run.evaluated.encoders.users, ids=np.array([-1])))
    fit = fit_of(run.evaluated, {"all": "user_frequency"})

    assert len(shared) > 10
    np.testing.assert_array_equal(
        average_precisions(fit, shared, events), average_precisions(replace(fit, encoders=strangers), shared, events)
    )


def test_each_segment_is_scored_by_its_own_scorer(trained: Trained) -> None:
    run = trained.run
    events = later_events(run, run.cut)
    shared = shared_cases(events, run.evaluated.encoders.contexts)

    def scored(serves: Mapping[str, str]) -> Any:
        return average_precisions(fit_of(run.evaluated, serves), shared, events)

    mixed, blend, popular = (
        scored(serves) for serves in ({"all": "blend", "known": "popularity"}, {"all": "blend"}, {"all": "popularity"})
    )

    n_events = np.array([np.count_nonzero(events.before.users == user) for user in shared.users])
    clear = (n_events >= 8) | (n_events <= 3)  # some events are on items that no scorer knows
    np.testing.assert_array_equal(mixed[clear], np.where(n_events >= 8, popular, blend)[clear])


def test_two_equal_fits_agree_and_opposite_ones_do_not(trained: Trained) -> None:
    run = trained.run
    events = later_events(run, run.cut)
    shared = shared_cases(events, run.evaluated.encoders.contexts)
    fit = fit_of(run.evaluated, {"all": "popularity"})

    class Opposite:
        n_items = len(run.evaluated.encoders.items)

        def score(self, query: Any, *_: Any) -> Any:
            return -fit.scorers["popularity"].score(query)

    assert agreement([fit, fit], shared, events) == 1
    opposite = replace(fit, scorers={"popularity": Opposite()})
    found = agreement([fit, opposite], shared, events)
    assert found is not None
    assert found < 0.2


def compared(run: TrainingRun, version: Version) -> PairedFigures | str:
    return paired_figures(run, run.serves, run.cut, version)


def test_a_version_compared_with_itself_is_equal(trained: Trained, version: Version) -> None:
    found = compared(trained.run, version)

    assert isinstance(found, PairedFigures)
    assert found.since == trained.run.cut == version.manifest["evaluation_cut"]
    np.testing.assert_array_equal(found.candidate, found.active)
    events = later_events(trained.run, found.since)
    users = shared_cases(events, trained.run.evaluated.encoders.contexts).users
    assert found.n_events.tolist() == [int((events.before.users == user).sum()) for user in users]


def test_the_later_of_both_cuts_counts(trained: Trained, version: Version) -> None:
    later = trained.run.cut + 10 * 86_400
    manifest = MappingProxyType({**version.manifest, "evaluation_cut": later})

    found = compared(trained.run, replace(version, manifest=manifest))

    assert isinstance(found, PairedFigures)
    assert found.since == later


def test_a_version_without_its_whole_evaluation_fit_is_not_scored(
    trained: Trained, published: Published, tmp_path: Path
) -> None:
    def older(draft: Draft, first: Version) -> None:
        draft.path("evaluation/contexts.json").unlink()

    shop = published.copy(tmp_path)
    with open_version(shop.models_dir, second_version(shop, older)) as version:
        assert compared(trained.run, version) == "it is too old to hold all of its evaluation fit"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"id_type": {"users": "str", "items": "int"}}, "its ids have another type"),
        ({"protocol": "loo99"}, "only versions that are evaluated by one cut in time have later events in common"),
        ({"evaluation_cut": 2**40}, "0 known users chose something later, 10 are needed"),
    ],
)
def test_versions_that_cannot_be_compared_say_why(
    trained: Trained, version: Version, changes: dict[str, Any], why: str
) -> None:
    other = replace(version, manifest=MappingProxyType({**version.manifest, **changes}))

    assert compared(trained.run, other) == why


# Serving


def test_a_segment_with_a_scorer_of_its_own_is_served_by_it(published: Published, tmp_path: Path) -> None:
    def for_guests(draft: Draft, first: Version) -> None:
        stored = first.json("selection.json")
        draft.path("selection.json").unlink()
        guests = {"best": "item_cf", "mean": {}, "spread": {}, "strength": 10.0}
        draft.write_json("selection.json", {**stored, "segments": {"guests": guests}})

    shop = published.copy(tmp_path)
    bundle = load(shop.models_dir, name=second_version(shop, for_guests))
    viewed = [{"item_id": item, "event": "view"} for item in (104, 107)]

    assert bundle.priors.best != "item_cf"
    assert shop.ask(bundle, interactions=viewed[:1]).model == "item_cf"
    assert shop.ask(bundle, interactions=viewed).model == bundle.priors.best
