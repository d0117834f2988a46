"""Events, ids, context and catalogue of a shop: cleaned, split, encoded."""
