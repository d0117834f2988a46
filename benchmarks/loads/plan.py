"""How much `benchmarks/serving.py` measures: the sizes of the shops by role, and the number of runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.loads.shops import Size
from recsys.settings import Training

SMALL, DOOR, MEDIUM, LARGE, HUGE = "small", "door", "medium", "large", "huge"


@dataclass(frozen=True)
class Plan:
    """Sizes and numbers of runs of the benchmark.

    Attributes:
        sizes: Size of the shop of each role: `small`, `medium` and `large` by items; `door` for one-shot requests;
            `huge` by users.
        pairs: Rounds of one-shot requests.
        warm_ups: Rounds before them that do not count.
        tensorflow_rounds: Rounds of the comparison with TensorFlow per request.
        peaks: Runs in which peak memory is measured.
        seconds: Time for each number of requests in flight.
        least: Smallest number of requests for each of them.
        blocks: Number of blocks of these requests; the blocks take turns.
        options: Widths of the networks; None for training's own.
    """

    sizes: Mapping[str, Size]
    pairs: int
    warm_ups: int
    tensorflow_rounds: int
    peaks: int
    seconds: float
    least: int
    blocks: int
    options: Training | None = None


FULL = Plan(
    sizes={
        SMALL: Size(items=1_000, users=20_000),
        DOOR: Size(items=5_000, users=20_000),
        MEDIUM: Size(items=10_000, users=20_000),
        LARGE: Size(items=100_000, users=100_000),
        HUGE: Size(items=100_000, users=1_000_000),
    },
    pairs=40,
    warm_ups=3,
    tensorflow_rounds=8,
    peaks=5,
    seconds=5.0,
    least=200,
    blocks=4,
)
_LITTLE, _MORE = (
    Size(items=200, users=1_200, customers=50, history=12),
    Size(items=400, users=2_000, customers=50, history=12),
)
QUICK = Plan(
    sizes={SMALL: _LITTLE, DOOR: _LITTLE, MEDIUM: _LITTLE, LARGE: _MORE, HUGE: _MORE},
    pairs=2,
    warm_ups=0,
    tensorflow_rounds=1,
    peaks=1,
    seconds=0.1,
    least=10,
    blocks=2,
    options=Training(dim=8, factors=8, window=10),
)
