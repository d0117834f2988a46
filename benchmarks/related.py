"""Does `together` know what else is in a basket, and `again` what is bought again?

One item of each later order is held out and ranked by the others. What customers bought before is ranked for the weeks
that follow.

    python benchmarks/related.py DATA_DIR --json benchmarks/results/related.json
    python benchmarks/related.py --markdown docs/MODELS.md
    python benchmarks/related.py --markdown docs/MODELS.md --check

DATA_DIR has one folder for each data set. It takes two minutes. The figures go to stdout. --markdown writes the kept
figures into the page; with --check it only compares, and exits with 1 if the page differs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # as train.py does
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import pages  # noqa: E402
from benchmarks.measuring import repurchases, tables  # noqa: E402
from benchmarks.measuring.repurchases import interval  # noqa: E402
from benchmarks.sets import SETS, BenchmarkError  # noqa: E402
from benchmarks.sets.base import SHOP, no_catalogue, quantile_cut, training  # noqa: E402
from benchmarks.sets.online_retail import FILE, purchases  # noqa: E402
from recsys.contract.request import MAX_BASKET  # noqa: E402
from recsys.data.encoding import Encoders, encode  # noqa: E402
from recsys.data.interactions import Interactions  # noqa: E402
from recsys.data.splitting import split_at  # noqa: E402
from recsys.evaluation.ranking import top_k  # noqa: E402
from recsys.features.features import Neighbours  # noqa: E402
from recsys.features.query import Floats, Indices  # noqa: E402
from recsys.related.together import TogetherPairs, orders_of, together_pairs  # noqa: E402
from recsys.training.closed_form.choose import RECENT_HALF_LIFE_DAYS, popularity  # noqa: E402
from recsys.training.closed_form.co_occurrence import user_item_matrix  # noqa: E402
from recsys.training.closed_form.item_cf import item_cf  # noqa: E402

NAME, NAME_AGAIN = "related", "again"
KEPT = Path("benchmarks/results/related.json")
SET = "online-retail"
K = 10
SEED = 0
OURS = "together"
TITLES = {
    OURS: "`together`: confidence × lift",
    "lift": "lift alone",
    "confidence": "confidence alone",
    "item_cf": "`item_cf`",
    "popularity_recent": "`popularity_recent`",
    "popularity": "`popularity`",
}


@dataclass(frozen=True)
class Basket:
    """One test case.

    Attributes:
        customer: The index of the customer among all.
        items: `(b,)` int32, the items that stay, at most `MAX_BASKET`.
        hidden: `(h,)` int32, the other items of the order that are not ranked.
        held_out: The item to find.
    """

    customer: int
    items: Indices
    hidden: Indices
    held_out: int


def main(argv: Sequence[str], root: Path = ROOT) -> int:
    """Measure, or write the page; returns the exit status."""
    flags = _parser().parse_args(argv)
    try:
        if flags.markdown:
            return write_page(flags.markdown, root / KEPT, check=flags.check)
        if flags.data_dir is None:
            raise BenchmarkError("DATA_DIR should name the folder of the sets. Received: nothing.")
        figures = measure(flags.data_dir)
    except BenchmarkError as error:
        print(f"related: {error}", file=sys.stderr)
        return 1
    if flags.json:
        pages.keep(flags.json, figures)
    print(rendered(figures), rendered_again(figures), sep="\n", end="")
    return 0


def measure(data_dir: Path) -> dict[str, Any]:
    """Return the figures of `together` and of `again` after each cut, with everything counted before it.

    Raises:
        BenchmarkError: A file is missing.
    """
    from recsys.training.publishing import git_commit  # it imports TensorFlow, which writing a page does not need

    SETS[SET].check(data_dir)
    rows = purchases(data_dir / SET / FILE)
    cut = quantile_cut(rows.timestamps)
    train, after = split_at(rows, cut)
    earlier = quantile_cut(train.timestamps)
    return {
        "validation": compare(*split_at(train, earlier)),
        "test": compare(train, after),
        "again": {
            "validation": repurchases.compare(train, repurchases.moments_of(train, earlier, repurchases.N_MOMENTS)),
            "test": repurchases.compare(rows, [cut]),
        },
        "set": SET,
        "commit": git_commit(),
        "data_sha256": SETS[SET].sha256(data_dir),
    }


def compare(train: Interactions, after: Interactions) -> dict[str, Any]:
    """Return the figures of all rankings on the later orders.

    Args:
        train: Purchases before the cut.
        after: Purchases after it; items that are not in `train` are left out.
    """
    encoders = Encoders.fit(train, no_catalogue(), min_item_events=1)
    data = encode(train, encoders, SHOP, training(has_clock=True), int(after.timestamps.min()))
    pairs = together_pairs(orders_of(data.users, data.timestamps), data.items, data.n_items)
    cases = baskets_of(after, encoders, np.random.default_rng(SEED))
    rankings: dict[str, Neighbours | Floats] = {
        OURS: pairs.weights,
        "lift": matrix(pairs, pairs.lifts),
        "confidence": matrix(pairs, pairs.confidences),
        "item_cf": Neighbours.from_arrays(item_cf(user_item_matrix(data))),
        "popularity_recent": popularity(data, RECENT_HALF_LIFE_DAYS),
        "popularity": popularity(data),
    }
    hits = {name: hits_of(ranking, cases) for name, ranking in rankings.items()}
    customers = np.array([case.customer for case in cases])
    return {
        "baskets": len(cases),
        "customers": len(np.unique(customers)),
        "hr10": {name: float(found.mean()) for name, found in hits.items()},
        "difference": {
            name: [float((hits[OURS] - found).mean()), *interval(hits[OURS] - found, customers)]
            for name, found in hits.items()
            if name != OURS
        },
    }


def matrix(pairs: TogetherPairs, weights: NDArray[np.floating]) -> Neighbours:
    """Return the pairs with other weights."""
    return Neighbours(pairs.starts, pairs.neighbours, weights.astype(np.float32))


def baskets_of(after: Interactions, encoders: Encoders, rng: np.random.Generator) -> list[Basket]:
    """Return a test case for each order with at least two known items; a random one is held out.

    Args:
        after: Purchases after the cut.
        encoders: Fitted before it.
        rng: Draws the items.
    """
    customers = np.unique(after.users.astype(str), return_inverse=True)[1]
    items = encoders.items.indices(after.items)
    orders = orders_of(customers, after.timestamps)
    known = items < encoders.items.unknown
    lines = np.unique(np.stack([orders[known], customers[known], items[known]]), axis=1)
    bounds = np.flatnonzero(np.diff(lines[0])) + 1
    cases = []
    for order in np.split(lines, bounds, axis=1):
        drawn = rng.permutation(order[2]).astype(np.int32)
        if len(drawn) > 1:
            cases.append(Basket(int(order[1, 0]), drawn[1 : 1 + MAX_BASKET], drawn[1:], int(drawn[0])))
    return cases


def hits_of(ranking: Neighbours | Floats, cases: Sequence[Basket]) -> NDArray[np.float64]:
    """Return for each case whether the first ten of a ranking hold the item, `(n,)` float64 of 0 and 1.

    Args:
        ranking: Weights from the items of the basket, or `(n_items,)` scores that are the same for all.
        cases: The test cases.
    """

    def is_hit(case: Basket) -> bool:
        if isinstance(ranking, Neighbours):
            scores = ranking.accumulate(case.items, np.ones(len(case.items), np.float32))
        else:
            scores = ranking.copy()
        scores[case.hidden] = -np.inf
        return bool((top_k(scores, K, scores > 0) == case.held_out).any())

    return np.array([is_hit(case) for case in cases], np.float64)


def rendered_again(figures: Mapping[str, Any]) -> str:
    """Return the figures of `again` as Markdown."""
    return repurchases.rendered(figures["again"]) + _origin(figures) + "\n"


def _origin(figures: Mapping[str, Any]) -> str:
    return f"- {figures['set']}: commit {str(figures['commit'])[:8]}, data {figures['data_sha256'][:8]}."


def rendered(figures: Mapping[str, Any]) -> str:
    """Return the figures of `together` as Markdown."""
    validation, test = figures["validation"], figures["test"]

    def difference(name: str) -> str:
        if name == OURS:
            return "–"
        mean, low, high = test["difference"][name]
        return f"{mean:+.4f} ({low:+.4f} to {high:+.4f})"

    rows = [
        [TITLES[name], f"{validation['hr10'][name]:.4f}", f"{test['hr10'][name]:.4f}", difference(name)]
        for name in TITLES
    ]
    titles = ["ranking", "HR@10 on validation", "HR@10 on the test", "`together` less it, on the test"]
    notes = [
        f"{figures['set']}: {validation['baskets']:,} baskets on validation, {test['baskets']:,} of "
        f"{test['customers']:,} customers on the test.",
        f"Commit {str(figures['commit'])[:8]}, data {figures['data_sha256'][:8]}.",
    ]
    return tables.grid(titles, rows, n_left=1) + "\n\n" + "\n".join(f"- {note}" for note in notes) + "\n"


def write_page(page: Path, kept: Path, *, check: bool) -> int:
    """Write the kept figures between their markers, or compare; returns the exit status."""
    if not page.is_file():
        raise BenchmarkError(f"--markdown should name a page. Received: {page}, which is not there.")
    figures = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else None
    text = page.read_text(encoding="utf-8")
    for name, render in ((NAME, rendered), (NAME_AGAIN, rendered_again)):
        text = pages.replaced(text, pages.NOT_TAKEN if figures is None else render(figures), name, page.name)
    return pages.settled(page, text, "benchmarks/related.py", check=check)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", nargs="?", type=Path, metavar="DATA_DIR", help="holds a folder a set")
    pages.add_flags(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
