"""benchmarks/serving.py: figures by hand, runs that count only when they are right, and what a request must not pay for."""

from pathlib import Path

import pytest

from benchmarks import serving
from recsys.settings import Settings
from tests.doors import ask, install
from tests.tiny_shop import Published


def test_medians_and_ratios() -> None:
    rounds = [
        serving.Pair(request=(0.3, 0.2), floor=(0.2, 0.2)),  # 1.5
        serving.Pair(request=(0.5, 0.2), floor=(0.2, 0.1)),  # 2.5
        serving.Pair(request=(0.4, 0.2), floor=(0.4, 0.1)),  # 1.0
    ]

    found = serving.figures(rounds)

    assert found["request"] == {"median_s": 0.4, "p95_s": 0.5, "min_s": 0.3, "processor_median_s": 0.2}
    assert found["floor"] == {"median_s": 0.2, "p95_s": 0.4, "min_s": 0.2, "processor_median_s": 0.1}
    assert (found["pairs"], found["ratio_of_medians"], found["median_of_ratios"]) == (3, 0.4 / 0.2, 0.3 / 0.2)
    assert found["processor_ratio_of_medians"] == 0.2 / 0.1


@pytest.mark.slow
def test_a_pair_is_timed_on_a_real_version(published: Published) -> None:
    result = serving.measure(published.settings, {"user_id": 7, "limit": 5}, pairs=1)

    assert (result["pairs"], result["driver"], result["version"]) == (1, "sqlite3", published.version)
    assert 0 < result["request"]["processor_median_s"] < 60


@pytest.mark.slow
def test_a_request_that_fails_is_no_figure(published: Published, tmp_path: Path) -> None:
    nothing = Settings(published.url, tmp_path / "no-models", published.settings.shop)

    with pytest.raises(serving.BenchmarkError, match="ended with 78.*no_model"):
        serving.measure(nothing, {"user_id": 7}, pairs=1)


@pytest.mark.slow
def test_a_request_pays_for_no_module_that_it_has_no_use_for(published: Published, tmp_path: Path) -> None:
    done = ask(install(tmp_path), {"user_id": 7}, env=published.environ, flags=("-X", "importtime"))
    loaded = {line.split("|")[-1].strip() for line in done.stderr.decode().splitlines()}

    assert done.returncode == 0
    assert {"numpy", "sqlite3"} <= loaded
    assert loaded & {"numpy.ma", "numpy.random", "numpy.testing", "tomllib", "importlib.resources", "dotenv", "pymysql", "psycopg"} == set()
