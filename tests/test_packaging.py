"""What `pip install .` takes along."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
DATA = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["package-data"]


def test_every_data_file_of_the_package_is_installed_with_it() -> None:
    files = {
        path
        for path in (ROOT / "recsys").rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"} and "__pycache__" not in path.parts
    }
    listed = {
        path
        for package, globs in DATA.items()
        for glob in globs
        for path in (ROOT / package.replace(".", "/")).glob(glob)
    }

    assert files == listed
