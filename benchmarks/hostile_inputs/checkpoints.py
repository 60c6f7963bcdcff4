"""Checkpoints with every file of them damaged in turn."""

import functools
import pathlib
import shutil
from collections.abc import Callable, Iterator

import numpy as np
import tiny_state
from hostile_inputs.attempts import REFUSED, RIGHT, Attempt, Wrong, command, expect_success
from hostile_inputs.corpus import Corpus
from hostile_inputs.damage import BROKEN, DAMAGED, damage

from pipeline.training.checkpoints.store import Checkpoints


def attempts(corpus: Corpus) -> Iterator[Attempt]:
    """Yield the verification of each checkpoint."""
    saved = corpus.new("checkpoints")
    checkpoints = Checkpoints(saved)
    checkpoints.save(2, tiny_state.make_state(devices=1), {})
    checkpoints.wait()
    yield Attempt("checkpoint: whole", functools.partial(_verified, saved))
    files = sorted(path for path in saved.rglob("*") if path.is_file())
    for file in files:
        place = file.relative_to(saved)
        for name in ("empty", "cut", "zeros", "gone"):
            if file.stat().st_size or name == "gone":
                copy = functools.partial(_copy, saved, place, name)
                folder = corpus.later("checkpoints", "steps", copy)
                run = functools.partial(_noticed, folder, saved)
                yield Attempt(f"checkpoint with {place}: {name}", run)


def _copy(saved: pathlib.Path, place: pathlib.Path, name: str, folder: pathlib.Path) -> None:
    shutil.copytree(saved, folder)
    if name == "gone":
        (folder / place).unlink()
    else:
        damage(folder / place, BROKEN[name])


def _verified(folder: pathlib.Path) -> str:
    answer = command("checkpoint", "verify", folder)
    expect_success(answer)
    if "2: good" not in answer.out:
        raise Wrong(f"verify prints {answer.out!r}")
    return RIGHT


def _noticed(written: Callable[[], pathlib.Path], saved: pathlib.Path) -> str:
    """Check that damage is reported; a file that no array needs may be missing or damaged."""
    folder = written()
    answer = command("checkpoint", "verify", folder)
    if answer.code == 0:
        step = {key: value.tobytes() for key, value in _arrays(saved).items()}
        if step != {key: value.tobytes() for key, value in _arrays(folder).items()}:
            raise Wrong("verify finds other arrays good")
        return RIGHT
    if answer.code != DAMAGED or "Traceback" in answer.err + answer.out:
        raise Wrong(f"exit code {answer.code}: {(answer.err + answer.out)[-300:]!r}")
    return REFUSED


def _arrays(folder: pathlib.Path) -> dict[str, np.ndarray]:
    parts = Checkpoints(folder).arrays(2)
    return {
        f"{part}/{name}": np.asarray(array)
        for part, found in parts.items()
        for name, array in found.items()
    }
