"""docs/GLOSSARY.md: its form, and what it says of weights and of names that stay."""

from __future__ import annotations

import re

import pytest

from recsys.settings import DEFAULT_EVENT_WEIGHTS
from tests.helpers.entry_points import ROOT

PAGE = (ROOT / "docs/GLOSSARY.md").read_text(encoding="utf-8")
MOST_WORDS = 25  # in the meaning of a term


def table(heading: str) -> list[dict[str, str]]:
    """Return the rows of the table behind a heading, by column."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    head, _, *rows = (
        [cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("|")
    )
    return [dict(zip(head, row, strict=True)) for row in rows]


TERMS, EVENTS, KEPT = table("Terms"), table("Event names"), table("Names that stay")


def test_the_terms_are_few_enough_to_be_read_in_one_go() -> None:
    assert 40 <= len(TERMS) <= 60


def test_each_term_stands_once_in_the_order_of_the_alphabet() -> None:
    names = [row["term"].lower() for row in TERMS]

    assert names == sorted(set(names))


@pytest.mark.parametrize("row", TERMS, ids=lambda row: row["term"])
def test_a_term_has_a_translation_one_short_sentence_and_what_it_replaces(row: dict[str, str]) -> None:
    assert all(row.values())
    assert row["meaning"].endswith(".")
    assert row["meaning"].count(". ") == 0
    assert len(row["meaning"].split()) <= MOST_WORDS


def test_the_weights_of_the_events_are_the_default_ones() -> None:
    weights = {row["event"].strip("`"): float(row["weight"]) for row in EVENTS if row["weight"] != "–"}

    assert weights == dict(DEFAULT_EVENT_WEIGHTS)


def test_the_events_of_other_systems_are_each_named_once() -> None:
    for system in ("service with `interaction_type`", "RetailRocket", "REES46", "Taobao UserBehavior"):
        names = [row[system] for row in EVENTS if row[system] != "–"]
        assert len(set(names)) == len(names) >= 3


@pytest.mark.parametrize("name", [name for row in KEPT for name in re.findall(r"`([^`]+)`", row["name"])])
def test_a_name_that_stays_is_there(name: str) -> None:
    sources = (
        path
        for folder in ("recsys", "docs/schema", "benchmarks/results")
        for path in sorted((ROOT / folder).rglob("*"))
    )
    texts = (path.read_text(encoding="utf-8") for path in sources if path.suffix in {".py", ".sql", ".json"})

    assert any(name in text for text in texts)
