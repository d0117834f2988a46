"""What content adds, on public sets whose items are described: `hybrid` beside its two sides, and the feature.

    python benchmarks/content.py DATA_DIR --markdown docs/MODELS.md

DATA_DIR has one folder for each data set. Two tables go to stdout; --markdown also writes them into the page. The first
has `hybrid`. Its collaborative side is the best one on validation; --sides item_cf leaves out EASE, whose fit takes
minutes and gigabytes on 12,000 items. The second has the sum of all features, `blend`, whose weights are chosen on
validation once without content and once with it. Everything is fitted before the cut and measured after it, once.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import pages  # noqa: E402
from benchmarks.sets import SETS, BenchmarkSet, Part  # noqa: E402
from benchmarks.sets.base import columns  # noqa: E402
from recsys.data.interactions import Catalogue  # noqa: E402
from recsys.evaluation.results import evaluate_set, mean_average_precision  # noqa: E402
from recsys.features.content import Content  # noqa: E402
from recsys.features.features import CONTENT, Features, FeatureValues, Neighbours  # noqa: E402
from recsys.features.query import Arrays, Floats, Indices, Query  # noqa: E402
from recsys.scorers.hybrid import Hybrid  # noqa: E402
from recsys.scorers.item_item import EASE, ItemCF, NeighbourScorer  # noqa: E402
from recsys.scorers.layers import LinearEnsemble  # noqa: E402
from recsys.scorers.registry import COLLABORATIVE  # noqa: E402
from recsys.settings import Training  # noqa: E402
from recsys.training.closed_form.choose import choose_regularization, fit_features  # noqa: E402
from recsys.training.closed_form.co_occurrence import user_item_matrix  # noqa: E402
from recsys.training.closed_form.content import content  # noqa: E402
from recsys.training.closed_form.ease import ease  # noqa: E402
from recsys.training.closed_form.item_cf import item_cf  # noqa: E402
from recsys.training.ensemble import fit_ensembles  # noqa: E402

ATTRIBUTES = "item2attributes.json.gz"
DESCRIBED = ("amazon-beauty-5core", "amazon-toys-5core", "online-retail")
L2 = 200.0  # of EASE, the middle of its grid
RESAMPLES = 1000
SEED = 7
HYBRID, FEATURE = "hybrid", "feature"  # what is measured, a table each


class ContentAlone:
    """Content as a scorer."""

    def __init__(self, described: Content) -> None:
        self.described = described
        self.n_items = described.n_items

    def score(self, query: Query, features: FeatureValues | None = None, items: Indices | None = None) -> Floats:
        """Return the cosines; see `Scorer.score`."""
        scores = self.described.score(query)
        return scores if items is None else scores[items]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: The set.
        rule: The repeat rule.
        side: The collaborative side.
        users: The number of users.
        ndcg10: NDCG@10 of content, of the collaborative side and of `hybrid`.
        difference: The mean of `hybrid` less its collaborative side, and its 95 % interval by the paired bootstrap.
    """

    name: str
    rule: str
    side: str
    users: int
    ndcg10: tuple[float, float, float]
    difference: tuple[float, float, float]


@dataclass(frozen=True)
class SumRow:
    """One line of the table of the feature.

    Attributes:
        name: The set.
        rule: The repeat rule.
        users: The number of users.
        weight: The weight of content that validation chose; 0 where it left content out.
        ndcg10: NDCG@10 of the sum without content, and of the sum that may use it.
        difference: The mean of the second less the first, and its 95 % interval by the paired bootstrap.
    """

    name: str
    rule: str
    users: int
    weight: float
    ndcg10: tuple[float, float]
    difference: tuple[float, float, float]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", type=Path, metavar="DATA_DIR", help="the folder of the sets")
    parser.add_argument("--sets", nargs="+", default=DESCRIBED, choices=DESCRIBED, help="which sets")
    parser.add_argument("--sides", nargs="+", default=COLLABORATIVE, choices=COLLABORATIVE, help="which sides")
    parser.add_argument("--what", nargs="+", default=(HYBRID, FEATURE), choices=(HYBRID, FEATURE), help="which tables")
    parser.add_argument("--markdown", type=Path, metavar="PAGE", help="the page to write the tables into")
    flags = parser.parse_args(arguments)
    blocks = {}
    if HYBRID in flags.what:
        hybrids = [row for name in flags.sets for row in measure(flags.data_dir, name, flags.sides)]
        blocks["content"] = table(hybrids)
    if FEATURE in flags.what:
        blocks["content feature"] = sum_table(
            [row for name in flags.sets for row in measure_sums(flags.data_dir, name)]
        )
    print("\n".join(blocks.values()), end="")
    for name, block in blocks.items() if flags.markdown else ():
        text = flags.markdown.read_text(encoding="utf-8")
        flags.markdown.write_text(pages.replaced(text, block, name, flags.markdown.name), encoding="utf-8")
    return 0


def set_named(name: str) -> BenchmarkSet:
    """Return a set; that of toys has the form and the protocol of the one of beauty products."""
    return SETS[name] if name in SETS else replace(SETS["amazon-beauty-5core"], name=name)


def measure(data_dir: Path, name: str, sides: Sequence[str]) -> list[Row]:
    """Return a row for each repeat rule of a set."""
    benchmark = set_named(name)
    parts, catalogue = benchmark.load(data_dir), descriptions(data_dir / name)
    rows = []
    for rule in benchmark.rules:
        validation = parts.validation.evaluation_sets[rule]
        scores = {side: mean_average_precision(collaborative(side, parts.validation), validation) for side in sides}
        side = max(sides, key=lambda name: scores[name])
        described = content(catalogue, parts.test.encoders.items.ids)
        one = collaborative(side, parts.test)
        weight = Training().content_weight
        scorers = {
            "content": ContentAlone(described),
            "side": one,
            "hybrid": Hybrid(described, one, np.array([weight, 1 - weight], np.float32)),
        }
        results = evaluate_set(scorers, parts.test.evaluation_sets[rule])
        per_user = [result.per_user["ndcg10"] for result in results.values()]
        means = tuple(float(values.mean()) for values in per_user)
        difference = interval(per_user[2] - per_user[1])
        rows.append(Row(name, rule, side, len(per_user[0]), means, difference))  # type: ignore[arg-type]
        print(rows[-1], file=sys.stderr)
    return rows


def measure_sums(data_dir: Path, name: str) -> list[SumRow]:
    """Return a row of the sum without content and with it, for each repeat rule of a set."""
    benchmark = set_named(name)
    parts, catalogue = benchmark.load(data_dir), descriptions(data_dir / name)
    options = Training(seed=SEED)
    rows = []
    for rule in benchmark.rules:
        chosen_on = parts.validation.evaluation_sets[rule]
        regularization = choose_regularization(parts.validation.data, chosen_on, options)[0]
        before, after = (features(part, catalogue, regularization, options) for part in (parts.validation, parts.test))
        weights = {
            kind: fit_ensembles(of_kind, {"blend": None}, {rule: chosen_on}, SEED)[rule]["blend"][0]
            for kind, of_kind in (("without", without_content(before)), ("with", before))
        }
        # of the same features: `evaluate_set` computes them once for all scorers
        scorers = {kind: LinearEnsemble(after, np.stack([row, row])) for kind, row in weights.items()}
        per_user = [
            result.per_user["ndcg10"] for result in evaluate_set(scorers, parts.test.evaluation_sets[rule]).values()
        ]
        weight, means = float(weights["with"][CONTENT]), (float(per_user[0].mean()), float(per_user[1].mean()))
        rows.append(SumRow(name, rule, len(per_user[0]), weight, means, interval(per_user[1] - per_user[0])))
        print(rows[-1], file=sys.stderr)
    return rows


def features(part: Part, catalogue: Catalogue, regularization: float, options: Training) -> Features:
    """Return all features of a part's events."""
    described = content(catalogue, part.encoders.items.ids)
    fitted = fit_features(part.data, regularization, options, content=described)
    neighbours = ease(user_item_matrix(part.data), L2)
    return Features.from_arrays({**{f"ease/{name}": array for name, array in neighbours.items()}, **fitted})


def without_content(whole: Features) -> Features:
    """Return features of items without descriptions."""
    return whole._replace(content=Neighbours.nothing(whole.n_items))


def collaborative(name: str, part: Part) -> NeighbourScorer:
    """Return a fitted collaborative side."""
    matrix = user_item_matrix(part.data)
    fitted: Arrays = ease(matrix, L2) if name == "ease" else item_cf(matrix)
    return (EASE if name == "ease" else ItemCF).from_arrays(fitted)


def descriptions(folder: Path) -> Catalogue:
    """Return what a set knows of its items: attributes, or a name and a price."""
    if (folder / ATTRIBUTES).is_file():
        attributes = json.loads(gzip.decompress((folder / ATTRIBUTES).read_bytes()))
        ids = np.array(sorted(map(int, attributes)), np.int64)
        tags = np.array([",".join(map(str, attributes[str(item)])) for item in ids.tolist()], object)
        return described_by(ids, np.full(len(ids), np.nan), None, tags)
    lines = columns(folder / "transactions.csv.gz", text=True)
    known = (lines["Description"] != "") & (lines["UnitPrice"].astype(float) > 0)
    ids, first = np.unique(lines["StockCode"][known].astype(str), return_index=True)
    names, prices = lines["Description"][known][first].astype(object), lines["UnitPrice"][known][first].astype(float)
    return described_by(ids.astype(object), prices, names, None)


def described_by(ids: NDArray, prices: NDArray[np.float64], names: NDArray | None, tags: NDArray | None) -> Catalogue:
    """Return a catalogue of active products."""
    nothing = np.full(len(ids), None, object)
    return Catalogue(ids, np.ones(len(ids), bool), nothing, nothing, prices, names, tags)


def interval(differences: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return a mean and the bounds of its 95 % interval by the bootstrap."""
    rng = np.random.default_rng(7)
    means = [differences[rng.integers(0, len(differences), len(differences))].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(differences.mean()), float(low), float(high)


def table(rows: Sequence[Row]) -> str:
    """Return rows as a table in Markdown."""
    head = "| set | repeats | users | content | collaborative side | `hybrid` | `hybrid` less that side |\n"
    lines = [
        f"| {row.name} | {row.rule} | {row.users:,} | {row.ndcg10[0]:.4f} | `{row.side}` {row.ndcg10[1]:.4f} "
        f"| {row.ndcg10[2]:.4f} | {row.difference[0]:+.4f} ({row.difference[1]:+.4f} to {row.difference[2]:+.4f}) |\n"
        for row in rows
    ]
    return f"{head}|---|---|---:|---:|---:|---:|---:|\n{''.join(lines)}"


def sum_table(rows: Sequence[SumRow]) -> str:
    """Return rows of the feature as a table in Markdown."""
    head = "| set | repeats | users | weight of content | sum without content | sum | difference |\n"
    lines = [
        f"| {row.name} | {row.rule} | {row.users:,} | {row.weight:.3g} | {row.ndcg10[0]:.4f} | {row.ndcg10[1]:.4f} "
        f"| {row.difference[0]:+.4f} ({row.difference[1]:+.4f} to {row.difference[2]:+.4f}) |\n"
        for row in rows
    ]
    return f"{head}|---|---|---:|---:|---:|---:|---:|\n{''.join(lines)}"


if __name__ == "__main__":
    sys.exit(main())
