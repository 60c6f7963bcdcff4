"""A codec folder: config.json, model.safetensors, README.md (the model card) and preview.png.

It is strict: a folder loads whole, or not at all with a line that says what is wrong.
"""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from flax import nnx

from pipeline import models
from pipeline.codec import card, places, streaming_contract
from pipeline.codec.places import CONFIG, WEIGHTS, Found
from pipeline.core import bounds, parameters
from pipeline.core.errors import CheckpointError, ConfigError, StrataError, one_line
from pipeline.core.parameters import Abstract, ModelDef
from pipeline.formats import safetensors_header
from pipeline.formats.fingerprint import Fingerprint, fingerprint_of
from pipeline.formats.names import first_few
from pipeline.formats.safetensors_header import Tensor
from pipeline.storage import transfer
from pipeline.storage.paths import as_path

FORMAT, VERSION = "strata-codec", 1
DTYPES = ("float32", "bfloat16")
_AT_ONCE = 16  # tensors read of a file that is open
CARD, PREVIEW = "README.md", "preview.png"


def read(
    path: Any, dtype: str | None = None
) -> tuple[ModelDef, dict[str, jax.Array], dict[str, Any], str]:
    """Return (model definition, weights by name, config.json, fingerprint of the weights) of a
    folder.

    `dtype` is the model's compute dtype, one of DTYPES, in place of the config's. Weights are
    float32.

    Raises:
      ConfigError: there is no such folder, or no such dtype.
      CheckpointError: a file is missing or damaged, or the weights do not fit the model.
    """
    check_dtype(dtype)
    return load(places.find(path), dtype)


def load(
    found: Found, dtype: str | None = None
) -> tuple[ModelDef, dict[str, jax.Array], dict[str, Any], str]:
    """Return what `read` does of a folder that is found.

    Raises:
      ConfigError, CheckpointError: as `read`.
    """
    check_dtype(dtype)
    root = found.root
    with found.named():
        config = _checked_config(found.config, root / CONFIG)
        config |= {} if dtype is None else {"dtype": dtype}
        header = _header(root / WEIGHTS)
        bounds.check(config.get("model"), f"{root / CONFIG}: model")
        limit = bounds.Bounds.of(header)
        modeldef, shapes = _model(config, root / CONFIG, limit)
        _check(header, shapes, root / WEIGHTS)
        weights, digest = _read_weights(root / WEIGHTS)
        recorded = config.get("weights_sha256")
        if recorded and digest != recorded:
            raise CheckpointError(
                f"{root / WEIGHTS} is damaged, or another export's: its arrays have sha256 "
                f"{digest[:12]}..., and {CONFIG} says {str(recorded)[:12]}... (`strata export "
                f"--workdir RUN --out {root} --overwrite` writes it again)"
            )
    return modeldef, weights, config, digest


def check_dtype(dtype: str | None) -> None:
    """Check a dtype of computation. Raises ConfigError if it is none of DTYPES, nor None."""
    if dtype is not None and dtype not in DTYPES:
        raise ConfigError(
            f"dtype={dtype!r} must be {' or '.join(map(repr, DTYPES))}, or None for the codec's own"
        )


def _checked_config(config: Mapping[str, Any], file: pathlib.Path) -> dict[str, Any]:
    if config.get("format") != FORMAT:
        raise CheckpointError(
            f"{file} is not that of a codec (format={FORMAT!r}): a run's folder goes through "
            "strata export first"
        )
    if config.get("format_version") != VERSION:
        raise CheckpointError(
            f"{file} has format_version {config.get('format_version')!r}, and this Strata reads "
            f"{VERSION}: upgrade it"
        )
    return dict(config)


def write(path: Any, config: Mapping[str, Any], weights: Mapping[str, Any]) -> None:
    """Write the folder's config, weights and card, each completely or not at all.

    `path` is local or in a bucket.

    Raises:
      ConfigError: the folder cannot be written.
    """
    host = {name: np.asarray(jax.device_get(array), order="C") for name, array in weights.items()}
    config = (
        {"format": FORMAT, "format_version": VERSION}
        | dict(config)
        | {"weights_sha256": fingerprint_of(host)}
    )
    config |= _facts(config, as_path(path, name="codec folder") / CONFIG)
    files = (
        (WEIGHTS, safetensors.numpy.save(host, {"format": "strata"})),
        (CARD, card.render(config).encode()),
        # The config comes last: without it the folder is no codec, rather than a damaged one.
        (CONFIG, (json.dumps(config, indent=1) + "\n").encode()),
    )
    transfer.write_files(path, files, name="codec folder")


def _facts(config: Mapping[str, Any], file: os.PathLike[str]) -> dict[str, Any]:
    """Return what config.json says of a codec of any size, which a reader could otherwise only ask
    the model.
    """
    modeldef, _ = _model(config, file)
    model = modeldef.skeleton()
    if model.codec_kind != "any_size":
        return {}
    # With a network that is not causal, chunks of time do not give what the whole clip gives.
    causal = {
        name: model.is_video and getattr(model, name)
        for name in ("encoder_causal", "decoder_causal")
    }
    sizes = {
        name: getattr(model, name)
        for name in ("spatial_factor", "temporal_factor", "latent_channels")
    }
    time = streaming_contract.facts(model) if model.is_video else {}
    return {
        "codec": {
            "is_video": model.is_video,
            "causal": all(causal.values()),
            **causal,
            **time,
            **sizes,
        }
    }


def _model(
    config: Mapping[str, Any], file: os.PathLike[str], limit: bounds.Bounds | None = None
) -> tuple[ModelDef, Abstract]:
    """Return the model's definition and shapes; `limit` is for settings that a stranger wrote."""
    try:
        dtype = jnp.dtype(config["dtype"])
        recipe = config["model"]
        if not isinstance(recipe, Mapping):
            raise ConfigError(f"model={recipe!r} must be an object")
        with contextlib.nullcontext() if limit is None else limit.counted("model"):
            modeldef, params, model_state = parameters.abstract(
                lambda: models.create(recipe, rngs=nnx.Rngs(0), dtype=dtype)
            )
    except KeyError as error:
        raise CheckpointError(f"{file} has no {error.args[0]!r}") from None
    except Exception as error:  # settings that no recipe has raise nearly anything in a model
        known = isinstance(error, StrataError | TypeError | ValueError)
        reason = one_line(error) if known else f"{type(error).__name__}: {error}"
        raise CheckpointError(f"{file}: its model cannot be built: {reason}") from None
    return modeldef, params | model_state


def _header(file: pathlib.Path) -> dict[str, Tensor]:
    with _damage_reported(file):
        return safetensors_header.read(file)


def _read_weights(file: pathlib.Path) -> tuple[dict[str, jax.Array], str]:
    """Return the weights on the device, where each goes before the next is read, and their
    fingerprint.
    """
    with _damage_reported(file):
        with safetensors.safe_open(file, "numpy") as opened:
            names = sorted(opened.keys())
        weights, fingerprint = {}, Fingerprint()
        # The file is mapped, and what was read of it counts as this process's memory until it is
        # closed.
        for first in range(0, len(names), _AT_ONCE):
            with safetensors.safe_open(file, "numpy") as opened:
                for name in names[first : first + _AT_ONCE]:
                    array = opened.get_tensor(name)
                    fingerprint.add(name, array)
                    weights[name] = jax.device_put(array)
        return weights, fingerprint.hexdigest()


@contextlib.contextmanager
def _damage_reported(file: pathlib.Path) -> Iterator[None]:
    """Turn errors of reading a file of weights into one line."""
    try:
        yield
    except FileNotFoundError:
        raise CheckpointError(
            f"{file.parent} is not a whole codec: it has no {file.name}"
        ) from None
    except (safetensors.SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        reason = one_line(error) or type(error).__name__
        raise CheckpointError(
            f"{file} ({_size(file)} bytes) is truncated or damaged: {reason}"
        ) from None


def _check(weights: Mapping[str, Tensor], shapes: Abstract, file: pathlib.Path) -> None:
    problems = []
    missing, extra = sorted(shapes.keys() - weights.keys()), sorted(weights.keys() - shapes.keys())
    for what, names in (("missing", missing), ("unknown", extra)):
        if names:
            problems.append(f"{len(names)} {what} ({first_few(names)})")
    wrong = [
        f"{name} is {array.dtype}{list(array.shape)}, not {shapes[name].dtype.name}"
        f"{list(shapes[name].shape)}"
        for name, array in sorted(weights.items())
        if name in shapes
        and (array.shape != shapes[name].shape or array.dtype != shapes[name].dtype.name)
    ]
    if wrong:
        problems.append(f"{len(wrong)} of another shape or type ({first_few(wrong)})")
    if problems:
        raise CheckpointError(
            f"{file} does not fit the model in {CONFIG}: tensors {'; '.join(problems)}"
        )


def _size(file: pathlib.Path) -> int:
    return file.stat().st_size if file.exists() else 0
