"""A training in a child process, watched once a second for its memory and its time, and its output in a log."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from recsys.errors import AlreadyTraining, InternalError
from recsys.errors.records import Record
from recsys.errors.secrets import scrubbed

LOOK_S = 1.0  # seconds between two looks at the child
END_S = 5.0  # seconds in which a child that is told to end may clean up; then its process group is killed
LONGEST_LINE = 4_000  # characters of a line of output; a longer one is cut into several
REFUSED = 3  # the exit status of a training that was refused
MEMORY_SHARE = 0.8  # of the machine's memory, where the setting is 0: enough stays for the shop and the system
MIB = 2**20


class Limits(Record):
    """What a training may use.

    Attributes:
        seconds: Its time.
        memory: Its resident memory in bytes, child processes included; None where it cannot be measured.
    """

    seconds: float
    memory: int | None


class TrainingResult(Record):
    """How a training ended. It published if and only if the process ended with exit status 0.

    Attributes:
        status: The exit status; negative for a signal.
        reason: Why there is no new version, in words; empty where there is one.
        seconds: How long it took.
        peak_memory: The most resident memory that was seen, in bytes.
        stopped: Whether it was ended because the scheduler ends.
    """

    status: int
    reason: str
    seconds: float
    peak_memory: int
    stopped: bool = False

    @property
    def published(self) -> bool:
        """Whether there is a new version."""
        return self.status == 0

    @property
    def refused(self) -> bool:
        """Whether the data or the candidate was refused; another attempt would be refused, too."""
        return self.status == REFUSED

    @property
    def another_runs(self) -> bool:
        """Whether another process holds the training lock."""
        return self.status == AlreadyTraining.exit_status


def limits(max_minutes: float, max_memory_mib: int) -> Limits:
    """Return the limits of the settings; without one for memory, a share of what the machine has."""
    memory: int | None = max_memory_mib * MIB
    if not memory:
        memory = int(machine_memory() * MEMORY_SHARE) or None
    return Limits(max_minutes * 60, memory)


def machine_memory() -> int:
    """Return the machine's memory in bytes; 0 where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 0


def run_training(
    command: Sequence[str],
    *,
    folder: Path,
    limits: Limits,
    say: Callable[[str], None],
    is_stopping: Callable[[], bool] = lambda: False,
    environ: Mapping[str, str] | None = None,
    look_s: float = LOOK_S,
) -> TrainingResult:
    """Run a training in a process group of its own, and end the whole group where it exceeds a limit.

    Args:
        command: The command line.
        folder: The working directory.
        limits: What it may use.
        say: Receives each line of output.
        is_stopping: Whether the scheduler should end; the training then ends first.
        environ: The environment; this process's by default.
        look_s: Seconds between two looks.

    Raises:
        InternalError: The process cannot be started.
    """
    began = time.monotonic()
    try:
        child = subprocess.Popen(
            command,
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise InternalError(f"A training should start. Received: {error.strerror or error}.") from error
    last = [""]
    assert child.stdout is not None
    reader = threading.Thread(target=_read, args=(child.stdout, last, say), name="output", daemon=True)
    reader.start()
    reason, peak, stopped = "", 0, False
    try:
        while _is_running(child, look_s):
            memory = resident_memory(child.pid)
            peak = max(peak, memory)
            if is_stopping():
                reason, stopped = "the scheduler was told to end", True
            elif time.monotonic() - began > limits.seconds:
                reason = f"it took longer than {limits.seconds / 60:g} minutes (max_training_minutes)"
            elif limits.memory and memory > limits.memory:
                reason = (
                    f"it had {memory // MIB:,} MiB of resident memory, {limits.memory // MIB:,} are allowed "
                    "(max_training_memory_mib)"
                )
            if reason:
                end_group(child, at_once=bool(limits.memory and memory > limits.memory))
    finally:
        end_group(child, at_once=True)  # what the training left behind in its group, and the training itself
        reader.join(END_S)
    status = child.returncode
    if status == 0:  # it published before it was told to end
        reason = ""
    elif not reason:
        reason = last[0] if status > 0 and last[0] else _ended_by(status)
    return TrainingResult(status, scrubbed(reason), time.monotonic() - began, peak, stopped)


def _is_running(child: subprocess.Popen[str], seconds: float) -> bool:
    with suppress(subprocess.TimeoutExpired):
        child.wait(seconds)
        return False
    return True


def end_group(child: subprocess.Popen[str], *, at_once: bool) -> None:
    """End a child and all processes of its group, with a few seconds for cleaning up unless at once."""
    if not at_once and child.poll() is None:
        _signal_group(child, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            child.wait(END_S)
    _signal_group(child, signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
    child.wait()


def _signal_group(child: subprocess.Popen[str], number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # macOS answers EPERM for a group of dead processes
        if sys.platform != "win32":
            os.killpg(child.pid, number)
        elif child.poll() is None:
            child.terminate()


def resident_memory(group: int) -> int:
    """Return the resident memory of all processes of a group in bytes; 0 where the system does not tell."""
    if sys.platform != "linux":
        return _memory_by_ps(group)
    pages = 0
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            with suppress(OSError):  # it ended meanwhile
                fields = (
                    Path(entry.path, "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
                )
                pages += int(fields[21]) if int(fields[2]) == group else 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _memory_by_ps(group: int) -> int:
    try:
        command = ["ps", "-A", "-o", "pgid=,rss="]
        lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    except OSError:
        return 0
    pairs = (line.split() for line in lines)
    return sum(int(pair[1]) * 1024 for pair in pairs if len(pair) == 2 and pair[0] == str(group))


def _read(stream: IO[str], last: list[str], say: Callable[[str], None]) -> None:
    """Pass lines of output on; the last one that says something stays in `last`."""
    with suppress(ValueError, OSError), stream:
        while line := stream.readline(LONGEST_LINE):
            if text := scrubbed(line.rstrip()):
                last[0] = text
                say(text)


def _ended_by(status: int) -> str:
    if status >= 0:
        return f"it ended with exit status {status} and said nothing"
    names = {int(value): name for name, value in vars(signal).items() if re.fullmatch("SIG[A-Z0-9]+", name)}
    name = names.get(-status, f"signal {-status}")
    hint = ", as the system does where memory runs out" if name == "SIGKILL" else ""
    return f"it was ended by {name}{hint}"
