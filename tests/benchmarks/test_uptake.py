"""benchmarks/uptake.py: what counts as a fault, and the page. The measurement itself is the command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import uptake
from benchmarks.uptake import faults, rendered

FIGURES: dict[str, Any] = {
    "items": 10_000,
    "users": 20_000,
    "load": 40.2,
    "sustained": 80.4,
    "ms": [900.0, 1200.0, 800.0],
    "asked": 1_234,
    "failed": {},
    "mixed": 0,
    "versions": ["a", "b"],
    "deaths": 0,
    "workers": 2,
    "processor": "x86_64",
    "processors": 2,
}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"failed": {"timeout": 2}}, "2 answers failed: timeout."),
        ({"mixed": 1}, "1 answers are mixed: the same version and request have two lists."),
        ({"deaths": 1}, "1 workers died."),
        ({"versions": ["a"]}, "One version alone has answered."),
        ({"ms": [900.0, 2001.0]}, "An uptake took 2,001 ms; 2,000 are allowed."),
    ],
)
def test_what_should_not_happen_is_named(changed: dict[str, Any], sentence: str) -> None:
    assert faults(FIGURES) == []
    assert faults({**FIGURES, **changed}) == [sentence]
    assert f"- {sentence}" in rendered({**FIGURES, **changed})


def test_the_page_has_the_load_and_the_times() -> None:
    assert (
        "| 10,000 items, 20,000 users | 2 | 40 of 80 | 900 | 1,200 | 1,234 | 0 | 0 |\n\n"
        "- 3 changes of version; no answer failed or mixed two versions.\n" in rendered(FIGURES)
    )


def test_the_kept_figures_are_those_of_the_page() -> None:
    assert uptake.main(["--markdown", str(uptake.ROOT / "docs" / "PERFORMANCE.md"), "--check"]) == 0


def test_without_figures_the_page_says_so(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- results: uptake -->\n<!-- end of results -->\n", encoding="utf-8")

    assert uptake.main(["--markdown", str(page)], tmp_path) == 0
    assert "Not measured yet." in page.read_text(encoding="utf-8")
