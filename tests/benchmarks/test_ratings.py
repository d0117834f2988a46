"""benchmarks/ratings.py: the folds of a small file, and the upserts of a few rows."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import ratings
from tests.helpers.databases import reachable
from tests.helpers.django_site import DATABASES, SERVERS
from tests.helpers.entry_points import ROOT
from tests.ratings.test_model import two_tastes


def test_folds_print_each_prediction_and_say_whether_the_bounds_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = two_tastes()
    rows = zip(
        given.users.tolist(), given.items.tolist(), given.values.tolist(), given.timestamps.tolist(), strict=True
    )
    (tmp_path / "ml-100k").mkdir()
    with gzip.open(tmp_path / "ml-100k/ratings.csv.gz", "wt", encoding="utf-8") as file:
        file.write("user_id,item_id,rating,timestamp\n" + "".join(f"{u},{i},{v},{t}\n" for u, i, v, t in rows))

    assert ratings.main(["folds", str(tmp_path)]) == 0
    monkeypatch.setattr(ratings, "MOST_RMSE", 0.1)
    assert ratings.main(["folds", str(tmp_path)]) == 1

    printed = capsys.readouterr().out
    assert all(name in printed for name in ("global mean", ratings.BIASES, ratings.OURS))


@pytest.mark.slow
@pytest.mark.parametrize("database", DATABASES)
def test_upserts_write_every_row_both_ways(database: str) -> None:
    if database in SERVERS:
        reachable(*SERVERS[database])
    script = [sys.executable, str(ROOT / "benchmarks/ratings.py")]
    flags = ["upserts", "--rows", "1000", "--loop", "50", "--database", database]
    done = subprocess.run([*script, *flags], capture_output=True, text=True, check=False)

    assert done.returncode in (0, 1), done.stderr
    assert "In bulk, a row is written " in done.stdout
