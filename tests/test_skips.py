"""What is skipped is said with its reason, and refused on CI."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SKIPPING = """
import pytest

@pytest.mark.skipif(True, reason="no moon")
def test_one(): pass

def test_two(): pytest.skip("no sun")

@pytest.fixture
def missing(): pytest.skip("no star")

def test_three(missing): pass

@pytest.mark.xfail(reason="known")
def test_four(): assert False
"""


@pytest.mark.parametrize(
    ("ci", "status", "said"), [("", 0, "SKIPPED [1]"), ("true", 1, "CI refuses to skip a test. Skipped:")]
)
def test_a_skip_says_why_and_fails_on_ci(tmp_path: Path, ci: str, status: int, said: str) -> None:
    file = tmp_path / "test_it.py"
    file.write_text(SKIPPING, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-ra",
        "-p",
        "tests.helpers.skips",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(file),
    ]
    environ = {**os.environ, "CI": ci, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        command, cwd=tmp_path, env=environ, capture_output=True, encoding="utf-8", timeout=120, check=False
    )

    assert done.returncode == status, done.stdout + done.stderr
    summary = done.stdout.partition("short test summary info")[2].splitlines()
    for reason in ("no moon", "no sun", "no star"):
        assert any(said in line and line.endswith(reason) for line in summary), done.stdout
    assert any(line.startswith("XFAIL") for line in summary)
