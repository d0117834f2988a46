"""README.md, README.vi.md and docs/: commands, flags, paths, links, settings, pins, results, the client for Node."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import fields
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks import pages, readme_table
from recsys.errors import NotEnoughData, SettingsError, TrainingRefused
from recsys.settings import DEFAULT_EVENT_WEIGHTS, Training, load_settings
from tests.helpers.entry_points import PATIENCE_S, ROOT, install
from tests.helpers.tiny_shop import Published
from tests.test_architecture import HEAVY, MODULES, SERVING, imports_of, packages

README = (ROOT / "README.md").read_text(encoding="utf-8")
VIETNAMESE = (ROOT / "README.vi.md").read_text(encoding="utf-8")
SHOP = (ROOT / "docs/SHOP.md").read_text(encoding="utf-8")
DATASETS = (ROOT / "docs/DATASETS.md").read_text(encoding="utf-8")
PROTOCOL = (ROOT / "docs/PROTOCOL.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "models/README.md", ROOT / "backend/README.md"})
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
        "test",
        "lint",
        "bench",
        "lock",
        "clean",
    ]


def test_the_commands_use_flags_that_exist() -> None:
    used = [
        (entry_point, word)
        for words in commands()
        for entry_point in {*words} & {*ENTRY_POINTS}
        for word in words
        if word.startswith("--")
    ]

    assert len(used) > 10
    assert [(entry_point, flag) for entry_point, flag in used if flag not in flags_of(entry_point)] == []


def test_the_recipes_of_public_sets_map_their_event_names_to_ours() -> None:
    recipes = [words for words in commands(DATASETS) if "scripts/import_events.py" in words]
    mapped = {
        pair.partition("=")[2]
        for words in recipes
        if "--event-map" in words
        for pair in words[words.index("--event-map") + 1].split(",")
    }

    assert len(recipes) == DATASETS.count("\n## ")
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
    links = re.findall(r"\]\((?!https?://)([^)\s]+)\)", page.read_text(encoding="utf-8"))
    broken = []
    for link in links:
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            broken.append(link)

    assert broken == []


def test_every_page_is_in_the_index_of_the_documentation() -> None:
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    linked = {(ROOT / "docs" / link).resolve() for link in re.findall(r"\]\(([^)#]+)", index)}

    assert set((ROOT / "docs").glob("*.md")) - linked == {ROOT / "docs/README.md"}


def test_the_vietnamese_page_gives_the_same_first_commands() -> None:
    assert (
        [words[:2] for words in commands(VIETNAMESE)]
        == [words[:2] for words in commands(README)[:2]]
        == [["make", "demo"], ["make", "test"]]
    )


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
    assert table_rows(SHOP, "Training") == {option.name: str(option.default) for option in fields(Training)}


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


# pins


EVERYTHING, SERVE, ANN = "requirements.txt", "requirements/serve.txt", "requirements/ann.txt"
PIN = re.compile(r"^([a-z][^\\\n]+) \\\n((?: {4}--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+) {4}# via (.+)\n", re.MULTILINE)
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in (EVERYTHING, SERVE, ANN)}
LOCKED = {
    name: PIN.findall(text) for name, text in TEXTS.items()
}  # of each pin: the requirement, its hashes, and who asks for it


def applying(texts: Iterable[str]) -> dict[str, Requirement]:
    """Return the requirements that apply on this machine, by package."""
    found = map(Requirement, texts)
    return {canonicalize_name(item.name): item for item in found if item.marker is None or item.marker.evaluate()}


def pins(name: str, *, direct: bool = False) -> dict[str, Requirement]:
    """Return the pins of a file that apply here, by package; `direct` are those that pyproject.toml names."""
    return applying(text for text, _, via in LOCKED[name] if "recsys (pyproject.toml)" in via or not direct)


def project_ranges(*extras: str) -> dict[str, Requirement]:
    """Return what pyproject.toml asks for with these extras, by package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    return applying([*project["dependencies"], *(text for extra in extras or optional for text in optional[extra])])


ALL_PINS = pins(EVERYTHING)


@pytest.mark.parametrize("name", LOCKED)
def test_requirements_are_pins_with_hashes_and_name_no_registry(name: str) -> None:
    assert LOCKED[name]
    assert (
        PIN.sub("", TEXTS[name]) == "# This file was autogenerated by uv via the following command:\n#    make lock\n"
    )


@pytest.mark.parametrize("name", [SERVE, ANN])
def test_one_version_of_a_package_is_pinned_in_all_files(name: str) -> None:
    part, whole = ({(pin.split(" ;")[0], hashes) for pin, hashes, _ in LOCKED[file]} for file in (name, EVERYTHING))

    assert part - whole == set()


@pytest.mark.parametrize("name", sorted(ALL_PINS))
def test_what_is_tested_is_what_is_pinned(name: str) -> None:
    (specifier,) = ALL_PINS[name].specifier

    assert (specifier.operator, specifier.version) == ("==", metadata.version(name))


def test_what_the_pins_need_is_pinned_too() -> None:
    ranges, needed = project_ranges(), {}
    for name in ALL_PINS:
        for text in metadata.requires(name) or ():
            other = Requirement(text)
            extras = ranges[name].extras if name in ranges else set()
            if other.marker is None or any(other.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                needed[canonicalize_name(other.name)] = name

    assert {other: name for other, name in needed.items() if other not in ALL_PINS} == {}


@pytest.mark.parametrize(("name", "extras"), [(EVERYTHING, ()), (SERVE, ("postgresql",)), (ANN, ("postgresql", "ann"))])
def test_the_ranges_of_pyproject_hold_the_pins_and_name_the_same_packages(name: str, extras: tuple[str, ...]) -> None:
    ranges, direct = project_ranges(*extras), pins(name, direct=True)

    assert set(ranges) == set(direct)
    assert [
        item
        for item in direct.values()
        for pin in item.specifier
        if not ranges[canonicalize_name(item.name)].specifier.contains(pin.version)
    ] == []


def test_requirements_serve_has_what_the_serving_path_imports() -> None:
    modules = [path for name, path in MODULES.items() if "." not in name or name.split(".")[1] in SERVING]
    imported = (
        {package for path in modules for package in packages(imports_of(path))}
        - set(sys.stdlib_module_names)
        - HEAVY
        - {"recsys"}
    )
    distributions = {
        package: {canonicalize_name(name) for name in metadata.packages_distributions()[package]}
        for package in imported
    }

    assert {"numpy", "h5py", "pymysql", "psycopg", "dotenv"} <= imported
    assert {package for package, names in distributions.items() if not names & set(pins(SERVE))} == set()


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


def test_taking_a_run_keeps_the_newest_published_one_and_rewrites_the_readme(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "README.md").write_text(
        f"before\n{pages.begin(readme_table.NAME)}old\n{pages.END}after\n", encoding="utf-8"
    )
    history = tmp_path / "metrics.json"
    history.write_text(
        json.dumps([{**ENTRY, "seed": 6}, ENTRY, {"trained_at": 1, "published": None, "reason": "too little"}]),
        encoding="utf-8",
    )

    assert readme_table.main(["--check"], tmp_path) == 1
    assert readme_table.main(["--take", str(history)], tmp_path) == 0
    assert readme_table.main(["--check"], tmp_path) == 0

    assert (tmp_path / "README.md").read_text(
        encoding="utf-8"
    ) == f"before\n{pages.begin(readme_table.NAME)}{BLOCK}{pages.END}after\n"
    kept = json.loads((tmp_path / "benchmarks/results/online-retail.json").read_text(encoding="utf-8"))
    assert kept == {**ENTRY, "validation": {"map10": {"BMF": 0.1}}}


# the client for Node

MOST_LINES = 25
REQUESTS: dict[str, dict[str, Any]] = {
    "a user": {"user_id": 7, "limit": 3},
    "an id as text": {"user_id": "7", "limit": 3},
    "a guest": {"interactions": [{"item_id": 103, "event": "view"}], "limit": 3},
    "similar": {"op": "similar", "item_id": 103, "limit": 3},
    "an id of its own": {"user_id": 7, "limit": 3, "id": "mine"},
}
DRIVER = """
const ids = (items) => items.map((item) => item.productId);
const outcome = (request) => recommend(request).then(ids, (error) => error.message);
(async () => {
  const outcomes = [];
  for (const request of %s) outcomes.push(await outcome(request));
  // exit, because the timer of a process that could not be started keeps running
  process.stdout.write(JSON.stringify(outcomes), () => process.exit());
})();
"""


@pytest.fixture
def from_node(tmp_path: Path) -> Callable[..., list[Any]]:
    """Run requests with the client of docs/PROTOCOL.md; of each, the ids of its items or the message of its error."""
    if shutil.which("node") is None:
        pytest.skip("Node is not installed")
    (client,) = blocks(PROTOCOL, "js")
    patient = client.replace("timeout: 3000", f"timeout: {PATIENCE_S}000")
    assert patient != client

    def outcomes(*requests: dict[str, Any], entry_point: str | None = None, **environ: str) -> list[Any]:
        install(tmp_path)
        if entry_point is not None:
            (tmp_path / "recommend_api.py").write_text(entry_point, encoding="utf-8")
        (tmp_path / "ask.cjs").write_text(patient + DRIVER % json.dumps(requests), encoding="utf-8")
        environ = {"PATH": os.environ["PATH"], "PYTHON_BIN": sys.executable, **environ}
        done = subprocess.run(
            ["node", "ask.cjs"],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE_S,
            check=True,
        )
        answers: list[Any] = json.loads(done.stdout)
        return answers

    return outcomes


def test_the_node_client_is_short() -> None:
    (client,) = blocks(PROTOCOL, "js")

    assert len(client.splitlines()) <= MOST_LINES


@pytest.mark.slow
def test_the_node_client_gets_every_kind_of_answer(published: Published, from_node: Callable[..., list[Any]]) -> None:
    outcomes = dict(zip(REQUESTS, from_node(*REQUESTS.values(), **published.environ), strict=True))

    assert {what: len(items) for what, items in outcomes.items() if isinstance(items, list)} == dict.fromkeys(
        REQUESTS, 3
    ), outcomes
    assert outcomes["an id as text"] == outcomes["a user"] == outcomes["an id of its own"]
    assert 103 not in outcomes["similar"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environ", "request_", "message"),
    [
        ({}, {"user_id": 7, "limit": 0}, r'recommend_api\.py: 65 \{"ok":false,"error":\{"code":"invalid_request"'),
        ({"RECSYS_TOML": "absent.toml"}, {"user_id": 7}, r"recommend_api\.py: 78 .*RECSYS_TOML"),
        ({"SCORING_THREADS": "none"}, {"user_id": 7}, r"recommend_api\.py: 78 .*SCORING_THREADS"),
        ({"DATABASE_URL": ""}, {"user_id": 7}, r"recommend_api\.py: 78 .*DATABASE_URL"),
        ({"PYTHON_BIN": "/no/such/python"}, {"user_id": 7}, "ENOENT"),
    ],
    ids=["refused", "its mapping", "its threads", "an empty variable", "no Python"],
)
def test_the_node_client_throws_the_reason(
    published: Published,
    from_node: Callable[..., list[Any]],
    environ: dict[str, str],
    request_: dict[str, Any],
    message: str,
) -> None:
    (outcome,) = from_node(request_, **{**published.environ, **environ})

    assert re.search(message, outcome), outcome


INVALID_ENTRY_POINTS = {
    "nothing": "",
    "half a line": "print('{\"ok\": tr', end='')",
    "no JSON": "print('{ok}')",
    "two lines": 'print(\'{"ok": true}\\n{"ok": true}\')',
    "an answer without id": 'print(\'{"ok": true, "items": []}\')',
    "an answer with another id": 'print(\'{"ok": true, "items": [], "id": "other"}\')',
    "an answer, then exit 1": (
        'import sys; print(\'{"ok": true, "items": [], "id": \' + sys.stdin.read()[-39:]); sys.exit(1)'
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("entry_point", INVALID_ENTRY_POINTS.values(), ids=INVALID_ENTRY_POINTS)
def test_the_node_client_accepts_no_invalid_answer(from_node: Callable[..., list[Any]], entry_point: str) -> None:
    (outcome,) = from_node({"user_id": 7}, entry_point=entry_point)

    assert isinstance(outcome, str)


@pytest.mark.slow
def test_the_node_client_passes_settings_but_no_secret(from_node: Callable[..., list[Any]]) -> None:
    settings = dict.fromkeys(
        ("DATABASE_URL", "DB_HOST", "DB_PASSWORD", "MODELS_DIR", "RECSYS_TOML", "SCORING_THREADS"), "x"
    )
    (outcome,) = from_node(
        {},
        entry_point="import os, sys; sys.exit(' '.join(sorted(os.environ)))",
        **settings,
        JWT_SECRET="hush",  # noqa: S106 - a test's
    )

    names = set(outcome.split()[2:]) - {"LC_CTYPE"}  # which Python sets by itself
    assert names == {"PATH", *settings}
