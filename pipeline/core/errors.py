"""What can go wrong for a user, each with the exit code that launchers and scripts rely on."""


class StrataError(Exception):
    """A failure to be told in one line: what is wrong, where, and what would be right."""

    exit_code = 1


class ConfigError(StrataError):
    """A flag, a recipe or a combination of them that cannot work."""

    exit_code = 2


class DataError(StrataError):
    """A dataset, image or file that cannot be used."""

    exit_code = 65


class CheckpointError(StrataError):
    """A checkpoint that is missing, damaged, or belongs to another run."""

    exit_code = 65


class DamagedCheckpoint(CheckpointError):
    """A checkpoint that no longer holds what was saved."""


class Hung(StrataError):
    """No progress for too long."""

    exit_code = 70


class Preempted(StrataError):
    """Stopped by the scheduler after a save: run the same command again."""

    exit_code = 75


class Diverged(StrataError):
    """The loss or the gradients stayed non-finite."""

    exit_code = 76


class Interrupted(StrataError):
    """Stopped by the user."""

    exit_code = 130
