"""The folders of the steps of a run: which are complete, and how others are cleared or set aside.

On a disk, Orbax writes into <step>.orbax-checkpoint-tmp and renames that when it is done; a damaged
step is renamed to <step>.damaged. A bucket cannot rename: there Orbax writes into <step>, and a
damaged step is marked by an object DAMAGED in it. In both, a step is complete if it has a manifest.
"""

import contextlib
import os

from pipeline.storage.paths import Path, is_number, is_remote
from pipeline.training.checkpoints import manifest, orbax_noise

_DAMAGED = ".damaged"
_MARK = "DAMAGED"


class StepFolders:
    """The step folders in `folder`, which need not exist."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._remote = is_remote(folder)

    def complete(self) -> list[int]:
        """Return the steps with a complete checkpoint that was not set aside, oldest first."""
        return [int(name) for name, state in self.states().items() if state == "complete"]

    def newest(self) -> int | None:
        """Return the newest complete step, or None, without looking at older ones."""
        names = [path.name for path in self.folder.iterdir()] if self.folder.is_dir() else []
        for step in sorted((int(name) for name in names if is_number(name)), reverse=True):
            if self._state(str(step)) == "complete":
                return step
        return None

    def damaged(self) -> list[str]:
        """Return the names of the folders that were set aside."""
        return [name for name, state in self.states().items() if state == "damaged"]

    def states(self) -> dict[str, str]:
        """Return "complete", "unfinished" or "damaged" by the folder's name, oldest step first."""
        if not self.folder.is_dir():
            return {}
        names = [
            path.name for path in self.folder.iterdir() if is_number(path.name.partition(".")[0])
        ]
        return {name: self._state(name) for name in sorted(names, key=_order)}

    def clear(self, step: int) -> None:
        """Delete unfinished saves, and a checkpoint of the same step, before a save."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in list(self.folder.iterdir()):
            unfinished = orbax_noise.UNFINISHED in path.name or (
                self._remote and is_number(path.name) and self._state(path.name) == "unfinished"
            )
            if path.name == str(step) or unfinished:
                self._delete(path)

    def delete(self, step: int) -> None:
        """Delete a checkpoint."""
        self._delete(self.folder / str(step))

    def delete_unfinished(self, step: int) -> None:
        """Delete what a failed save of a step has left."""
        self._delete(self.folder / f"{step}{orbax_noise.UNFINISHED}")

    def set_aside(self, step: int, why: str) -> str:
        """Keep a damaged checkpoint for inspection, out of the way; return what was done."""
        path = self.folder / str(step)
        if self._remote:
            (path / _MARK).write_text(why + "\n")
            return f"marked by {step}/{_MARK}"
        target, number = self.folder / f"{step}{_DAMAGED}", 1
        while target.exists():
            number += 1
            target = self.folder / f"{step}{_DAMAGED}{number}"
        path.rename(target)
        return f"renamed to {target.name}"

    def _state(self, name: str) -> str:
        path = self.folder / name
        if _DAMAGED in name or (self._remote and (path / _MARK).exists()):
            return "damaged"
        return "complete" if is_number(name) and (path / manifest.NAME).exists() else "unfinished"

    def _delete(self, path: Path) -> None:
        if not self._remote and (os.path.islink(path) or path.is_file()):
            os.unlink(path)  # what a link leads to is not ours
            return
        # The manifest first: a kill in between leaves nothing that looks like a checkpoint.
        (path / manifest.NAME).unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            path.rmtree()


def _order(name: str) -> tuple[int, str]:
    return int(name.partition(".")[0]), name
