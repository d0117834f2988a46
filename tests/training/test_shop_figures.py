"""The figures of a shop in the history of training runs, and their plot in the report."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from recsys.artifacts import history
from recsys.training.closed_form.item_cf import item_cf
from recsys.training.report import page
from recsys.training.report_history import history_section
from recsys.training.shop_figures import figures
from tests.helpers.tiny_shop import Published
from tests.training.test_report import ENTRY

DAY = 86_400


def similarities(*values: float) -> dict[str, Any]:
    return {"similarities": np.array(values, np.float32)}


# Users and items of events, the numbers of both, similarities; the expected sparsity, density and mean.
CASES: dict[str, tuple[list[int], list[int], int, int, dict[str, Any] | None, tuple[Any, Any, Any]]] = {
    "repeats count once": ([0, 0, 1], [0, 0, 1], 2, 2, similarities(0.5, 0.25), (0.5, 1.0, 0.375)),
    "every pair": ([0, 0, 1, 1], [0, 1, 0, 1], 2, 2, similarities(1.0, 1.0), (0.0, 1.0, 1.0)),
    "a third of the pairs of products": (
        [0],
        [0],
        1,
        3,
        similarities(0.2, 0.2),
        (1 - 1 / 3, 1 / 3, pytest.approx(0.2)),
    ),
    "no similarity": ([0, 1], [0, 1], 2, 2, similarities(), (0.5, 0.0, None)),
    "one product": ([0, 1], [0, 0], 2, 1, similarities(), (0.0, None, None)),
    "nothing": ([], [], 0, 0, None, (None, None, None)),
    "not encoded": ([0, 1], [0, 1], 2, 2, None, (0.5, None, None)),
}


@pytest.mark.parametrize(("users", "items", "n_users", "n_items", "similar", "expected"), CASES.values(), ids=CASES)
def test_the_figures_of_a_shop(
    users: list[int], items: list[int], n_users: int, n_items: int, similar: Any, expected: tuple[Any, Any, Any]
) -> None:
    told = figures(np.array(users, np.int32), np.array(items, np.int32), n_users, n_items, similar)

    assert (told["n_users"], told["n_products"], told["n_interactions"]) == (n_users, n_items, len(users))
    assert (told["sparsity"], told["similarity_density"], told["avg_similarity"]) == expected


def test_sparsity_holds_for_more_pairs_than_an_int32_counts() -> None:
    told = figures(np.array([99_999], np.int32), np.array([99_999], np.int32), 100_000, 100_000)
    assert told["sparsity"] == 1 - 1e-10


@pytest.mark.parametrize("shrinkage", [0.0, 10.0])
def test_neither_density_nor_similarity_is_above_one_where_all_products_are_alike(shrinkage: float) -> None:
    from scipy import sparse

    matrix = sparse.csr_matrix(np.ones((30, 7), np.float32))
    users, items = np.nonzero(np.ones((30, 7)))

    told = figures(users, items, 30, 7, item_cf(matrix, shrinkage=shrinkage))

    assert (told["sparsity"], told["similarity_density"]) == (0.0, 1.0)
    assert told["avg_similarity"] == pytest.approx(30 / (30 + shrinkage))
    assert told["avg_similarity"] <= 1


def test_a_published_run_has_the_figures_of_its_version(published: Published) -> None:
    entry = history(published.models_dir)[-1]
    with published.load().version as version:
        counts = version.manifest["counts"]
        neighbours = version.arrays("item_cf.h5")

    assert (entry["n_users"], entry["n_products"], entry["n_interactions"]) == tuple(counts.values())
    assert entry["timestamp"] == entry["trained_at"]
    assert 0 < entry["sparsity"] < 1
    n_items = counts["items"]
    assert entry["similarity_density"] == len(neighbours["similarities"]) / (n_items * (n_items - 1))
    assert entry["avg_similarity"] == pytest.approx(float(neighbours["similarities"].mean()))


def run_at(day: int, *, published: str | None = "v", **changes: Any) -> dict[str, Any]:
    sizes = {"n_users": 10 + day, "n_products": 5, "n_interactions": 100 * day, "sparsity": 0.9}
    return {**ENTRY, "trained_at": day * DAY, "published": published, **sizes, **changes}


def test_the_report_plots_the_runs_so_far() -> None:
    past = [run_at(1), run_at(2, published=None), {"action": "rollback", "timestamp": 3 * DAY, "version": "v"}]
    html = page({**ENTRY, "trained_at": 4 * DAY}, {"BMF": [1.0]}, past)

    section = html.split("<h2>Training runs so far</h2>")[1]
    assert section.startswith("<p>3 runs; 1 of them, the dotted lines, were not published.</p><svg")
    assert {"n_users", "n_interactions", "sparsity", "MAP@10 of the winner"} <= set(
        re.findall(r"<!-- (.+?) -->", section)
    )


@pytest.mark.parametrize("entries", [[], [run_at(1)], [run_at(1), {"trained_at": "never"}]])
def test_one_run_is_no_history(entries: list[dict[str, Any]]) -> None:
    assert history_section(entries) == ""


def test_runs_without_figures_are_left_out_of_the_lines() -> None:
    old = [{"trained_at": day * DAY, "published": None, "reason": "too little"} for day in (1, 2)]
    assert "<svg" in history_section(old)
