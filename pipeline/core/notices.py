"""Notices on standard error: what a user should know although the command goes on."""

from pipeline.core import progress


def notice(message: str) -> None:
    """Print a line at once, also while other output is buffered."""
    progress.screen.say(f"strata: {message}")
