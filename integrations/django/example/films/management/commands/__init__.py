"""Of the example site."""
