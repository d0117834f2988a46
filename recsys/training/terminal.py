"""What a person sees: text as it is, whatever brackets and colons it holds."""

from __future__ import annotations

from rich.console import Console


def console(*, stderr: bool = False, log_width: int | None = None) -> Console:
    """Return a console that takes nothing in a text for markup, an emoji or something to be coloured, and breaks no line of stderr.

    Args:
        stderr: Whether it writes to stderr.
        log_width: Columns where the stream is a file or a pipe; by default what rich takes for one.
    """
    made = Console(stderr=stderr, soft_wrap=stderr, markup=False, emoji=False, highlight=False)
    if log_width is not None and not made.is_terminal:
        made.width = log_width
    return made
