"""Where the folder of a codec is: on a disk, in a bucket, or on a hub as OWNER/NAME.

The files that are needed are made local: config.json first, then the weights of its kind of folder.
A local file must lie in the folder: what a link leads to elsewhere is not the codec's.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.core.errors import CheckpointError, ConfigError, DataError, StrataError
from pipeline.formats import diffusers_folder
from pipeline.storage import access, hub, transfer
from pipeline.storage.paths import AnyPath, is_remote

CONFIG, WEIGHTS = "config.json", "model.safetensors"
_MOST_CONFIG = 4 * 2**20  # bytes
_EXPECTED = (
    f"a folder with {CONFIG} and {WEIGHTS} is expected, local, at gs:// or s3://, or OWNER/NAME on "
    "a hub"
)


@dataclasses.dataclass(frozen=True)
class Found:
    """A local folder with a codec's files.

    Attributes:
      root: the folder.
      shown: what its user calls it.
      config: the content of config.json.
    """

    root: pathlib.Path
    shown: str
    config: Mapping[str, Any]

    @property
    def is_diffusers(self) -> bool:
        """Whether the folder is one of diffusers, which names the class of its model."""
        return _is_diffusers(self.config)

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        """Let errors raised inside name what the user calls the folder."""
        with _named(self.root, self.shown):
            yield


def find(
    path: Any,
    *,
    revision: str | None = None,
    subfolder: str = "",
    token: hub.Token = None,
    with_weights: bool = True,
) -> Found:
    """Return the folder of a codec with its config.json and, unless told otherwise, its weights.

    Args:
      path: a folder, local or in a bucket, or OWNER/NAME[@REVISION][/FOLDER] on a hub; a local
        folder comes first.
      revision: branch, tag or commit on a hub.
      subfolder: folder in it that holds the codec.
      token: what the hub's client takes; by default the one of the login or of HF_TOKEN.

    Raises:
      ConfigError: there is no such folder, or it cannot be had; the message has the remedy.
      CheckpointError: a file is missing or damaged, or is a link out of the folder.
    """
    try:
        text = os.path.expanduser(os.fspath(path))
    except TypeError:
        raise ConfigError(f"codec {path!r} is no path: {_EXPECTED}") from None
    if ".." in pathlib.PurePath(subfolder).parts or pathlib.PurePath(subfolder).is_absolute():
        raise ConfigError(f"codec {text!r}: subfolder={subfolder!r} leads out of it")
    local = None if is_remote(text) else pathlib.Path(text, subfolder)
    place = None if local is None or os.path.lexists(text) else hub.parse(text)
    if place is not None:
        folder = "/".join(filter(None, (place.folder, subfolder.strip("/"))))
        place = hub.Place(place.repo, revision or place.revision, folder)
        return _on_hub(place, token, with_weights)
    if revision is not None:
        raise ConfigError(f"codec {text!r}: revision={revision!r} is for OWNER/NAME on a hub")
    if local is None:
        shown = "/".join(filter(None, (text.rstrip("/"), subfolder)))
        local = _in_bucket(shown)
    else:
        shown = str(local)
        if not local.is_dir():
            what = "is a file" if local.exists() else "does not exist"
            given = shown if subfolder else text
            raise ConfigError(f"codec {given!r} {what}: {_EXPECTED}")
    with _named(local, shown):
        found = Found(local, shown, _config(local))
        _check_all_inside(local)
        return found


def _in_bucket(path: AnyPath) -> pathlib.Path:
    access.check(path, name="codec")
    try:
        return transfer.local_copy(path, name="codec", wanted=_is_needed)
    except DataError as error:
        raise ConfigError(str(error)) from None


def _on_hub(place: hub.Place, token: hub.Token, with_weights: bool) -> Found:
    listed = hub.files(place, token=token)
    if listed is not None and CONFIG not in listed:
        raise CheckpointError(f"{place} is not a codec: it has no {CONFIG}{_elsewhere(place)}")
    if listed is not None and listed[CONFIG] > _MOST_CONFIG:
        raise CheckpointError(f"{place}: {CONFIG} has {listed[CONFIG]:,} bytes, too many for one")
    root = hub.download(place, [CONFIG], token=token)
    with _named(root, str(place)):
        found = Found(root, str(place), _config(root))
        if with_weights:
            sizes = {file.name: 0 for file in root.iterdir()} if listed is None else listed
            _download_weights(place, found, sizes, token)
        _check_all_inside(root)
        return found


def _download_weights(
    place: hub.Place, found: Found, sizes: Mapping[str, int], token: hub.Token
) -> None:
    """Download the weights of the kind of folder; `sizes` has its files."""
    name = diffusers_folder.safetensors_of(sizes) if found.is_diffusers else WEIGHTS
    if name is None or name not in sizes:
        raise CheckpointError(
            f"{place} is not a whole codec: it has no {name or diffusers_folder.WEIGHTS}, and "
            "weights in other formats are not downloaded"
        )
    hub.download(place, [name], size=sizes[name], token=token)
    shards = diffusers_folder.shards_of(found.root / name)
    if missing := [each for each in shards if each not in sizes or each.endswith(".bin")]:
        raise CheckpointError(f"{place}: {name} names {missing[0]!r}, which is not there")
    if shards:
        hub.download(place, shards, size=sum(sizes[each] for each in shards), token=token)


def _elsewhere(place: hub.Place) -> str:
    """Return a hint for a repository that holds a whole pipeline."""
    return "" if place.folder else f"; that of a pipeline is often in a folder, {place}/vae"


def _config(root: pathlib.Path) -> dict[str, Any]:
    file = root / CONFIG
    if not os.path.lexists(file):
        inner = f"; give {root / 'vae'}" if (root / "vae" / CONFIG).is_file() else ""
        raise CheckpointError(
            f"{root} is not a codec: it has no {CONFIG} (strata export makes one){inner}"
        )
    _check_inside(root, file)
    try:
        size = file.stat().st_size
        if size > _MOST_CONFIG:
            raise CheckpointError(f"{file} has {size:,} bytes, too many for settings")
        config = json.loads(file.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{file} is damaged: {error}") from None
    if not isinstance(config, dict):
        raise CheckpointError(f"{file} is not that of a codec: it holds no object")
    return config


def _is_diffusers(config: Mapping[str, Any]) -> bool:
    return "_class_name" in config and "format" not in config


def _is_needed(name: str) -> bool:
    return name == WEIGHTS or diffusers_folder.is_needed(name)


def _check_all_inside(root: pathlib.Path) -> None:
    for file in root.iterdir():
        if _is_needed(file.name):
            _check_inside(root, file)


def _check_inside(root: pathlib.Path, file: pathlib.Path) -> None:
    """Check that a file is a plain one inside the folder.

    The cache of a hub's client is one folder for each repository, whose snapshots link to blobs.
    """
    try:
        real, inside = file.resolve(strict=True), root.resolve()
    except (OSError, RuntimeError):
        raise CheckpointError(f"{file} is a broken link") from None
    snapshots = next((each for each in inside.parents if each.name == "snapshots"), None)
    allowed = [inside, *([snapshots.parent / "blobs"] if snapshots else [])]
    if not any(real.is_relative_to(each) for each in allowed):
        raise CheckpointError(f"{file} is a link out of the folder: copy the file into it")
    if not real.is_file():
        raise CheckpointError(f"{file} is no plain file")


@contextlib.contextmanager
def _named(local: pathlib.Path, shown: str) -> Iterator[None]:
    try:
        yield
    except StrataError as error:
        if shown == str(local):
            raise
        raise type(error)(str(error).replace(str(local), shown)) from error
