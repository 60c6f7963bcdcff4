"""Errors that are reported to a user, with the exit codes that launchers and scripts rely on."""


def one_line(error: BaseException) -> str:
    """Return the message of any error, which may have several lines, as one line."""
    try:
        return " ".join(str(error).split())
    except Exception:  # of a user's class, whose own method fails
        return ""


def shortened(text: str, most: int = 80) -> str:
    """Return a text that a message quotes, cut to at most so many letters."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


class StrataError(Exception):
    """A failure reported in one line: what is wrong, where, and what would be right."""

    exit_code = 1


class ConfigError(StrataError):
    """An invalid flag, recipe or combination of them."""

    exit_code = 2


class DataError(StrataError):
    """An unusable dataset, image or file."""

    exit_code = 65


class CheckpointError(StrataError):
    """A checkpoint that is missing, damaged or from another run."""

    exit_code = 65


class DamagedCheckpoint(CheckpointError):
    """A checkpoint whose contents differ from what was saved."""


class Hung(StrataError):
    """A run that made no progress for too long."""

    exit_code = 70


class Preempted(StrataError):
    """A run stopped by the scheduler after saving: run the same command again."""

    exit_code = 75


class Diverged(StrataError):
    """A run whose loss or gradients stayed non-finite."""

    exit_code = 76


class Interrupted(StrataError):
    """A run stopped by the user."""

    exit_code = 130
