"""Disk space that serving needs: a new environment with requirements/serve.txt."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.loads.shops import disk_bytes
from benchmarks.loads.timing import ROOT, BenchmarkError

REQUIREMENTS = ROOT / "requirements/serve.txt"


def serving_environment() -> dict[str, Any]:
    """Return the bytes on disk of the environment, which is removed afterwards.

    Raises:
        BenchmarkError: pip did not succeed.
    """
    with tempfile.TemporaryDirectory(prefix="recsys-environment-") as folder:
        _run([sys.executable, "-m", "venv", folder])
        empty = disk_bytes(Path(folder))
        pip = [f"{folder}/bin/python", "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-input"]
        _run([*pip, "-r", str(REQUIREMENTS)])
        return {"bytes": disk_bytes(Path(folder)), "without_packages": empty}


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(
            f"{' '.join(argv[1:4])} should succeed. Received: {done.returncode}, {done.stderr.strip()[-500:]}"
        )
