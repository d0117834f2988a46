"""A fake recommend_api.py that speaks the protocol and has faults: `fault_worker.py [--fault NAME[:ARG]] [--worker]`.

A request for the user "cue" gets the fault. User u gets product 10·u, so that a test sees whose answer it is.
Faults whose names begin with `boot` happen before anything is read. With `--while FILE` there are faults only while
that file exists.
"""

import argparse
import ctypes
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

VERSION = "20261120T231800Z-0a1b2c3d"
CUE = "cue"
FOREVER_S = 600
WORKER = "--worker" in sys.argv

Request = dict[str, Any]


def write(data: bytes) -> None:
    """Write all bytes to stdout, past every buffer."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(1, rest) :]


def line(document: object) -> bytes:
    """Return a document as a line of the protocol."""
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def answer(request: Request, **changes: object) -> Request:
    """Return the proper answer to a request, or one with changes."""
    user = request.get("user_id")
    product = 10 * int(user) if str(user).isdigit() else 1
    document = {
        "ok": True,
        "user_id": user,
        "model": "BMF",
        "model_version": VERSION,
        "items": [{"productId": product, "score": 0.5}],
        "runs": [],
        "source": "model",
        "context": {},
        "warnings": [],
        "ms": 0.1,
        "id": request["id"],
    }
    if request.get("op") == "ping":
        document = {"ok": True, "protocol": 1, "version": VERSION, "pid": os.getpid(), "id": request["id"]}
    return {**document, **changes}


def failure(code: str, **more: object) -> Request:
    """Return a failure as in the protocol."""
    return {"ok": False, "error": {"code": code, "message": f"The fault {code}.", "retryable": False}, **more}


def reply(request: Request, **changes: object) -> None:
    """Write the answer to a request."""
    write(line(answer(request, **changes)))


def leave(status: str) -> None:
    """End at once."""
    os._exit(int(status))


def hang() -> None:
    """Compute for ever."""
    while True:
        pass


def keep_stdout_in_another_process(request: Request, *, session: bool) -> None:
    """Start a process that inherits stdout, then answer and die; a session of its own lets it survive the group."""
    subprocess.Popen(["sleep", "3"], start_new_session=session)
    reply(request)
    leave("1" if WORKER else "0")


def lack_memory(request: Request) -> None:
    """Ask for more memory than the process may have."""
    resource.setrlimit(resource.RLIMIT_AS, (2**29, 2**29))
    bytearray(2**40)


def drip(request: Request, pause_s: float) -> None:
    """Write the answer byte by byte, with text of several bytes a character."""
    document = answer(request, warnings=["caf\u00e9 \u2028 \U0001f36f"])
    for byte in json.dumps(document, ensure_ascii=False).encode() + b"\n":
        write(bytes([byte]))
        time.sleep(pause_s)


def endless(request: Request) -> None:
    """Write a line that never ends."""
    while True:
        write(b"x" * 65536)


def flood_stderr(request: Request, megabytes: str) -> None:
    """Write a lot to stderr, and then answer."""
    for _ in range(int(megabytes)):
        os.write(2, b"noise\n" * (2**20 // 6))
    os.write(2, b"the last words\n")
    reply(request)


def close_and_stay(stream: int) -> None:
    """Close a stream and go on running."""
    os.close(stream)
    time.sleep(FOREVER_S)


def truncate(request: Request) -> None:
    """Write half an answer and exit with status 0."""
    write(line(answer(request))[:40])
    leave("0")


def interrupted(request: Request, how: str) -> None:
    """Write the whole answer, and then end by a status or a signal."""
    reply(request)
    leave(how) if how.isdigit() else os.kill(os.getpid(), signal.Signals[how])


def ignore_sigterm(request: Request) -> None:
    """Hang, and ignore SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(FOREVER_S)


def forge_log(request: Request) -> None:
    """Write a forged log line, and commands for the terminal's title and colours."""
    os.write(2, b"\x1b]0;title\x07\x1b[31mred\x1b[0m\r\n2026-01-01 INFO all is well\n\x00\xe2\x80\xae")
    leave("1")


def crash_in_c(request: Request) -> None:
    """Read from an address without memory."""
    ctypes.string_at(0)


ON_CUE: dict[str, Callable[[Request, str], object]] = {
    "print": lambda request, _: (write(b"a stray line\n"), reply(request)),
    "answer-twice": lambda request, _: (reply(request), reply(request)),
    "unknown-id": lambda request, _: (reply(request, id="other"), reply(request)),
    "only-unknown-id": lambda request, _: reply(request, id="other"),
    "strays": lambda request, _: (write(line(answer(request, id="other")) * 200), reply(request)),
    "crossed-user": lambda request, _: reply(request, user_id=99),
    "truncated": lambda request, _: truncate(request),
    "answer-then": interrupted,
    "leave": lambda request, status: leave(status),
    "signal": lambda request, name: os.kill(os.getpid(), signal.Signals[name]),
    "two-documents": lambda request, _: write(line(answer(request)) + b"{}\n"),
    "no-newline": lambda request, _: write(line(answer(request))[:-1]),
    "not-json": lambda request, _: write(b"{'ok': True}\n"),
    "not-json-then": lambda request, status: (write(b"Traceback\n"), leave(status)),
    "not-utf8": lambda request, _: write(b'"\xff\xfe"\n'),
    "array": lambda request, _: write(b"[]\n"),
    "nan": lambda request, _: write(line(answer(request, ms=float("nan")))),
    "no-items": lambda request, _: reply(request, items=None),
    "bad-item": lambda request, _: reply(request, items=[{"productId": None, "score": 1}]),
    "bad-source": lambda request, _: reply(request, source="guess"),
    "maybe": lambda request, _: reply(request, ok="yes"),
    "drip": lambda request, pause_s: drip(request, float(pause_s)),
    "huge": lambda request, megabytes: (write(b"x" * (int(megabytes) * 2**20)), reply(request)),
    "endless": lambda request, _: endless(request),
    "flood-stderr": flood_stderr,
    "forge-log": lambda request, _: forge_log(request),
    "hang": lambda request, _: hang(),
    "hang-in-c": lambda request, _: re.match("(a+)+$", "a" * 64 + "b"),
    "ignore-sigterm": lambda request, _: ignore_sigterm(request),
    "late": lambda request, delay_s: (time.sleep(float(delay_s)), reply(request)),
    "segfault": lambda request, _: crash_in_c(request),
    "memory": lambda request, _: lack_memory(request),
    "close-stdin": lambda request, _: close_and_stay(0),
    "close-stdout": lambda request, _: close_and_stay(1),
    "grandchild": lambda request, _: keep_stdout_in_another_process(request, session=False),
    "daemon": lambda request, _: keep_stdout_in_another_process(request, session=True),
    "fail": lambda request, code: (write(line(failure(code, id=request["id"]))), WORKER or leave("65")),
    "fail-unread": lambda request, code: (write(line(failure(code))), WORKER or leave("65")),
    "fail-and-leave-with-0": lambda request, code: (write(line(failure(code, id=request["id"]))), leave("0")),
    "fail-other-id": lambda request, code: (write(line(failure(code, id="other"))), WORKER or leave("65")),
}


def boot(fault: str, argument: str) -> None:
    """Misbehave before anything is read."""
    if fault == "boot-leave":
        leave(argument)
    elif fault == "boot-refuse":
        write(line(failure(argument)))
        leave("78")
    elif fault in ("boot-silent", "boot-unread"):
        time.sleep(FOREVER_S)
    elif fault == "boot-protocol":
        write(line({"ready": True, "protocol": [int(argument)]}))
        time.sleep(FOREVER_S)
    elif fault == "boot-banner":
        write(b"Welcome!\n" * int(argument))
    elif fault == "boot-close-stdin":
        os.close(0)
        time.sleep(FOREVER_S)


def pairs_in_reverse(requests: Iterator[Request]) -> None:
    """Answer every second request before the first."""
    for first in requests:
        reply(next(requests))
        reply(first)


def in_bursts(requests: Iterator[Request], size: int) -> None:
    """Answer `size` requests in one write."""
    while True:
        write(b"".join(line(answer(next(requests))) for _ in range(size)))


def work(fault: str, argument: str) -> None:
    """Answer line by line."""
    write(line({"ready": True, "protocol": 1, "version": VERSION, "limits": {}, "pid": os.getpid()}))
    if fault == "die-when-ready":
        leave("1")
    requests = (json.loads(data) for data in sys.stdin.buffer)
    if fault == "reverse":
        pairs_in_reverse(requests)
    if fault == "burst":
        in_bursts(requests, int(argument))
    for request in requests:
        on(request, fault, argument)


def on(request: Request, fault: str, argument: str) -> None:
    """Answer a request, or misbehave."""
    if request.get("user_id") == CUE:
        ON_CUE[fault](request, argument)
    else:
        reply(request)


def main() -> None:
    """Read the command line, misbehave at the start if it says so, and answer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--fault", default="")
    parser.add_argument("--while", dest="active", type=Path)
    parser.add_argument("--worker", action="store_true")
    options = parser.parse_args()
    name, _, argument = options.fault.partition(":")
    if options.active is not None and not options.active.exists():
        name = ""
    boot(name, argument)
    if options.worker:
        work(name, argument)
    else:
        on(json.loads(sys.stdin.buffer.read()), name, argument)


if __name__ == "__main__":
    main()
