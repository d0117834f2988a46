"""What a run tells while it lasts: an estimate, numbered steps, what is left; and its end on Ctrl-C."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from recsys.networks.fit import Epoch
from recsys.settings import Training
from recsys.training import console as console_module
from recsys.training.command_line import INTERRUPTED, _parser
from recsys.training.console import TrainingConsole, duration, remaining
from recsys.training.estimate import LEAST_SAMPLES, estimate, plan, within
from recsys.training.interrupts import PATIENCE_S, ended_within_a_second, remove_unfinished
from recsys.training.run import CHOOSE, EVALUATE, FINAL, PUBLISH, REFIT, STEPS
from tests.helpers.checkerboard import before_the_cut, shop_of
from tests.helpers.tiny_shop import Quiet

ROOT = Path(__file__).parents[2]
OPTIONS = Training()


# The estimate


def test_the_estimate_names_every_step_between_reading_and_publishing() -> None:
    assert list(estimate(100_000, 2000, 10_000, OPTIONS)) == [CHOOSE, REFIT, EVALUATE, FINAL]
    assert list(STEPS[1:-1]) == [CHOOSE, REFIT, EVALUATE, FINAL]


def test_the_estimate_grows_with_the_shop_and_with_the_machine_and_an_epoch_has_a_bound() -> None:
    small, large = (sum(estimate(n, 2000, 3000, OPTIONS).values()) for n in (100_000, 400_000))
    slow = sum(estimate(100_000, 2000, 3000, OPTIONS, slowness=2.0).values())
    many = [sum(estimate(n, 2000, 3000, replace(OPTIONS, samples=10_000)).values()) for n in (100_000, 400_000)]

    assert large > small
    assert slow == pytest.approx(2 * small)
    assert many[1] - many[0] < (large - small) / 2


def seconds_of(options: Training) -> dict[str, float]:
    """Return an estimate of a second for each thousand events of an epoch."""
    return {"choose": options.epochs * options.samples / 1000}


@pytest.mark.parametrize(
    ("seconds", "samples", "epochs"),
    [
        (10_000, OPTIONS.samples, 8),  # there is time for everything
        (600, 75_000, 8),  # 100,000 events take 800 s
        (160, LEAST_SAMPLES, 8),
        (100, LEAST_SAMPLES, 5),
        (0.001, LEAST_SAMPLES, 1),  # the least there is
    ],
)
def test_a_budget_takes_samples_first_and_then_epochs(seconds: float, samples: int, epochs: int) -> None:
    found = within(seconds, OPTIONS, 100_000, seconds_of)

    assert (found.samples, found.epochs) == (samples, epochs)
    assert replace(found, samples=OPTIONS.samples, epochs=8) == OPTIONS


class PlanRecorder(Quiet):
    """Records the estimate and the notes."""

    def __init__(self) -> None:
        self.seconds: object = None
        self.notes: list[str] = []

    def planned(self, seconds: object) -> None:
        self.seconds = seconds

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_without_a_budget_nothing_changes_and_a_small_one_becomes_settings_of_the_run() -> None:
    run, free, tight = shop_of(before_the_cut()), PlanRecorder(), PlanRecorder()

    assert plan(run, None, free).settings == run.settings
    assert free.notes == []
    large = replace(run, settings=replace(run.settings, training=replace(OPTIONS, full_fits_below=1)))
    planned = plan(large, None, free).settings.training
    assert planned == replace(OPTIONS, full_fits_below=1, halving=True), "too few for short epochs"
    planned = plan(run, 1e-6, tight).settings.training
    assert planned.epochs == 1
    assert ["within" in note for note in tight.notes] == [True, False]
    assert "less than what even the smallest fit may take" in tight.notes[1]
    assert list(dict(tight.seconds)) == list(STEPS[1:-1])  # type: ignore[call-overload]


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon", ""])
def test_a_budget_is_a_number_of_minutes_above_0(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _parser().parse_args(["--budget", text])
    assert "should be a number of minutes above 0" in capsys.readouterr().err
    assert _parser().parse_args(["--budget", "2.5"]).budget == 2.5


# Steps and what is left


@pytest.mark.parametrize(
    ("title", "elapsed", "left"),
    [("a", 0.0, 20.0), ("b", 10.0, 10.0), ("c", 30.0, 10.0), ("c", 0.0, 5.0), ("unknown", 3.0, None)],
)
def test_what_is_left_follows_the_pace_of_the_steps_that_are_done(title: str, elapsed: float, left: float) -> None:
    assert remaining({"a": 10.0, "b": 5.0, "c": 5.0}, title, elapsed) == left


def test_without_an_estimate_nothing_is_left_to_tell() -> None:
    assert remaining({}, "a", 5.0) is None
    assert duration(0.2) == "about 10 s"


def test_steps_are_numbered_and_a_first_epoch_is_beside_a_uniform_guess(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter([100.0, 130.0])
    monkeypatch.setattr(console_module.time, "monotonic", lambda: next(moments, 130.0))
    progress = TrainingConsole()
    progress.planned({CHOOSE: 10.0, REFIT: 5.0, EVALUATE: 5.0, FINAL: 10.0})
    progress.stage(REFIT)
    progress.step("ENCM: its graph is compiled, then epoch 1")
    progress.epoch(Epoch("ENCM", 1, 8, 1.5, 2.0, 0.04, 2.1972))
    progress.epoch(Epoch("ENCM", 2, 8, 1.4, 2.0, 0.05, 2.1972))
    progress.stage("Put the encoders into the database")
    lines = [line.strip() for line in capsys.readouterr().err.splitlines()]

    assert lines[0].startswith("about 30 s by estimate")
    assert lines[1] == f"{REFIT} (step 3 of 6, about 60 s left)"
    assert "graph is compiled" in lines[2]
    assert lines[3].endswith("(a uniform guess: loss 2.1972)")
    assert "uniform" not in lines[4]
    assert lines[5] == "Put the encoders into the database"


def test_a_process_may_end_at_once_before_it_publishes() -> None:
    progress = TrainingConsole()
    ends = []
    for title in ("", CHOOSE, FINAL, PUBLISH, "Put the encoders into the database"):
        progress.stage(title) if title else None
        ends.append(progress.may_end())

    assert ends == [False, True, True, False, False]


# Ctrl-C

STUBBORN = """
import sys, threading
sys.path.insert(0, {root!r})
from pathlib import Path
from recsys.training.command_line import _leave
from recsys.training.interrupts import ended_within_a_second
wait = threading.Event()
with ended_within_a_second(Path(sys.argv[1]), lambda: {may_end}, _leave):
    for interrupt in range({interrupts}):  # as a computation that does not come back to Python
        try:
            if interrupt == 0:
                print("begun", flush=True)
            wait.wait(600)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    print("ended by itself", flush=True)
"""


def stubborn(folder: Path, *, interrupts: int, may_end: bool) -> subprocess.Popen[str]:
    code = STUBBORN.format(root=str(ROOT), interrupts=interrupts, may_end=may_end)
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    )


@pytest.mark.parametrize(("is_pressed", "raised"), [(True, KeyboardInterrupt), (False, SystemError)])
def test_an_interrupt_that_became_another_error_is_an_interrupt(
    is_pressed: bool, raised: type[BaseException], tmp_path: Path
) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(raised), ended_within_a_second(tmp_path, lambda: False, pytest.fail):
        try:
            if is_pressed:
                signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            pass
        raise SystemError("a function returned a result with an exception set")
    assert signal.getsignal(signal.SIGINT) is before


def test_a_computation_that_does_not_come_back_is_ended_and_its_draft_removed(tmp_path: Path) -> None:
    with stubborn(tmp_path, interrupts=100, may_end=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "begun\n"
        (draft := tmp_path / f".draft-20240101T000000Z-{run.pid}").mkdir()
        (draft / "bmf.h5").touch()
        (tmp_path / ".draft-20240101T000000Z-1").mkdir()
        run.send_signal(signal.SIGINT)
        assert run.wait(timeout=60) == INTERRUPTED
        assert run.stderr is not None
        assert run.stderr.read() == "Interrupted; nothing of an unfinished version is left.\n"
    assert [path.name for path in tmp_path.iterdir()] == [".draft-20240101T000000Z-1"], "another process's draft stays"
    assert PATIENCE_S < 1


@pytest.mark.parametrize("may_end", [True, False], ids=["in time", "while it publishes"])
def test_a_run_that_ends_in_time_or_publishes_is_left_alone(tmp_path: Path, may_end: bool) -> None:
    with stubborn(tmp_path, interrupts=1, may_end=may_end) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "begun\n"
        run.send_signal(signal.SIGINT)
        assert run.stdout.read() == "interrupted\nended by itself\n"
        assert run.wait(timeout=60) == 0


def test_what_is_not_there_need_not_be_removed(tmp_path: Path) -> None:
    remove_unfinished(tmp_path / "nowhere")
    (tmp_path / ".training.json").write_text("{}", encoding="utf-8")
    remove_unfinished(tmp_path)

    assert os.listdir(tmp_path) == [".training.json"], "the lock of another process stays"
