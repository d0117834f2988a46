"""Pages with generated tables: what stands between two markers is written by a command, and can be checked."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BEGIN, END = (
    "<!-- results: {} -->\n",
    "<!-- end of results -->\n",
)  # the first names what stands there: a page may hold several
NOT_TAKEN = "Not measured yet.\n"
DIGITS = 7  # of kept figures: more than any page shows


def begin(name: str) -> str:
    """Return the line before the tables of that name."""
    return BEGIN.format(name)


def replaced(text: str, block: str, name: str, page: str) -> str:
    """Return a page with the text between one pair of markers replaced.

    Args:
        text: Of the page.
        block: What is to stand between them.
        name: Of what stands there.
        page: What a message calls the page.
    """
    before, found, rest = text.partition(begin(name))
    _, ended, after = rest.partition(END)
    if begin(name) in rest or not found or not ended or BEGIN.partition("{")[0] in rest.partition(END)[0]:
        raise SystemExit(
            f"{page} should hold {begin(name).strip()} once, on a line of its own, and {END.strip()} behind it."
        )
    return before + begin(name) + block + END + after


def settled(page: Path, text: str, made_by: str, *, check: bool, same: bool = True) -> int:
    """Write a page, or only say whether it is up to date; returns the exit status.

    Args:
        page: The file.
        text: What it should hold.
        made_by: The command that writes it, for the message.
        check: Whether to change nothing.
        same: Whether what belongs to the page, such as a picture, is up to date.
    """
    if not check:
        page.write_text(text, encoding="utf-8")
        return 0
    same = same and page.read_text(encoding="utf-8") == text
    print(f"{page.name} says what was measured." if same else f"{page.name} should be made again: {made_by}")
    return int(not same)


def keep(path: Path, figures: Mapping[str, Any]) -> None:
    """Write figures as JSON with `DIGITS` significant digits, one line for each key or element of a list of records.

    Raises:
        ValueError: A figure is infinite or no number.
    """
    lines = [f"{json.dumps(name)}: {_text(part)}" for name, part in rounded(dict(figures)).items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def rounded(part: Any) -> Any:
    """Return a JSON value with `DIGITS` significant digits of each float."""
    if isinstance(part, dict):
        return {name: rounded(value) for name, value in part.items()}
    if isinstance(part, list | tuple):
        return [rounded(value) for value in part]
    return float(f"{part:.{DIGITS}g}") if isinstance(part, float) else part


def _text(part: Any) -> str:
    if isinstance(part, list) and part and isinstance(part[0], dict):
        return "[\n" + ",\n".join(json.dumps(element, allow_nan=False) for element in part) + "\n]"
    return json.dumps(part, allow_nan=False)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of a command that measures, and writes a page of what was measured."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="write the kept figures into a page instead of measuring"
    )
    parser.add_argument("--check", action="store_true", help="with --markdown: only compare")


def positive(text: str) -> int:
    """Return a whole number from 1, as a flag gives it."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"should be a positive integer. Received: {text}.")
    return int(text)
