"""The entry point of serving as a client runs it: a process, one line, an exit status."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120  # more than any process needs; one that hangs fails its test instead of the whole run


def install(folder: Path) -> Path:
    """Copy entry point and package to a folder without a developer's `.env` or `recsys.toml`, and return it."""
    shutil.copytree(
        ROOT / "recsys", folder / "recsys", ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True
    )
    shutil.copy(ROOT / "recommend_api.py", folder)
    return folder


def command(folder: Path, *argv: str, flags: tuple[str, ...] = ()) -> list[str]:
    """Return the command line of the entry point in a folder."""
    return [sys.executable, *flags, str(folder / "recommend_api.py"), *argv]


def ask(
    folder: Path,
    data: bytes | Mapping[str, Any],
    *argv: str,
    env: Mapping[str, str],
    flags: tuple[str, ...] = (),
    **streams: Any,
) -> subprocess.CompletedProcess[bytes]:
    """Run the entry point once, with data on stdin."""
    data = data if isinstance(data, bytes) else json.dumps(data).encode()
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    return subprocess.run(
        command(folder, *argv, flags=flags), input=data, env=env, timeout=PATIENCE_S, check=False, **streams
    )


def answer(process: subprocess.CompletedProcess[bytes]) -> dict[str, Any]:
    """Return the document of the only line that a process has written."""
    assert process.stdout.endswith(b"\n"), process.stderr.decode(errors="replace")
    assert process.stdout.count(b"\n") == 1
    assert process.stdout.isascii()
    document: dict[str, Any] = json.loads(process.stdout)
    return document


def code(document: Mapping[str, Any]) -> str | None:
    """Return the code of a failure, or None for a success."""
    return None if document["ok"] else document["error"]["code"]
