"""`train.py` where the gate refuses: the figures on stdout, one sentence on stderr, status 3; `--force` publishes."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from recsys.artifacts import current_name, history
from tests.helpers.tiny_shop import FAST, NOW, Published
from tests.helpers.unfitted import train_quickly

OPTIONS = ("dim", "factors", "epochs", "batch", "window")
FLAGS = [f"--{name}={getattr(FAST, name)}" for name in OPTIONS]


@pytest.fixture
def shop(published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    """A copy of the shop in which half of the products are no longer for sale; train.py reads its settings."""
    copy = published.copy(tmp_path)
    copy.execute("UPDATE Products SET statusId = 'S2' WHERE id % 2 = 1")
    for name in ("TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    for name, value in copy.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    train_quickly(monkeypatch)
    monkeypatch.setattr("time.time", lambda: NOW + 3600.0)
    return copy


@pytest.fixture
def main() -> Any:
    return importlib.import_module("train").main


def test_a_refusal_prints_the_figures_and_one_sentence_and_leaves_with_3(
    shop: Published, main: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(FLAGS) == 3

    printed = capsys.readouterr()
    reason = history(shop.models_dir)[-1]["verdict"]["reasons"][0]
    assert "Verdict: refused." in printed.out
    assert f"Refused: {reason}" in printed.out
    assert [line for line in printed.err.splitlines() if line.startswith("Refused: ")] == [
        f"Refused: {history(shop.models_dir)[-1]['reason']}"
    ]
    assert current_name(shop.models_dir) == shop.version


def test_force_publishes_and_says_so(shop: Published, main: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FLAGS, "--force"]) == 0

    printed = capsys.readouterr()
    assert "Verdict: published in spite of it." in printed.out
    assert f"published {current_name(shop.models_dir)}" in printed.out
    assert history(shop.models_dir)[-1]["verdict"]["forced"] is True
    assert current_name(shop.models_dir) != shop.version
