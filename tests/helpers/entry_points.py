"""The bridge as a client meets it: a process, one line, an exit status."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120  # no process of the suite needs it; one that hangs fails its test instead of the whole run


def install(folder: Path) -> Path:
    """Put the door and the package into a folder where no developer's `.env` or `recsys.toml` lies, and return the folder."""
    shutil.copytree(
        ROOT / "recsys", folder / "recsys", ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True
    )
    shutil.copy(ROOT / "recommend_api.py", folder)
    return folder


def command(folder: Path, *argv: str, flags: tuple[str, ...] = ()) -> list[str]:
    """Return the command line of the door in a folder."""
    return [sys.executable, *flags, str(folder / "recommend_api.py"), *argv]


def ask(
    folder: Path,
    data: bytes | Mapping[str, Any],
    *argv: str,
    env: Mapping[str, str],
    flags: tuple[str, ...] = (),
    **streams: Any,
) -> subprocess.CompletedProcess[bytes]:
    """Run the door once."""
    data = data if isinstance(data, bytes) else json.dumps(data).encode()
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    return subprocess.run(
        command(folder, *argv, flags=flags), input=data, env=env, timeout=PATIENCE_S, check=False, **streams
    )


def answer(done: subprocess.CompletedProcess[bytes]) -> dict[str, Any]:
    """Return the only line that a process has written."""
    assert done.stdout.endswith(b"\n"), done.stderr.decode(errors="replace")
    assert done.stdout.count(b"\n") == 1
    assert done.stdout.isascii()
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def code(told: Mapping[str, Any]) -> str | None:
    """Return a failure's code, or None of a success."""
    return None if told["ok"] else told["error"]["code"]
