"""Lists of everybody: the answers that `recommend` would give to each user, computed for blocks of users."""

from recsys.recommending.batch.output import KINDS
from recsys.recommending.batch.run import BatchResult, recommend_all

__all__ = ["KINDS", "BatchResult", "recommend_all"]
