"""The command lines of doors that take a database's URL."""

from __future__ import annotations

import argparse
from typing import NoReturn

from recsys.secrets import without_accounts


class Parser(argparse.ArgumentParser):
    """Says what is wrong with a command line without the user and the password of a URL in it."""

    def error(self, message: str) -> NoReturn:
        """Leave with argparse's status 2."""
        super().error(without_accounts(message))
