"""Command lines whose errors show no secret; apart from `secrets`, because what serves does without argparse."""

from __future__ import annotations

import argparse
from typing import NoReturn

from recsys.errors.secrets import without_accounts


class Parser(argparse.ArgumentParser):
    """A command-line parser whose errors show neither user nor password of a URL."""

    def error(self, message: str) -> NoReturn:
        """Print usage and message, and exit with status 2."""
        super().error(without_accounts(message))
