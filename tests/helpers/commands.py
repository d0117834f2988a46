"""The commands that pages show, and the programs, words and variables in them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.helpers.documents import PAGES, blocks, named, prose, spans
from tests.helpers.entry_points import ROOT

HISTORY = ROOT / "CHANGELOG.md"  # it names what is gone
FORMULAS_AND_LISTS = {  # how the blocks begin that hold no commands
    "docs/MODELS.md": ("z(u, i) = ", "BMF  ", "s_u = "),
    "models/README.md": ("CURRENT  ",),
}
NO_COMMANDS = re.compile(r"import |script-src |[A-Za-z_]+ = |`")  # spans that look like one
A_COMMAND = re.compile(r"(?:[A-Z_]+=\S+ +)*[a-z.][\w./-]* \S|[A-Z_]+ -\S+ \S|-{1,2}[A-Za-z]")
IN_A_FOLDER = re.compile(r"\b(?:in|trong) `([\w/]+)/`")
OPERATORS = "();<>|&"
ROUTES = set(
    re.findall(r"method: '(\w+)', path: '([^']+)'", (ROOT / "backend/src/route/web.js").read_text(encoding="utf-8"))
)
OPENAPI = json.loads((ROOT / "docs/schema/openapi.json").read_text(encoding="utf-8"))
ROUTES |= {(method.upper(), path) for path, methods in OPENAPI["paths"].items() for method in methods}
CODE = (
    *("recsys", "scripts", "benchmarks", "integrations/django", "backend/src", "backend/bench", "frontend"),
    *("docs/diagrams", "tests/helpers"),
)


@dataclass(frozen=True)
class Command:
    """A command of a page: its line, its text, and the folders that the page says or means, its own first."""

    page: Path
    line: int
    text: str
    folders: tuple[Path, ...]

    def __str__(self) -> str:
        return f"{named(self.page)}:{self.line}: {self.text}"


@dataclass
class Program:
    """One program of a command: its words, its variables, and the program whose output it reads."""

    words: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    reads: Program | None = None


def commands() -> Iterator[Command]:
    """Yield the commands of all pages: of blocks without a language or in a shell's, and of spans."""
    for page in PAGES:
        if page == HISTORY:
            continue
        text = page.read_text(encoding="utf-8")
        lines = text.splitlines()
        for block in blocks(text):
            if block.text.startswith(FORMULAS_AND_LISTS.get(named(page), ("\0",))):
                continue
            first = block.lines.start + (1 if block.language is None else 2)
            folders = _folders(page, lines, block.lines.start)
            for offset, command in _of_block(block.language, block.text):
                yield Command(page, first + offset, command, folders)
        for row, line in enumerate(prose(text)):
            for span in spans(line):
                if A_COMMAND.match(span) and not NO_COMMANDS.match(span):
                    yield Command(page, row + 1, span, _folders(page, lines, row))


def _of_block(language: str | None, text: str) -> Iterator[tuple[int, str]]:
    """Yield the commands of a block with their rows; a block that shows output marks them by a dollar."""
    if language not in (None, "", "sh"):
        return
    joined = re.sub(r"\\\n *", lambda _: "\0", text)  # a line that goes on
    row = 0
    for line in joined.split("\n"):
        command = line.replace("\0", "")
        if command.startswith("$ ") or (language != "" and command):
            yield row, command.removeprefix("$ ")
        row += 1 + line.count("\0")


def _folders(page: Path, lines: list[str], row: int) -> tuple[Path, ...]:
    """Return the folder of a page's package or of the project, and those named in the row's paragraph or before it."""
    own = page.parent if (page.parent / "package.json").exists() else ROOT
    end = next((end for end in range(row, len(lines)) if not lines[end].strip()), len(lines))
    paragraphs = "\n".join(lines[:end]).split("\n\n")[-2:]
    return (own, *(ROOT / folder for folder in IN_A_FOLDER.findall("\n".join(paragraphs))))


def programs(text: str) -> list[Program]:
    """Return the programs of a command in their order, with loops written out."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=OPERATORS)
    lexer.whitespace_split = True
    found, program, is_target = [], Program(), False
    for word in _unrolled(list(lexer)):
        if is_target:
            is_target = False
        elif set(word) <= set(OPERATORS):
            is_target = word[0] in "<>"
            if program.words and not is_target:
                found.append(program)
                program = Program(reads=program if word == "|" else None)
        elif re.fullmatch(r"[A-Za-z_]\w*=.*", word, re.DOTALL) and not program.words:
            name, _, value = word.partition("=")
            program.variables |= {} if value == "$" else {name: value}
        else:
            program.words.append(word)
    return [*found, *([program] if program.words else [])]


def _unrolled(words: list[str]) -> list[str]:
    """Return the words of `for NAME in WORDS; do …; done` once for each of its words."""
    if not words or words[0] != "for":
        return words
    start, end = words.index("do"), words.index("done")
    name, values, body = words[1], words[3 : start - 1], words[start + 1 : end]
    return [*(word.replace(f"${name}", value) for value in values for word in body), *words[end + 1 :]]


@cache
def variables_of_the_code() -> set[str]:
    """Return the names in capitals that the code has: its environment variables are among them."""
    files = [ROOT / "Makefile", ROOT / ".ci/run", ROOT / "deploy/.env.example"]
    for place in CODE:
        files += [path for path in (ROOT / place).rglob("*.[jp][sy]") if "node_modules" not in path.parts]
    found: set[str] = set()
    for path in files:
        found |= set(re.findall(r"\b[A-Z][A-Z0-9_]+\b", path.read_text(encoding="utf-8")))
    return found
