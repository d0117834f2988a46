"""benchmarks/readability.py: what it counts, on samples."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import pytest

from benchmarks import readability

VOCABULARY = """
[[words]]
old = ["Exam", "sit_all"]
new = "EvaluationSet, evaluate_set"

[[words]]
old = ["own"]
new = "network_score"
scope = ["recsys/scorers/*", "recsys/features/*"]
unless = ["os.own"]

[[words]]
old = ["done"]
new = "the noun that is meant"
defined = true

[[words]]
old = ["blend"]
new = "ensemble"
kept = "a name on the wire"

[[riddles]]
old = "wants a distance, and a dot"
new = "one coordinate is added"

[prose]
old = ["she", "so many"]
"""
RULES = tomllib.loads(VOCABULARY)


def words(path: str, text: str) -> list[tuple[str, int]]:
    return [(found.old, found.line) for found in readability.old_words({path: text}, RULES)]


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("a.py", "x = Exam()\n", [("Exam", 1)]),
        ("a.py", "x = 1\n\n\ndef sit_all(): ...\n", [("sit_all", 4)]),
        ("a.py", "# Exam\nx = 'Exam'\nExams = FreshExam = make_Exam = 1\n", []),
        ("recsys/scorers/a.py", "self.own = own\n", [("own", 1), ("own", 1)]),
        ("recsys/features/deep/a.py", "own = 1\n", [("own", 1)]),
        ("recsys/store/a.py", "own = 1\n", []),
        ("recsys/scorers/a.py", "os.own(), x.os.own\n", []),
        ("a.py", "done = run()\n", []),
        ("a.py", "def done(): ...\nclass done: ...\n", [("done", 1), ("done", 2)]),
        ("a.py", "blend = 1\n", []),
        ("a.js", "const x = new Exam(); // Exam\n/* Exam */ f('Exam', \"Exam\");\n", [("Exam", 1)]),
        (
            "a.js",
            "`Exam ${a ? `${Exam} Exam` : { b: 1 }} Exam`;\nthis.#sit_all();\n",
            [("Exam", 1), ("sit_all", 2)],
        ),
        ("a.js", "x.match(/'Exam[/\"]/g); a = b / Exam / 2;\n", [("Exam", 1)]),
        ("a.md", "The Exam is `make(Exam)`.\n", [("Exam", 1)]),
    ],
)
def test_old_words_are_whole_names_in_their_scope(path: str, text: str, expected: list[tuple[str, int]]) -> None:
    assert words(path, text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "It wants a distance, and a dot product",
        "# It wants a\n    # distance, and a dot product",
        " * It wants\n * a distance,\n * and a dot product",
    ],
)
def test_a_riddle_is_found_across_lines(text: str) -> None:
    assert [found.path for found in readability.riddles({"a": text, "b": "It wants a distance."}, RULES)] == ["a"]


def test_splinters_are_short_files_but_for_what_is_exempt() -> None:
    short, long = "x = 1\n" * 59, "x = 1\n" * 60
    registry = "REGISTRY: dict = {'BMF': 1, **others}\n"
    files = {
        "recsys/scorers/registry.py": registry + long,
        "recsys/scorers/bmf.py": short,
        "recsys/networks/bmf.py": short,
        "recsys/scorers/tower.py": short,
        "recsys/features/features.py": long,
        "backend/src/middlewares/limits.js": short,
        "backend/src/services/clock.js": short,
        "backend/test/clock.js": short,
        "train.py": short,
    }

    assert readability.splinters(files) == ["recsys/scorers/tower.py", "backend/src/services/clock.js"]


def test_lines_of_code_leave_out_blanks_comments_and_docstrings() -> None:
    code = '"""Title."""\n\n# why\nclass A:\n    """Two\n    lines."""\n\n    x = """a\n    b"""  # so\n'

    assert readability.python_lines(code) == (3, 3)
    assert readability.js_lines("// why\n\n/**\n * Says.\n */\nconst x = `a\n b`; // so\n}\n") == 3


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with one loose module, one splinter, one old word and one riddle."""
    files = {
        "docs/vocabulary.toml": VOCABULARY,
        "recsys/__init__.py": "",
        "recsys/settings/settings.py": "x = 1\n" * 60,
        "recsys/loose.py": "Exam = 1  # it wants a distance, and a dot product; she has so many\n",
    }
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    return tmp_path


def test_figures_are_printed_beside_another_checkouts(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory, capsys
) -> None:
    before = tmp_path_factory.mktemp("before")
    (before / "recsys").mkdir()

    assert readability.main(["--against", str(before), "--list"], checkout) == 1

    printed = capsys.readouterr().out
    rows = [
        [cell.strip() for cell in line.strip("│").split("│")] for line in printed.splitlines() if line.startswith("│")
    ]
    assert {row[0]: row[1:3] for row in rows} == {
        "loose modules at recsys' root": ["0", "1"],
        "files under 60 lines": ["0", "1"],
        "old identifiers": ["0", "1"],
        "different ones": ["0", "1"],
        "riddles": ["0", "1"],
        "she, somebody, likewise …": ["0", "2"],
        "lines of code in recsys": ["0", "61"],
        "share of docstrings": ["0%", "0%"],
        "lines of code in backend/src": ["0", "0"],
    }
    assert "recsys/loose.py:1: Exam → EvaluationSet, evaluate_set" in printed


def test_a_checkout_within_the_bounds_passes(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (checkout / "recsys/loose.py").unlink()

    assert readability.main([], checkout) == 0


def test_only_what_git_tracks_is_counted(checkout: Path) -> None:
    for command in (["init", "-q"], ["add", "recsys/loose.py", "recsys/settings/settings.py"]):
        subprocess.run(["git", "-C", str(checkout), *command], check=True)

    assert sorted(readability.tracked(checkout)) == ["recsys/loose.py", "recsys/settings/settings.py"]


def test_the_projects_own_vocabulary_is_well_formed() -> None:
    vocabulary = tomllib.loads((readability.ROOT / readability.VOCABULARY).read_text(encoding="utf-8"))

    for rule in vocabulary["words"]:
        assert {"old", "new"} <= set(rule) <= {"old", "new", "scope", "unless", "defined", "kept"}
        assert all(word.isidentifier() for word in rule["old"])
    assert all(len(rule["old"].split()) <= 6 for rule in vocabulary["riddles"])
