"""Command lines for operators, over functions of the package."""
