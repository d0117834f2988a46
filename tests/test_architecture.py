"""The folders of the package: imports point down only, and what serves never pays for what only training needs."""

import ast
import itertools
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MEDIA = ("store", "artifacts", "contract", "legacy")
# Lowest first. A folder imports from itself and from lower floors, never from a neighbour on its own floor.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("settings", "features"),
    ("data", "scorers"),
    ("evaluation", "networks", "related"),
    MEDIA,
    ("recommending", "importing", "tracking"),
    ("lifecycle",),
    ("training",),
    ("ratings",),
    ("bridge", "jobs"),
    ("service",),
)
FOLDERS = frozenset(folder for floor in FLOORS for folder in floor)
# A medium carries data; it knows neither features nor models.
MEDIA_IMPORT = frozenset({"errors", "settings", "data"})
SERVING = FOLDERS - {"networks", "training", "lifecycle", "importing", "legacy", "ratings", "jobs"}
TENSORFLOW = frozenset({"tensorflow", "keras", "tf_keras", "keras_rs"})
# What serving does without, or, as usearch, imports for a version that has a use for it.
HEAVY = TENSORFLOW | {"pandas", "scipy", "implicit", "threadpoolctl", "sklearn", "sqlalchemy", "pyarrow", "usearch"}
PICKLES = frozenset({"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"})


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def nodes(parent: ast.AST, *, at_import: bool) -> Iterator[ast.AST]:
    """Yield the nodes below; `at_import` leaves out what importing doesn't run: functions and `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(parent):
        if at_import and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if at_import and isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            yield from (node for branch in child.orelse for node in (branch, *nodes(branch, at_import=True)))
            continue
        yield child
        yield from nodes(child, at_import=at_import)


def imports(parsed: ast.Module, package: str, *, at_import: bool) -> set[str]:
    """Return the absolute names that a module of the package imports, `from a import b` as both a and a.b."""
    names: set[str] = set()
    for node in nodes(parsed, at_import=at_import):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            names |= {origin, *(f"{origin}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in {"import_module", "__import__"}:
            names |= {str(argument.value) for argument in node.args if isinstance(argument, ast.Constant)}
    return names


def imports_of(path: Path, *, at_import: bool = False) -> set[str]:
    package = module_of(path) if path.name == "__init__.py" else module_of(path).rpartition(".")[0]
    return imports(tree(path), package, at_import=at_import)


def packages(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def folders(names: set[str]) -> set[str]:
    """Return the folders of the package that absolute names lie in."""
    return {name.split(".")[1] for name in names if name.startswith("recsys.")}


MODULES = {module_of(path): path for path in sorted((ROOT / "recsys").rglob("*.py"))}
NAMED = sorted(set(MODULES) - {"recsys"})
SERVED = [name for name in NAMED if name.split(".")[1] in SERVING]
ENTRY_POINTS = [ROOT / "recommend_api.py", ROOT / "train.py", *sorted((ROOT / "scripts").rglob("*.py"))]
each_module = pytest.mark.parametrize("name", NAMED)


def may_import(folder: str) -> frozenset[str]:
    """Return the folders that a folder may import from, itself included."""
    lower = frozenset().union(*itertools.takewhile(lambda floor: folder not in floor, FLOORS))
    return (lower & MEDIA_IMPORT if folder in MEDIA else lower) | {folder}


def loaded_with(names: set[str], *, parents: bool = True, late: bool = False) -> set[str]:
    """Return the modules of ours that run when some are imported.

    Args:
        names: The imported modules.
        parents: Whether the packages around them count.
        late: Whether imports inside functions count.
    """
    loaded: set[str] = set()
    waiting = set(names)
    while waiting:
        name = waiting.pop()
        if name in MODULES and name not in loaded:
            loaded.add(name)
            waiting |= imports_of(MODULES[name], at_import=not late)
            waiting |= {name.rpartition(".")[0]} if parents else set()
    return loaded


def packages_loaded_with(names: set[str]) -> set[str]:
    return {package for name in loaded_with(names) for package in packages(imports_of(MODULES[name], at_import=True))}


def lines_that_call(path: Path, *functions: str) -> list[int]:
    called = [node.func for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
    return [name.lineno for name in called if isinstance(name, ast.Name) and name.id in functions]


def test_every_folder_has_a_floor_and_every_floor_its_folders() -> None:
    assert {name.split(".")[1] for name in NAMED} == FOLDERS


def test_no_module_lies_loose_at_the_root_of_the_package() -> None:
    assert {path.stem for path in (ROOT / "recsys").glob("*.py")} <= {"__init__"}


@each_module
def test_imports_point_down_only(name: str) -> None:
    assert folders(imports_of(MODULES[name])) - may_import(name.split(".")[1]) == set()


@each_module
def test_no_module_imports_itself_in_a_circle(name: str) -> None:
    assert name not in loaded_with(imports_of(MODULES[name]), parents=False, late=True)


@pytest.mark.parametrize("path", [path for path in MODULES.values() if path.name == "__init__.py"], ids=module_of)
def test_an_init_file_holds_a_docstring_imports_and_dunder_names_only(path: Path) -> None:
    docstring, *rest = tree(path).body
    others = [ast.unparse(node) for node in rest if not isinstance(node, ast.Import | ast.ImportFrom)]

    assert isinstance(docstring, ast.Expr)
    assert [code for code in others if not code.startswith(("__all__ = ", "__version__ = "))] == []


@pytest.mark.parametrize("path", [*MODULES.values(), *ENTRY_POINTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_only_networks_imports_keras_and_tensorflow(path: Path) -> None:
    assert not packages(imports_of(path)) & TENSORFLOW or module_of(path).startswith("recsys.networks")


@pytest.mark.parametrize("name", SERVED)
def test_what_serves_loads_nothing_that_only_training_needs(name: str) -> None:
    assert folders(loaded_with({name})) - SERVING == set()
    assert packages_loaded_with({name}) & HEAVY == set()


@pytest.mark.parametrize("path", ENTRY_POINTS, ids=lambda path: path.stem)
def test_a_command_line_is_read_before_tensorflow_is_loaded(path: Path) -> None:
    assert packages_loaded_with(imports_of(path, at_import=True)) & TENSORFLOW == set()


@pytest.mark.parametrize("name", SERVED)
def test_what_serves_neither_unpickles_nor_evaluates(name: str) -> None:
    keywords = [node for node in ast.walk(tree(MODULES[name])) if isinstance(node, ast.keyword)]

    assert packages(imports_of(MODULES[name])) & PICKLES == set()
    assert lines_that_call(MODULES[name], "eval", "exec") == []
    assert {ast.unparse(keyword.value) for keyword in keywords if keyword.arg == "allow_pickle"} <= {"False"}


@each_module
def test_the_package_prints_nothing(name: str) -> None:
    assert lines_that_call(MODULES[name], "print") == []


@pytest.mark.parametrize(
    ("source", "anywhere", "at_import"),
    [
        ("import keras.layers", {"keras.layers"}, {"keras.layers"}),
        ("from recsys import store", {"recsys", "recsys.store"}, {"recsys", "recsys.store"}),
        ("from .b import A", {"recsys.scorers.b", "recsys.scorers.b.A"}, {"recsys.scorers.b", "recsys.scorers.b.A"}),
        ("from ..store import A", {"recsys.store", "recsys.store.A"}, {"recsys.store", "recsys.store.A"}),
        ("def late():\n    import pandas", {"pandas"}, set()),
        ("if TYPE_CHECKING:\n    import pandas\nelse:\n    import scipy", {"pandas", "scipy"}, {"scipy"}),
        ("importlib.import_module('keras')", {"keras"}, {"keras"}),
    ],
)
def test_every_way_to_import_is_seen(source: str, anywhere: set[str], at_import: set[str]) -> None:
    parsed = ast.parse(source)

    assert imports(parsed, "recsys.scorers", at_import=False) == anywhere
    assert imports(parsed, "recsys.scorers", at_import=True) == at_import


def test_the_floors_forbid_upwards_and_sideways() -> None:
    assert may_import("scorers") & {"data", "evaluation", "networks", "store"} == set()
    assert may_import("store") & {"artifacts", "contract", "legacy", "features", "scorers"} == set()
    assert may_import("recommending") & {"training", "lifecycle", "importing", "bridge"} == set()
