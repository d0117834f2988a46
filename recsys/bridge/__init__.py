"""The bridge: a JSON request on stdin, a JSON answer on stdout."""
