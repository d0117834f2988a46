"""README.md, README.vi.md and docs/: make targets, flags, scripts, links, settings, results."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from benchmarks import pages, readme_table
from recsys.errors import NotEnoughData, SettingsError, TrainingRefused
from recsys.settings import DEFAULT_EVENT_WEIGHTS, Training, load_settings
from tests.helpers.documents import PAGES, links_of, prose
from tests.helpers.entry_points import PATIENCE_S, ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
VIETNAMESE = (ROOT / "README.vi.md").read_text(encoding="utf-8")
SHOP = (ROOT / "docs/SHOP.md").read_text(encoding="utf-8")
DATASETS = (ROOT / "docs/DATASETS.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
ENTRY_POINTS = [
    "train.py",
    *(
        f"{path.parent.name}/{path.name}"
        for room in ("scripts", "benchmarks")
        for path in sorted((ROOT / room).glob("[!_]*.py"))
    ),
]


def blocks(page: str, kind: str) -> list[str]:
    return [
        re.sub("^   ", "", text, flags=re.MULTILINE)
        for text in re.findall(rf"^ *```{kind}\n(.+?)^ *```$", page, re.MULTILINE | re.DOTALL)
    ]


def table_rows(page: str, heading: str) -> dict[str, str]:
    """Return the first two columns of the table behind a heading."""
    section = page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", section, re.MULTILINE))


# commands


def commands(page: str = README + VIETNAMESE + DATASETS) -> list[list[str]]:
    """Return the command lines of a page as lists of words, with continued lines joined."""
    joined = page.replace("\\\n", " ")
    lines = [line.strip() for line in joined.splitlines() if line.startswith(("    ", "$ "))]
    return [
        shlex.split(line.removeprefix("$ "), comments=True)
        for line in lines
        if line.startswith((".venv/", "make ", "echo ", "$ "))
    ]


@cache
def flags_of(entry_point: str) -> set[str]:
    """Return the flags that --help of an entry point lists."""
    done = subprocess.run(
        [sys.executable, ROOT / entry_point, "--help"],
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE_S,
        check=True,
    )
    usage = done.stdout.split("\n\n")[0]
    return set(re.findall(r"--[a-z][\w-]*", usage)) - {"--help"}


def test_every_make_target_is_in_the_readme_and_every_one_named_there_exists() -> None:
    (declared,) = re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    named = {target for _, *words in filter(lambda words: words[0] == "make", commands()) for target in words}

    assert named | {"help"} == set(declared.split())


def test_a_bare_make_lists_the_targets() -> None:
    done = subprocess.run(
        ["make", "-C", ROOT, "--no-print-directory"],
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE_S,
        check=True,
    )

    assert [line.split()[1] for line in done.stdout.splitlines()] == [
        "help",
        "demo",
        "shop",
        "test",
        "lint",
        "bench",
        "lock",
        "clean",
    ]


def test_the_recipes_of_public_sets_map_their_event_names_to_ours() -> None:
    recipes = [words for words in commands(DATASETS) if "scripts/import_events.py" in words]
    mapped = {
        pair.partition("=")[2]
        for words in recipes
        if "--event-map" in words
        for pair in words[words.index("--event-map") + 1].split(",")
    }

    assert len(recipes) == DATASETS.count("\n## ") - DATASETS.count("\n## Ids\n")
    assert mapped
    assert mapped - set(DEFAULT_EVENT_WEIGHTS) == set()


def test_every_flag_of_train_is_documented_and_no_other() -> None:
    mentioned = set(re.findall(r"--[a-z][\w-]*", SHOP.split("\n## Training\n")[1]))
    named = {f"--{name.replace('_', '-')}" for name in table_rows(SHOP, "Training")}

    assert mentioned | named == flags_of("train.py")


def test_every_script_is_named_and_every_path_named_exists() -> None:
    found = set(
        re.findall(
            r"(?<![\w/.])(?:scripts|benchmarks|tests|docs|recsys|\.ci)/[\w./-]*\w",
            README + VIETNAMESE + SHOP + DATASETS,
        )
    )

    assert {path for path in found if not (ROOT / path).exists()} == set()
    assert {entry_point for entry_point in ENTRY_POINTS if entry_point.startswith("scripts/")} <= found


def anchors(page: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    prose = re.sub(r"^ *```.+?^ *```$", "", page, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_links_of_a_page_lead_to_files_and_headings(page: Path) -> None:
    links = links_of("\n".join(prose(page.read_text(encoding="utf-8"))))
    broken = []
    for link in links:
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            broken.append(link)

    assert broken == []


def test_ci_runs_what_the_readme_calls_the_tests() -> None:
    ci = ROOT / ".ci/run"

    assert os.access(ci, os.X_OK)
    assert ci.read_text(encoding="utf-8").splitlines()[-1] == "make lint test"
    assert "    make test " in README


def test_the_public_ci_runs_the_same_on_the_servers_that_the_tests_expect() -> None:
    workflow = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    variables = dict(re.findall(r"^ +(RECSYS_TEST_\w+): (\S+)$", workflow, re.MULTILINE))

    assert workflow.endswith("      - run: .ci/run\n")
    assert variables == dict(
        re.findall(
            r'environ\.get\("(RECSYS_TEST_\w+)", "(.+)"\)',
            (ROOT / "tests/helpers/databases.py").read_text(encoding="utf-8"),
        )
    )
    assert [url.rpartition(":")[2] in re.findall(r'ports: \["(\d+):', workflow) for url in variables.values()] == [
        True,
        True,
    ]


def test_the_exit_statuses_of_training_are_those_of_the_errors() -> None:
    statuses = {int(status) for status in re.findall(r"^ *\| (\d) \| ", README, re.MULTILINE)}

    assert statuses == {0, 1, 2, TrainingRefused.exit_status}
    assert NotEnoughData.exit_status == TrainingRefused.exit_status


# settings


def test_the_table_of_training_has_every_option_with_its_default() -> None:
    assert table_rows(SHOP, "Training") == {option.name: str(option.default).lower() for option in fields(Training)}


def test_the_table_of_the_shop_has_every_name_that_is_understood(tmp_path: Path) -> None:
    (tmp_path / "recsys.toml").write_text("[shop]\nno_such_name = 1\n", encoding="utf-8")

    with pytest.raises(SettingsError) as caught:
        load_settings({"DATABASE_URL": "sqlite:///x"}, tmp_path)

    listed = str(caught.value).partition("Received")[0]
    assert set(table_rows(SHOP, "[shop]")) == set(re.findall("`(.+?)`", listed))


@pytest.mark.parametrize(
    "text", [*blocks(SHOP, "toml"), *blocks(README, "toml")], ids=lambda text: text.splitlines()[0]
)
def test_the_examples_of_recsys_toml_are_understood(text: str, tmp_path: Path) -> None:
    (tmp_path / "recsys.toml").write_text(text, encoding="utf-8")

    shop = load_settings({"DATABASE_URL": "sqlite:///x"}, tmp_path).shop

    example = tomllib.loads(text)
    assert len(shop.sources) == len(example.get("sources", "ab")), "the default has two sources"
    assert dict(shop.event_weights) == example.get("events", dict(DEFAULT_EVENT_WEIGHTS))
    assert getattr(shop.products, "table", None) == example.get("products", {}).get("table")


def test_the_default_weights_are_those_of_the_page() -> None:
    (text,) = (text for text in blocks(SHOP, "toml") if text.startswith("[events]"))

    assert tomllib.loads(text)["events"] == dict(DEFAULT_EVENT_WEIGHTS)


# figures


def scorer(map10: float | None, **others: Any) -> dict[str, Any]:
    row = {"precision10": 0.1, "ndcg10": 0.2, "hr10": 0.3, "auc": 0.9, "rmse": None, "coverage": 0.5, "users": 1200}
    return {**row, "map10": map10, "map10_low": map10, "map10_high": map10, **others}


ENTRY = {
    "trained_at": 1_795_000_000,  # 2026-11-18 11:06:40 UTC
    "published": "20261118T110640Z-0a1b2c3d",
    "rule": "hide",
    "winner": "item_cf",
    "rows": {
        "hide": {
            "BMF": scorer(0.0614),
            "item_cf": scorer(0.0716, map10_low=0.06, map10_high=0.08),
            "popularity": scorer(None),
        },
        "allow": {"BMF": scorer(0.25), "item_cf": scorer(0.125), "popularity": scorer(0.5)},
    },
    "users_without_relevant": 34,
    "validation": {"map10": {"BMF": 0.1}, "trials": [{"own_count": 1}]},
    "cleaning": {"rows_in": 541909, "rows_out": 392732, "dropped": {}},
    "seed": 7,
    "git_commit": "0123456789abcdef",
    "data_sha256": "fedcba9876543210",
}
BLOCK = """\
| scorer | MAP@10 (95 %) | P@10 | NDCG@10 | HR@10 | AUC | RMSE | coverage | MAP@10 with repeats |
|---|---:|---:|---:|---:|---:|---:|---:|---:|
| **item_cf** | 0.072 (0.060 – 0.080) | 0.100 | 0.200 | 0.300 | 0.900 | – | 0.500 | 0.125 |
| BMF | 0.061 (0.061 – 0.061) | 0.100 | 0.200 | 0.300 | 0.900 | – | 0.500 | 0.250 |
| popularity | – (– – –) | 0.100 | 0.200 | 0.300 | 0.900 | – | 0.500 | 0.500 |

**item_cf** won on validation and serves. 1,200 users were evaluated; 34 more had no
relevant item after the cut; 541,909 rows read, 392,732 kept.
2026-11-18, seed 7, commit 01234567, data fedcba98.
"""


def test_the_results_in_the_readme_are_those_of_the_kept_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert readme_table.main(["--check"]) == 0, capsys.readouterr().out


def test_a_runs_figures_become_a_table_best_first() -> None:
    assert readme_table.rendered(ENTRY) == BLOCK


def test_a_vietnamese_table_has_the_same_figures_with_vietnamese_marks() -> None:
    rows, notes = readme_table.rendered(ENTRY, vietnamese=True).split("\n\n")

    assert rows.startswith("| phương pháp | MAP@10 (95 %) | P@10 |")
    assert "| **item_cf** | 0,072 (0,060 – 0,080) | 0,100 |" in rows
    assert "1.200 người dùng" in notes
    assert "541.909 dòng" in notes


def test_taking_a_run_keeps_the_newest_published_one_and_rewrites_the_readme(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "benchmarks").mkdir()
    for name in readme_table.READMES:
        (tmp_path / name).write_text(f"a\n{pages.begin(readme_table.NAME)}old\n{pages.END}b\n", encoding="utf-8")
    history = tmp_path / "metrics.json"
    history.write_text(
        json.dumps([{**ENTRY, "seed": 6}, ENTRY, {"trained_at": 1, "published": None, "reason": "too little"}]),
        encoding="utf-8",
    )

    assert readme_table.main(["--check"], tmp_path) == 1
    assert readme_table.main(["--take", str(history)], tmp_path) == 0
    assert readme_table.main(["--check"], tmp_path) == 0

    for name in readme_table.READMES:
        block = readme_table.rendered(ENTRY, vietnamese=name == readme_table.VIETNAMESE)
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert text == f"a\n{pages.begin(readme_table.NAME)}{block}{pages.END}b\n"
    kept = json.loads((tmp_path / "benchmarks/results/online-retail.json").read_text(encoding="utf-8"))
    assert kept == {**ENTRY, "validation": {"map10": {"BMF": 0.1}}}
