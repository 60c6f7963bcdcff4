"""Notices on standard error: what a user should know although the command goes on."""

import sys


def notice(message: str) -> None:
    """Print a line at once, also while other output is buffered."""
    print(f"strata: {message}", file=sys.stderr, flush=True)
