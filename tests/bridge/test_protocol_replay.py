"""The examples of docs/PROTOCOL.md, sent to the real process through a pipe, from any folder."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.docs.test_pages import PROTOCOL, examples
from tests.helpers.entry_points import PATIENCE_S, install
from tests.helpers.tiny_shop import Published
from tests.helpers.worker_process import WorkerProcess

SCHEMA = Draft202012Validator(
    json.loads((Path(__file__).parents[2] / "docs" / "schema" / "response.json").read_text(encoding="utf-8"))
)
TYPED = re.findall(
    r"(?:^    |`)((?:echo|printf) .+?recommend_api\.py(?: --worker)?)`?(?= works|$)", PROTOCOL, re.MULTILINE
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("installed"))


def shell(line: str, shop: Published, cwd: Path) -> list[dict[str, Any]]:
    """Run a command line in a shell, and return the lines of its last process, which has to succeed."""
    environ = {**shop.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}"}
    process = subprocess.run(
        ["sh", "-c", line], env=environ, cwd=cwd, capture_output=True, timeout=PATIENCE_S, check=False
    )
    assert (process.returncode, process.stderr) == (0, b""), process.stderr.decode()
    documents = [json.loads(line) for line in process.stdout.splitlines()]
    for document in documents:
        SCHEMA.validate(document)
    return documents


@pytest.mark.parametrize("flags", ["", "-I "], ids=["plain", "isolated"])
@pytest.mark.parametrize("text", examples("request"), ids=range(len(examples("request"))))
def test_an_example_through_a_pipe_from_another_folder_is_answered(
    installed: Path, published: Published, tmp_path: Path, text: str, flags: str
) -> None:
    request = json.loads(text)
    (tmp_path / "json.py").write_text("raise SystemExit('not this one')", encoding="utf-8")

    (answer,) = shell(
        f"echo {shlex.quote(json.dumps(request))} | python {flags}{shlex.quote(str(installed / 'recommend_api.py'))}",
        published,
        tmp_path,
    )

    assert (answer["ok"], answer["user_id"], answer.get("id")) == (True, request.get("user_id"), request.get("id"))
    assert fits(request, [item["productId"] for item in answer["items"]])


def fits(request: Mapping[str, Any], items: list[int]) -> bool:
    """Return whether there are items, all of which the request allows."""
    allowed = set(request.get("candidates", items)) - {*request.get("exclude", ()), request.get("item_id")}
    return 0 < len(items) <= request.get("limit", 10) and set(items) <= allowed


def test_the_command_lines_of_the_page_are_answered(installed: Path, published: Published) -> None:
    one_shot, worker = TYPED

    (answer,) = shell(one_shot, published, installed)
    ready, *answers = shell(worker, published, installed)

    assert len(answer["items"]) == 3
    assert ready["ready"] is True
    assert [each["user_id"] for each in answers] == [7, 8]


def test_a_worker_answers_the_examples_of_both_kinds(installed: Path, published: Published) -> None:
    with WorkerProcess(installed, published.environ) as worker:
        for text in [*examples("request"), *examples("request worker")]:
            request = json.loads(text)
            answer = worker.ask(request)
            SCHEMA.validate(answer)
            assert (answer["ok"], answer.get("id")) == (True, request.get("id"))
        assert worker.end() == 0


def test_the_refused_examples_are_answered_without_strict(installed: Path, published: Published) -> None:
    with WorkerProcess(installed, published.environ) as worker:
        for request in map(json.loads, examples("request refused")):
            assert worker.ask(request)["error"]["code"] == "unknown_user"
            answer = worker.ask({**request, "strict": False})
            assert (answer["ok"], answer["source"], len(answer["warnings"])) == (True, "popularity", 1)


def test_the_failure_example_is_the_answer_to_its_request(installed: Path, published: Published) -> None:
    (failure,) = map(json.loads, examples("failure"))
    with WorkerProcess(installed, published.environ) as worker:
        assert worker.ask({"user_id": 7, "limit": 0, "id": failure["id"]}) == failure
