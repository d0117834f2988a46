"""Training, offline: from a shop's tables to a published version."""
