"""The folder of a run, the run that it belongs to, and what may change when the run resumes.

config.json  env.json  checkpoints/<step>/  metrics.jsonl  speed.jsonl  tb/  samples/  eval/  DONE

The folder may be in a bucket, see pipeline.training.run_folder.
"""

import fnmatch
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from pipeline.core.errors import ConfigError
from pipeline.losses import objective
from pipeline.storage import ownership, small_files
from pipeline.storage.paths import Path, as_path, is_remote

# Keys that may change when a run resumes: its length, its intervals, the machine it runs on, and
# the paths of data and networks (whose fingerprints are compared instead).
FREE = (
    "num_steps",
    "checkpoint",
    "eval",
    "log",
    "sample",
    "mesh",
    "sharding",
    "divergence",
    "watchdog",
    "preemption",
    "init.codec",
    "init.encoder",
    "latent_cache",
    "teacher.codec",
    "data.path",
    "data.eval_path",
    "data.num_workers",
    "data.max_unreadable",
)
# Keys that runs made before them lack, with the value that such a run has had.
ADDED = {"trainable": ""}
# What commands that only read a run take from its config.
_READ = {
    **dict.fromkeys(("checkpoint", "data", "eval", "model", "objective", "optimizer"), dict),
    **dict.fromkeys(("batch_size", "eval.batch_size", "num_steps", "seed"), int),
    **dict.fromkeys(("checkpoint.folder", "dtype", "model.name"), str),
    "ema": int | float,
}


def claim(
    workdir: str | os.PathLike[str], config: Mapping[str, Any], *, force: bool = False
) -> None:
    """Make the folder this run's by writing its config.json.

    Raises:
      ConfigError: see `check`; or the folder cannot be written.
    """
    check(workdir, config, force=force)
    write_config(workdir, config)


def check(
    workdir: str | os.PathLike[str], config: Mapping[str, Any], *, force: bool = False
) -> None:
    """Check that the folder is new, empty or this run's, without changing it.

    A damaged config.json is as good as this run's: checkpoints have the config too.

    Raises:
      ConfigError: it holds something else, or a run of another config and `force` is not set.
    """
    workdir = as_path(workdir, name="--workdir")
    path = workdir / "config.json"
    if workdir.exists() and not workdir.is_dir():
        raise ConfigError(f"--workdir {workdir} is a file, not a folder")
    if path.exists():
        saved = small_files.content_of(path, is_object)
        if saved is not None:
            refuse_changes(saved, config, where=str(path), force=force)
    elif workdir.exists() and any(
        not each.name.startswith("config.") and each.name not in ownership.NAMES
        for each in workdir.iterdir()
    ):
        raise ConfigError(
            f"--workdir {workdir} is not empty and holds no run (no config.json): give another "
            "folder"
        )


def write_config(workdir: str | os.PathLike[str], config: Mapping[str, Any]) -> None:
    """Write config.json. Raises ConfigError if that is not possible."""
    workdir = as_path(workdir, name="--workdir")
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        write_json(workdir / "config.json", config)
    except OSError as error:
        raise ConfigError(f"--workdir {workdir}: {error.strerror}") from None


def is_object(content: Any) -> bool:
    """Return whether the content of a config.json can be compared: of a run, or something else."""
    return isinstance(content, dict) and bool(content)


def is_config(content: Any) -> bool:
    """Return whether the content of a config.json has the shape of a run's config."""
    flat = _flatten(content)
    return isinstance(content, dict) and all(
        isinstance(content.get(key) if kind is dict else flat.get(key), kind)
        for key, kind in _READ.items()
    )


def load(workdir: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the config of the run in `workdir`.

    Raises:
      ConfigError: there is none, or it is damaged.
    """
    path = as_path(workdir, name="--workdir") / "config.json"
    config = small_files.content_of(path, is_config)
    if config is not None:
        return config
    if not path.exists():
        raise ConfigError(
            f"--workdir {workdir} holds no run: there is no {path}; strata train makes one"
        )
    raise ConfigError(f"{path} is damaged: `strata train` with the run's recipe writes it again")


def checkpoint_folder(workdir: str | os.PathLike[str], folder: str = "") -> str:
    """Return the folder of a run's checkpoints: config.checkpoint.folder, or the workdir's own."""
    return folder or str(as_path(workdir) / "checkpoints")


def refuse_changes(
    saved: Mapping[str, Any], config: Mapping[str, Any], *, where: str, force: bool = False
) -> None:
    """Check that a config is of the same run as a saved one, called `where` in messages.

    Raises:
      ConfigError: they differ in keys that may not change, and `force` is not set.
    """
    changes = differences(saved, config)
    if changes and not force:
        shown = "; ".join(changes[:8]) + (
            f"; and {len(changes) - 8} more" if len(changes) > 8 else ""
        )
        raise ConfigError(
            f"the config differs from {where}: {shown} (--force_config goes on with the new one)"
        )


def differences(saved: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """Return "key: old -> new" for each difference in a key that may not change."""
    old, new = ADDED | _flatten(saved), ADDED | _flatten(json.loads(json.dumps(config)))
    return [
        f"{key}: {old.get(key, 'absent')!r} -> {new.get(key, 'absent')!r}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key, "absent") != new.get(key, "absent") and not _is_free(key)
    ]


def write_json(path: Path | pathlib.Path, content: Mapping[str, Any]) -> None:
    """Write atomically: a reader sees the old file or the new one."""
    text = json.dumps(content, indent=1) + "\n"
    if is_remote(path):  # where a file always appears whole
        path.write_text(text)
        return
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(path)


def _is_free(key: str) -> bool:
    if any(fnmatch.fnmatchcase(key, path) for path in network_paths()):
        return True
    return any(key == free or key.startswith(free + ".") for free in (*FREE, *network_paths()))


def network_paths() -> list[str]:
    """Return the settings of the objective that are paths of frozen networks."""
    terms = objective.path_arguments()
    return [f"objective.{term}.{name}" for term, names in terms.items() for name in names]


def _flatten(tree: Any) -> dict[str, Any]:
    """Return the leaves of nested mappings, which may be deep, by "key.key"."""
    flat: dict[str, Any] = {}
    left = [("", tree)]
    while left:
        name, value = left.pop()
        if isinstance(value, Mapping):
            prefix = f"{name}." if name else ""
            left += [(f"{prefix}{key}", child) for key, child in value.items()]
        else:
            flat[name] = value
    return flat
