"""The former name of `tests.helpers.entry_points`."""

from tests.helpers.entry_points import PATIENCE_S, ROOT, answer, ask, code, command, install

__all__ = ["PATIENCE_S", "ROOT", "answer", "ask", "code", "command", "install"]
