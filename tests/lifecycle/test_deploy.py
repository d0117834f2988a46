"""The files of deploy/: their form, and that each one starts the scheduler with a command line that it takes."""

from __future__ import annotations

import configparser
import shlex
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from recsys.lifecycle.schedule import trigger
from scripts.scheduler import _parser

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted(path.name for path in DEPLOY.iterdir() if path.suffix in (".service", ".timer"))
TASK = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"


def read_unit(name: str) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / name, encoding="utf-8")
    return unit


def cron_line() -> str:
    (line,) = [line for line in (DEPLOY / "crontab").read_text().splitlines() if not line.startswith("#")]
    return line


def xml(name: str) -> str:
    text = ElementTree.parse(DEPLOY / "recsys-training.xml").getroot().findtext(f".//{TASK}{name}")
    assert text is not None
    return text


def commands() -> dict[str, str]:
    return {
        **{name: read_unit(name)["Service"]["ExecStart"] for name in UNITS if name.endswith(".service")},
        "crontab": cron_line().split("&&")[1].partition("2>")[0],
        "xml": f"{xml('Command')} {xml('Arguments')}".replace("\\", "/"),
    }


@pytest.mark.parametrize("name", commands())
def test_each_file_starts_the_scheduler_with_a_command_line_that_it_takes(name: str):
    program, script, *argv = shlex.split(commands()[name])
    assert Path(program).stem == "python"
    assert (ROOT / script).is_file()
    flags = _parser().parse_args(argv)
    assert flags.schedule == "auto"
    assert flags.once == (name != "recsys-scheduler.service")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
@pytest.mark.parametrize("name", UNITS)
def test_systemd_takes_each_unit(name: str, tmp_path: Path):
    for unit in UNITS:  # in a place where programs and users of the units exist
        text = (
            (DEPLOY / unit).read_text().replace("/opt/recsys/.venv/bin/python", "/bin/sh").replace("/opt/recsys", "/")
        )
        (tmp_path / unit).write_text(text.replace("User=recsys", "User=root"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / name)], capture_output=True, text=True, check=False
    )
    told = [line for line in done.stderr.splitlines() if name in line]
    assert told == []
    assert "Unknown" not in done.stderr


def test_the_units_hold_known_sections_and_the_timer_starts_its_service():
    assert [read_unit(name).sections() for name in UNITS] == [
        ["Unit", "Service", "Install"],
        ["Unit", "Service"],
        ["Unit", "Timer", "Install"],
    ]
    assert read_unit("recsys-training.timer")["Timer"]["Persistent"] == "true"


def test_the_crontab_line_has_five_fields_that_the_library_takes():
    assert trigger(" ".join(cron_line().split()[:5]))


def test_the_windows_task_repeats_every_hour_and_starts_what_was_missed():
    assert (xml("Interval"), xml("StartWhenAvailable"), xml("ExecutionTimeLimit")) == ("PT1H", "true", "PT0S")
