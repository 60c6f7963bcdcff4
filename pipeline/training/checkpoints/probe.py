"""A small file that shows, before a save, whether this process can write where it goes."""

import os

from pipeline.storage.paths import Path

_BYTES = 65_536


def write(folder: Path, process: int) -> None:
    """Write and delete a file in a local folder.

    A full disk, a quota or a folder that has become read-only is then known to all processes before
    they begin a save, which they could only end together.

    Raises:
      OSError: this process cannot write there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".probe_of_process_{process}"
    try:
        with open(path, "wb") as file:
            file.write(bytes(_BYTES))
            file.flush()
            os.fsync(file.fileno())
    finally:
        path.unlink(missing_ok=True)
