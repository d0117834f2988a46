"""Count what one steady request of a worker calls: functions of recsys, their files, and jumps from file to file.

    python benchmarks/call_trace.py                 this checkout, on the demo shop
    python benchmarks/call_trace.py ../before       another checkout, such as a git worktree of an older commit
    python benchmarks/call_trace.py --functions     and each function that was called, most calls first

A process answers the same request a few times, then once more under `sys.setprofile`. A call is one start of a
function, a comprehension or a generator of recsys; a generator counts again each time it goes on. A jump is a call from
one file of recsys into another. A re-entry is a call of a function of `recommending/` from another part of recsys that
was itself called by `recommending/`. The exit status is 1 where a bound is missed, 2 where the request fails.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
WARM_UPS = 5
USE_CASE = "recommending"
BOUNDS = {"calls": 600, "functions": None, "files": 25, "jumps": 180, "re-entries": 9}
# Runs in a process of its own, with the checkout's modules: prints what `trace` counted.
CHILD = "import runpy, sys; sys.path.insert(0, sys.argv[2]); runpy.run_path(sys.argv[1])['child'](*sys.argv[2:])"


class Tracer:
    """A profile function that counts calls of functions below a folder."""

    def __init__(self, package: Path) -> None:
        self.calls: Counter[str] = Counter()
        self.files: set[str] = set()
        self.jumps = self.re_entries = 0
        self._prefix = f"{package}{os.sep}"

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        """Count one event of `sys.setprofile`."""
        path = frame.f_code.co_filename
        if event != "call" or not path.startswith(self._prefix):
            return
        caller = self._caller(frame)
        self.calls[f"{path.removeprefix(self._prefix)}:{frame.f_code.co_qualname}"] += 1
        self.files.add(path)
        self.jumps += caller is not None and caller.f_code.co_filename != path
        if self._is_use_case(frame) and caller is not None and not self._is_use_case(caller):
            while caller is not None and not self._is_use_case(caller):
                caller = self._caller(caller)
            self.re_entries += caller is not None

    def _caller(self, frame: FrameType) -> FrameType | None:
        """Return the nearest calling frame of the package."""
        above = frame.f_back
        while above is not None and not above.f_code.co_filename.startswith(self._prefix):
            above = above.f_back
        return above

    def _is_use_case(self, frame: FrameType) -> bool:
        return frame.f_code.co_filename.startswith(f"{self._prefix}{USE_CASE}{os.sep}")


def child(checkout: str, request: str) -> None:
    """Answer a request with the modules of a checkout, and print the counts of one answer as JSON."""
    from recsys.bridge.serving import OPS, Service, parse, respond

    service = Service.open(os.environ, Path(checkout), full=True)
    service.bundle.warm()
    tracer = Tracer(Path(checkout) / "recsys")
    for number in range(WARM_UPS + 1):
        sys.setprofile(tracer if number == WARM_UPS else None)
        line = respond(parse(request.encode(), OPS), service, 0.0, None)
        sys.setprofile(None)
    counts = {
        "calls": tracer.calls.total(),
        "functions": len(tracer.calls),
        "files": len(tracer.files),
        "jumps": tracer.jumps,
        "re-entries": tracer.re_entries,
    }
    print(json.dumps({"ok": json.loads(line)["ok"], "counts": counts, "calls": tracer.calls.most_common()}))


def trace(checkout: Path, request: str, environ: dict[str, str]) -> dict[str, Any]:
    """Return the counts of one steady request in a checkout, and the calls of each function."""
    command = [sys.executable, "-c", CHILD, __file__, str(checkout), request]
    done = subprocess.run(command, env={**os.environ, **environ}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main(argv: Sequence[str]) -> int:
    """Trace; returns the exit status."""
    from recsys.training.terminal import console as new_console

    flags = _parser().parse_args(argv)
    environ = {
        "DATABASE_URL": flags.database,
        "MODELS_DIR": str(flags.models.resolve()),
        "RECSYS_TOML": os.devnull,
    }
    console = new_console()
    try:
        found = trace(flags.checkout.resolve(), flags.request, environ)
    except RuntimeError as error:
        console.print(f"call_trace: {error}", markup=False)
        return 2
    table = Table("what", "counted", "bound")
    for name, counted in found["counts"].items():
        bound = BOUNDS[name]
        table.add_row(name, f"{counted:,}", "" if bound is None else f"≤ {bound}")
    console.print(table)
    for function, calls in found["calls"] if flags.functions else ():
        console.print(f"{calls:5} {function}", markup=False, highlight=False)
    if not found["ok"]:
        return 2
    return int(any(bound is not None and found["counts"][name] > bound for name, bound in BOUNDS.items()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, nargs="?", default=ROOT, help="a checkout; default this one")
    parser.add_argument("--request", default='{"user_id": 1}', metavar="JSON", help='default {"user_id": 1}')
    parser.add_argument("--database", default=f"sqlite:///{ROOT}/data/demo.sqlite", metavar="URL", help="the shop's")
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="its versions; default models/")
    parser.add_argument("--functions", action="store_true", help="list the functions")
    return parser


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main(sys.argv[1:]))
