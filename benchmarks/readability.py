"""Count what makes the code hard to read: loose modules, very short files, private words and riddles; also code size.

    python benchmarks/readability.py                      count this checkout, with what is asked for
    python benchmarks/readability.py --against HEAD~20    beside a commit, or beside the folder of another checkout
    python benchmarks/readability.py --list               and say where each word is

Words and their replacements are in docs/vocabulary.toml. The status is 1 where a bound is missed.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import subprocess
import sys
import tarfile
import tempfile
import tokenize
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from recsys.training.terminal import console as new_console  # noqa: E402

VOCABULARY = "docs/vocabulary.toml"
TESTS = "tests/benchmarks/test_readability.py"
UNSEARCHED = {VOCABULARY, "docs/GLOSSARY.md", "CHANGELOG.md", TESTS}  # they name old words on purpose
AT_THE_ROOT = {"__init__.py"}  # of recsys
SMALL = 60  # lines
CODE = ("recsys/", "backend/src/")
REGISTRY = "recsys/scorers/registry.py"
LOOSE, SPLINTERS, WORDS, RIDDLES = (
    "loose modules at recsys' root",
    f"files under {SMALL} lines",
    "old identifiers",
    "riddles",
)
BOUNDS: Mapping[str, int] = {LOOSE: 0, SPLINTERS: 25, WORDS: 0, RIDDLES: 0}
NOTHING_BUT_LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
    tokenize.ENCODING,
}
JS_TOKEN = re.compile(
    r"(?P<comment>//[^\n]*|/\*.*?\*/)|(?P<string>'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\")|(?P<name>[A-Za-z_$][\w$]*)|(?P<number>\d[\w.]*)"
    r"|(?P<sign>[^\s\w$])",
    re.DOTALL,
)
JS_REGEX = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n\[])+/[a-z]*")
JS_TEXT = re.compile(
    r"(?:\\.|\$(?!\{)|[^`\\$])*(`|\$\{)", re.DOTALL
)  # of a template, up to its end or to an expression
BEFORE_REGEX = {"", *"(,=:[!&|?{};>", "return", "typeof", "case"}  # a slash behind anything else divides


@dataclass(frozen=True)
class Found:
    """One occurrence: a name or a part of a sentence, where it is, and what to write instead."""

    old: str
    path: str
    line: int
    new: str


def tracked(folder: Path) -> dict[str, str]:
    """Return the texts of Python, JavaScript and Markdown files by path: tracked files, or all outside a repository."""
    if (folder / ".git").exists():
        listed = subprocess.run(
            ["git", "-C", str(folder), "ls-files"], capture_output=True, text=True, check=True
        ).stdout.splitlines()
    else:
        listed = [
            path.relative_to(folder).as_posix()
            for path in sorted(folder.rglob("*"))
            if "node_modules" not in path.parts
        ]
    paths = [path for path in listed if path.endswith((".py", ".js", ".mjs", ".md")) and (folder / path).is_file()]
    return {path: (folder / path).read_text(encoding="utf-8") for path in paths if path not in UNSEARCHED}


def python_names(text: str) -> Iterator[tuple[str, int, bool]]:
    """Yield each name, or `a.b` after a dot, with its line and whether it defines a function or a class."""
    earlier, before = "", ""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME:
            owner = f"{earlier}." if before == "." and earlier.isidentifier() else ""
            yield owner + token.string, token.start[0], before in ("def", "class")
        earlier, before = before, token.string


def js_tokens(text: str) -> Iterator[tuple[str, str, int]]:
    """Yield kind, text and position of JavaScript tokens; the texts of templates are strings."""
    position, before = 0, ""
    braces: list[int] = []  # that are open in each open expression of a template
    while token := JS_TOKEN.search(text, position):
        kind, start, end = str(token.lastgroup), token.start(), token.end()
        ends_expression = token[0] == "}" and bool(braces) and braces[-1] == 0
        if token[0] == "`" or ends_expression:
            braces = braces[:-1] if ends_expression else braces
            if not (more := JS_TEXT.match(text, end)):
                return
            kind, end = "string", more.end()
            braces = [*braces, 0] if more[1] == "${" else braces
        elif token[0] == "/" and before in BEFORE_REGEX and (more := JS_REGEX.match(text, start)):
            kind, end = "string", more.end()
        elif braces and token[0] in ("{", "}"):
            braces[-1] += 1 if token[0] == "{" else -1
        if kind != "comment":
            before = "{" if kind == "string" and text[end - 2 : end] == "${" else text[start:end]
        yield kind, text[start:end], start
        position = end


def js_names(text: str) -> Iterator[tuple[str, int, bool]]:
    """Yield each name with its line, comments and strings left out."""
    for kind, name, start in js_tokens(text):
        if kind == "name":
            yield name, text.count("\n", 0, start) + 1, False


def page_names(text: str) -> Iterator[tuple[str, int, bool]]:
    """Yield each name in the code spans of a page with its line."""
    for number, line in enumerate(text.splitlines(), 1):
        for span in re.findall(r"`([^`]+)`", line):
            yield from ((name, number, False) for name in re.findall(r"[A-Za-z_$][\w$]*", span))


def names(path: str, text: str) -> Iterator[tuple[str, int, bool]]:
    """Yield the names of a file by its kind."""
    kinds = {".py": python_names, ".md": page_names}
    return kinds.get(Path(path).suffix, js_names)(text)


def old_words(files: Mapping[str, str], vocabulary: Mapping[str, Any]) -> list[Found]:
    """Return every old identifier that is left; see docs/vocabulary.toml."""
    rules: dict[str, list[Mapping[str, Any]]] = {}
    for rule in vocabulary["words"]:
        for old in rule["old"] if "kept" not in rule else ():
            rules.setdefault(old, []).append(rule)
    found = []
    for path, text in files.items():
        for name, line, defined in names(path, text):
            bare = name.rpartition(".")[2]
            rule = next((rule for rule in rules.get(bare, ()) if _applies(rule, path, name, defined)), None)
            if rule:
                found.append(Found(bare, path, line, rule["new"]))
    return found


def _applies(rule: Mapping[str, Any], path: str, name: str, defined: bool) -> bool:
    in_scope = any(fnmatch(path, scope) for scope in rule.get("scope", ["*"]))
    return in_scope and name not in rule.get("unless", ()) and (defined or not rule.get("defined"))


def riddles(files: Mapping[str, str], vocabulary: Mapping[str, Any]) -> list[Found]:
    """Return every part of a riddle that is left, whatever the line breaks and comment signs in it."""
    found = []
    for rule in vocabulary["riddles"]:
        pattern = re.compile(r"(?:\s|\n\s*(?:#|//|\*))+".join(map(re.escape, rule["old"].split())))
        for path, text in files.items():
            found += [
                Found(rule["old"], path, text.count("\n", 0, hit.start()) + 1, rule["new"])
                for hit in pattern.finditer(text)
            ]
    return found


def splinters(files: Mapping[str, str]) -> list[str]:
    """Return files of fewer than 60 lines, except `__init__`, middlewares and files of registry entries."""
    entries = {name.lower() for name in registry(files.get(REGISTRY, ""))}
    return [
        path
        for path, text in files.items()
        if path.startswith(CODE) and text.count("\n") < SMALL and "middlewares" not in path.split("/")
        if Path(path).stem not in entries | {"__init__"}
    ]


def registry(text: str) -> list[str]:
    """Return the keys of `REGISTRY`."""
    tables = [
        node.value
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "REGISTRY"
    ]
    return [
        key.value
        for table in tables
        if isinstance(table, ast.Dict)
        for key in table.keys
        if isinstance(key, ast.Constant)
    ]


def python_lines(text: str) -> tuple[int, int]:
    r"""Return the number of lines of code, blank ones, comments and docstrings left out, and that of docstrings.

    >>> python_lines('"Title."\n\n# why\nx = 1  # so\ny = [\n    2,\n]\n')
    (4, 1)
    """
    documented: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node) is not None
        ):
            documented.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in NOTHING_BUT_LAYOUT:
            code.update(range(token.start[0], token.end[0] + 1))
    return len(code - documented), len(documented)


def js_lines(text: str) -> int:
    """Return the number of lines of code, blank ones and comments left out."""
    code: set[int] = set()
    for kind, token, start in js_tokens(text):
        if kind != "comment":
            first = text.count("\n", 0, start)
            code.update(range(first, first + token.count("\n") + 1))
    return len(code)


def count(files: Mapping[str, str], vocabulary: Mapping[str, Any]) -> tuple[dict[str, str], list[Found]]:
    """Return every figure by its name, and the old words and riddles."""
    words, sentences = old_words(files, vocabulary), riddles(files, vocabulary)
    loose = [
        path
        for path in files
        if re.fullmatch(r"recsys/[^/]+\.py", path) and path.removeprefix("recsys/") not in AT_THE_ROOT
    ]
    python = [python_lines(text) for path, text in files.items() if path.startswith("recsys/") and path.endswith(".py")]
    code, documented = (sum(column) for column in zip(*python, strict=True)) if python else (0, 0)
    prose = re.compile(rf"\b(?:{'|'.join(vocabulary['prose']['old'])})\b", re.IGNORECASE)
    figures: dict[str, int | str] = {
        LOOSE: len(loose),
        SPLINTERS: len(splinters(files)),
        WORDS: len(words),
        "  different ones": len({found.old for found in words}),
        RIDDLES: len(sentences),
        "she, somebody, likewise …": sum(len(prose.findall(text)) for text in files.values()),
        "lines of code in recsys": code,
        "share of docstrings": f"{documented / max(1, code + documented):.0%}",
        "lines of code in backend/src": sum(js_lines(text) for path, text in files.items() if path.startswith(CODE[1])),
    }
    return {name: str(figure) for name, figure in figures.items()}, [*words, *sentences]


def at_commit(commit: str, folder: Path) -> Path:
    """Unpack a commit of this repository into a folder and return the folder."""
    packed = subprocess.run(["git", "-C", str(ROOT), "archive", commit], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def main(argv: Sequence[str], root: Path = ROOT) -> int:
    """Count and print; returns the exit status."""
    flags = _parser().parse_args(argv)
    vocabulary = tomllib.loads((root / VOCABULARY).read_text(encoding="utf-8"))
    figures, found = count(tracked(root), vocabulary)
    table, before = (
        Table("what", *(["before"] if flags.against else []), "now", "bound"),
        dict[str, str](),
    )
    if flags.against:
        with tempfile.TemporaryDirectory() as name:
            other = Path(flags.against) if Path(flags.against).is_dir() else at_commit(flags.against, Path(name))
            before, _ = count(tracked(other), vocabulary)
    for what, figure in figures.items():
        bound = f"≤ {BOUNDS[what]}" if what in BOUNDS else ""
        table.add_row(what, *([before[what]] if before else []), figure, bound)
    console = new_console(log_width=130)
    console.print(table)
    for each in found if flags.list else ():
        console.print(f"{each.path}:{each.line}: {each.old} → {each.new}", markup=False)
    return 1 if any(int(figures[what]) > bound for what, bound in BOUNDS.items()) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--against", metavar="COMMIT", help="a commit of this repository, or the folder of another checkout"
    )
    parser.add_argument("--list", action="store_true", help="say where each old word is")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
