"""Control `round_trips.mjs`, a Node process that sends requests to workers through pythonInvoker and times them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.loads.timing import ROOT, BenchmarkError

SCRIPT = ROOT / "benchmarks/loads/round_trips.mjs"
CLOSING_S = 30.0  # pools let their workers finish, within 4 s


class Driver:
    """A Node process that keeps pools of workers of one shop; used as a context manager."""

    def __init__(self, environ: Mapping[str, str], script: Path = SCRIPT) -> None:
        """Start Node.

        Args:
            environ: Variables of the workers.
            script: `round_trips.mjs` of this checkout, or of another one.

        Raises:
            BenchmarkError: There is no Node.
        """
        node = shutil.which("node")
        if node is None:
            raise BenchmarkError(
                "Node 20 or newer should be on PATH, to call workers as a backend does. Received: none."
            )
        self._environ = {**os.environ, **environ}
        self._node = subprocess.Popen([node, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._node.kill()  # its workers end with it
        self._node.communicate(timeout=CLOSING_S)

    def open(self, pool: str, size: int) -> None:
        """Start a pool, and wait until a worker is ready."""
        self.tell("open", pool=pool, size=size, python=sys.executable, env=self._environ)

    def load(self, pool: str, requests: Sequence[Mapping[str, Any]], in_flight: int, **until: float) -> dict[str, Any]:
        """Send requests; returns times in ms and failures. `until` is a `count` of requests, or `seconds`."""
        return self.tell("load", pool=pool, requests=requests, inFlight=in_flight, **until)

    def tell(self, command: str, **fields: Any) -> dict[str, Any]:
        """Send a command and return the reply.

        Raises:
            BenchmarkError: The command failed.
        """
        if self._node.stdin is None or self._node.stdout is None:
            raise BenchmarkError("Node should have both pipes. Received: none.")
        self._node.stdin.write(json.dumps({"command": command, **fields}) + "\n")
        self._node.stdin.flush()
        line = self._node.stdout.readline()
        reply: dict[str, Any] = json.loads(line) if line else {"error": f"Node ended with {self._node.wait()}"}
        if "error" in reply:
            raise BenchmarkError(f"Workers should answer. Received: {reply['error']}")
        return reply
