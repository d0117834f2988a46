"""docs/FAULTS.md says what the tests do: no fault is without one, and the file is what the command writes."""

from scripts.write_faults import BACKEND, FAULTS, PAGE, files_by_fault, page


def test_every_fault_of_the_bridge_has_a_test() -> None:
    assert sorted(FAULTS.keys() - BACKEND - files_by_fault().keys()) == []


def test_no_test_names_a_fault_that_nobody_has_described() -> None:
    assert sorted(files_by_fault().keys() - FAULTS.keys()) == []


def test_the_page_is_what_the_command_writes() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run scripts/write_faults.py"
