"""benchmarks/scale.py: values by hand, the structure of the catalogue, the page, and one whole run."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import pages, scale
from benchmarks.scaling import catalogue as synthetic
from benchmarks.scaling.requests import ALL, allowed_items, ranked, shared, summary, switch_over, without_index
from recsys.artifacts.nearest import build
from recsys.recommending.loading import load
from recsys.scorers.registry import MODELS

N = 2000


@pytest.fixture(scope="module")
def catalogue() -> synthetic.Catalogue:
    return synthetic.make(N, np.random.default_rng(3))


@pytest.fixture(scope="module")
def models_dir(catalogue: synthetic.Catalogue, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    index = build(synthetic.vectors_of_bmf(catalogue, 3))
    synthetic.publish(catalogue, folder, np.random.default_rng(4), index, 3)
    return folder


def test_where_the_lines_cross_the_switch_over_is() -> None:
    # at 10,000 items the logarithms are ln 2 apart one way, at 40,000 ln 2 the other: they cross at 20,000
    assert switch_over([(10_000, 5.0, 10.0), (40_000, 20.0, 10.0)]) == pytest.approx(20_000)
    # ln 4 one way and ln 2 the other: two thirds of the way from 1,000 to 8,000 are 4,000
    assert switch_over([(1000, 1.0, 4.0), (8000, 8.0, 4.0)]) == pytest.approx(4000)


def test_where_candidates_always_win_it_is_the_smallest_size_and_where_they_never_do_there_is_none() -> None:
    assert switch_over([(10_000, 5.0, 4.0), (40_000, 20.0, 4.0)]) == 10_000
    assert switch_over([(10_000, 5.0, 6.0), (40_000, 6.0, 6.5)]) is None
    assert switch_over([]) is None


def test_percentiles_are_by_nearest_rank() -> None:
    assert summary(list(range(1, 101))) == {"p50": 50.5, "p95": 95, "n": 100}
    assert summary([3.0]) == {"p50": 3.0, "p95": 3.0, "n": 1}


def test_the_share_that_is_found() -> None:
    assert shared([1, 2, 3, 4], [4, 9, 1]) == 0.5
    assert shared([], [4]) == 1.0


def test_an_item_is_nearer_to_its_cluster_than_to_others_and_the_longer_the_more_popular(
    catalogue: synthetic.Catalogue,
) -> None:
    vectors = synthetic.vectors_of_bmf(catalogue, 3)
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    alike = directions @ directions.T
    same = catalogue.clusters[:, None] == catalogue.clusters

    assert alike[same & ~np.eye(N, dtype=bool)].mean() > alike[~same].mean() + 0.2
    lengths = np.linalg.norm(vectors, axis=1)
    assert lengths[np.argsort(catalogue.events)[-100:]].mean() > 3 * lengths[np.argsort(catalogue.events)[:1000]].mean()
    assert (catalogue.events >= 7).all()
    assert np.mean(catalogue.events > 81) == pytest.approx(0.01, abs=0.001)


def test_customers_take_from_few_clusters(catalogue: synthetic.Catalogue) -> None:
    for query in synthetic.cases(catalogue, np.random.default_rng(5), 40):
        _, counts = np.unique(catalogue.clusters[query.items], return_counts=True)

        assert len(query.items) < 20 or np.sort(counts)[-4:].sum() >= 0.7 * len(query.items)
        assert (np.diff(query.timestamps) >= 0).all()


def test_an_items_neighbours_are_of_its_cluster(catalogue: synthetic.Catalogue) -> None:
    table = synthetic.neighbours(catalogue, np.random.default_rng(6), 20)
    owners = np.repeat(catalogue.clusters, np.diff(table["starts"]))

    np.testing.assert_array_equal(owners, catalogue.clusters[table["neighbours"]])


def test_the_version_is_scored_both_ways_and_towers_have_the_spread_of_learned_ones(
    catalogue: synthetic.Catalogue, models_dir: Path
) -> None:
    bundle = load(models_dir)
    asked = synthetic.cases(catalogue, np.random.default_rng(5), 6)
    for query in asked:
        allowed = allowed_items(bundle, query, (0, 1))
        best, size = ranked(bundle, query, allowed, exhaustive=True)
        found, fewer = ranked(bundle, query, allowed, exhaustive=False)

        assert set(best) == set(found) == set(MODELS)
        assert fewer <= size == allowed.sum()
        assert all(allowed[items].all() for items in (*best.values(), *found.values()))
        assert set(without_index(bundle, query, allowed)) <= set(np.flatnonzero(allowed).tolist())
    for name, spread in synthetic.TOWERS.items():
        own = bundle.scorers[name].network
        without = type(own)(**{**vars(own), "mlp_output": np.zeros_like(own.mlp_output)})
        assert float((own.score(asked[0]) - without.score(asked[0])).std()) == pytest.approx(spread, rel=0.8)


def test_of_everything_only_the_own_items_may_not_be_answered(catalogue: synthetic.Catalogue, models_dir: Path) -> None:
    bundle = load(models_dir)
    [query] = synthetic.cases(catalogue, np.random.default_rng(5), 1)

    assert np.flatnonzero(~allowed_items(bundle, query, ALL)).tolist() == np.unique(query.items).tolist()


# The page

ROW = {
    "recall": dict.fromkeys(MODELS, 0.9876),
    "without_index": dict.fromkeys(MODELS, 0.5),
    "competing": 1234.0,
    "questions": 60,
    "exhaustive": {"p50": 400.25, "p95": 500.0, "n": 9},
    "candidates": {"p50": 10.0, "p95": 20.0, "n": 9},
}
RESULT = {
    "sizes": [
        {
            "items": 1_000_000,
            "index_s": 600.4,
            "index_bytes": 280_000_000,
            "resident": {"candidates": 300_000_000, "exhaustive": 2_000_000_000},
            "filters": dict.fromkeys(scale.FILTERS, ROW),
        }
    ],
    "switch_over": 31_499.0,
    "machine": "a machine",
    "python": "3.11.7",
}


def test_the_page_holds_the_figures() -> None:
    page = scale.markdown(RESULT)

    assert "| 1,000,000 | 400.2 | 500.0 | 10.0 | 20.0 | 1,234 | 600 | 280 | 300 / 2,000 |" in page
    assert "| 1,000,000 | a fifth | 0.988 (0.500) | 0.988 (0.500) | 0.988 (0.500) | 0.988 (0.500) |" in page
    assert "Candidates are faster from about 31,000 items on; a machine, Python 3.11.7.\n" in page


def test_the_page_is_written_between_its_markers_and_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, kept = tmp_path / "SCALE.md", tmp_path / scale.KEPT
    begin = pages.begin(scale.NAME)
    page.write_text(f"# Before\n\n{begin}{pages.END}\nAfter\n", encoding="utf-8")
    assert scale.main(["--markdown", str(page)], tmp_path) == 0
    assert page.read_text(encoding="utf-8") == f"# Before\n\n{begin}{pages.NOT_TAKEN}{pages.END}\nAfter\n"

    kept.parent.mkdir(parents=True)
    kept.write_text(json.dumps(RESULT), encoding="utf-8")
    assert scale.main(["--markdown", str(page), "--check"], tmp_path) == 1
    assert scale.main(["--markdown", str(page)], tmp_path) == 0
    assert scale.main(["--markdown", str(page), "--check"], tmp_path) == 0
    assert "1,000,000" in page.read_text(encoding="utf-8")
    assert "says what was measured" in capsys.readouterr().out


def test_the_page_of_this_repository_says_what_was_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert scale.main(["--markdown", str(scale.ROOT / "docs" / "SCALE.md"), "--check"]) == 0


@pytest.mark.parametrize("flags", [["--sizes", "0"], ["--sizes", "many"], ["--rounds", "-1"], ["--questions", "0"]])
def test_flags_that_mean_nothing_are_refused(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        scale.main(flags)

    assert "should be a positive integer" in capsys.readouterr().err


@pytest.mark.slow
def test_a_whole_run_prints_its_tables_and_writes_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = tmp_path / "scale.json"

    assert scale.main(["--sizes", str(N), "--questions", "4", "--rounds", "1", "--json", str(written)]) == 0
    [row] = json.loads(written.read_text(encoding="utf-8"))["sizes"]
    assert row["items"] == N
    assert 0 < row["index_bytes"] < row["version_bytes"]
    for told in row["filters"].values():
        assert told["questions"] == 4
        assert told["exhaustive"]["n"] == told["candidates"]["n"] == 4
        assert all(0 <= told["without_index"][name] <= told["recall"][name] <= 1 for name in MODELS)
    out = capsys.readouterr().out
    assert "2,000" in out
    assert "a fifth" in out
