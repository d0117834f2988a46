"""Every program answers `--help` and a wrong command line without doing anything."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLACES = ("*.py", "scripts/*.py", "benchmarks/*.py")
ENTRIES = [
    path.relative_to(ROOT).as_posix()
    for place in PLACES
    for path in sorted(ROOT.glob(place))
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
]
DOOR = "recommend_api.py"

# Runs a program, and reports each file, process and connection that it opens for writing.
WATCHED = r"""
import runpy, sys
acts = []
EFFECTS = {"subprocess.Popen", "socket.connect", "sqlite3.connect", "os.mkdir", "os.rename", "os.remove", "os.rmdir"}

def watch(event, arguments):
    writes = event == "open" and isinstance(arguments[1], str) and set("wax+") & set(arguments[1])
    if writes and not str(arguments[0]).startswith("/dev/") or event in EFFECTS:
        acts.append((event, *map(str, arguments[:1])))

sys.addaudithook(watch)
sys.argv = sys.argv[1:]
leave, os = sys.exit, __import__("os")
os._exit = lambda status: (sys.stdout.flush(), leave(status))
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    for act in acts:
        sys.stderr.write(f"ACTED {act}\n")
"""


def run(entry: str, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-B", "-c", WATCHED, str(ROOT / entry), *argv],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "100"},
    )


def test_the_programs_are_found():
    assert {DOOR, "train.py", "scripts/demo.py", "scripts/import_events.py", "benchmarks/serving.py"} < set(ENTRIES)


@pytest.mark.parametrize("entry", ENTRIES)
def test_help_is_printed_and_nothing_is_done(entry: str):
    done = run(entry, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: ")
    assert "--help" in done.stdout


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_wrong_command_line_is_refused_and_nothing_is_done(entry: str):
    done = run(entry, "--nonsense")
    assert "ACTED" not in done.stderr
    assert "Traceback" not in done.stderr
    if entry == DOOR:
        assert done.returncode == 64
        assert json.loads(done.stdout)["error"]["code"] == "usage"
    else:
        assert done.returncode == 2
        assert done.stdout == ""
        assert "usage: " in done.stderr
