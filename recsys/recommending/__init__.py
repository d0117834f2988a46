"""Answering requests, online: from a request to a list."""
