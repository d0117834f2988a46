"""Write docs/FAULTS.md: every fault that the bridge is put through, the test files that do it, and what the soak of half an hour said.

    node backend/bench/soak.js --json docs/soak.json
    python scripts/write_faults.py

A test belongs to a fault if its name begins with the fault's number: `test_f51_one_flipped_bit…`, `test('F51 one flipped bit…')`. A test
compares the file with what this would write.
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

# number: (what happens, what comes of it besides the invariants)
FAULTS: Mapping[str, tuple[str, str]] = {
    "F01": ("the interpreter does not exist", "`no_python` at once; one alarm, no loop"),
    "F02": ("the interpreter may not be executed, or is no program", "as F01"),
    "F03": ("the system has no process, descriptor or memory to give", "`spawn_failed`; tried again, ever later"),
    "F04": ("a module cannot be imported", "five starts, then none for a while"),
    "F05": ("settings or the version are missing at the start", "one start; the next one when a file has changed"),
    "F06": ("a worker never says `ready`", "killed after 20 s; requests fall back meanwhile"),
    "F07": ("`ready` in another protocol", "killed, not tried again"),
    "F08": (
        "a banner on stdout before `ready`",
        "ours lands on stderr; one line is ignored and counted, two are another protocol",
    ),
    "F09": ("Python prints in the middle of a request", "the answer is intact, the print on stderr"),
    "F10": ("C code or a child of Python's writes to descriptor 1", "as F09"),
    "F11": ("two answers to one request", "the second reaches nobody, and is counted"),
    "F12": ("an answer to a request that nobody sent", "as F11"),
    "F13": ("an answer for another user", "`crossed_answer`; the worker is replaced"),
    "F14": ("half a line, then exit 0", "no success"),
    "F15": ("a whole answer, then exit 1", "one process for one request: no success"),
    "F16": ("a whole answer, then SIGKILL", "as F15"),
    "F17": ("exit 0 without a word", "no success"),
    "F18": ("two documents from one process", "no success"),
    "F19": ("the last line has no end", "an answer if the process left with 0; none of a worker's"),
    "F20": ("the answer byte by byte, characters cut in two", "the answer is intact"),
    "F21": ("many answers in one write", "each reaches its own request"),
    "F22": ("a line of 9 MiB", "`bad_answer`, before it is in memory"),
    "F23": ("a line without an end", "as F22"),
    "F24": ("100 MB on stderr", "the answer arrives; 64 KiB are kept"),
    "F25": ("terminal commands and forged log lines on stderr", "one line without control characters"),
    "F26": ("a hang before anything is read", "the deadline"),
    "F27": ("a loop in Python", "the deadline; the worker is replaced, its stack told"),
    "F28": ("C code that never lets go of the interpreter", "as F27"),
    "F29": ("a process that ignores SIGTERM", "SIGKILL"),
    "F30": ("a process that is stopped (SIGSTOP)", "as F29"),
    "F31": ("an answer that drips in", "the deadline is one, however busy the pipe is"),
    "F32": ("an answer after the deadline", "it is nobody's; the next request gets its own"),
    "F33": ("death in the middle: exit, SIGSEGV, SIGABRT, SIGILL", "the request fails, those behind it move once"),
    "F34": ("no more memory", "`overloaded`, or a death like another"),
    "F35": ("death right after `ready`, every time", "five starts, then none for a while"),
    "F36": ("a request that kills whoever computes it", "kept away from its second death on; others are answered"),
    "F37": ("stdin is closed, or its reader dies in the middle of a write", "no uncaught error"),
    "F38": ("stdout is closed, the process lives", "it is killed"),
    "F39": ("a grandchild holds the pipes", "nobody waits for it; it goes with the group"),
    "F40": ("the backend is killed (SIGKILL)", "workers are gone within a second, busy or not"),
    "F41": ("the backend is asked to stop under load", "what is computed finishes; exit 0 within 5 s"),
    "F42": ("10,000 requests at once", "64 wait, the rest is refused at once"),
    "F43": ("no descriptor is left", "requests fall back, and are answered again later"),
    "F44": ("the disk is full", "publishing fails and says so; the old version serves"),
    "F45": ("the wall clock is set back", "deadlines do not move"),
    "F46": ("a visitor leaves in the middle of a request", "the work is finished once, or never begun"),
    "F47": ("500 requests of one customer at once", "one computation, 500 answers"),
    "F48": ("100 requests as the breaker's cool-down ends", "exactly one gets through"),
    "F49": ("versions are exchanged under load", "no request fails; an answer is of one version"),
    "F50": ("a version is copied in file by file, or cut", "never served before it is whole"),
    "F51": ("one bit of any file is flipped", "refused by the file's name; exit 77"),
    "F52": ("a rollback", "served within two seconds, with the answers of before"),
    "F53": ("a pointer to nothing, to a path, through a link", "refused; the old version serves"),
    "F54": ("the publisher is killed at each effect in turn", "the old version or the new one, whole"),
    "F55": ("no database at the start", "the shop runs on its fallback and says so"),
    "F56": ("the database is killed under load", "no acknowledged event is lost; back within a second"),
    "F57": ("the database is frozen", "deadlines hold"),
    "F58": ("the database is slow, locked or in a deadlock", "the deadline; one more attempt after a deadlock only"),
    "F59": ("the same event many times", "one row"),
    "F60": ("the backend dies between accepting an event and writing it", "the event is there after the restart"),
    "F61": ("events out of order, of the future, of long ago", "stored, and counted"),
    "F62": ("cached rows of another version, or expired", "never mixed in"),
    "F63": ("every connection is taken", "the fallback"),
    "F64": ("anything of this at random, for half an hour", "only proven answers; no leaks"),
}
BACKEND = frozenset({"F46", "F47", *(f"F{number}" for number in range(55, 64))})  # faults of the web server's own

INTRODUCTION = """# Faults

What the bridge between Express and Python is put through, and where. Written by `python scripts/write_faults.py` from the names of the
tests, which begin with the number of their fault; a test makes sure that none is left out.

After each of them:

1. the caller has an answer or a reason by its deadline, and 150 ms at most after it;
2. the reason is one of a closed set;
3. no process is left, no grandchild, no zombie;
4. nothing was thrown outside of a promise;
5. there was exactly one outcome;
6. an answer is for whoever asked;
7. descriptors, listeners and timers are as they were;
8. nothing that is no proven answer is taken for one;
9. the next good request is answered, within a second after a death.

The processes are real: [fault_worker.py](../backend/test/fault_worker.py) speaks the protocol and misbehaves on cue, and recommend_api.py
itself serves a small shop where the fault is in the world around it.

`node backend/bench/soak.js` does all that can be done to workers at random, for half an hour; [what came of it](#the-soak) stands below.
`python tests/helpers/fuzz_request.py` looks for bytes that the request parser makes something wrong of; it needs `pip install atheris==3.0.0`.

| | what happens | what comes of it | tested in |
|---|---|---|---|
"""

SECTION = """
## The soak

A pool of two workers on {machine}, with other work on the same processors; harm, requests and their moments are
drawn from a seed. The table is made from [soak.json](soak.json), which these two commands write:

    node backend/bench/soak.js --json docs/soak.json
    python scripts/write_faults.py

| | |
|---|---|
"""

_IN_JAVASCRIPT = re.compile(r"""['"`]((?:F\d\d )+)""")
_IN_PYTHON = re.compile(r"^(?:async )?def test_((?:f\d\d_)+)", re.MULTILINE)


def files_by_fault() -> dict[str, list[Path]]:
    """Return the test files of each fault, by the names of their tests."""
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
    return INTRODUCTION + "".join(rows) + soaked(json.loads(SOAK.read_text(encoding="utf-8")))


def soaked(summary: Mapping[str, Any]) -> str:
    """Return what a summary of the soak says, as a section."""
    seconds, workers, files, memory = summary["seconds"], summary["workers"], summary["descriptors"], summary["memory"]
    facts = {
        "lasted": f"{seconds // 60} min {seconds % 60} s",
        "asked": f"{summary['requests']:,}",
        "came of it": ", ".join(f"{name} {count:,}" for name, count in summary["outcomes"].items()),
        "good requests answered": f"{summary['answered_share_of_good']:.2%}",
        "answers, ms": _percentiles(summary["latency_ms"]),
        "past the deadline, ms": _percentiles(summary["past_deadline_ms"]),
        "this process held up by the machine, ms": f"{summary['most_held_up_ms']} at most",
        "harm": ", ".join(f"{name} {count:,}" for name, count in summary["harm"].items()),
        "recovery, ms": _percentiles(summary["recovery_ms"]),
        "versions": f"{summary['versions']['activated']} activated",
        "workers": f"{workers['started']:,} started, {workers['deaths']:,} died",
        "heap, MiB": f"{memory['early_heap_bytes'] / 2**20:.1f} early, {memory['last_heap_bytes'] / 2**20:.1f} at the end",
        "descriptors": f"{files['before']} before, {files['most']} at most, {files['after']} after",
        "what should not be": ", ".join(f"{name} {count}" for name, count in summary["violations"].items())
        or "nothing",
    }
    return SECTION.format(machine=summary["machine"]) + "".join(
        f"| {name} | {text} |\n" for name, text in facts.items()
    )


def _percentiles(of: Mapping[str, float]) -> str:
    return f"p50 {of['p50']:.0f}, p95 {of['p95']:.0f}, p99 {of['p99']:.0f}, most {of['max']:.0f}"


def main(argv: list[str]) -> int:
    """Write the file; returns the exit status."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(argv)
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
