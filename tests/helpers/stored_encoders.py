"""What the database's encoder tables hold of a version."""

from recsys.store import Database


def stored_items(db: Database, version: int) -> list[str]:
    """Return the item ids of a version as text, in index order; the indices count from 0."""
    rows = db.query(
        "SELECT idx, original_id FROM rec_item_encoder WHERE version = :version ORDER BY idx", {"version": version}
    )
    assert [idx for idx, _ in rows] == list(range(len(rows)))
    return [_text(raw) for _, raw in rows]


def stored_contexts(db: Database, version: int) -> dict[str, list[str]]:
    """Return a version's context features in order, each with its values in index order."""
    params = {"version": version}
    features = "SELECT feature_name FROM rec_context_meta WHERE version = :version ORDER BY position"
    contexts: dict[str, list[str]] = {str(name): [] for (name,) in db.query(features, params)}
    values = "SELECT feature_name, original_value FROM rec_context_mapping WHERE version = :version ORDER BY idx"
    for name, value in db.query(values, params):
        contexts[name].append(_text(value))
    return contexts


def _text(raw: str | bytes) -> str:
    return raw.decode() if isinstance(raw, bytes) else raw
