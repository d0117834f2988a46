"""The client for Node of docs/PROTOCOL.md: every kind of answer, and no invalid one."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.documents import blocks
from tests.helpers.entry_points import PATIENCE_S, ROOT, install
from tests.helpers.tiny_shop import Published

PROTOCOL = (ROOT / "docs/PROTOCOL.md").read_text(encoding="utf-8")
(CLIENT,) = (block.text for block in blocks(PROTOCOL) if block.language == "js")
MOST_LINES = 25
REQUESTS: dict[str, dict[str, Any]] = {
    "a user": {"user_id": 7, "limit": 3},
    "an id as text": {"user_id": "7", "limit": 3},
    "a guest": {"interactions": [{"item_id": 103, "event": "view"}], "limit": 3},
    "similar": {"op": "similar", "item_id": 103, "limit": 3},
    "an id of its own": {"user_id": 7, "limit": 3, "id": "mine"},
}
DRIVER = """
const ids = (items) => items.map((item) => item.productId);
const outcome = (request) => recommend(request).then(ids, (error) => error.message);
(async () => {
  const outcomes = [];
  for (const request of %s) outcomes.push(await outcome(request));
  // exit, because the timer of a process that could not be started keeps running
  process.stdout.write(JSON.stringify(outcomes), () => process.exit());
})();
"""


@pytest.fixture
def from_node(tmp_path: Path) -> Callable[..., list[Any]]:
    """Run requests with the client of docs/PROTOCOL.md; of each, the ids of its items or the message of its error."""
    if shutil.which("node") is None:
        pytest.skip("Node is not installed")
    patient = f"{CLIENT}\n".replace("timeout: 3000", f"timeout: {PATIENCE_S}000")
    assert patient != f"{CLIENT}\n"

    def outcomes(*requests: dict[str, Any], entry_point: str | None = None, **environ: str) -> list[Any]:
        install(tmp_path)
        if entry_point is not None:
            (tmp_path / "recommend_api.py").write_text(entry_point, encoding="utf-8")
        (tmp_path / "ask.cjs").write_text(patient + DRIVER % json.dumps(requests), encoding="utf-8")
        environ = {"PATH": os.environ["PATH"], "PYTHON_BIN": sys.executable, **environ}
        done = subprocess.run(
            ["node", "ask.cjs"],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE_S,
            check=True,
        )
        answers: list[Any] = json.loads(done.stdout)
        return answers

    return outcomes


def test_the_node_client_is_short() -> None:
    assert len(CLIENT.splitlines()) <= MOST_LINES


@pytest.mark.slow
def test_the_node_client_gets_every_kind_of_answer(published: Published, from_node: Callable[..., list[Any]]) -> None:
    outcomes = dict(zip(REQUESTS, from_node(*REQUESTS.values(), **published.environ), strict=True))

    assert {what: len(items) for what, items in outcomes.items() if isinstance(items, list)} == dict.fromkeys(
        REQUESTS, 3
    ), outcomes
    assert outcomes["an id as text"] == outcomes["a user"] == outcomes["an id of its own"]
    assert 103 not in outcomes["similar"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environ", "request_", "message"),
    [
        ({}, {"user_id": 7, "limit": 0}, r'recommend_api\.py: 65 \{"ok":false,"error":\{"code":"invalid_request"'),
        ({"RECSYS_TOML": "absent.toml"}, {"user_id": 7}, r"recommend_api\.py: 78 .*RECSYS_TOML"),
        ({"SCORING_THREADS": "none"}, {"user_id": 7}, r"recommend_api\.py: 78 .*SCORING_THREADS"),
        ({"DATABASE_URL": ""}, {"user_id": 7}, r"recommend_api\.py: 78 .*DATABASE_URL"),
        ({"PYTHON_BIN": "/no/such/python"}, {"user_id": 7}, "ENOENT"),
    ],
    ids=["refused", "its mapping", "its threads", "an empty variable", "no Python"],
)
def test_the_node_client_throws_the_reason(
    published: Published,
    from_node: Callable[..., list[Any]],
    environ: dict[str, str],
    request_: dict[str, Any],
    message: str,
) -> None:
    (outcome,) = from_node(request_, **{**published.environ, **environ})

    assert re.search(message, outcome), outcome


INVALID_ENTRY_POINTS = {
    "nothing": "",
    "half a line": "print('{\"ok\": tr', end='')",
    "no JSON": "print('{ok}')",
    "two lines": 'print(\'{"ok": true}\\n{"ok": true}\')',
    "an answer without id": 'print(\'{"ok": true, "items": []}\')',
    "an answer with another id": 'print(\'{"ok": true, "items": [], "id": "other"}\')',
    "an answer, then exit 1": (
        'import sys; print(\'{"ok": true, "items": [], "id": \' + sys.stdin.read()[-39:]); sys.exit(1)'
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("entry_point", INVALID_ENTRY_POINTS.values(), ids=INVALID_ENTRY_POINTS)
def test_the_node_client_accepts_no_invalid_answer(from_node: Callable[..., list[Any]], entry_point: str) -> None:
    (outcome,) = from_node({"user_id": 7}, entry_point=entry_point)

    assert isinstance(outcome, str)


@pytest.mark.slow
def test_the_node_client_passes_settings_but_no_secret(from_node: Callable[..., list[Any]]) -> None:
    settings = dict.fromkeys(
        ("DATABASE_URL", "DB_HOST", "DB_PASSWORD", "MODELS_DIR", "RECSYS_TOML", "SCORING_THREADS"), "x"
    )
    (outcome,) = from_node(
        {},
        entry_point="import os, sys; sys.exit(' '.join(sorted(os.environ)))",
        **settings,
        JWT_SECRET="hush",  # noqa: S106 - a test's
    )

    names = set(outcome.split()[2:]) - {"LC_CTYPE"}  # which Python sets by itself
    assert names == {"PATH", *settings}
