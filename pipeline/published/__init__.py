"""Published codecs: one file a family of diffusers' classes, which reads and writes its folders.

importers/diffusers.py and exporters/diffusers.py find the file by `_class_name` and by the model,
so a new file is known to both directions at once. A file defines:

  CLASS_NAMES: the values of `_class_name` in config.json that it reads.
  ENCODERS: the values of config.model.encoder.name that it writes.
  HIDDEN: settings of config.model on which names and shapes of weights do not depend, such as
    "encoder.groups" (pipeline.importers.check_hidden_settings).
  recipe(settings): returns config.model for the content of config.json, in which keys may be
    missing (the class's defaults hold). Raises CheckpointError for a network that we lack; the
    message names the key, and the caller adds the file.
  settings(model): returns the content of config.json, with `_class_name`, for config.model, in
    which no default is missing. `recipe(settings(model))` must be the same model again: the
    exporter checks this, so that `settings` needs no checks of its own, and may return None for a
    model of another family.
  rule(model, names): returns the rule from our parameters to the tensors in the file, whose changes
    of layout are invertible (pipeline.formats.state_dict.Layout). `names` are those of the file, or
    empty for one that is to be written: where a family has older names too, the newest.
  read_statistics(settings, tensors): returns the statistics of latents as
    pipeline.codec.latent_stats.summary does, or {} if there are none. `codec.normalize` uses them.
  write_statistics(latents, model): returns what of config.json and of the tensors holds these
    statistics (two dicts); `latents` is {} for a codec without any. On import, tensors of these
    names count as known, and need not be there.

pipeline/published/authors has the names in the authors' own files, one file a naming.
"""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from pipeline import models
from pipeline.core.construct import load, modules_of
from pipeline.core.errors import CheckpointError, ConfigError

# Settings of config.model that a published codec's files do not record.
_FREE = ("image_size", "num_frames", "remat")


def families() -> dict[str, ModuleType]:
    """Return the file of each class, by `_class_name`."""
    files = [load(__name__, name, where="file") for name in modules_of(__name__)]
    return {
        name: file
        for file in files
        if hasattr(file, "CLASS_NAMES")  # a folder has none
        for name in file.CLASS_NAMES
    }


def of_class(name: Any) -> ModuleType:
    """Return the file that reads a class. Raises CheckpointError for an unknown one."""
    known = families()
    if name not in known:
        raise CheckpointError(
            f"_class_name={name!r} is not a codec that we know: {', '.join(sorted(known))}"
        )
    return known[name]


def of_model(model: Mapping[str, Any]) -> tuple[ModuleType, dict[str, Any]]:
    """Return the file that writes a model, and the content of config.json.

    Raises:
      ConfigError: no class has this network, or none with these settings.
    """
    given, whole = models.settings(model), complete(model)
    encoder = given.get("encoder.name")
    files = {id(file): file for file in families().values() if encoder in file.ENCODERS}
    different: list[str] = []
    for file in files.values():
        settings = file.settings(whole)
        if settings is None:
            continue
        different = differences(file.recipe(settings), model)
        if not different:
            return file, settings
    what = f"model.encoder.name={encoder!r}" if encoder else f"model.name={model.get('name')!r}"
    if different:
        raise ConfigError(
            f"diffusers has no class for {what} with these settings: "
            f"{', '.join(f'model.{key}={given.get(key)!r}' for key in different)}"
        )
    known = sorted({name for file in families().values() for name in file.ENCODERS})
    raise ConfigError(
        f"diffusers has no class for {what}: codecs with {', '.join(known)} can be written"
    )


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the names of settings in which two models differ, defaults included; the sizes of
    samples and `remat` do not count.
    """
    left, right = (_plain(models.settings(model)) for model in (one, other))
    keys = (left.keys() | right.keys()) - set(_FREE)
    return sorted(key for key in keys if left.get(key) != right.get(key))


def complete(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return config.model with the defaults of the model and of its parts."""
    whole: dict[str, Any] = {}
    for key, value in models.settings(model).items():
        part, _, inner = key.rpartition(".")
        if inner in ("dtype", "key", "rngs"):  # the caller gives them
            continue
        (whole.setdefault(part, {}) if part else whole)[inner] = _plain(value)
    return whole


def _plain(value: Any) -> Any:
    """Return a value with lists for tuples, as JSON has it."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
