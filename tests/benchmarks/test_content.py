"""benchmarks/content.py: the sets' descriptions, the paired difference, and the table in the page."""

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks import content, pages
from tests.benchmarks.test_sets import write_amazon_beauty, write_online_retail

TABLES = ("content", "content feature")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    write_amazon_beauty(tmp_path / "amazon-beauty-5core")
    attributes = json.dumps({"1": [7], "2": [7, 8], "3": [8], "9": []}).encode()
    (tmp_path / "amazon-beauty-5core" / content.ATTRIBUTES).write_bytes(gzip.compress(attributes))
    shutil.copytree(tmp_path / "amazon-beauty-5core", tmp_path / "amazon-toys-5core")
    write_online_retail(tmp_path / "online-retail")
    return tmp_path


def test_items_are_described_by_attributes_or_by_name_and_price(data_dir: Path) -> None:
    beauty = content.descriptions(data_dir / "amazon-beauty-5core")
    assert beauty.items.tolist() == [1, 2, 3, 9]
    assert beauty.tags is not None and beauty.tags.tolist() == ["7", "7,8", "8", ""]

    retail = content.descriptions(data_dir / "online-retail")
    assert retail.items.tolist() == ["q", "x", "y", "z"]
    assert retail.names is not None and set(retail.names.tolist()) == {'a, "b"'}
    assert retail.prices.tolist() == [1.5] * 4


def test_each_set_and_rule_has_a_row_in_the_page(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = data_dir / "page.md"
    empty = (f"{pages.begin(name)}{pages.END}" for name in TABLES)
    page.write_text(f"before\n{'between'.join(empty)}after\n", encoding="utf-8")

    assert content.main([str(data_dir), "--markdown", str(page)]) == 0

    tables = capsys.readouterr().out.split("\n\n")
    parts = [f"{pages.begin(name)}{table.strip()}\n{pages.END}" for name, table in zip(TABLES, tables, strict=True)]
    assert page.read_text(encoding="utf-8") == f"before\n{'between'.join(parts)}after\n"
    for table in tables:
        rows = [line.split(" | ")[:3] for line in table.splitlines()[2:]]
        assert [(name.strip("| "), rule) for name, rule, _ in rows] == [
            ("amazon-beauty-5core", "hide"),
            ("amazon-toys-5core", "hide"),
            ("online-retail", "allow"),
            ("online-retail", "hide"),
        ]
        assert all(int(users) > 0 for _, _, users in rows)


def test_the_interval_is_around_the_mean() -> None:
    mean, low, high = content.interval(np.array([0.0, 0.5, -0.25, 0.75] * 50))
    assert mean == 0.25
    assert low < mean < high and high - low == pytest.approx(2 * 1.96 * np.sqrt(0.15625 / 200), rel=0.2)
    assert content.interval(np.full(9, 0.5)) == (0.5, 0.5, 0.5)


def test_the_table_of_the_feature_shows_its_weight() -> None:
    row = content.SumRow("shop", "hide", 1234, 0.25, (0.2, 0.25), (0.05, -0.01, 0.11))
    assert content.sum_table([row]).splitlines()[-1] == (
        "| shop | hide | 1,234 | 0.25 | 0.2000 | 0.2500 | +0.0500 (-0.0100 to +0.1100) |"
    )


def test_the_table_shows_difference_and_interval() -> None:
    row = content.Row("shop", "hide", "ease", 1234, (0.1, 0.2, 0.25), (0.05, -0.01, 0.11))
    assert content.table([row]).splitlines()[-1] == (
        "| shop | hide | 1,234 | 0.1000 | `ease` 0.2000 | 0.2500 | +0.0500 (-0.0100 to +0.1100) |"
    )
