"""The training report in words: what the figures mean for a shop, generated from the entry in models/metrics.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recsys.lifecycle.choice import TITLES
from recsys.scorers.registry import REGISTRY

POPULARITY = "popularity"
LOST = "serves the segment `all`"  # how the gate's warning begins, behind the popularity
PER_HUNDRED = 100  # customers, in whom shares are told; of fewer, their number is


def figure(value: float | None) -> str:
    """Return a metric with four decimal digits, or a dash for None."""
    return "–" if value is None else f"{value:.4f}"


def ranked(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the names of the scorers, best MAP@10 first; of equal ones the cheapest, the last of the registry."""
    return sorted(rows, key=lambda name: (-(rows[name]["map10"] or 0.0), -list(REGISTRY).index(name)))


def hits(entry: Mapping[str, Any]) -> list[str]:
    """Return how many customers chose one of their ten items, with the winner and with best-sellers.

    Args:
        entry: The entry of the run in models/metrics.json.

    >>> row = {"users": 1423, "hr10": 0.6149}
    >>> rows = {"hide": {"BMF": row, "popularity": {**row, "hr10": 0.3775}}}
    >>> told = {"protocol": "time", "rule": "hide", "relevant_events": ["purchase"]}
    >>> print(*hits({**told, "winner": "BMF", "rows": rows}))
    61 of 100 customers bought one of the ten products that BMF would have shown them; with best-sellers 38 of 100.
    """
    rows, winner = entry["rows"][entry["rule"]], entry["winner"]
    users = rows[winner]["users"]
    if not users:
        return []
    verb = _verb(entry.get("relevant_events", ()))
    shown = {"time": f"that {winner} would have shown them", "loo99": f"that {winner} ranked first among 100"}
    sentence = f"{_of(rows[winner]['hr10'], users)} customers {verb} one of the ten products {shown[entry['protocol']]}"
    if winner == POPULARITY:
        return [f"{sentence}. These are the best-sellers: nothing that was learned is better."]
    return [f"{sentence}; with best-sellers {_of(rows[POPULARITY]['hr10'], users)}."]


def _of(share: float, users: int) -> str:
    """Return a share as a count of 100 customers, or of all of them where they are fewer."""
    of = min(users, PER_HUNDRED)
    return f"{round(share * of)} of {of}"


def _verb(relevant_events: Sequence[str]) -> str:
    """Return what the customers did with the items that count."""
    if tuple(relevant_events) == ("purchase",):
        return "bought"
    return f"chose ({' or '.join(relevant_events)})" if relevant_events else "chose"


def users_behind(entry: Mapping[str, Any]) -> list[str]:
    """Return how many users are behind the figures of the rule in force, and behind the choice of the winner.

    Args:
        entry: The entry of the run in models/metrics.json.
    """
    row = entry["rows"][entry["rule"]][entry["winner"]]
    lines = [
        f"The figures are of {row['users']:,} customers who had been here before the cut and chose something after it. "
        f"{entry['users_without_relevant']:,} more came back and chose nothing that counts."
    ]
    if row["unseen_users"]:
        lines.append(f"{row['unseen_users']:,} customers were new; Unseen MAP is theirs alone.")
    if row["users"] < PER_HUNDRED:
        lines.append("They are few: a difference of some hundredths may be chance.")
    return lines


def table_note(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Return how many users are behind the columns of a table.

    Args:
        rows: The row of each scorer, by its name.
    """
    row = next(iter(rows.values()))
    return f"Means over {row['users']:,} known users; Unseen MAP is the mean over {row['unseen_users']:,} new ones."


def why_the_star(entry: Mapping[str, Any], rule: str) -> str:
    """Return why the scorer that serves is, or need not be, the first row of a table.

    Args:
        entry: The entry of the run in models/metrics.json.
        rule: The repeat rule of the table.
    """
    rows, winner = entry["rows"][rule], entry["winner"]
    first = ranked(rows)[0]
    if rule != entry["rule"]:
        return (
            f"★ {winner} serves. It was chosen by the shop's own rule, not by this one, so it need not be first here: "
            "these figures are for comparison."
        )
    if rows[winner]["map10"] == rows[first]["map10"]:
        return f"★ {winner} serves, and it is first here, too. {_choice(entry)}"
    return (
        f"★ {winner} serves, although {first} is first here ({figure(rows[first]['map10'])}; {winner} has "
        f"{figure(rows[winner]['map10'])}). {_choice(entry)} This table reports later events. They chose nothing: a "
        "scorer that is taken because it is first here would look better than it is."
    )


def _choice(entry: Mapping[str, Any]) -> str:
    """Return how the winner was chosen."""
    winner, validation = entry["winner"], entry["validation"]
    map10 = validation["map10"]
    users = f" of {validation['users']:,} users" if validation.get("users") else ""
    if not map10:
        return "Validation had too few users to choose, so popularity serves."
    best = max(map10, key=lambda name: (map10[name], list(REGISTRY).index(name)))
    if map10.get(winner) == map10[best]:
        return f"Validation chose it on earlier events{users}, where its MAP@10 is the highest: {figure(map10[best])}."
    warnings = (entry.get("verdict") or {}).get("warnings", ())
    lost = TITLES.get(winner)
    if lost and any(line.startswith(f"{lost} {LOST}") for line in warnings):
        return f"{best} has the highest MAP@10 in validation{users}, but loses to {lost.lower()} for certain."
    return (
        f"On earlier events{users}, validation cannot tell it from the best, {best} ({figure(map10[best])}; {winner} "
        f"has {figure(map10.get(winner))}), and it costs less to serve."
    )


def who_is_served(entry: Mapping[str, Any]) -> str:
    """Return whether single customers may be answered by another scorer than the winner.

    Args:
        entry: The entry of the run in models/metrics.json.
    """
    if entry.get("per_user_choice"):
        return "A customer whose own events speak clearly for another of the four models is answered by that one."
    why = "because it did not pay where it was measured"
    off = f"The choice for single customers is off (setting per_user_choice), {why}"
    if len((entry.get("verdict") or {}).get("scorers", ())) > 1:
        return f"{off}: one scorer answers all customers of a segment."
    return f"{off}: one scorer answers all of them."
