"""Messages of programs: brackets are no markup, and no list is printed in Python's notation."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path
from typing import Any

import pytest

from recsys.errors import SettingsError
from recsys.errors.wording import listed
from recsys.training.terminal import console

ROOT = Path(__file__).parents[2]
SOURCES = [
    path
    for place in ("*.py", "recsys/**/*.py", "scripts/**/*.py", "benchmarks/**/*.py")
    for path in sorted(ROOT.glob(place))
]
MESSAGE = "[shop] `time_zone` should be a zone. Received: [/bold] [red] :smile: [a-z]. " + "word " * 40


@pytest.mark.parametrize(
    ("values", "words"),
    [([], "nothing"), (["view"], "view"), (("cart", 3), "cart, 3"), (["x" * 500], "x" * 80)],
    ids=str,
)
def test_values_are_listed_with_commas(values: Any, words: str):
    assert listed(values) == words


def test_a_console_prints_text_without_changes(capsys: pytest.CaptureFixture[str]):
    console(stderr=True).print(MESSAGE, style="bold red")
    console(log_width=400).print(MESSAGE)
    printed = capsys.readouterr()
    assert printed.err == printed.out == MESSAGE + "\n"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_there_is_one_console(path: Path):
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    made = [call for call in calls if ast.unparse(call.func).split(".")[-1] == "Console"]
    assert made == [] or path == ROOT / "recsys" / "training" / "terminal.py"


@pytest.mark.parametrize(
    ("program", "argv"),
    [
        ("train", []),
        ("scripts.import_events", ["f.csv", "--user", "u", "--item", "i", "--timestamp", "t"]),
        ("scripts.make_shop", []),
        ("scripts.demo", []),
        ("scripts.migrate_encoders", []),
    ],
)
def test_the_failure_of_a_program_is_printed_without_changes(
    program: str, argv: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def refuse(*_: object) -> None:
        raise SettingsError(MESSAGE)

    for name in ("TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    module = importlib.import_module(program)
    monkeypatch.setattr("recsys.settings.load_settings" if program == "train" else f"{program}.load_settings", refuse)
    if program == "scripts.demo":
        monkeypatch.setattr(module, "own_variables", lambda environ: {})
    assert module.main(argv) == (1 if program == "train" else 78)
    assert capsys.readouterr().err.endswith(f": {MESSAGE}\n")


# Files with other rules for their messages.
ELSEWHERE = {ROOT / "recsys" / "settings" / "settings.py", ROOT / "recsys" / "store" / "drivers" / "mysql.py"}
LISTS = re.compile(r"^(sorted|list|set|dict|tuple|frozenset)\(")


@pytest.mark.parametrize("path", sorted(set(SOURCES) - ELSEWHERE), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_error_prints_a_list_in_pythons_notation(path: Path):
    raised = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Raise)]
    shown = [part for error in raised for part in ast.walk(error) if isinstance(part, ast.FormattedValue)]
    assert [ast.unparse(part.value) for part in shown if LISTS.match(ast.unparse(part.value))] == []
