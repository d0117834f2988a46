"""Write docs/FAULTS.md: every fault that the tests inject, its outcome, its test files, and the results of the soak.

    node backend/bench/soak.js --json docs/soak.json
    python scripts/write_faults.py

A test belongs to a fault if its name begins with the fault's number: `test_f51_one_flipped_bit…`,
`test('F51 one flipped bit…')`. A test compares the page with the output of this script.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "FAULTS.md"
SOAK = ROOT / "docs" / "soak.json"

# number: (fault, outcome besides the invariants)
FAULTS: Mapping[str, tuple[str, str]] = {
    "F01": (
        "the Python interpreter does not exist",
        "fails at once with `no_python`; logged once, without a loop of restarts",
    ),
    "F02": ("the interpreter is not executable, or is not a program", "as F01"),
    "F03": ("the system has no process, file descriptor or memory left", "`spawn_failed`; retried with growing pauses"),
    "F04": ("a module cannot be imported", "five starts, then none for a while"),
    "F05": ("settings or the version are missing at the start", "one start; the next one after a file has changed"),
    "F06": ("a worker never writes `ready`", "killed after 20 s; requests use the fallback meanwhile"),
    "F07": ("`ready` names another protocol version", "killed and not started again"),
    "F08": (
        "text on stdout before `ready`",
        "from `recommend_api.py` it goes to stderr; from another program one line is ignored, two are refused",
    ),
    "F09": ("Python code prints during a request", "the answer is intact; the text goes to stderr"),
    "F10": ("C code or a child process writes to file descriptor 1", "as F09"),
    "F11": ("two answers to one request", "the second one is dropped and counted"),
    "F12": ("an answer without a request", "as F11"),
    "F13": ("an answer for another user", "`crossed_answer`; the worker is replaced"),
    "F14": ("half a line, then exit status 0", "a failure"),
    "F15": ("a whole answer, then exit status 1", "with one process for each request: a failure"),
    "F16": ("a whole answer, then SIGKILL", "as F15"),
    "F17": ("exit status 0 without output", "a failure"),
    "F18": ("two JSON documents from one process", "a failure"),
    "F19": (
        "the last line has no line end",
        "a success of a one-shot process that exits with 0; never a success of a worker",
    ),
    "F20": ("the answer arrives byte by byte, with characters cut in two", "the answer is intact"),
    "F21": ("many answers in one write", "each reaches its own request"),
    "F22": ("a line of 9 MiB", "`bad_answer`, before the line is in memory"),
    "F23": ("a line that never ends", "as F22"),
    "F24": ("100 MB on stderr", "the answer arrives; the last 64 KiB are kept"),
    "F25": ("terminal escape codes and forged log lines on stderr", "logged as one line without control characters"),
    "F26": ("the process hangs before it reads", "ends at the deadline"),
    "F27": ("an endless loop in Python", "ends at the deadline; the worker is replaced, and its stack is logged"),
    "F28": ("C code that holds the interpreter lock", "as F27"),
    "F29": ("a process that ignores SIGTERM", "killed with SIGKILL"),
    "F30": ("a process that is stopped (SIGSTOP)", "as F29"),
    "F31": ("an answer that arrives very slowly", "the deadline holds, even if bytes keep arriving"),
    "F32": ("an answer after the deadline", "dropped; the next request gets its own answer"),
    "F33": (
        "the process dies during a request: exit, SIGSEGV, SIGABRT, SIGILL",
        "the request fails; queued requests move to another worker once",
    ),
    "F34": ("memory is exhausted", "`overloaded`, or a crash as in F33"),
    "F35": ("the process dies right after `ready`, every time", "five starts, then none for a while"),
    "F36": ("a request that crashes every worker", "quarantined after its second crash; other requests are answered"),
    "F37": ("stdin is closed, or its reader dies during a write", "no uncaught error"),
    "F38": ("stdout is closed while the process lives", "the process is killed"),
    "F39": ("a grandchild process keeps the pipes open", "nothing waits for it; it is killed with the process group"),
    "F40": ("the backend is killed (SIGKILL)", "workers end within a second, even during a request"),
    "F41": ("the backend is asked to stop under load", "running requests finish; exit status 0 within 5 s"),
    "F42": ("10,000 requests at once", "64 wait, the rest are refused at once"),
    "F43": ("no file descriptor is left", "requests use the fallback, and are answered again later"),
    "F44": ("the disk is full", "publishing fails with a message; the old version serves"),
    "F45": ("the wall clock is set back", "deadlines do not move"),
    "F46": ("the client disconnects during a request", "the computation runs once, or is never started"),
    "F47": ("500 requests of one user at once", "one computation, 500 answers"),
    "F48": ("100 requests at the moment when the circuit breaker allows a trial", "exactly one is let through"),
    "F49": ("another version becomes active under load", "no request fails; each answer comes from one version"),
    "F50": ("a version is copied file by file, or is incomplete", "never served before it is complete"),
    "F51": ("one bit of any file is flipped", "refused with the file's name; exit status 77"),
    "F52": ("a rollback", "served within two seconds, with the earlier answers"),
    "F53": ("`CURRENT` names nothing, a path, or a symbolic link", "refused; the old version serves"),
    "F54": ("training is killed at each write of publishing in turn", "the old version or the new one, complete"),
    "F55": ("no database at the start", "the shop runs on its fallback and says so"),
    "F56": ("the database is killed under load", "no acknowledged event is lost; normal again within a second"),
    "F57": ("the database stops responding", "deadlines hold"),
    "F58": ("the database is slow, locked or in a deadlock", "the deadline holds; only a deadlock is retried, once"),
    "F59": ("the same event many times", "stored as one row"),
    "F60": (
        "the backend dies after it accepted an event and before it stored it",
        "the event is stored after the restart",
    ),
    "F61": ("events out of order, from the future, from long ago", "stored and counted"),
    "F62": ("cached rows are expired or from another version", "never mixed into an answer"),
    "F63": ("every database connection is in use", "the fallback answers"),
    "F64": ("random faults of all these kinds, for half an hour", "only validated answers; no leaks"),
}
BACKEND = frozenset({"F46", "F47", *(f"F{number}" for number in range(55, 64))})  # faults of the Express server

INTRODUCTION = """# Faults

Every fault that the tests inject between Express and Python, and its outcome. `python scripts/write_faults.py` writes
this page from the names of the tests, which begin with the number of their fault. A test compares the page with the
tests.

After each fault the same nine invariants hold:

1. the caller has an answer or an error by its deadline, at most 150 ms late;
2. the error has one of a fixed list of reasons;
3. no process is left: no child, no grandchild, no zombie;
4. no error was thrown outside a promise;
5. the request had exactly one outcome;
6. an answer reaches only the request that it belongs to;
7. file descriptors, listeners and timers are as before;
8. only a validated answer counts as a success;
9. the next valid request is answered, within a second after a crash.

The processes are real. [fault_worker.py](../backend/test/fault_worker.py) speaks the protocol and misbehaves as the
test asks. For faults of the environment, `recommend_api.py` itself serves a small shop.

`node backend/bench/soak.js` injects random faults into workers for half an hour; [its results](#the-soak-test) are
below. `python tests/helpers/fuzz_request.py` searches for bytes that the request parser treats wrongly; it needs `pip
install atheris==3.0.0`.

| | fault | outcome | tested in |
|---|---|---|---|
"""

SECTION = """
## The soak test

A pool of two workers on {machine}, with other work on the same processors. A seed decides faults, requests and their
times. The table is made from [soak.json](soak.json) by these two commands:

    node backend/bench/soak.js --json docs/soak.json
    python scripts/write_faults.py

| | |
|---|---|
"""

_IN_JAVASCRIPT = re.compile(r"""['"`]((?:F\d\d )+)""")
_IN_PYTHON = re.compile(r"^(?:async )?def test_((?:f\d\d_)+)", re.MULTILINE)


def files_by_fault() -> dict[str, list[Path]]:
    """Return the test files of each fault, found by the names of their tests."""
    found: dict[str, set[Path]] = defaultdict(set)
    for pattern, glob, names in (
        ("tests", "test_*.py", _IN_PYTHON),
        ("backend/test", "*.test.js", _IN_JAVASCRIPT),
    ):
        for file in (ROOT / pattern).rglob(glob):
            for match in names.findall(file.read_text(encoding="utf-8")):
                for fault in re.findall(r"f\d\d", match.lower()):
                    found[fault.upper()].add(file.relative_to(ROOT))
    return {fault: sorted(files) for fault, files in sorted(found.items())}


def page() -> str:
    """Return the text of docs/FAULTS.md; faults without a test have no row."""
    rows = [
        f"| {fault} | {what} | {outcome} | {', '.join(f'[{file.name}](../{file.as_posix()})' for file in files)} |\n"
        for fault, (what, outcome) in FAULTS.items()
        if (files := files_by_fault().get(fault))
    ]
    return INTRODUCTION + "".join(rows) + soak_section(json.loads(SOAK.read_text(encoding="utf-8")))


def soak_section(summary: Mapping[str, Any]) -> str:
    """Return the section of the soak test."""
    seconds, workers, files, memory = summary["seconds"], summary["workers"], summary["descriptors"], summary["memory"]
    early, last = memory["early_heap_bytes"], memory["last_heap_bytes"]
    facts = {
        "duration": f"{seconds // 60} min {seconds % 60} s",
        "requests": f"{summary['requests']:,}",
        "outcomes": ", ".join(f"{name} {count:,}" for name, count in summary["outcomes"].items()),
        "valid requests answered": f"{summary['answered_share_of_good']:.2%}",
        "time to an answer, ms": _percentiles(summary["latency_ms"]),
        "past the deadline, ms": _percentiles(summary["past_deadline_ms"]),
        "longest stall of the test process, ms": f"{summary['most_held_up_ms']}",
        "injected faults": ", ".join(f"{name} {count:,}" for name, count in summary["harm"].items()),
        "time to recover, ms": _percentiles(summary["recovery_ms"]),
        "versions": f"{summary['versions']['activated']} activated",
        "workers": f"{workers['started']:,} started, {workers['deaths']:,} died",
        "heap, MiB": f"{early / 2**20:.1f} at the start, {last / 2**20:.1f} at the end",
        "descriptors": f"{files['before']} before, {files['most']} at most, {files['after']} after",
        "violated invariants": ", ".join(f"{name} {count}" for name, count in summary["violations"].items()) or "none",
    }
    return SECTION.format(machine=summary["machine"]) + "".join(
        f"| {name} | {text} |\n" for name, text in facts.items()
    )


def _percentiles(values: Mapping[str, float]) -> str:
    p50, p95, p99, highest = (f"{values[name]:.0f}" for name in ("p50", "p95", "p99", "max"))
    return f"p50 {p50}, p95 {p95}, p99 {p99}, maximum {highest}"


def main(argv: list[str]) -> int:
    """Write the file; returns the exit status."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(argv)
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
