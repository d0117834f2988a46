"""docs/FAULTS.md names each fault with the files that test it."""

import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "FAULTS.md").read_text(encoding="utf-8")
FAULTS = {cells[1].strip(): cells[4] for line in PAGE.splitlines() if len(cells := line.split("|")) == 6}
TESTS = (  # a test belongs to a fault if its name begins with the fault's number
    ("tests", "test_*.py", re.compile(r"^(?:async )?def test_((?:f\d\d_)+)", re.MULTILINE)),
    ("backend/test", "*.test.js", re.compile(r"""['"`]((?:F\d\d )+)""")),
)


def files_by_fault() -> dict[str, list[str]]:
    """Return the links to the test files of each fault, found by the names of their tests."""
    found: dict[str, set[Path]] = defaultdict(set)
    for folder, glob, names in TESTS:
        for file in (ROOT / folder).rglob(glob):
            for match in names.findall(file.read_text(encoding="utf-8")):
                for fault in re.findall(r"f\d\d", match.lower()):
                    found[fault.upper()].add(file.relative_to(ROOT))
    return {fault: [f"[{file.name}](../{file.as_posix()})" for file in sorted(files)] for fault, files in found.items()}


TESTED = files_by_fault()
NUMBERS = sorted({*TESTED, *FAULTS} - {"", "---"})


def test_the_page_lists_the_faults_of_the_bridge_in_order() -> None:
    assert [number for number in FAULTS if number.startswith("F")] == NUMBERS
    assert {f"F{number:02}" for number in range(1, 55)} - set(NUMBERS) <= {"F46", "F47"}  # those are the web server's


@pytest.mark.parametrize("number", NUMBERS)
def test_each_fault_names_the_files_that_test_it(number: str) -> None:
    assert FAULTS.get(number, "").strip() == ", ".join(TESTED.get(number, ["no test"]))
