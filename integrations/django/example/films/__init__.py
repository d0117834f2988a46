"""Films, of which everything is invented."""
