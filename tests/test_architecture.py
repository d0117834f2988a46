"""The directions of the house plan: arrows point down only, and serving never pays for what only training needs."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Lowest first. A room imports from lower layers and from itself; where `sideways` is true also from rooms of its own layer.
LAYERS: tuple[tuple[str, bool, frozenset[str]], ...] = (
    (
        "vocabulary",
        True,
        frozenset({"secrets", "wording", "errors", "arguments", "checks", "database_url", "settings", "interactions", "ids", "context"}),
    ),
    ("arithmetic", True, frozenset({"calibration", "clean", "metrics", "ranking", "sample", "selection", "split"})),
    ("scorers", False, frozenset({"scorers"})),
    ("encoded events", True, frozenset({"dataset", "encoding"})),
    ("the exam", True, frozenset({"evaluation", "blending"})),
    ("networks", False, frozenset({"networks"})),
    ("media", False, frozenset({"store", "artifacts", "contract", "legacy", "terminal"})),
    ("use cases", False, frozenset({"preflight", "training", "recommending", "importing"})),
    ("processes", False, frozenset({"bridge", "scheduler", "monitor", "service", "jobs"})),
    ("command lines", False, frozenset({"commands"})),
)
MEDIA_MAY_IMPORT = LAYERS[0][2]  # a medium carries the vocabulary; it knows neither metrics nor models
SERVING = LAYERS[0][2] | frozenset("clean ranking selection scorers store artifacts contract recommending bridge".split())
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
    """Yield the nodes below; `at_import` leaves out bodies of functions and of `if TYPE_CHECKING`, which importing doesn't run."""
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
    found: set[str] = set()
    for node in nodes(parsed, at_import=at_import):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            found |= {origin, *(f"{origin}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in {"import_module", "__import__"}:
            found |= {argument.value for argument in node.args if isinstance(argument, ast.Constant) and isinstance(argument.value, str)}
    return found


def imports_of(path: Path, *, at_import: bool = False) -> set[str]:
    package = module_of(path) if path.name == "__init__.py" else module_of(path).rpartition(".")[0]
    return imports(tree(path), package, at_import=at_import)


def packages(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def rooms(names: set[str]) -> set[str]:
    return {name.split(".")[1] for name in names if name.startswith("recsys.")} & ALL_ROOMS


MODULES = {module_of(path): path for path in sorted((ROOT / "recsys").rglob("*.py"))}
DOORS = [path for path in (ROOT / "recommend_api.py", ROOT / "train.py", *sorted((ROOT / "scripts").rglob("*.py"))) if path.is_file()]
ALL_ROOMS = {name.split(".")[1] for name in MODULES if "." in name} | {room for *_, members in LAYERS for room in members}
each_module = pytest.mark.parametrize("name", sorted(set(MODULES) - {"recsys"}))


def calls_of(parsed: ast.Module, *names: str) -> list[int]:
    """Return the lines that call a function of that name."""
    calls = [node for node in ast.walk(parsed) if isinstance(node, ast.Call)]
    return [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id in names]


def layer_of(room: str) -> int:
    return next((level for level, (*_, members) in enumerate(LAYERS) if room in members), -1)


def allowed_rooms(room: str) -> set[str]:
    level = layer_of(room)
    name, sideways, members = LAYERS[level]
    if name == "media":
        return {room, *MEDIA_MAY_IMPORT}
    below = {lower for *_, lower_members in LAYERS[:level] for lower in lower_members}
    return below | (set(members) if sideways else {room})


def loaded_with(name: str) -> set[str]:
    """Return the modules of ours that importing one of them runs."""
    loaded, waiting = set(), {name}
    while waiting:
        module = waiting.pop()
        if module in MODULES and module not in loaded:
            loaded.add(module)
            waiting |= imports_of(MODULES[module], at_import=True) | {module.rpartition(".")[0]}
    return loaded


@each_module
def test_every_module_has_a_room_in_the_table(name: str) -> None:
    room = name.split(".")[1]

    assert layer_of(room) >= 0, f"recsys.{room} should have its place in LAYERS"


@each_module
def test_imports_point_down_only(name: str) -> None:
    room = name.split(".")[1]

    assert rooms(imports_of(MODULES[name])) - allowed_rooms(room) == set()


def test_no_module_imports_itself_in_a_circle() -> None:
    circles = [name for name in MODULES for inner in imports_of(MODULES[name], at_import=True) - {name} if name in circle_from(inner)]

    assert circles == []


def circle_from(name: str) -> set[str]:
    """Return the modules that one reaches by imports, its parent packages left out: these import nothing back but by name."""
    reached: set[str] = set()
    waiting = {name}
    while waiting:
        module = waiting.pop()
        if module in MODULES and module not in reached:
            reached.add(module)
            waiting |= imports_of(MODULES[module], at_import=True) - {"recsys"}
    return reached


@pytest.mark.parametrize("path", [*MODULES.values(), *DOORS], ids=lambda path: str(path.relative_to(ROOT)))
def test_only_networks_imports_keras_and_tensorflow(path: Path) -> None:
    imported = packages(imports_of(path)) & TENSORFLOW

    assert imported == set() or module_of(path).startswith("recsys.networks")


@pytest.mark.parametrize("name", sorted(name for name in MODULES if "." not in name or name.split(".")[1] in SERVING))
def test_importing_the_serving_path_loads_nothing_that_only_training_needs(name: str) -> None:
    loaded = loaded_with(name)

    assert {(module, heavy) for module in loaded for heavy in packages(imports_of(MODULES[module], at_import=True)) & HEAVY} == set()
    assert {module for module in loaded if module.startswith(("recsys.networks", "recsys.training"))} == set()


@pytest.mark.parametrize("name", sorted(name for name in MODULES if "." not in name or name.split(".")[1] in SERVING))
def test_the_serving_path_neither_unpickles_nor_evaluates(name: str) -> None:
    parsed = tree(MODULES[name])
    words = [node for node in ast.walk(parsed) if isinstance(node, ast.keyword)]

    assert packages(imports_of(MODULES[name])) & PICKLES == set()
    assert calls_of(parsed, "eval", "exec") == []
    assert [word.lineno for word in words if word.arg == "allow_pickle" and ast.unparse(word.value) != "False"] == []


@each_module
def test_the_package_prints_nothing(name: str) -> None:
    assert calls_of(tree(MODULES[name]), "print") == []


@pytest.mark.parametrize(
    ("source", "anywhere", "at_import"),
    [
        ("import keras.layers", {"keras.layers"}, {"keras.layers"}),
        ("from recsys import store", {"recsys", "recsys.store"}, {"recsys", "recsys.store"}),
        ("from .base import A", {"recsys.scorers.base", "recsys.scorers.base.A"}, {"recsys.scorers.base", "recsys.scorers.base.A"}),
        ("from . import base", {"recsys.scorers", "recsys.scorers.base"}, {"recsys.scorers", "recsys.scorers.base"}),
        ("from ..store import shop", {"recsys.store", "recsys.store.shop"}, {"recsys.store", "recsys.store.shop"}),
        ("def late():\n    import pandas", {"pandas"}, set()),
        ("class Early:\n    import pandas", {"pandas"}, {"pandas"}),
        ("try:\n    import pandas\nexcept ImportError:\n    import scipy", {"pandas", "scipy"}, {"pandas", "scipy"}),
        ("if TYPE_CHECKING:\n    import pandas\nelse:\n    import scipy", {"pandas", "scipy"}, {"scipy"}),
        ("importlib.import_module('keras')", {"keras"}, {"keras"}),
    ],
)
def test_the_finder_sees_every_way_to_import(source: str, anywhere: set[str], at_import: set[str]) -> None:
    parsed = ast.parse(source)

    assert imports(parsed, "recsys.scorers", at_import=False) == anywhere
    assert imports(parsed, "recsys.scorers", at_import=True) == at_import


@pytest.mark.parametrize(
    ("room", "forbidden"),
    [
        ("ids", {"clean", "scorers", "store", "training"}),
        ("metrics", {"scorers", "networks", "store"}),
        ("scorers", {"networks", "store"}),
        ("networks", {"store", "artifacts"}),
        ("store", {"artifacts", "contract", "clean", "scorers"}),
        ("recommending", {"training", "bridge"}),
        ("training", {"recommending", "scheduler"}),
        ("bridge", {"scheduler", "monitor"}),
    ],
)
def test_the_table_forbids_upwards_and_sideways(room: str, forbidden: set[str]) -> None:
    assert allowed_rooms(room) & forbidden == set()
