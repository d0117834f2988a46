"""What other libraries compute for the lists of docs/METRICS.md.

Each library is installed into a folder that is removed afterwards. All of them take a quarter of an hour, and 2 GB of
disk at a time. --libraries measures some and keeps the results of the others. --check exits with 1 if the page differs
from the kept results.

    python benchmarks/metrics_table.py --json benchmarks/results/metrics.json
    python benchmarks/metrics_table.py --libraries lenskit --json benchmarks/results/metrics.json
    python benchmarks/metrics_table.py --markdown docs/METRICS.md
    python benchmarks/metrics_table.py --markdown docs/METRICS.md --check
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import pages  # noqa: E402
from benchmarks.metrics import peers  # noqa: E402
from benchmarks.metrics.lists import CASES, FIGURES, as_json, ours  # noqa: E402
from recsys.training.terminal import console  # noqa: E402

NAME = "metrics"
KEPT = Path("benchmarks/results/metrics.json")
ADAPTERS = ROOT / "benchmarks/metrics/peers.py"
AS_HERE, NOT_ASKED, NOT_A_NUMBER = "·", "–", "none"
SAME = 1e-4  # some libraries compute in float32
TORCH = "torch==2.13.0"
err = console(stderr=True)


class MetricsError(Exception):
    """What the command line is told."""


@dataclass(frozen=True)
class Library:
    """One library, in an environment of its own.

    Attributes:
        title: For people.
        package: Pinned.
        beside: Pinned packages that its figures may depend on.
        alone: Whether what it requires is left out: `beside` is all that its metrics need.
    """

    title: str
    package: str
    beside: Sequence[str]
    alone: bool = False


LIBRARIES: Mapping[str, Library] = {
    "pytrec_eval": Library("pytrec_eval", "pytrec-eval-terrier==0.5.11", ["numpy==2.4.6"]),
    "ir_measures": Library("ir-measures", "ir-measures==0.4.3", ["pytrec-eval-terrier==0.5.11", "numpy==2.4.6"]),
    "ranx": Library("ranx", "ranx==0.3.21", ["numba==0.68.1", "numpy==2.4.6"]),
    "sklearn": Library("scikit-learn", "scikit-learn==1.9.1", ["numpy==2.4.6"]),
    "torchmetrics": Library("torchmetrics", "torchmetrics==1.9.0", [TORCH]),
    "keras_rs": Library("keras-rs", "keras-rs==0.4.0", ["keras==3.15.1", TORCH]),
    "rectools": Library("RecTools", "rectools==0.19.0", ["pandas==2.3.3", "numpy==1.26.4"]),
    "implicit": Library("implicit", "implicit==0.7.3", ["scipy==1.17.1", "numpy==2.4.6"]),
    "recommenders": Library(
        "recommenders",
        "recommenders==1.2.1",
        ["pandas==2.2.3", "scikit-learn==1.6.1", "scipy==1.17.1", "numpy==1.26.4"],
        alone=True,
    ),
    "cornac": Library("Cornac", "cornac==3.0.1", ["scipy==1.17.1", "numpy==2.4.6"]),
    "replay": Library("RePlay", "replay-rec==0.22.0", ["pandas==2.3.3", "polars==1.44.2"]),
    "recpack": Library(
        "RecPack",
        "recpack==0.3.6",
        ["pandas==2.2.3", "scikit-learn==1.6.1", "scipy==1.11.4", "numpy==1.26.4", "PyYAML==6.0.4"],
        alone=True,
    ),
    "lenskit": Library("LensKit", "lenskit==2025.8.1", [TORCH]),
    "recbole": Library(
        "RecBole", "recbole==1.2.1", [TORCH, "pandas==2.0.3", "scikit-learn==1.3.2", "scipy==1.11.4", "numpy==1.23.5"]
    ),
}


def main(argv: list[str], root: Path = ROOT) -> int:
    """Ask the libraries, or write the page; returns the exit status."""
    flags = _parser().parse_args(argv)
    try:
        if flags.markdown:
            return write_page(flags.markdown, root / KEPT, check=flags.check)
        found = {}
        for name in flags.libraries:
            found[name] = asked(name)
            err.print(f"{LIBRARIES[name].package}: asked", highlight=False)
        print(markdown({**_kept(flags.json), **found}))
        if flags.json:
            keep(flags.json, {**_kept(flags.json), **found})
    except MetricsError as error:
        err.print(f"metrics_table: {error}", markup=False, highlight=False, soft_wrap=True)
        return 1
    return 0


def asked(name: str) -> dict[str, Any]:
    """Return a library's figures from an environment that is made for them and removed.

    Raises:
        MetricsError: It cannot be installed, or its adapter fails.
    """
    library = LIBRARIES[name]
    with tempfile.TemporaryDirectory(prefix="recsys-metrics-") as folder:
        python = Path(folder) / "bin/python"
        venv.create(folder, with_pip=True)
        for packages in _installs(library):
            _run(
                name,
                [
                    str(python),
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "--no-input",
                    *packages,
                ],
                folder,
            )
        told = _run(name, [str(python), "-I", str(ADAPTERS), name], folder, json.dumps(as_json()))
    figures = json.loads(told.splitlines()[-1])
    return {"packages": [library.package, *library.beside], "python": platform.python_version(), "figures": figures}


def _installs(library: Library) -> Iterator[list[str]]:
    """Yield what each run of pip is given."""
    if library.alone:
        yield [*library.beside]
        yield ["--no-deps", library.package]
    else:
        yield [*library.beside, library.package]


def _run(name: str, command: Sequence[str], folder: str, given: str = "") -> str:
    done = subprocess.run(command, input=given, capture_output=True, text=True, cwd=folder, check=False)
    if done.returncode:
        raise MetricsError(f"{name} should be installed and asked. Received:\n{done.stderr[-2000:]}")
    return done.stdout


def _kept(path: Path | None) -> dict[str, Any]:
    """Return the figures that a file keeps, without those of other lists."""
    if path is None or not path.exists():
        return {}
    kept = json.loads(path.read_text(encoding="utf-8"))
    return dict(kept["libraries"]) if kept["lists"] == as_json() else {}


def keep(path: Path, libraries: Mapping[str, Any]) -> None:
    """Write the figures and the lists that they are of, a line for each library and list."""
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {name: libraries[name] for name in LIBRARIES if name in libraries}
    lines = [f" {json.dumps(name)}: {json.dumps(of)}" for name, of in told.items()]
    text = f'{{"lists": {json.dumps(as_json())},\n"libraries": {{\n' + ",\n".join(lines) + "\n}}\n"
    path.write_text(text, encoding="utf-8")


def write_page(page: Path, kept: Path, *, check: bool) -> int:
    """Write the kept figures between the page's markers, or compare; returns the exit status.

    Raises:
        MetricsError: The kept figures are of other lists or packages.
    """
    block = pages.NOT_TAKEN
    if kept.exists():
        libraries = _kept(kept)
        pinned = {name: [library.package, *library.beside] for name, library in LIBRARIES.items()}
        if stale := [name for name, packages in pinned.items() if libraries.get(name, {}).get("packages") != packages]:
            expected = f"{kept.name} should hold today's lists and packages"
            raise MetricsError(f"{expected}. Received others for {', '.join(stale)}: ask again.")
        block = markdown(libraries)
    text = pages.replaced(page.read_text(encoding="utf-8"), block, NAME, page.name)
    return pages.settled(page, text, "benchmarks/metrics_table.py --markdown docs/METRICS.md", check=check)


def markdown(libraries: Mapping[str, Any]) -> str:
    """Return the lists, a table for each figure, and the libraries, as Markdown."""
    letters = dict(zip(CASES, ascii_uppercase, strict=False))
    here = {name: ours(case.users) for name, case in CASES.items()}
    parts = [_table(["list", "content"], [[letters[name], case.title] for name, case in CASES.items()], "---|---")]
    for figure, title in FIGURES.items():
        rows = [["**here**", *(shown(here[name][figure]) for name in CASES)]]
        rows += [
            [LIBRARIES[name].title, *cells]
            for name, of in libraries.items()
            if _differs(cells := _cells(of["figures"], here, figure))
        ]
        agree = [
            LIBRARIES[name].title
            for name, of in libraries.items()
            if any(figure in told for told in of["figures"].values())
            and not _differs(_cells(of["figures"], here, figure))
        ]
        parts.append(_table([title, *letters.values()], rows, "---|" + "---:|" * (len(CASES) - 1) + "---:"))
        parts += [f"Equal to ours in every list that they accept: {', '.join(agree)}.\n"] if agree else []
    called = {peer.__name__: (peer.__doc__ or "").splitlines()[0].rstrip(".") for peer in peers.PEERS}
    made = [
        [LIBRARIES[name].title, called[name], ", ".join(f"`{package}`" for package in of["packages"])]
        for name, of in libraries.items()
    ]
    parts.append(_table(["library", "function", "packages"], made, "---|---|---"))
    return "\n".join(parts)


def _cells(
    told: Mapping[str, Mapping[str, Any]], here: Mapping[str, Mapping[str, float | None]], figure: str
) -> list[str]:
    return [_cell(told[name], here[name][figure], figure) for name in CASES]


def _cell(told: Mapping[str, Any], expected: float | None, figure: str) -> str:
    if figure not in told:
        return NOT_ASKED
    value = told[figure]
    numbers = isinstance(value, float | int) and expected is not None
    return AS_HERE if value == expected or (numbers and abs(value - float(expected or 0)) < SAME) else shown(value)


def _differs(cells: Sequence[str]) -> bool:
    return not {*cells} <= {AS_HERE, NOT_ASKED}


def shown(value: float | str | None) -> str:
    """Return a figure with up to three digits, or what came instead of one.

    >>> shown(0.61315), shown(1.0), shown(None), shown("ZeroDivisionError")
    ('0.613', '1', 'none', '`ZeroDivisionError`')
    """
    if isinstance(value, str):
        return f"`{value}`"
    return NOT_A_NUMBER if value is None else f"{value:.3f}".rstrip("0").rstrip(".")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], rule: str) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{rule}|", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--libraries",
        nargs="+",
        choices=list(LIBRARIES),
        default=list(LIBRARIES),
        metavar="NAME",
        help="all by default",
    )
    pages.add_flags(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
