"""The HTTP service: a thin process over the same use cases as the bridge."""
