"""Of the app recsys_suggestions."""
