"""docs/ARCHITECTURE.md names what is there, and its picture shows the folders and imports of the package."""

from __future__ import annotations

import ast
import re

import pytest

from tests.test_architecture import FLOORS, MODULES, NAMED, ROOT, folders, imports_of, tree

PATH = ROOT / "docs/ARCHITECTURE.md"
PAGE = PATH.read_text(encoding="utf-8")
(PICTURE,) = re.findall(r"^```mermaid\n(.+?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SPANS = sorted(set(re.findall(r"`([^`\n]+)`", PAGE.replace(PICTURE, ""))))
DOTTED = [span for span in SPANS if re.fullmatch(r"recsys(\.\w+)+", span) and not span.endswith(".toml")]
A_PATH = re.compile(r"[\w.]+/[\w./]*|\w+\.(?:py|md)|pyproject\.toml")
PATHS = sorted({word for span in SPANS for word in span.split() if A_PATH.fullmatch(word)})
PLACEHOLDERS = {"NAME", "name"}  # what a reader replaces by a name of their own
WORDS = [span for span in SPANS if span.isidentifier() and span not in PLACEHOLDERS]
LINKS = sorted(set(re.findall(r"\]\(([^)#]+)", PAGE.replace(PICTURE, ""))))
SUBGRAPH, NODE, ARROW = r'subgraph (\w+) \["[^"]+"\]', r'\b(\w+)\["[^"]+"\]', r"(\w+) --> (\w+)"
ARROWS = set(re.findall(rf"^ +{ARROW}$", PICTURE, re.MULTILINE))


def bound_by(node: ast.stmt) -> set[str]:
    """Return the names that a statement binds."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name for alias in node.names}
    return {child.id for child in ast.walk(node) if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store)}


def reachable(arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the arrows and every longer way along them."""
    ways = set(arrows)
    while longer := {(start, end) for start, middle in ways for origin, end in arrows if middle == origin} - ways:
        ways |= longer
    return ways


def test_the_picture_has_every_folder_of_the_package_once() -> None:
    assert sorted(re.findall(NODE, PICTURE)) == sorted({name.split(".")[1] for name in NAMED})


def test_the_boxes_of_the_picture_are_the_floors_the_highest_first() -> None:
    boxes = re.findall(r"subgraph .+?\n(.+?)    end\n", PICTURE, re.DOTALL)

    assert [set(re.findall(NODE, box)) for box in boxes] == [set(floor) for floor in reversed(FLOORS)]


def test_the_picture_is_a_flowchart_whose_labels_are_quoted() -> None:
    first, *lines = (line.strip() for line in PICTURE.splitlines())

    assert first == "flowchart TB"
    assert [line for line in lines if not re.fullmatch(rf"{SUBGRAPH}|{NODE}|{ARROW}|end", line)] == []


def test_the_arrows_of_the_picture_are_the_imports_between_folders() -> None:
    imported = {(name.split(".")[1], folder) for name in NAMED for folder in folders(imports_of(MODULES[name]))}
    between = {(start, end) for start, end in imported if start != end}

    assert ARROWS - between == set(), "arrows without an import"
    assert between - reachable(ARROWS) == set(), "imports that no arrows lead along"


@pytest.mark.parametrize("span", DOTTED)
def test_a_module_or_function_of_the_page_is_there(span: str) -> None:
    module = max((name for name in MODULES if f"{span}.".startswith(f"{name}.")), key=len)
    body = tree(MODULES[module]).body
    for name in span.removeprefix(module).split(".")[1:]:
        definitions = [node for node in body if name in bound_by(node)]
        assert definitions, f"{module} should define {name}"
        body = getattr(definitions[0], "body", [])


@pytest.mark.parametrize("word", WORDS)
def test_a_name_of_the_page_is_in_the_code(word: str) -> None:
    files = [ROOT / "tests/conftest.py", *MODULES.values(), *sorted((ROOT / "backend/src").rglob("*.js"))]

    assert any(re.search(rf"\b{word}\b", path.read_text(encoding="utf-8")) for path in files)


@pytest.mark.parametrize("path", PATHS)
def test_a_path_of_the_page_is_there(path: str) -> None:
    place = ROOT / path

    assert place.parent.is_dir() if place.stem in PLACEHOLDERS else place.exists()


@pytest.mark.parametrize("link", LINKS)
def test_a_link_of_the_page_leads_to_a_file(link: str) -> None:
    assert (PATH.parent / link).is_file()


@pytest.mark.parametrize("heading", ["Add a model", "Add a context feature", "Add a database"])
def test_a_guide_has_numbered_steps(heading: str) -> None:
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    numbers = [int(number) for number in re.findall(r"^(\d+)\. ", section, re.MULTILINE)]

    assert numbers[0] == 1
    assert all(number in (1, before + 1) for before, number in zip(numbers, numbers[1:], strict=False))
