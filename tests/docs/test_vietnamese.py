"""Each Vietnamese page says what the English one says: the same sections, commands, names, links and figures."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

import pytest

from tests.helpers.documents import Block, blocks, links_of, prose, spans
from tests.helpers.entry_points import ROOT

PAGES = ("README", "docs/OPERATIONS")
OTHER_LANGUAGE = {
    "README.vi.md": "README.md",
    "OPERATIONS.vi.md": "OPERATIONS.md",
    "docs/OPERATIONS.vi.md": "docs/OPERATIONS.md",
    "docs/DIAGRAMS.md#sơ-đồ-hoạt-động": "docs/DIAGRAMS.md",
}


def sections(page: str) -> list[str]:
    """Return a page in parts that each begin with a heading."""
    lines = page.splitlines()
    starts = [row for row, line in enumerate(prose(page)) if re.match("#+ ", line)]
    return ["\n".join(lines[start:end]) for start, end in pairwise([*starts, len(lines)])]


def read(name: str) -> tuple[str, str]:
    """Return a page in English and in Vietnamese."""
    english, vietnamese = ((ROOT / f"{name}{end}").read_text(encoding="utf-8") for end in (".md", ".vi.md"))
    return english, vietnamese


PAIRS = [
    pytest.param(english, vietnamese, id=f"{name}: {english.splitlines()[0].strip('# ')}")
    for name in PAGES
    for english, vietnamese in zip(*map(sections, read(name)), strict=False)
]
by_page = pytest.mark.parametrize("name", PAGES)
by_section = pytest.mark.parametrize(("english", "vietnamese"), PAIRS)


def untranslated(block: Block) -> object:
    """Return what both languages share of a block: all but the labels of a diagram, and comments."""
    if block.language == "mermaid":
        return re.sub('"[^"]*"', '""', block.text)
    if block.language == "toml":
        return tomllib.loads(block.text)
    return block.text if block.language == "" else re.sub(r"\s+# .*$", "", block.text, flags=re.MULTILINE)


def same(english: Iterable[str], vietnamese: Iterable[str]) -> None:
    expected, found = Counter(english), Counter(vietnamese)

    assert sorted((expected - found).elements()) == [], "only in English: translate it"
    assert sorted((found - expected).elements()) == [], "only in Vietnamese"


@by_page
def test_the_headings_have_the_same_levels_in_the_same_order(name: str) -> None:
    levels = [[len(section) - len(section.lstrip("#")) for section in sections(page)] for page in read(name)]

    assert levels[1] == levels[0]
    assert len(levels[0]) >= 5


@by_section
def test_the_blocks_are_the_same_but_for_comments_and_labels(english: str, vietnamese: str) -> None:
    shared = [[(block.language, untranslated(block)) for block in blocks(page)] for page in (english, vietnamese)]

    assert shared[1] == shared[0]


@by_section
def test_the_names_in_the_prose_are_the_same(english: str, vietnamese: str) -> None:
    same(*({span for line in prose(page) for span in spans(line)} for page in (english, vietnamese)))


@by_section
def test_the_links_lead_to_the_same_places(english: str, vietnamese: str) -> None:
    links = [links_of("\n".join(prose(page))) for page in (english, vietnamese)]

    same(*([OTHER_LANGUAGE.get(link, link) for link in found] for found in links))


@by_section
def test_the_figures_are_the_same_whatever_their_marks(english: str, vietnamese: str) -> None:
    found = [re.findall(r"(?<!\w)\d[\d.,]*", " ".join(prose(page))) for page in (english, vietnamese)]

    same(*([re.sub("[.,]", "", figure) for figure in figures] for figures in found))


@by_section
def test_tables_and_lists_have_as_many_rows_and_columns(english: str, vietnamese: str) -> None:
    shapes = [[shape for line in prose(page) if (shape := shape_of(line))] for page in (english, vietnamese)]

    assert shapes[1] == shapes[0]


def shape_of(line: str) -> str:
    """Return the bars of a row of a table, or the mark of an entry of a list; nothing for other lines."""
    start = re.match(r" *(\*|\d+\.|\|)(?= )", line)
    return "|" * line.count("|") if start and start[1] == "|" else start[0] if start else ""


@by_page
def test_the_letters_are_composed(name: str) -> None:
    assert unicodedata.is_normalized("NFC", read(name)[1])
