"""Every command of every page: its program is there and takes these arguments, and a test runs it.

A command that no function of `CHECKS` knows fails. Give its program a function there, and a row in `RUN_IN`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from unittest import mock

import pytest

from recsys.contract import parse_request
from recsys.errors import RecsysError
from recsys.scorers.registry import REGISTRY
from tests.helpers.commands import (
    A_COMMAND,
    NO_COMMANDS,
    ROUTES,
    Command,
    Program,
    commands,
    programs,
    variables_of_the_code,
)
from tests.helpers.documents import named
from tests.helpers.entry_points import PATIENCE_S, ROOT

COMMANDS = list(commands())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
# What a page shows, the file that runs it, and what stands there.
RUN_IN = {
    ".ci/run": (".github/workflows/ci.yml", "run: .ci/run"),
    "make bench": ("tests/benchmarks/test_serving.py", "serving.main"),
    "make clean": ("tests/docs/test_commands.py", '"make", "-n"'),
    "make demo": ("tests/demo/test_demo.py", "scripts/demo.py"),
    "make lint": (".ci/run", "make lint test"),
    "make lock": ("tests/docs/test_pins.py", "make lock"),
    "make shop": ("tests/demo/test_shop.py", '"make"'),
    "make test": (".ci/run", "make lint test"),
    "benchmarks/batch.py": ("tests/benchmarks/test_batch.py", "batch.main"),
    "benchmarks/batch_workers.py": ("tests/benchmarks/test_batch.py", "batch_workers.main"),
    "benchmarks/content.py": ("tests/benchmarks/test_content.py", "content.main"),
    "benchmarks/experiments.py": ("tests/benchmarks/test_experiments.py", "experiments.main"),
    "benchmarks/little_data.py": ("tests/benchmarks/test_little_data.py", "little_data.main"),
    "benchmarks/per_request_choice.py": ("tests/benchmarks/test_per_request_choice.py", "per_request_choice.main"),
    "benchmarks/preset_schemas.py": ("tests/store/test_presets.py", "preset_schemas.main"),
    "benchmarks/quality.py": ("tests/benchmarks/test_quality.py", "quality.main"),
    "benchmarks/ratings.py": ("tests/benchmarks/test_ratings.py", "ratings.main"),
    "benchmarks/readability.py": ("Makefile", "benchmarks/readability.py"),
    "benchmarks/readme_table.py": ("tests/docs/test_readme.py", "readme_table.main"),
    "benchmarks/related.py": ("tests/benchmarks/test_related.py", "related.main"),
    "benchmarks/scale.py": ("tests/benchmarks/test_scale.py", "scale.main"),
    "benchmarks/fuzz_service.py": ("tests/benchmarks/test_service.py", "fuzz_service.main"),
    "benchmarks/service.py": ("tests/benchmarks/test_service.py", "service.main"),
    "benchmarks/service_soak.py": ("tests/benchmarks/test_service.py", "service_soak.main"),
    "benchmarks/serving.py": ("tests/benchmarks/test_serving.py", "serving.main"),
    "benchmarks/terms.py": ("tests/benchmarks/test_little_data.py", "terms.main"),
    "benchmarks/thirty_trainings.py": ("tests/benchmarks/test_thirty_trainings.py", "thirty_trainings.main"),
    "benchmarks/throughput.py": ("tests/benchmarks/test_throughput.py", "throughput.table(result)"),
    "benchmarks/training.py": ("tests/benchmarks/test_training.py", "benchmarks.training"),
    "python -m recsys.service": ("tests/service/test_process.py", '"-m", "recsys.service"'),
    "benchmarks/uptake.py": ("tests/benchmarks/test_uptake.py", "uptake.main"),
    "recommend_api.py": ("tests/helpers/entry_points.py", "recommend_api.py"),
    "scripts/backup.py": ("tests/lifecycle/test_backup.py", "backup_script.main"),
    "scripts/demo.py": ("tests/demo/test_demo.py", "scripts/demo.py"),
    "scripts/doctor.py": ("tests/store/test_doctor_command.py", "doctor.main"),
    "scripts/experiment.py": ("tests/tracking/test_experiment_command.py", "experiment.main"),
    "scripts/import_events.py": ("tests/importing/test_import_events.py", "import_events.py"),
    "scripts/make_shop.py": ("tests/upgrade/test_upgrade.py", "scripts/make_shop.py"),
    "scripts/migrate_encoders.py": ("tests/upgrade/test_upgrade.py", "scripts/migrate_encoders.py"),
    "scripts/monitor.py": ("tests/lifecycle/test_monitor_command.py", "monitor.main"),
    "scripts/recommend_all.py": ("tests/recommending/test_batch_output.py", "script.main"),
    "scripts/restore.py": ("tests/lifecycle/test_backup.py", "scripts.restore"),
    "scripts/rollback.py": ("tests/lifecycle/test_rollback.py", "scripts.rollback"),
    "scripts/scheduler.py": ("tests/lifecycle/test_scheduler_command.py", "scheduler.py"),
    "scripts/shop.py": ("tests/demo/test_shop.py", "scripts/shop.py"),
    "scripts/start_all.py": ("integrations/nextjs/test/wholeShop.js", "'start_all.py'"),
    "scripts/train_ratings.py": ("tests/ratings/test_training.py", "command.main"),
    "integrations/django/tests/beats.py": ("integrations/django/tests/test_workers.py", 'script("beats").run'),
    "integrations/django/tests/kills.py": ("integrations/django/tests/test_workers.py", 'script("kills").run'),
    "tests/helpers/fuzz_request.py": ("tests/bridge/test_fuzz_request.py", "helpers.fuzz_request"),
    "train.py": ("tests/training/test_train.py", "train.py"),
    "backend/bench/load.js": ("backend/test/help.test.js", "'bench'"),
    "backend/bench/page.js": ("backend/test/bench/figures.test.js", "bench/page.js"),
    "backend/bench/soak.js": ("backend/test/bench/whole.test.js", "bench/loading/soak.js"),
    "backend/scripts/writeTypes.js": ("backend/test/contract.test.js", "scripts/writeTypes.js"),
    "backend/src/server.js": ("backend/test/web/serverProcess.js", "src/server.js"),
    "docs/diagrams/render.js": ("docs/diagrams/diagrams.test.js", "drawing.js"),
    "frontend/dev/dev.js": ("frontend/test/unit/programs.test.js", "dev/dev.js"),
    "frontend/bench/firstCard.js": ("frontend/test/proof/pages.js", "bench/firstCard.js"),
    "frontend/dev/realScreenshots.js": ("frontend/test/unit/programs.test.js", "dev/realScreenshots.js"),
    "frontend/dev/screenshots.js": ("frontend/test/unit/programs.test.js", "dev/screenshots.js"),
    "frontend/scripts/size.js": ("frontend/test/unit/size.test.js", "scripts/size.js"),
    "npm ci": ("Makefile", "npm ci"),
    "npm run build": ("frontend/package.json", '"test": "vite build &&'),
    "npm run lint": ("Makefile", "npm run --silent lint"),
    "npm run test:unit": ("frontend/package.json", "find test -name '*.test.js'"),
    "npm test": ("Makefile", "npm test"),
    "curl": ("backend/test/web/readme.test.js", "README.md"),
}


class _ReadOnly(Exception):
    """Carries the parser of a program out, before the program does anything."""


@cache
def parser_of(script: str) -> argparse.ArgumentParser:
    """Return the parser that a Python program reads its command line with."""
    module = importlib.import_module(script.removesuffix(".py").replace("/", "."))

    def stop(parser: argparse.ArgumentParser, *_: object) -> None:
        raise _ReadOnly(parser)

    with mock.patch.dict(os.environ), mock.patch.object(argparse.ArgumentParser, "parse_known_args", stop):
        with pytest.raises(_ReadOnly) as caught:
            module.main([])
    parser: argparse.ArgumentParser = caught.value.args[0]
    return parser


PYTHON_PROGRAMS = [name for name in RUN_IN if name.endswith(".py") and name != "recommend_api.py"]


def run_by_a_test(what: str) -> None:
    assert what in RUN_IN, f"add {what} to RUN_IN of tests/docs/test_commands.py, with the file that runs it"


def check_script(script: str, arguments: list[str]) -> None:
    assert (ROOT / script).is_file(), f"{script} should be a file of the project"
    run_by_a_test(script)
    if script == "recommend_api.py":
        assert arguments in ([], ["--worker"], ["--help"])
        return
    try:
        parser_of(script).parse_args(arguments)
    except SystemExit as error:
        assert error.code in (0, None), f"{script} refuses these arguments; --help lists what it takes"


def place_of(name: str, folders: Sequence[Path]) -> Path:
    """Return a file that a command names, from the first of its folders that has it."""
    found = [folder / name for folder in folders if (folder / name).exists()]
    assert found, f"{name} should be a file of the project, or the paragraph should name its folder: in `backend/`"
    return found[0].resolve()


def check_python(program: Program, folders: Sequence[Path]) -> None:
    match [word for word in program.words[1:] if word != "-I"]:
        case ["-m", "venv", _]:
            pass
        case ["-m", "pytest", *paths]:
            check_pytest(Program(["pytest", *paths]), folders)
        case ["-m", "recsys.service", *arguments]:
            assert arguments in ([], ["--openapi"])
            run_by_a_test("python -m recsys.service")
        case ["-c", code]:
            subprocess.run([sys.executable, "-c", code], timeout=PATIENCE_S, check=True)
        case ["integrations/django/manage.py", name, *_]:
            commands = [path.stem for path in (ROOT / "integrations/django").glob("*/**/commands/*.py")]
            assert name in {*commands, "migrate"}
        case [name, *arguments] if name.endswith(".py"):
            script = named(place_of(name, [ROOT]))
            check_script(script, arguments)
            if script == "recommend_api.py" and program.reads:
                check_requests(program.reads)
        case arguments:
            pytest.fail(f"python {arguments} should be -m venv, -m pytest, -c or a script")


def check_requests(program: Program) -> None:
    assert program.words[0] in ("echo", "printf")
    for line in program.words[1].removesuffix(r"\n").split(r"\n"):
        assert parse_request(line.encode(), models=tuple(REGISTRY))


def check_pytest(program: Program, _folders: Sequence[Path]) -> None:
    for word in program.words[1:]:
        place_of(word, [ROOT])


def check_pip(program: Program, _folders: Sequence[Path]) -> None:
    match program.words[1:]:
        case ["install", "-r", name]:
            place_of(name, [ROOT])
        case ["install", name] if extra := re.fullmatch(r"\.\[(\w+)\]", name):
            assert extra[1] in PROJECT["project"]["optional-dependencies"]
        case ["install", "atheris==3.0.0"]:
            assert "pip install atheris==3.0.0" in (ROOT / "tests/helpers/fuzz_request.py").read_text(encoding="utf-8")
        case words:
            pytest.fail(f"pip {words} should be install -r FILE, or install an extra of pyproject.toml")


def check_make(program: Program, _folders: Sequence[Path]) -> None:
    for word in program.words[1:]:
        name, is_variable, _ = word.partition("=")
        if is_variable:
            assert f"$({name})" in MAKEFILE or f"$(if $({name})" in MAKEFILE or f"$(if $({name})," in MAKEFILE
        else:
            run_by_a_test(f"make {name}")
    done = subprocess.run(
        ["make", "-n", "-C", ROOT, *program.words[1:]],
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def check_npm(program: Program, folders: Sequence[Path]) -> None:
    words = program.words[1:]
    if "--prefix" in words:
        place = words.index("--prefix")
        folders = [ROOT / words[place + 1]]
        del words[place : place + 2]
    if words[0] == "ci":
        place_of("package-lock.json", folders)
        return run_by_a_test("npm ci")
    name = words[1] if words[0] == "run" else words[0]
    packages = [folder / "package.json" for folder in folders if (folder / "package.json").exists()]
    scripts = [(package, json.loads(package.read_text(encoding="utf-8"))["scripts"]) for package in packages]
    found = [(package.parent, its[name]) for package, its in scripts if name in its]
    assert found, f"a package.json of {[named(folder) for folder in folders]} should have the script {name}"
    folder, script = found[0]
    node = re.fullmatch(r"node ([\w./-]+\.js)", script)
    return run_by_a_test(named(place_of(node[1], [folder])) if node else f"npm {' '.join(words)}")


@cache
def help_of(script: Path) -> str:
    """Return what a program for Node prints with --help."""
    if shutil.which("node") is None:
        pytest.skip("Node is not installed")
    done = subprocess.run(
        ["node", script, "--help"], capture_output=True, encoding="utf-8", timeout=PATIENCE_S, check=True
    )
    return done.stdout


def check_node(program: Program, folders: Sequence[Path]) -> None:
    if program.words[1] == "--test":
        for word in program.words[2:]:
            place_of(word, folders)
        return
    script = place_of(program.words[1], folders)
    run_by_a_test(named(script))
    flags = {word for word in program.words[2:] if word.startswith("-")}
    assert flags - {"--help"} <= set(re.findall(r"--[a-z][\w-]*", help_of(script)))


def check_curl(program: Program, _folders: Sequence[Path]) -> None:
    (address,) = (word for word in program.words if "localhost" in word)
    path = "/" + address.partition("/")[2].partition("?")[0]
    assert ("POST" if "-d" in program.words else "GET", path) in ROUTES
    run_by_a_test("curl")


def check_export(program: Program, _folders: Sequence[Path]) -> None:
    names = {word.partition("=")[0] for word in program.words[1:]}
    assert names <= variables_of_the_code()


def check_flag(program: Program, _folders: Sequence[Path]) -> None:
    """Check flags that are named without their program: some program has them, and takes the value."""
    flag, *values = program.words
    if program.words in (["--worker"], ["--help"], ["-I"], ["-m", "not slow"]):
        return
    parsers = [parser_of(name) for name in RUN_IN if name.endswith(".py") and name != "recommend_api.py"]
    actions = [(parser, action) for parser in parsers for action in parser._actions if flag in action.option_strings]
    assert actions, f"no program of RUN_IN has the flag {flag}"
    for parser, action in actions:
        for value in values:
            parser._check_value(action, parser._get_value(action, value))


def check_celery(program: Program, _folders: Sequence[Path]) -> None:
    """Check the app's name and the service; the options are Celery's."""
    app = program.words[program.words.index("-A") + 1]
    assert app in ("recsys.jobs.app", "example")
    assert {"worker", "beat"} & set(program.words)


def check_docker(program: Program, _folders: Sequence[Path]) -> None:
    """Check the file and the profiles of `docker compose -f FILE`."""
    assert program.words[1:3] == ["compose", "-f"]
    name, *words = program.words[3:]
    text = place_of(name, [ROOT]).read_text(encoding="utf-8")
    for before, word in zip(words, words[1:], strict=False):
        assert before != "--profile" or f"profiles: [{word}]" in text


def check_nothing(_program: Program, _folders: Sequence[Path]) -> None:
    """Accept a program of every system, whose arguments are the reader's."""


CHECKS: dict[str, Callable[[Program, Sequence[Path]], None]] = {
    "python": check_python,
    "python3": check_python,
    ".venv/bin/python": check_python,
    "PYTHON_BIN": check_python,
    "pip": check_pip,
    ".venv/bin/pip": check_pip,
    "pytest": check_pytest,
    "make": check_make,
    "npm": check_npm,
    "node": check_node,
    "curl": check_curl,
    "docker": check_docker,
    "celery": check_celery,
    "export": check_export,
    **dict.fromkeys(["crontab", "du", "echo", "head", "mkdir", "openssl", "printf", "schtasks", "sed"], check_nothing),
}


def check_of(word: str) -> Callable[[Program, Sequence[Path]], None] | None:
    """Return what checks a program, by its first word."""
    if word.startswith("-"):
        return check_flag
    if word.endswith(".py"):
        return lambda program, folders: check_python(Program(["python", *program.words]), folders)
    if word == ".ci/run":
        return lambda *_: run_by_a_test(word)
    return CHECKS.get(word)


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_command_of_a_page_works(command: Command) -> None:
    found = programs(command.text)
    assert found, f"{command} should name a program"
    for program in found:
        check = check_of(program.words[0])
        assert check, (
            f"{command} is checked by nothing. Add {program.words[0]} to CHECKS of tests/docs/test_commands.py;"
            " if it is no command, extend NO_COMMANDS or FORMULAS_AND_LISTS of tests/helpers/commands.py"
        )
        assert set(program.variables) - {"token"} <= variables_of_the_code()
        check(program, command.folders)


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_shell_understands_a_command(command: Command) -> None:
    done = subprocess.run(["bash", "-n"], input=command.text, capture_output=True, encoding="utf-8", check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_commands_are_found_on_the_pages_that_show_some() -> None:
    pages = {named(command.page) for command in COMMANDS}

    assert {"README.md", "README.vi.md", "backend/README.md", "frontend/README.md", "docs/SCALE.md"} <= pages
    assert len(COMMANDS) > 80


@pytest.mark.parametrize("what", RUN_IN)
def test_what_runs_a_command_is_there(what: str) -> None:
    place, text = RUN_IN[what]

    assert text in (ROOT / place).read_text(encoding="utf-8"), f"{place} should run {what}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("make lint test  # both", [["make", "lint", "test"]]),
        ("echo '{\"a\": 1}' | python x.py --y", [["echo", '{"a": 1}'], ["python", "x.py", "--y"]]),
        ("A=1 B='2 3' node x.js > y.txt && du y.txt", [["node", "x.js"], ["du", "y.txt"]]),
        ("t=$(curl -s x | sed s/a/b/)", [["curl", "-s", "x"], ["sed", "s/a/b/"]]),
        ("for a in b c; do du $a && sed $a; done", [["du", "b"], ["sed", "b"], ["du", "c"], ["sed", "c"]]),
        ("for a in b c; do du $a; done && make x", [["du", "b"], ["du", "c"], ["make", "x"]]),
    ],
)
def test_a_command_is_taken_apart(text: str, words: list[list[str]]) -> None:
    assert [program.words for program in programs(text)] == words


@pytest.mark.parametrize(
    "text",
    [
        "docker compose up",
        "make deploy",
        "train.py --no-such-flag",
        "train.py --eval loo9",
        "npm run no-such-script",
        "node bench/no.js",
        "pip install something",
        "python recommend_api.py --port 1",
        "--no-such-flag",
        "curl localhost:6969/api/nothing",
        "echo '{\"limit\": 0}' | python recommend_api.py",
        "export NO_SUCH_VARIABLE=1",
    ],
)
def test_a_command_that_does_not_work_is_found(text: str) -> None:
    command = Command(ROOT / "README.md", 1, text, (ROOT, ROOT / "backend"))

    with pytest.raises((AssertionError, RecsysError, pytest.fail.Exception)):
        test_a_command_of_a_page_works(command)


@pytest.mark.parametrize(
    ("span", "is_command"),
    [
        *[
            (text, True)
            for text in ("make demo", "PORT=7000 make shop", "--dry-run", "train.py --help", "PYTHON_BIN -I x.py")
        ],
        *[
            (text, False)
            for text in ("make", "train.py", "PORT=7000", "GET /ready", "repeat = 7", "import numpy", "Timeout (")
        ],
    ],
)
def test_spans_that_are_commands_are_known(span: str, is_command: bool) -> None:
    assert bool(A_COMMAND.match(span) and not NO_COMMANDS.match(span)) == is_command
