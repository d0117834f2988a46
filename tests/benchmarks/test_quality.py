"""benchmarks/quality.py: means, intervals and differences by hand, the file, the tables, and one whole run."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from benchmarks import quality
from benchmarks.measuring import tables
from benchmarks.measuring.results import METRICS, EvaluationResult
from benchmarks.measuring.runs import Run, Task, Watch
from benchmarks.measuring.summary import difference, paired, row, summarise, winner
from benchmarks.sets import SETS
from recsys.networks.fit import Epoch
from recsys.scorers.registry import MODELS, REGISTRY
from tests.benchmarks.test_sets import write, write_online_retail

RETAIL = SETS["online-retail"]
FEW = SimpleNamespace(n_events=np.ones(4, int))  # choices of a validation with four users
ROW = {
    *("model", "rule", "hr10", "ndcg10", "p10", "map10", "recall20", "coverage", "low", "high"),
    *("seconds", "peak_mb", "seeds", "winner"),
}


def results(ndcg: Sequence[float], coverage: float = 0.5) -> EvaluationResult:
    """Return results of an exam in which every metric is the same."""
    return EvaluationResult({name: np.array(ndcg, np.float64) for name in METRICS}, coverage)


def run(made: Mapping[str, EvaluationResult], validation: Mapping[str, float], **others: Any) -> Run:
    """Return a run whose seconds count the scorers from 1."""
    told = {
        "variant": "everything",
        "rule": "allow",
        "seed": 7,
        "winner": "BMF",
        "trials": [{"model": "BMF", "tried": 1}],
    }
    times = {
        "seconds": {name: n + 1.0 for n, name in enumerate(made)},
        "choosing_seconds": 60.0,
        "fitting_seconds": 30.0,
    }
    return Run(
        **{
            **told,
            **times,
            "results": made,
            "validation": validation,
            "peak_mb": 1024.0,
            "choices": FEW,
            "failures": {},
            **others,
        }
    )


ONE = run(
    {
        "BMF": results([1, 0, 1, 0]),
        "blend": results([1, 0, 0, 0]),
        "ease": results([0, 0, 0, 1]),
        "popularity": results([0, 0, 0, 0], 0.1),
    },
    {"BMF": 0.5, "blend": 0.4, "ease": 0.3, "popularity": 0.1},
)
TWO = run(
    {
        "BMF": results([0, 0, 1, 0]),
        "blend": results([1, 0, 0, 0]),
        "ease": results([0, 0, 0, 1]),
        "popularity": results([0, 0, 0, 0], 0.3),
    },
    {"BMF": 0.1, "blend": 0.4, "ease": 0.6, "popularity": 0.1},
    seed=8,
    peak_mb=2048.0,
    winner="ease",
)
NEW = [replace(each, rule="hide") for each in (ONE, TWO)]


# rows


def test_a_row_is_the_mean_over_users_and_seeds() -> None:
    found = row("BMF", "allow", [ONE, TWO])

    assert set(found) | {"winner"} == ROW
    assert found["ndcg10"] == found["hr10"] == found["recall20"] == (0.5 + 0 + 1 + 0) / 4
    assert 0 <= found["low"] <= found["ndcg10"] <= found["high"] <= 1
    assert (found["seconds"], found["peak_mb"], found["seeds"], found["coverage"]) == (1, 2048, 2, 0.5)


def test_coverage_is_the_mean_over_seeds() -> None:
    assert row("popularity", "allow", [ONE, TWO])["coverage"] == pytest.approx(0.2)


def test_a_model_that_a_seed_could_not_fit_has_the_figures_of_the_others() -> None:
    without = replace(
        TWO,
        results={name: made for name, made in TWO.results.items() if name != "BMF"},
        failures={"BMF": "out of memory"},
    )
    found = row("BMF", "allow", [ONE, without])

    assert (found["ndcg10"], found["seeds"]) == (0.5, 1)
    assert winner([ONE, without]) == "ease", "0.45, and BMF is no candidate"


def test_the_winner_has_the_best_mean_on_validation_and_not_on_the_test() -> None:
    assert winner([ONE]) == "BMF"
    assert winner([ONE, TWO]) == "ease", "0.45 of ease, 0.4 of blend, 0.3 of BMF"


def test_with_enough_users_the_winner_is_the_cheapest_that_cannot_be_told_from_the_best() -> None:
    map10 = {name: np.full(200, share) for name, share in (("BMF", 0.5), ("blend", 0.5), ("ease", 0.4))}
    equal = SimpleNamespace(n_events=np.ones(200, int), per_user=map10, recall10={**map10, "blend": np.full(200, 0.4)})
    runs = [replace(each, choices=equal, validation=dict.fromkeys(map10, 0.5)) for each in (ONE, TWO)]

    assert winner(runs) == "BMF", "blend finds fewer"
    for each in runs:
        each.choices.recall10 = map10
    assert winner(runs) == "blend"


def test_where_validation_was_too_small_the_winner_is_what_was_served() -> None:
    assert winner([replace(ONE, validation={}, winner="item_cf")]) == "item_cf"


# differences


def test_differences_are_paired_user_by_user() -> None:
    found = difference("allow", "BMF", "ease", "ndcg10", [ONE])

    assert found["difference"] == (1 + 0 + 1 - 1) / 4
    assert -1 <= found["low"] <= found["lower_bound"] <= found["difference"] <= found["high"] <= 1
    assert difference("allow", "BMF", "BMF", "ndcg10", [ONE])["lower_bound"] == 0


def test_the_winner_is_compared_with_the_references_the_blend_and_the_best_baseline() -> None:
    found = paired("allow", [ONE], ["popularity", "item_cf"])

    assert [(pair["metric"], pair["against"]) for pair in found] == [
        (metric, name) for metric in ("ndcg10", "hr10") for name in ("popularity", "blend", "ease")
    ], "item_cf was not fitted; ease is the best baseline on the test"
    assert {pair["winner"] for pair in found} == {"BMF"}


def test_the_winner_is_not_compared_with_itself() -> None:
    assert "ease" not in {pair["against"] for pair in paired("allow", [ONE, TWO], ["ease"])}


# the file


def test_an_entry_has_the_rows_of_each_rule_and_every_trial() -> None:
    entry = summarise(RETAIL, [ONE, TWO, *NEW], "0123456789", "fedcba9876")

    assert {"set", "rows", "trials", "paired", "commit", "data_sha256"} <= set(entry)
    assert [(each["rule"], each["model"]) for each in entry["rows"]] == [
        (rule, name) for rule in ("allow", "hide") for name in ("BMF", "blend", "ease", "popularity")
    ]
    assert all(set(each) == ROW for each in entry["rows"])
    assert [each["model"] for each in entry["rows"] if each["winner"]] == ["ease", "ease"]
    assert [(trial["seed"], trial["rule"], trial["tried"]) for trial in entry["trials"]] == [
        (7, "allow", 1),
        (8, "allow", 1),
        (7, "hide", 1),
        (8, "hide", 1),
    ]
    assert [(told["winner"], told["validation_map10"]["BMF"]) for told in entry["runs"][:2]] == [
        ("BMF", 0.5),
        ("ease", 0.1),
    ]
    assert entry["users"] == {"allow": 4, "hide": 4}
    assert json.loads(json.dumps(entry, allow_nan=False)) == entry


def test_an_entry_says_what_each_side_of_a_model_is_worth() -> None:
    poorer = replace(ONE, variant="without history", results={**ONE.results, "BMF": results([0, 0, 1, 0])})
    entry = summarise(RETAIL, [ONE, poorer, *NEW], None, "fedcba9876")
    found = entry["ablations"]

    assert [(each["model"], each["rule"], each["variant"], each["ndcg10"]) for each in found] == [
        ("BMF", "allow", "without history", 0.25),
        ("BMF", "allow", "without neural part", 0.25),
        ("BMF", "allow", "everything", 0.5),
    ]
    assert found[-1]["own_part"]["difference"] == 0.25
    assert len([each for each in entry["rows"] if each["rule"] == "allow"]) == 4, "variants are no rows of the table"


def test_a_set_that_is_measured_again_takes_its_own_place(tmp_path: Path) -> None:
    kept = tmp_path / "results/quality.json"
    for name, commit in (("jdata-mb", "a"), ("online-retail", "a"), ("jdata-mb", "b")):
        quality.keep(kept, {**ENTRY, "set": name, "commit": commit})

    assert [(entry["set"], entry["commit"]) for entry in quality.read(kept)] == [
        ("online-retail", "a"),
        ("jdata-mb", "b"),
    ]


def test_the_file_keeps_what_the_page_shows(tmp_path: Path) -> None:
    entry = {
        **summarise(RETAIL, [ONE, TWO, *NEW], "0123456789", "fedcba9876"),
        "rows": [{**ENTRY["rows"][0], "low": 1 / 3}],
    }
    entry["ablations"] = [
        {**ENTRY["rows"][1], "variant": "everything", "own_part": {"difference": 0.1, "lower_bound": 0.0}}
    ]
    quality.keep(tmp_path / "quality.json", entry)
    (kept,) = quality.read(tmp_path / "quality.json")

    assert tables.markdown(kept) == tables.markdown(entry)
    assert kept["rows"][0]["low"] == 0.3333333, "seven digits"
    assert "trials" not in kept
    assert all("validation_map10" not in run for run in kept["runs"])


# tables


ENTRY: dict[str, Any] = {
    "set": "ml-1m-ncf",
    "protocol": "One of a hundred.",
    "users": {"allow": 6040},
    "rows": [
        {
            **dict.fromkeys(ROW, 0.25),
            "model": "ease",
            "rule": "allow",
            "seconds": None,
            "peak_mb": 2048.0,
            "seeds": 3,
            "winner": False,
        },
        {
            **dict.fromkeys(ROW, 0.5),
            "model": "LNCM",
            "rule": "allow",
            "seconds": 12.34,
            "peak_mb": 2048.0,
            "seeds": 3,
            "winner": True,
        },
    ],
    "paired": [
        {
            "rule": "allow",
            "winner": "LNCM",
            "against": "ease",
            "metric": "ndcg10",
            "difference": 0.25,
            "low": -0.125,
            "high": 0.5,
        },
        {
            "rule": "allow",
            "winner": "LNCM",
            "against": "ease",
            "metric": "hr10",
            "difference": 0.25,
            "low": 0.125,
            "high": 0.5,
        },
    ],
    "ablations": [],
    "runs": [
        {"seed": 7, "variant": "everything", "choosing_seconds": 400.0, "fitting_seconds": 100.0},
        {
            "seed": 8,
            "variant": "everything",
            "choosing_seconds": 0.0,
            "fitting_seconds": 300.0,
        },  # by the choices of the first
        {"seed": 8, "variant": "without history", "choosing_seconds": 1.0, "fitting_seconds": 1.0},
    ],
    "trials": [],
    "commit": "0123456789abcdef",
    "data_sha256": "fedcba9876543210",
}
PAGE = """\
One of a hundred.

*ml-1m-ncf, repeats allowed: 6,040 users*

| model | NDCG@10 (95 %) | HR@10 | P@10 | MAP@10 | Recall@20 | coverage | fit, s | peak, MiB |
|---|---:|---:|---:|---:|---:|---:|---:|---:|
| **LNCM** ★ | 0.5000 (0.5000 – 0.5000) | 0.5000 | 0.5000 | 0.5000 | 0.5000 | 0.5000 | 12.3 | 2,048 |
| ease | 0.2500 (0.2500 – 0.2500) | 0.2500 | 0.2500 | 0.2500 | 0.2500 | 0.2500 | – | 2,048 |

- The standard error of HR@10 is 0.005.
- LNCM compared with ease, repeats allowed: NDCG@10 +0.2500 (-0.1250 to +0.5000).
- The seed that made the choices took 400 s on validation; fitting for the test took 100 s.
- ★ is the winner on validation. Seeds 7, 8; commit 01234567, data fedcba98.
"""
ABLATION = {**ENTRY["rows"][1], "variant": "everything", "own_part": {"difference": 0.125, "lower_bound": -0.0625}}


def test_a_set_becomes_a_page_best_first() -> None:
    assert tables.markdown(ENTRY) == PAGE


def test_ablations_become_a_table_of_their_own() -> None:
    page = tables.markdown(
        {**ENTRY, "ablations": [{**ENTRY["rows"][0], "model": "LNCM", "variant": "without history"}, ABLATION]}
    )

    assert "| model | rule | variant | seeds | HR@10 | NDCG@10 (95 %) | gain over `blend` (lower bound) |\n" in page
    assert "| LNCM | repeats allowed | without history | 3 | 0.2500 | 0.2500 (0.2500 – 0.2500) |  |\n" in page
    assert (
        "| LNCM | repeats allowed | everything | 3 | 0.5000 | 0.5000 (0.5000 – 0.5000) | +0.1250 (-0.0625) |\n" in page
    )


def test_a_terminal_shows_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    Console(width=150).print(tables.terminal({**ENTRY, "ablations": [ABLATION]}))
    shown = capsys.readouterr().out

    assert shown.index("LNCM ★") < shown.index("ease")
    assert [
        word
        for word in ("One of a hundred.", "6,040 users", "12.3", "standard error", "+0.1250 (-0.0625)")
        if word not in shown
    ] == []


# the command


def page_of(root: Path, *names: str) -> Path:
    page = root / "MODELS.md"
    page.write_text(
        "# Models\n" + "".join(f"<!-- results: {name} -->\nold\n<!-- end of results -->\n" for name in names),
        encoding="utf-8",
    )
    return page


def test_the_page_has_the_kept_figures_between_its_markers(tmp_path: Path) -> None:
    quality.keep(tmp_path / quality.KEPT, ENTRY)
    page = page_of(tmp_path, "ml-1m-ncf", "jdata-mb")

    assert quality.main(["--markdown", str(page), "--check"], tmp_path) == 1
    assert "old" in page.read_text(encoding="utf-8"), "checking changes nothing"
    assert quality.main(["--markdown", str(page)], tmp_path) == 0
    assert quality.main(["--markdown", str(page), "--check"], tmp_path) == 0
    assert page.read_text(encoding="utf-8") == (
        f"# Models\n<!-- results: ml-1m-ncf -->\n{PAGE}<!-- end of results -->\n"
        "<!-- results: jdata-mb -->\nNot measured yet.\n<!-- end of results -->\n"
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "quality: DATA_DIR should name the folder of the sets. Received: nothing."),
        (
            ["--markdown", "{tmp}/none.md"],
            "quality: --markdown should name a page. Received: {tmp}/none.md, which is not there.",
        ),
        (["--markdown", "{tmp}/MODELS.md"], "quality: The page should hold one of <!-- results: ml-1m-ncf -->,"),
        (
            ["{tmp}"],
            "quality: DATA_DIR should hold ml-1m-ncf/ml-1m.train.rating.gz. Received: {tmp}, which does not. "
            "The files are",
        ),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page_of(tmp_path)

    assert quality.main([flag.format(tmp=tmp_path) for flag in flags], tmp_path) == 1
    said = capsys.readouterr().err
    assert said.startswith(message.format(tmp=tmp_path))
    assert said.count("\n") == 1


def test_a_kept_file_of_another_kind_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / quality.KEPT).parent.mkdir(parents=True)
    (tmp_path / quality.KEPT).write_text("[]", encoding="utf-8")

    assert quality.main(["--markdown", str(page_of(tmp_path, "jdata-mb"))], tmp_path) == 1
    assert 'quality.json should hold {"sets": […]}' in capsys.readouterr().err


@pytest.mark.parametrize("words", ["--seeds 0", "--seeds x", "--epochs -1", "--sets ml-25m"])
def test_flags_that_make_no_sense_are_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        quality.main([".", *words.split()])

    assert caught.value.code == 2
    assert words.split()[0] in capsys.readouterr().err


def test_every_seed_has_its_own_process_and_the_file_grows_with_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Task, int]] = []
    kept = tmp_path / "quality.json"
    write_online_retail(tmp_path / "online-retail")

    def pretend(task: Task) -> list[Run]:
        so_far = json.loads(kept.read_text(encoding="utf-8"))["sets"] if kept.exists() else []
        seen.append((task, max((each["seeds"] for entry in so_far for each in entry["rows"]), default=0)))
        return [replace(each, seed=task.seed) for each in (ONE, NEW[0])]

    monkeypatch.setattr(quality, "in_its_own_process", pretend)
    monkeypatch.setattr(quality, "current_commit", lambda: "0123456789")

    assert (
        quality.main([str(tmp_path), "--sets", "online-retail", "--seeds", "2", "--epochs", "3", "--json", str(kept)])
        == 0
    )
    assert [(task.seed, task.options, task.ablations, done) for task, done in seen] == [
        (7, {"epochs": 3}, [], 0),
        (8, {"epochs": 3}, [], 1),
    ]
    (entry,) = json.loads(kept.read_text(encoding="utf-8"))["sets"]
    assert (entry["set"], entry["commit"], len(entry["rows"]), entry["rows"][0]["seeds"]) == (
        "online-retail",
        "0123456789",
        8,
        2,
    )


@pytest.mark.slow
def test_a_whole_run_chooses_fits_and_sits_the_test(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, keep = list[Any](), quality.keep
    monkeypatch.setattr(quality, "keep", lambda path, entry: (whole.append(entry), keep(path, entry)))
    kept, rng = tmp_path / "quality.json", np.random.default_rng(0)
    rows = [(user, 1 + item, pos) for user in range(60) for pos, item in enumerate(rng.permutation(20)[:8])]
    write(tmp_path / "amazon-beauty-5core/interactions.csv.gz", rows, "user,item,pos")

    words = ["--sets", "amazon-beauty-5core", "--seeds", "1", "--epochs", "1", "--json", str(kept)]
    assert quality.main([str(tmp_path), *words]) == 0

    (entry,) = json.loads(kept.read_text(encoding="utf-8"))["sets"]
    found = {each["model"]: each for each in entry["rows"]}
    assert list(found) == list(REGISTRY)
    assert all(0 <= each["ndcg10"] <= each["hr10"] <= each["recall20"] == 1 for each in found.values()), (
        "20 items, 20 places"
    )
    assert {trial["model"] for trial in whole[0]["trials"] if "model" in trial} >= {*MODELS, "blend"}
    assert sum(each["winner"] for each in entry["rows"]) == 1
    assert found["popularity"]["peak_mb"] > 100
    assert "amazon-beauty-5core, repeats hidden: 60 users" in capsys.readouterr().out


def test_a_watch_counts_the_epochs_of_the_newest_step() -> None:
    said: list[str] = []
    watch = Watch(said.append)
    watch.epoch(Epoch("BMF", 1, 2, 0.5, 10.0, 0.25))
    watch.lap("chose")
    watch.epoch(Epoch("BMF", 1, 1, 0.5, 2.0))
    watch.epoch(Epoch("BMF", 2, 2, 0.25, 3.0))
    watch.lap("fitted")
    watch.lap("sat")

    assert watch.epoch_seconds == {"BMF": 5.0}
    assert said[0] == "  BMF    epoch 1/2  loss 0.5000  10.0 s  validation 0.2500"
