"""Command lines: what is wrong with one is told without the account of a database's URL."""

from __future__ import annotations

import argparse
from typing import NoReturn

from recsys.secrets import without_accounts


class Parser(argparse.ArgumentParser):
    """A parser that tells no user and no password of a URL among its arguments."""

    def error(self, message: str) -> NoReturn:
        """Leave with argparse's status 2."""
        super().error(without_accounts(message))
