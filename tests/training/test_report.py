"""The training report: ablation gains of the networks and curves of losses."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.evaluation.protocol import EvaluationCase, EvaluationSet
from recsys.evaluation.results import EvaluationResult
from recsys.features.query import Query
from recsys.scorers.registry import REGISTRY
from recsys.training.report import COLUMNS, MEANINGS, ROOT, metrics_link, network_gains, page
from recsys.training.sentences import hits, users_behind, who_is_served, why_the_star
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
        "LNCM": {"own_part": 0.0, "own_part_low": -0.001, "ended_early": True},
        "BMF": {"own_part": 0.012, "own_part_low": -0.001},
        "blend": {},
    }
    adds = (
        "What each network adds to the ensemble of shared features, NDCG@10: "
        "ENCM +0.0120 (at least +0.0040), LNCM nothing that is certain (its training ended early), "
        "BMF nothing that is certain."
    )
    idle = {"own_part": 0.0, "own_part_low": 0.0, "without_weight": True}
    needless = (
        "No weight beside the features: NeuMF. So answers by these names are those of blend, they are not trained "
        "further, and the shop loses nothing without them."
    )

    assert network_gains(rows) == adds
    assert network_gains({"NeuMF": idle, **rows}) == f"{adds} {needless}"
    assert network_gains({"NeuMF": idle, "blend": {}}) == needless


ROW = {**dict.fromkeys((*COLUMNS, "map10_low", "map10_high"), 0.1), "users": 9, "unseen_users": 3}
ENTRY = {
    "protocol": "time",
    "rule": "hide",
    "winner": "BMF",
    "rows": {"hide": dict.fromkeys(REGISTRY, ROW)},
    "users_without_relevant": 0,
    "validation": {"map10": {"BMF": 0.1}},
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


def test_a_network_that_was_not_trained_has_no_curve() -> None:
    drawing = page(ENTRY, {"LNCM": [], "BMF": [1.0]}).split("Loss of each epoch")[1]

    assert "<!-- BMF -->" in drawing
    assert "<!-- LNCM -->" not in drawing
    assert "Loss of each epoch" not in page(ENTRY, {"LNCM": [], "BMF": []})


def cells_of(table: str) -> list[list[str]]:
    """Return the inner HTML of a table's cells, row by row."""
    return [re.findall(r"<t[hd]>(.*?)</t[hd]>", row) for row in table.split("<tr")[1:]]


def test_the_table_has_the_best_scorer_first_the_winner_marked_and_a_dash_for_no_value() -> None:
    rows = {"BMF": {**ROW, "auc": None}, "ease": {**ROW, "map10": 0.25}, "popularity": {**ROW, "map10": None}}

    head, *body = cells_of(page({**ENTRY, "rows": {"hide": rows}}, {"BMF": [1.0]}).split("<table")[1])

    values = ["0.1000"] * len(COLUMNS)
    assert head == ["Scorer", *COLUMNS.values()]
    assert body == [
        ["ease", "0.2500", *values[1:]],
        ["<b>BMF ★</b>", *(("–" if name == "auc" else "0.1000") for name in COLUMNS)],
        ["popularity", "–", *values[1:]],
    ]


def test_dropped_rows_are_listed_in_full_and_as_text() -> None:
    reason = "duplicates <within> one second & of one user, which an impatient click makes"
    cleaning = {**ENTRY["cleaning"], "dropped": {reason: 1_234_567, "bots": 0}}

    *_, table = page({**ENTRY, "cleaning": cleaning}, {"BMF": [1.0]}).split("<table")

    assert cells_of(table) == [
        ["Dropped", "Rows"],
        [reason.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"), "1,234,567"],
        ["bots", "0"],
    ]


def entry(winner: str = "BMF", *, rule: str = "hide", users: int = 1423, **changed: Any) -> dict[str, Any]:
    """Return an entry in which ease is first on the test, and BMF in validation."""
    rows = {
        "BMF": {**ROW, "hr10": 0.6149, "map10": 0.2},
        "ease": {**ROW, "map10": 0.25},
        "popularity": {**ROW, "hr10": 0.3775},
    }
    filled = {rule: {name: {**row, "users": users} for name, row in rows.items()}}
    validation = {"map10": {"BMF": 0.3, "ease": 0.2, "popularity": 0.1}, "users": 412}
    bought = {"relevant_events": ["purchase"]}
    return {**ENTRY, **bought, "rule": rule, "winner": winner, "rows": filled, "validation": validation, **changed}


@pytest.mark.parametrize(
    ("run", "sentence"),
    [
        (
            entry(),
            "61 of 100 customers bought one of the ten products that BMF would have shown them; "
            "with best-sellers 38 of 100.",
        ),
        (
            entry(users=13),
            "8 of 13 customers bought one of the ten products that BMF would have shown them; "
            "with best-sellers 5 of 13.",
        ),
        (
            entry(relevant_events=["purchase", "cart"]),
            "61 of 100 customers chose (purchase or cart) one of the ten products that BMF would have shown them; "
            "with best-sellers 38 of 100.",
        ),
        (
            entry("popularity"),
            "38 of 100 customers bought one of the ten products that popularity would have shown them. "
            "These are the best-sellers: nothing that was learned is better.",
        ),
        (
            entry(protocol="loo99", rule="allow"),
            "61 of 100 customers bought one of the ten products that BMF ranked first among 100; "
            "with best-sellers 38 of 100.",
        ),
    ],
)
def test_hits_are_told_of_customers(run: dict[str, Any], sentence: str) -> None:
    assert hits(run) == [sentence]
    assert sentence in page(run, {"BMF": [1.0]})


def test_without_known_users_no_hits_are_told() -> None:
    assert hits(entry(users=0)) == []


def test_the_users_behind_the_figures_are_counted_and_few_are_called_few() -> None:
    many, few = (" ".join(users_behind(entry(users=users, users_without_relevant=1200))) for users in (1423, 13))

    assert "1,423 customers" in many
    assert "1,200 more" in many
    assert "3 customers were new" in many
    assert "few" not in many
    assert "may be chance" in few


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (entry("ease"), "and it is first here, too"),
        (entry(), "of 412 users, where its MAP@10 is the highest: 0.3000"),
        (entry(), "although ease is first here (0.2500; BMF has 0.2000)"),
        (entry("ease", validation={"map10": {"ENCM": 0.3, "blend": 0.3, "ease": 0.2}}), "from the best, blend"),
        (entry("popularity", rows={"hide": dict.fromkeys(REGISTRY, ROW)}), "and it is first here, too"),
        (entry("popularity", validation={"map10": {"BMF": 0.3, "popularity": 0.3}}), "MAP@10 is the highest: 0.3000"),
        (
            entry("popularity", verdict={"warnings": ["Popularity serves the segment `all`, 90 users: …"]}),
            "BMF has the highest MAP@10 in validation of 412 users, but loses to popularity",
        ),
        (entry(validation={"map10": {}}), "too few users to choose"),
        (
            entry(validation={"map10": {"ENCM": 0.31, "BMF": 0.3}}),
            "cannot tell it from the best, ENCM (0.3100; BMF has 0.3000), and it costs less to serve",
        ),
    ],
)
def test_the_star_says_why_it_need_not_be_the_first_row(run: dict[str, Any], words: str) -> None:
    sentence = why_the_star(run, "hide")

    assert sentence.startswith(f"★ {run['winner']} serves")
    assert words in sentence


def test_under_another_rule_the_star_says_that_it_was_not_chosen_by_it() -> None:
    run = entry()
    run["rows"]["allow"] = run["rows"]["hide"]

    assert "chosen by the shop's own rule" in why_the_star(run, "allow")
    assert re.findall(r"<h2>(Bought|Repeats)", page(run, {"BMF": [1.0]})) == ["Bought", "Repeats"]


@pytest.mark.parametrize(("each", "words"), [(True, "answered by that one"), (False, "one scorer answers all")])
def test_the_choice_for_single_customers_is_told(each: bool, words: str) -> None:
    assert words in who_is_served(entry(per_user_choice=each))


def test_every_column_is_explained() -> None:
    assert list(MEANINGS) == list(COLUMNS.values())


def test_the_definitions_are_linked_where_the_link_leads_to_them(tmp_path: Path) -> None:
    folder = ROOT / "models" / "20261120T233000Z-0f1e2d3c"

    link = metrics_link(folder)

    assert link is not None
    assert (folder / link).resolve() == ROOT / "docs" / "METRICS.md"
    assert metrics_link(tmp_path) is None
    assert "<a href='../../docs/METRICS.md'>" in page(entry(), {"BMF": [1.0]}, metrics=link)
    assert "in the project's folder" in page(entry(), {"BMF": [1.0]}, metrics=None)


def test_the_page_needs_no_other_file() -> None:
    drawn = page(entry(), {"BMF": [1.0]})

    assert re.findall(r"<(?:script|link|img|iframe)\b", drawn) == []
    assert "width=device-width" in drawn
