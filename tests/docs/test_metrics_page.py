"""docs/METRICS.md: the example is computed by the code, the tables are the kept ones; benchmarks/metrics_table.py."""

import json
import math
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import metrics_table, pages
from benchmarks.metrics import peers
from benchmarks.metrics.lists import CASES, FIGURES, K, as_json, ours
from recsys.evaluation.metrics import Calibration
from recsys.evaluation.protocol import EvaluationCase, EvaluationSet
from recsys.evaluation.results import summarise
from recsys.features.query import Query
from recsys.training.report import COLUMNS
from tests.helpers.evaluation import evaluate_one

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/METRICS.md"
TEXT = PAGE.read_text(encoding="utf-8")
KEPT = ROOT / metrics_table.KEPT


def section(title: str) -> str:
    return TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


class OfTheExample:
    """The scorer of the example; its scores are the page's."""

    def __init__(self) -> None:
        _, *cells = rows(section("An example by hand"))[2]
        self.scores = np.array([float(cell) for cell in cells], np.float32)
        self.n_items = len(self.scores)

    def score(self, query: Query, items: Any = None) -> Any:
        return self.scores if items is None else self.scores[items]


def test_the_example_is_what_the_code_computes() -> None:
    told = {
        name: float(value)
        for name, _, value in (
            row for row in rows(section("An example by hand")) if len(row) == 3 and row[2][0].isdigit()
        )
    }
    query = Query(0, *(np.zeros(0, kind) for kind in (np.int32, np.float32, np.int64, np.int32)), now=0)
    ann = EvaluationCase(query, np.array([2, 4, 6], np.int32), 1, np.array([0], np.int32))
    sold = np.array([True] * 6 + [False])
    others = np.array([1, 1, 3, 3, 5, 5, 1, 3], np.int32)
    evaluation_set = EvaluationSet(
        (ann,), np.ones(1, bool), 0, sold, (np.concatenate([np.array([2, 4], np.int32), others]),)
    )
    result = evaluate_one(OfTheExample(), evaluation_set)
    row = summarise(result, evaluation_set, AsToldThere(1.0, 0.0), np.random.default_rng(1))

    assert result.lists[0].tolist() == [1, 2, 3, 4, 5]
    figures = {"P@10": "precision10", "AP@10": "map10", "NDCG@10": "ndcg10", "HR@10": "hr10", "Recall@10": "recall10"}
    figures |= {"AUC": "auc", "RMSE": "rmse", "coverage": "coverage"}
    assert told == {name: pytest.approx(row[column], abs=5e-5) for name, column in figures.items()}


class AsToldThere(Calibration):
    """Gives the probabilities of the example: 0.7 and 0.5 to the relevant ones, 0.1 to the others."""

    def apply(self, logits: Any) -> Any:
        return np.array([0.7, 0.5] + [0.1] * (len(logits) - 2))


def test_the_calculations_of_the_example_give_its_values() -> None:
    told = [row[1:] for row in rows(section("An example by hand")) if len(row) == 3 and row[2][0].isdigit()]
    computed = 0
    for by_hand, value in told:
        formula = by_hand.rpartition(": ")[2].replace("·", "*").replace("²", "**2").replace("√", "sqrt")
        if re.fullmatch(r"[\d\s+*/().,a-z]+", formula) and any(sign in formula for sign in "+/"):
            names = {"min": min, "log2": math.log2, "sqrt": math.sqrt}
            assert evaluated(formula, names) == pytest.approx(float(value), abs=5e-5), by_hand
            computed += 1
    assert computed == 6


def evaluated(formula: str, names: Mapping[str, Any]) -> float:
    return float(eval(formula, {"__builtins__": {}}, dict(names)))


def test_every_figure_of_the_tables_is_defined() -> None:
    defined = section("Definitions")
    for title in [
        *FIGURES.values(),
        *COLUMNS.values(),
        "Recall@20",
        "own_part",
        "own_part_low",
        "context lift",
        "unseen_map10",
    ]:
        word = {"Coverage": "coverage", "Recall": "Recall@10", "Unseen MAP": "unseen_map10"}.get(title, title)
        assert word in (defined if word != "unseen_map10" else TEXT), title


# The kept figures


def test_the_page_says_what_was_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert metrics_table.main(["--markdown", str(PAGE), "--check"]) == 0
    assert "METRICS.md says what was measured." in capsys.readouterr().out


def test_a_page_that_says_something_else_is_found(tmp_path: Path) -> None:
    page = tmp_path / "METRICS.md"
    page.write_text(f"a\n{pages.begin('metrics')}b\n{pages.END}", encoding="utf-8")

    assert metrics_table.main(["--markdown", str(page), "--check"]) == 1
    assert page.read_text(encoding="utf-8").startswith("a\n<!-- results: metrics -->\nb\n")
    assert metrics_table.main(["--markdown", str(page)]) == 0
    assert metrics_table.main(["--markdown", str(page), "--check"]) == 0


@pytest.mark.parametrize("what", ["lists", "packages"])
def test_figures_of_other_lists_or_packages_are_refused(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = json.loads(KEPT.read_text(encoding="utf-8"))
    if what == "lists":
        kept["lists"]["k"] = 20
    else:
        kept["libraries"]["lenskit"]["packages"][0] = "lenskit==2026.4.0"
    path = tmp_path / metrics_table.KEPT
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(kept), encoding="utf-8")
    page = shutil.copy(PAGE, tmp_path)

    assert metrics_table.main(["--markdown", str(page), "--check"], root=tmp_path) == 1
    assert re.search(
        r"metrics.json should hold today's lists and packages. Received others for .*lenskit", capsys.readouterr().err
    )


def test_what_is_kept_is_of_every_library_and_every_list() -> None:
    libraries = json.loads(KEPT.read_text(encoding="utf-8"))["libraries"]

    assert list(libraries) == list(metrics_table.LIBRARIES) == [peer.__name__ for peer in peers.PEERS]
    for of in libraries.values():
        assert list(of["figures"]) == list(CASES)
        assert all(set(told) <= set(FIGURES) for told in of["figures"].values())
        assert of["figures"]["one"]["ndcg"] is not None, "every one of them has NDCG"


def test_a_file_is_written_as_it_is_read(tmp_path: Path) -> None:
    libraries = json.loads(KEPT.read_text(encoding="utf-8"))["libraries"]
    metrics_table.keep(tmp_path / "metrics.json", dict(reversed(libraries.items())))

    assert (tmp_path / "metrics.json").read_text(encoding="utf-8") == KEPT.read_text(encoding="utf-8")


def kept(library: str, case: str, figure: str) -> Any:
    return json.loads(KEPT.read_text(encoding="utf-8"))["libraries"][library]["figures"][case].get(figure)


# What the page says in words, so that a new version of a library cannot make it untrue unnoticed.
@pytest.mark.parametrize(
    ("library", "case", "figure", "expected"),
    [
        *((name, "many", "map", 0.5) for name in ("pytrec_eval", "ir_measures", "ranx", "rectools", "keras_rs")),
        *((name, "many", "map", 1.0) for name in ("implicit", "recommenders", "replay", "lenskit", "recbole")),
        ("torchmetrics", "two", "map", 1.0),
        ("rectools", "one", "ndcg", 0.220092),
        ("lenskit", "short", "ndcg", 1.0),
        *(("torchmetrics", "zero", figure, 0.0) for figure in ("precision", "map", "recall")),
        *(("torchmetrics", "zero", figure, 1.0) for figure in ("ndcg", "hit_rate")),
        ("pytrec_eval", "ties", "map", 0.333333),
        ("replay", "ties", "map", 0.333333),
        ("recpack", "ties", "ndcg", 0.5),
        *((name, "ties", "ndcg", 0.640402) for name in ("sklearn", "torchmetrics")),
        ("cornac", "ties", "auc", 0.0),
        *(("lenskit", "brief", figure, 1.0) for figure in ("precision", "map")),
        *((name, "short", "precision", 0.333333) for name in ("lenskit", "keras_rs")),
        ("lenskit", "many", "recall", 1.0),
        ("implicit", "one", "precision", 1.0),
        ("implicit", "many", "auc", 0.75),
        ("implicit", "last", "auc", 0.045455),
        *((name, "two", "auc", 1.0) for name in ("replay",)),
        *(("recommenders", "unasked", figure, 1.0) for figure in ("map", "recall")),
        ("recommenders", "unasked", "ndcg", 0.5),
        *((name, "unasked", "recall", 1.0) for name in ("pytrec_eval", "lenskit")),
        ("recommenders", "nobody", "auc", 0.978261),
    ],
)
def test_what_the_page_says_of_a_library_is_what_it_printed(
    library: str, case: str, figure: str, expected: float
) -> None:
    assert kept(library, case, figure) == pytest.approx(expected, abs=1e-6)


# The table


@pytest.mark.parametrize(
    ("told", "here", "cell"),
    [
        ({"map": 0.5}, 0.5, "·"),
        ({"map": 0.50001}, 0.5, "·"),  # float32
        ({"map": 1.0}, 0.5, "1"),
        ({"map": 0.0}, None, "0"),
        ({"map": None}, 0.5, "none"),
        ({"map": None}, None, "·"),
        ({"map": "ZeroDivisionError"}, 0.5, "`ZeroDivisionError`"),
        ({}, 0.5, "–"),
    ],
)
def test_a_cell_says_what_is_different(told: dict[str, Any], here: float | None, cell: str) -> None:
    assert metrics_table._cell(told, here, "map") == cell


def test_our_figures_of_the_lists_by_hand() -> None:
    here = {name: ours(case.users) for name, case in CASES.items()}
    second, three = 1 / math.log2(3), 1 + 1 / math.log2(3) + 1 / 2

    assert here["many"] == {"precision": 1, "map": 1, "ndcg": 1, "hit_rate": 1, "recall": 10 / 20, "auc": 1}
    assert here["two"] == pytest.approx(
        {"precision": 0.1, "map": 0.5, "ndcg": 1 / (1 + second), "hit_rate": 1, "recall": 0.5, "auc": 0.5}
    )
    assert here["miss"] == pytest.approx(here["two"]), "not in the list or not known: a miss is a miss"
    assert (
        here["ties"]
        == here["short"]
        == pytest.approx({"precision": 0.1, "map": 0.5, "ndcg": second, "hit_rate": 1, "recall": 1, "auc": 0.5})
    )
    ideal = three + 1 / math.log2(5) + 1 / math.log2(6)
    assert here["brief"] == pytest.approx(
        {"precision": 0.1, "map": 1 / 5, "ndcg": 1 / ideal, "hit_rate": 1, "recall": 1 / 5, "auc": None}
    )
    assert here["all"]["auc"] is None
    assert here["nobody"] == here["one"]
    assert here["unasked"]["recall"] == 0.5


def test_adapters_read_the_lists_as_they_are() -> None:
    ties, brief = (as_json()["cases"][name] for name in ("ties", "brief"))

    assert as_json()["k"] == K
    assert peers.ranked(ties[0]) == [1, 2, 3, 4]
    assert peers.labels(ties[0]) == [0, 1, 0, 0]
    assert (peers.beyond(ties), peers.beyond(brief)) == (False, True)
    assert [peers.attempted(of) for of in (lambda: 1 / 3, lambda: math.nan, lambda: 1 / 0)] == [
        0.333333,
        None,
        "ZeroDivisionError",
    ]


@pytest.mark.parametrize("library", metrics_table.LIBRARIES.values(), ids=list(metrics_table.LIBRARIES))
def test_every_package_is_pinned(library: metrics_table.Library) -> None:
    assert all(re.fullmatch(r"[\w-]+==[\w.]+", package) for package in [library.package, *library.beside])


@pytest.mark.parametrize("script", sorted((ROOT / "findings").glob("*.sh")), ids=lambda path: path.stem)
def test_a_finding_installs_pinned_packages_in_a_folder_that_it_removes(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    commands = re.findall(r"(?:pip\"|npm) install ([^#>\n]+)", text)
    packages = [word for command in commands for word in command.split() if word[0] != "-"]

    assert script.stat().st_mode & 0o111
    assert packages
    assert all(re.fullmatch(r".+(==|@)\d[\w.]*", package.strip("\"'")) for package in packages), packages
    assert "folder=$(mktemp -d)\ntrap 'rm -rf \"$folder\"' EXIT\n" in text
    assert re.match(r"#!/usr/bin/env bash\n# \S+ .*\d", text)
    assert re.search(r"^# Seen: ", text, re.MULTILINE)
