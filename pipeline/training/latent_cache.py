"""Outputs of a frozen encoder, computed once and kept in a folder for the steps of many runs.

    cache.json          what the outputs are of: the encoder's sha256, the data's fingerprint, sizes
    encoded-00000.npy   those of the first 256 slots, and so on

A slot is a fixed crop of an example (pipeline.data.loading.batches.CropBatches). Kept is what the
bottleneck takes and not its sample, so that a step with the cache has the noise, the KL and the
losses that it has without. Each process computes a part of the files, whole and on one of its
devices, and reads them all.
"""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Shaped

from pipeline.core.errors import ConfigError, DataError
from pipeline.core.parameters import ModelDef
from pipeline.core.types import pixels_of
from pipeline.formats.fingerprint import fingerprint_of
from pipeline.training.state.train_state import TrainState

_SLOTS = 256  # in a file
_ABOUT = "cache.json"


@dataclasses.dataclass(frozen=True)
class LatentCache:
    """A folder with the outputs of a run's frozen encoder for the fixed crops of its data.

    Attributes:
      folder: on this machine, or on storage that all processes see.
      modeldef: the model, which has a method `encoded`.
      parts: the first parts of the names of the arrays on which the latents depend.
      crops: all crops of the data, in batches of _SLOTS or a divisor of it.
      data: the data's fingerprint.
    """

    folder: pathlib.Path
    modeldef: ModelDef
    parts: tuple[str, ...]
    crops: Any
    data: str

    def open(
        self, state: TrainState, mesh: Mesh, *, say: Callable[[str], None], alive: Callable[[], Any]
    ) -> "Encoded":
        """Return the outputs, after computing those that the folder lacks. All processes call it.

        Args:
          say: takes a line to show. alive: is called after each batch.

        Raises:
          ConfigError: the folder has the outputs of another encoder, data or size.
        """
        arrays, others = self._whole(state.params, mesh), self._whole(state.model_state, mesh)
        images = {name: each for name, each in self.crops[0].items() if name != "mask"}
        shape = jax.eval_shape(self._encode, arrays, others, pixels_of(images))
        about = {
            "encoder_sha256": fingerprint_of(arrays | others),
            "data": self.data,
            "crops": self.crops.num_crops,
            "slots": self.crops.num_slots,
            "shape": list(shape.shape[1:]),
            "dtype": shape.dtype.name,
        }
        self._claim(about)
        missing = [number for number in range(self._count) if not self._file(number).exists()]
        if missing:
            say(
                f"{self.folder}: encoding {self.crops.num_slots:,} crops, "
                f"{len(missing)} of {self._count} files"
            )
        compiled = jax.jit(self._encode)
        for number in missing:
            if number % jax.process_count() == jax.process_index():
                self._fill(number, lambda x: compiled(arrays, others, x), about, alive)
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices(f"latent cache {self.folder}")
        return Encoded([self._read(number, about) for number in range(self._count)], about)

    @property
    def _count(self) -> int:
        return -(-self.crops.num_slots // _SLOTS)

    def _file(self, number: int) -> pathlib.Path:
        return self.folder / f"encoded-{number:05d}.npy"

    def _whole(self, arrays: Mapping[str, Any], mesh: Mesh) -> dict[str, np.ndarray]:
        """Return the arrays of the encoder, one at a time whole on this process."""
        whole = jax.jit(lambda x: x, out_shardings=NamedSharding(mesh, PartitionSpec()))
        names = [name for name in arrays if name.partition(".")[0] in self.parts]
        return {name: np.asarray(whole(arrays[name])) for name in names}

    def _encode(self, arrays: Mapping[str, Any], others: Mapping[str, Any], images: Any) -> Any:
        # The decoder has no arrays, because nothing reads them.
        params = dict.fromkeys(self.modeldef.param_names) | dict(arrays)
        rest = dict.fromkeys(self.modeldef.other_names) | dict(others)
        return self.modeldef.merge(params, rest).encoded(jnp.asarray(images))

    def _claim(self, about: Mapping[str, Any]) -> None:
        """Write cache.json, or compare with it."""
        path = self.folder / _ABOUT
        try:
            if path.exists():
                found = json.loads(path.read_text())
                wrong = [key for key in about if found.get(key) != about[key]]
                if wrong:
                    shown = (f"{key} {found.get(key)} there, {about[key]} here" for key in wrong)
                    raise ConfigError(
                        f"config.latent_cache={str(self.folder)!r} has latents of another encoder "
                        f"or other data: {'; '.join(shown)}; give another folder or delete it"
                    )
                return
            self.folder.mkdir(parents=True, exist_ok=True)
            if jax.process_index() == 0:
                if any(self.folder.iterdir()):
                    raise ConfigError(
                        f"config.latent_cache={str(self.folder)!r} holds something else: give a "
                        "new folder"
                    )
                _write(path, lambda file: file.write(json.dumps(about, indent=1).encode()))
        except (OSError, ValueError, AttributeError) as error:
            raise ConfigError(f"config.latent_cache={str(self.folder)!r}: {error}") from None

    def _fill(
        self, number: int, encode: Callable[[Any], Any], about: Mapping[str, Any], alive: Any
    ) -> None:
        step = self.crops.batch_size
        rows = np.zeros((_SLOTS, *about["shape"]), jnp.dtype(about["dtype"]))
        for first in range(0, min(_SLOTS, self.crops.num_slots - number * _SLOTS), step):
            batch = self.crops[(number * _SLOTS + first) // step]
            rows[first : first + step] = np.asarray(encode(pixels_of(batch)))
            alive()
        # NumPy's files know no bfloat16: bytes are kept, and their type is in cache.json.
        _write(self._file(number), lambda file: np.save(file, rows.view(np.uint8)))

    def _read(self, number: int, about: Mapping[str, Any]) -> Shaped[np.ndarray, "slots ..."]:
        path = self._file(number)
        try:
            rows = np.load(path, mmap_mode="r").view(jnp.dtype(about["dtype"]))
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: {error}; delete it to compute it again") from None
        if rows.shape != (_SLOTS, *about["shape"]):
            raise DataError(f"{path} is damaged: delete it to compute it again")
        return rows


@dataclasses.dataclass(frozen=True)
class Encoded:
    """The outputs of the encoder, read from the files as they are asked for."""

    files: list[Shaped[np.ndarray, "slots ..."]]
    about: Mapping[str, Any]

    def of(self, batch: Mapping[str, np.ndarray]) -> Shaped[np.ndarray, "b ..."]:
        """Return the rows of a batch, by its "index" and "crop"."""
        slots = batch["index"].astype(np.int64) * self.about["crops"] + batch["crop"]
        return np.stack([self.files[slot // _SLOTS][slot % _SLOTS] for slot in slots.tolist()])


def divisor(batch_size: int) -> int:
    """Return the largest number of slots up to `batch_size` that divides a file's."""
    return max(size for size in range(1, min(batch_size, _SLOTS) + 1) if _SLOTS % size == 0)


def _write(path: pathlib.Path, write: Callable[[Any], Any]) -> None:
    """Write a file that appears whole."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        write(file)
    partial.replace(path)
