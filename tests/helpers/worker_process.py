"""A worker as a supervisor runs it: a process that reads and writes lines."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.helpers.entry_points import PATIENCE_S, command

Line = bytes | Mapping[str, Any]


class WorkerProcess:
    """A running worker that has written `ready`.

    Attributes:
        process: The process.
        ready: Its first line.
    """

    def __init__(self, folder: Path, env: Mapping[str, str], *, stderr: int | None = subprocess.DEVNULL) -> None:
        self.process = subprocess.Popen(
            command(folder, "--worker"), env=dict(env), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr
        )
        self.ready = self.read()

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.__exit__(kind, error, trace)

    def send(self, line: Line) -> None:
        """Write a line without reading its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n")
        self.process.stdin.flush()

    def read(self) -> dict[str, Any]:
        """Return the next line."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.endswith(b"\n"), (line, self.process.poll())
        document: dict[str, Any] = json.loads(line)
        return document

    def ask(self, line: Line) -> dict[str, Any]:
        """Return the answer to a line."""
        self.send(line)
        return self.read()

    def end(self) -> int:
        """Close the input and return the exit status."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(timeout=PATIENCE_S)
