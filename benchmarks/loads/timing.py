"""Time programs in turns, and summarise the times."""

from __future__ import annotations

import json
import math
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
DOOR = ROOT / "recommend_api.py"
TIMEOUT_S = 120.0  # a request that takes two minutes is a failure, not a figure
LOOK_EVERY_S = 0.001


class BenchmarkError(Exception):
    """A benchmark that cannot run, or whose program gave a wrong answer."""


@dataclass(frozen=True)
class Program:
    """A program to time, its input and the check of its output.

    Attributes:
        argv: Command line.
        stdin: Inputs; run number n reads input n modulo their number.
        environ: Variables, besides those of this process that do not configure Python.
        check: Called with input and output; raises BenchmarkError for a wrong answer.
    """

    argv: Sequence[str]
    stdin: Sequence[bytes] = (b"",)
    environ: Mapping[str, str] = field(default_factory=dict)
    check: Callable[[bytes, bytes], None] = lambda request, answer: None

    def variables(self) -> dict[str, str]:
        """Return the whole environment, as a web server starts it."""
        return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | dict(self.environ)


def one_shot(environ: Mapping[str, str], requests: Sequence[Mapping[str, Any]]) -> Program:
    """Return `recommend_api.py` with the requests in turn."""
    return Program(
        [sys.executable, str(DOOR)], [json.dumps(request).encode() for request in requests], environ, check_answer
    )


def check_answer(request_bytes: bytes, answer: bytes) -> None:
    """Check that the answer is one line with the requested user and number of items.

    Raises:
        BenchmarkError: The answer is something else; the message says what.
    """
    request = json.loads(request_bytes)
    body = json.loads(answer) if answer.count(b"\n") == 1 else {}
    if body.get("ok") is not True or body["user_id"] != request["user_id"] or len(body["items"]) != request["limit"]:
        raise BenchmarkError(
            f"An answer should be one line with {request['limit']} items for the user that was asked for. Received: "
            f"{answer[:300]!r}."
        )


@dataclass(frozen=True)
class Time:
    """Times of one run, in seconds.

    Attributes:
        wall: From start to end.
        processor: CPU time of the process and its children.
    """

    wall: float
    processor: float


def timed(program: Program, number: int) -> Time:
    """Run a program once.

    Args:
        program: The program to run.
        number: Number of the run; it selects the input.

    Raises:
        BenchmarkError: The program failed, wrote to stderr or gave a wrong answer.
    """
    request = program.stdin[number % len(program.stdin)]
    before, started = _of_children(), time.perf_counter()
    done = subprocess.run(
        program.argv, input=request, capture_output=True, env=program.variables(), timeout=TIMEOUT_S, check=False
    )
    wall, processor = time.perf_counter() - started, _of_children() - before
    _check(program, request, done.returncode, done.stdout, done.stderr)
    return Time(wall, processor)


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def in_turns(programs: Mapping[str, Program], rounds: int, warm_ups: int) -> dict[str, list[Time]]:
    """Run every program once a round, each round in another order, because later programs find warmer caches.

    Args:
        programs: By name.
        rounds: Rounds that are timed.
        warm_ups: Rounds before them, which fill the caches of files and of compiled code.
    """
    names, times = list(programs), {name: list[Time]() for name in programs}
    for number in range(warm_ups + rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            took = timed(programs[name], number)
            if number >= warm_ups:
                times[name].append(took)
    return times


def peak_bytes(program: Program, number: int = 0) -> int:
    """Return the peak resident memory of a program in bytes, with mapped files, sampled every millisecond.

    `ru_maxrss` would not do: it begins with what the parent had resident.

    Args:
        program: The program to run; its time is not measured.
        number: Number of the run; it selects the input.

    Raises:
        BenchmarkError: As in `timed`, or the system does not report the memory.
    """
    request = program.stdin[number % len(program.stdin)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(program.argv, env=program.variables(), **pipes) as child:  # type: ignore[call-overload]
        seen, over = [0], threading.Event()
        watcher = threading.Thread(target=_watch, args=(child.pid, seen, over))
        watcher.start()
        stdout, stderr = child.communicate(request, timeout=TIMEOUT_S)
        over.set()
        watcher.join()
    _check(program, request, child.returncode, stdout, stderr)
    if not seen[0]:
        raise BenchmarkError(
            f"The system should tell the peak memory of a process in /proc. Received: nothing, on {sys.platform}."
        )
    return seen[0]


def _watch(pid: int, seen: list[int], over: threading.Event) -> None:
    while not over.wait(LOOK_EVERY_S):
        seen[0] = max(seen[0], status_bytes(pid, "VmHWM"))


def status_bytes(pid: int, name: str) -> int:
    """Return a line of /proc/<pid>/status in bytes; 0 where there is none, as once the process has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith(f"{name}:")), 0)


def _check(program: Program, request: bytes, status: int, stdout: bytes, stderr: bytes) -> None:
    if status or stderr:
        output = (stderr or stdout).decode(errors="replace").strip()
        raise BenchmarkError(
            f"{program.argv[1]} should end with 0 and in silence. Received: {status}, {output[-1000:]}"
        )
    program.check(request, stdout)


def summary(times: Sequence[Time]) -> dict[str, float]:
    """Return percentiles and median CPU time, in milliseconds."""
    walls = [1000 * each.wall for each in times]
    return {**percentiles(walls), "processor": 1000 * statistics.median(each.processor for each in times)}


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Return median, percentiles by nearest rank, minimum, maximum and number of the values.

    >>> percentiles([4.0, 1.0, 3.0, 2.0])
    {'p50': 2.5, 'p95': 4.0, 'p99': 4.0, 'min': 1.0, 'max': 4.0, 'n': 4}
    """
    ordered = sorted(values)
    ranks = {f"p{percent}": ordered[math.ceil(percent / 100 * len(ordered)) - 1] for percent in (95, 99)}
    return {"p50": statistics.median(ordered), **ranks, "min": ordered[0], "max": ordered[-1], "n": len(ordered)}


def ratio(times: Mapping[str, Sequence[Time]], name: str, to: str) -> dict[str, float]:
    """Return the ratio of two programs' times: of their medians, and over rounds the median with its quartiles."""
    rounds = [ours.wall / theirs.wall for ours, theirs in zip(times[name], times[to], strict=True)]
    low, _, high = np.quantile(rounds, (0.25, 0.5, 0.75)).tolist()
    medians = [statistics.median(each.wall for each in times[which]) for which in (name, to)]
    return {"of_medians": medians[0] / medians[1], "median": statistics.median(rounds), "low": low, "high": high}
