"""The index of items: a large catalogue has one, if its recall is high for every network."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recsys.artifacts import Draft, Nearest, Version, open_version
from recsys.scorers.retrieval import Candidates
from recsys.training import ann_index as module
from recsys.training.ann_index import recall, write_candidates
from recsys.training.run import TrainingRun
from tests.helpers.tiny_shop import LEARNED, NOW, Trained

N_ITEMS = len(LEARNED)


def written(run: TrainingRun, folder: Path, notes: list[str]) -> Version:
    """Return a version with the files of `write_candidates` and one other file."""
    with Draft.create(folder, NOW) as draft:
        draft.write_json("other.json", {})
        write_candidates(draft, run, notes.append)
        return open_version(folder, draft.publish({}))


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXHAUSTIVE_UP_TO", N_ITEMS - 1)


def test_a_catalogue_that_is_scored_as_a_whole_has_no_index(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "EXHAUSTIVE_UP_TO", N_ITEMS)
    notes: list[str] = []

    with written(trained.run, tmp_path, notes) as version:
        assert not version.holds("candidates.usearch") and not version.holds("candidates.h5")
    assert notes == []


def test_a_larger_catalogue_has_an_index_of_bmf_vectors_with_its_recall(trained: Trained, tmp_path: Path, many: None):
    notes: list[str] = []
    vectors = trained.final.networks["BMF"].arrays()["item_factors"]

    with written(trained.run, tmp_path, notes) as version:
        index = Nearest.open(version.file("candidates.usearch"), "the index", dim=vectors.shape[1], n=N_ITEMS)
        stored = version.arrays("candidates.h5")
        assert "sha256" in next(entry for entry in version.manifest["files"] if entry["path"] == "candidates.usearch")
    nearest = index.search(vectors[3], 5)
    np.testing.assert_array_equal(nearest, np.argsort(-(vectors @ vectors[3]))[:5])
    popularity = trained.final.features["popularity"]
    np.testing.assert_array_equal(stored["popular"][:4], np.argsort(-popularity, axis=1, kind="stable"))
    data = trained.final.data
    now = int(data.timestamps.max())
    guest = data.query(data.n_users, context=data.unknown_context, now=now, repeats=False)
    for name, best in zip(trained.final.networks, stored["popular"][4:], strict=True):
        scores = trained.final.scorers[name].score(guest)
        np.testing.assert_array_equal(best, np.argsort(-scores, kind="stable"))
    # the retrieved lists are longer than the catalogue
    assert [stored[f"recall10_{name}"] for name in trained.final.networks] == [1.0] * len(trained.final.networks)
    recalls = ", ".join(f"{name} 1.000" for name in trained.final.networks)
    assert notes == [f"The index of items finds, of each model's 10 best: {recalls}."]


def test_without_the_library_there_is_no_index_and_the_note_says_the_fix(
    trained: Trained, tmp_path: Path, many: None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "installed", lambda: False)
    notes: list[str] = []

    with written(trained.run, tmp_path, notes) as version:
        assert not version.holds("candidates.usearch")
    reason = 'usearch is not installed (pip install ".[ann]")'
    assert notes == [f"No index of items: {reason}. Every request will score all {N_ITEMS} items."]


def test_without_bmf_there_is_no_index(trained: Trained, tmp_path: Path, many: None):
    notes: list[str] = []
    others = {name: network for name, network in trained.final.networks.items() if name != "BMF"}

    with written(replace(trained.run, final=replace(trained.final, networks=others)), tmp_path, notes) as version:
        assert not version.holds("candidates.usearch")
    assert notes == [f"No index of items: BMF is missing. Every request will score all {N_ITEMS} items."]


def test_an_index_that_misses_too_much_is_not_published(
    trained: Trained, tmp_path: Path, many: None, monkeypatch: pytest.MonkeyPatch
):
    shares = {"ENCM": 0.949, "LNCM": 1.0, "NeuMF": 1.0, "BMF": 1.0}
    monkeypatch.setattr(module, "recall", lambda *_, **__: shares)
    notes: list[str] = []

    with written(trained.run, tmp_path, notes) as version:
        assert not version.holds("candidates.usearch") and not version.holds("candidates.h5")
    assert notes == [
        "No index of items: it should find 0.95 of each model's 10 best. "
        "Found: ENCM 0.949, LNCM 1.000, NeuMF 1.000, BMF 1.000. "
        f"Every request will score all {N_ITEMS} items."
    ]


class FixedCandidates(Candidates):
    """Candidates that are always the same."""

    def __init__(self, items: list[int]) -> None:
        object.__setattr__(self, "items", np.array(items, np.int32))

    def of(self, query, allowed, scorers=()):  # type: ignore[no-untyped-def]
        return self.items


def test_recall_is_the_mean_share_of_the_ten_best_that_are_candidates(trained: Trained):
    run, final, everything = trained.run, trained.final, FixedCandidates(list(range(N_ITEMS)))
    repeating = replace(run, protocol="loo99")
    assert recall(everything, repeating) == dict.fromkeys(final.networks, 1.0)
    assert recall(FixedCandidates([]), repeating) == dict.fromkeys(final.networks, 0.0)
    # the two halves are a partition of the items, so their recalls add up to 1
    halves = [recall(FixedCandidates(list(range(first, N_ITEMS, 2))), run) for first in (0, 1)]
    for name in final.networks:
        assert halves[0][name] + halves[1][name] == pytest.approx(1)
        assert 0 < halves[0][name] < 1
