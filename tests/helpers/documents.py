"""The pages of the project as a reader sees them: prose, blocks of code, and spans of code in the prose."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.entry_points import ROOT

PAGES = sorted(
    page for place in ("*.md", "*/*.md") for page in ROOT.glob(place) if not page.parent.name.startswith(".")
)
FENCE = re.compile(r"( *)```(.*)")


@dataclass(frozen=True)
class Block:
    """A block of code: the lines of its page from the first to the last, its language (None: indented) and its text."""

    lines: range
    language: str | None
    text: str


def named(page: Path) -> str:
    """Return a page's path as the project writes it."""
    return page.relative_to(ROOT).as_posix()


def blocks(text: str) -> list[Block]:
    """Return the blocks of code of a page, fenced or indented by four spaces, without their indentation."""
    found, lines, number = [], text.splitlines(), 0
    while number < len(lines):
        fence = FENCE.fullmatch(lines[number])
        if fence:
            end = next(row for row in range(number + 1, len(lines)) if lines[row].strip() == "```") + 1
            code = [line.removeprefix(fence[1]) for line in lines[number + 1 : end - 1]]
        elif lines[number].startswith("    ") and not (number and lines[number - 1].strip()):
            end = next((row for row in range(number, len(lines)) if lines[row][:4].strip()), len(lines))
            code = [line[4:] for line in lines[number:end]]
        else:
            number += 1
            continue
        found.append(Block(range(number, end), fence[2] if fence else None, "\n".join(code).rstrip()))
        number = end
    return found


def prose(text: str) -> list[str]:
    """Return the lines of a page, empty where its blocks of code are."""
    inside = {row for block in blocks(text) for row in block.lines}
    return ["" if row in inside else line for row, line in enumerate(text.splitlines())]


def links_of(text: str) -> list[str]:
    """Return where the links and pictures of a page lead within the project."""
    return re.findall(r"""(?:\]\(|(?:src|srcset|href)=")(?!https?://)([^)\s"]+)""", text)


def spans(line: str) -> list[str]:
    """Return the spans of code in a line of prose."""
    return re.findall(r"(?<!`)`([^`]+)`(?!`)", line)
