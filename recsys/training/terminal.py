"""Consoles that print text unchanged, with any brackets and colons in it."""

from __future__ import annotations

from rich.console import Console


def console(*, stderr: bool = False, log_width: int | None = None) -> Console:
    """Return a console that reads no markup, emoji or colours into a text, and wraps no line on stderr.

    Args:
        stderr: Whether it writes to stderr.
        log_width: Columns if the stream is a file or a pipe; None for the width that rich assumes.
    """
    terminal = Console(stderr=stderr, soft_wrap=stderr, markup=False, emoji=False, highlight=False)
    if log_width is not None and not terminal.is_terminal:
        terminal.width = log_width
    return terminal
