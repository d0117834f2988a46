"""The commands of an installed package: what pyproject.toml names is there, and reads the current folder."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from recsys.errors import SettingsError
from tests.helpers.entry_points import PATIENCE_S, ROOT, answer
from tests.helpers.tiny_shop import Published

SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]


def run(
    command: str, folder: Path, data: bytes = b"", *flags: str, python_path: Path = ROOT
) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a folder as its installed script does."""
    module, function = SCRIPTS[command].split(":")
    code = f"import sys; sys.argv[0] = {command!r}; from {module} import {function}; sys.exit({function}())"
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{python_path}{os.pathsep}{ROOT}"}
    return subprocess.run(
        [sys.executable, "-c", code, *flags],
        cwd=folder,
        input=data,
        env=environ,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )


@pytest.mark.parametrize("command", SCRIPTS)
def test_a_command_is_a_function_of_the_package(command: str) -> None:
    module, function = SCRIPTS[command].split(":")

    assert module.startswith("recsys.")
    assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.slow
def test_recommend_answers_for_the_shop_of_the_current_folder(published: Published, tmp_path: Path) -> None:
    lines = [f"{name}={value}\n" for name, value in published.environ.items()]
    (tmp_path / ".env").write_text("".join(lines), encoding="utf-8")

    process = run("recsys-recommend", tmp_path, b'{"user_id": 7, "limit": 3}')

    assert process.returncode == 0
    assert len(answer(process)["items"]) == 3


def test_recommend_leaves_with_78_where_the_current_folder_names_no_shop(tmp_path: Path) -> None:
    process = run("recsys-recommend", tmp_path, b'{"user_id": 7}')

    assert process.returncode == SettingsError.exit_status
    assert answer(process)["ok"] is False


@pytest.mark.slow
def test_train_reads_the_settings_of_the_current_folder(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DATABASE_URL=sqlite:///shop.sqlite\n", encoding="utf-8")
    (tmp_path / "recsys.toml").write_text("[training]\nepochs = 0\n", encoding="utf-8")

    process = run("recsys-train", tmp_path)

    assert process.returncode == 1
    assert b"`epochs` should be" in process.stderr
    assert not (tmp_path / "models").exists()


def test_train_names_itself_as_it_was_called(tmp_path: Path) -> None:
    assert run("recsys-train", tmp_path, b"", "--help").stdout.startswith(b"usage: recsys-train ")


def test_train_without_its_packages_names_the_missing_one(published: Published, tmp_path: Path) -> None:
    shop = published.copy(tmp_path / "shop")
    (tmp_path / ".env").write_text(
        "".join(f"{name}={value}\n" for name, value in shop.environ.items()), encoding="utf-8"
    )
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['keras'] = None\n", encoding="utf-8")

    process = run("recsys-train", tmp_path, b"", python_path=tmp_path)

    assert process.returncode == 1
    assert b"Missing: keras." in process.stderr


def test_the_package_says_that_it_is_typed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    assert "py.typed" in project["tool"]["setuptools"]["package-data"]["recsys"]
    assert (ROOT / "recsys/py.typed").is_file()
