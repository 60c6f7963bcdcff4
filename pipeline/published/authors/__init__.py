"""Names in the authors' own files of weights, which ComfyUI and their loaders know.

One file a naming; exporters/single_file.py finds it by the model, and the importer of the family,
such as importers/wan.py, uses it. A file defines:

  ENCODERS: the values of config.model.encoder.name that it writes.
  rule(model, names): returns the rule from our parameters to the tensors in the file, as in
    pipeline.published. `model` has all defaults. Raises ConfigError for a model that the naming
    cannot express.
  buffers(model, latents): returns tensors of the file that are no parameters, such as statistics of
    latents. On import, tensors of these names count as known, and need not be there.
"""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from pipeline.core.construct import load, modules_of
from pipeline.core.errors import ConfigError


def namings() -> list[ModuleType]:
    """Return the file of each naming."""
    return [load(__name__, name, where="file") for name in modules_of(__name__)]


def of_model(model: Mapping[str, Any]) -> ModuleType:
    """Return the naming for a model.

    Raises:
      ConfigError: the authors' loaders know no such network.
    """
    encoder = model.get("encoder", {}).get("name")
    known = {name: naming for naming in namings() for name in naming.ENCODERS}
    if encoder not in known:
        what = f"model.encoder.name={encoder!r}" if encoder else f"model.name={model['name']!r}"
        raise ConfigError(
            f"no single file is known for {what}: codecs with {', '.join(sorted(known))} can be "
            "written"
        )
    return known[encoder]
