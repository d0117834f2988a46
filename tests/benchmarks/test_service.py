"""benchmarks/service.py, service_soak.py and fuzz_service.py: they run, on the tiny shop in PostgreSQL."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from benchmarks import fuzz_service, service, service_soak
from tests.helpers.http_service import shop_of
from tests.helpers.private_redis import PrivateRedis
from tests.helpers.tiny_shop import Published, moved

SOAK_S = 60
EVENTS = 200


@pytest.fixture
def environ(
    published: Published, postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Mapping[str, str]:
    from tests.helpers.databases import emptied

    shop = moved(shop_of(published, tmp_path), emptied(postgresql_url))
    for name, value in shop.environ.items():
        monkeypatch.setenv(name, value)
    return os.environ


@pytest.mark.slow
def test_the_benchmark_measures_every_figure(
    environ: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "figures.json"
    (tmp_path / "redis").mkdir()
    with PrivateRedis(tmp_path / "redis") as cache:
        monkeypatch.setenv("REDIS_URL", cache.url)
        assert service.main(["--quick", "--json", str(kept)]) == 0

    figures = json.loads(kept.read_text(encoding="utf-8"))
    assert set(figures) >= {"steady", "closed", "not_cached", "track", "memory"}
    assert capsys.readouterr().out == service.markdown(figures)


def test_the_page_says_what_was_measured() -> None:
    assert service.main(["--markdown", "docs/SERVICE.md", "--check"]) == 0


@pytest.mark.slow
def test_a_minute_of_mixed_requests_breaks_no_promise(
    environ: Mapping[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert service_soak.main(["--soak", str(SOAK_S), "--kill", str(EVENTS)]) == 0, capsys.readouterr().out

    report = json.loads(capsys.readouterr().out)
    assert report["soak"]["answers"] > 0 and report["soak"]["events"] > 0
    assert (report["kill"]["lost"], report["kill"]["doubled"]) == (0, 0)


@pytest.mark.slow
def test_a_running_service_is_asked_with_either_key(
    environ: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """schemathesis itself needs the network to be installed; here its place is taken by one question."""
    asked: list[tuple[str, int]] = []

    def one_question(command: list[str], **options: object) -> subprocess.CompletedProcess[bytes]:
        if "--url" in command:
            header, url = command[command.index("--header") + 1], command[command.index("--url") + 1]
            key = header.removeprefix("Authorization: ")
            asked.append((key, httpx.get(f"{url}/analytics", headers={"Authorization": key}).status_code))
        return subprocess.CompletedProcess(command, len(asked) - 1)

    monkeypatch.setattr(fuzz_service.venv, "create", lambda folder, with_pip: None)
    monkeypatch.setattr(fuzz_service.subprocess, "run", one_question)

    assert fuzz_service.main([]) == 1  # the worse of both statuses
    assert [status for _, status in asked] == [403, 200]
    assert len({key for key, _ in asked}) == 2
