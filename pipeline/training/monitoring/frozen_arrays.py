"""The frozen arrays of a run (config.trainable) have the same digest at its start and its end."""

import math

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from pipeline.core.errors import CheckpointError
from pipeline.formats.fingerprint import fingerprint_of
from pipeline.training.state.train_state import TrainState


class FrozenArrays:
    """The frozen parameters of a state, recognized by their digest. All processes must create it.

    Attributes:
      digest: the fingerprint of the frozen parameters; "" without any.
    """

    def __init__(self, state: TrainState, mesh: Mesh):
        self._mesh = mesh
        self.names = sorted(state.params.keys() - state.ema.keys())
        self._count = sum(math.prod(state.params[name].shape) for name in self.names)
        self.digest = self._of(state)

    def describe(self) -> str:
        """Return a line with the number of arrays and their digest; "" without any."""
        if not self.names:
            return ""
        return (
            f"{len(self.names)} arrays are frozen: {self._count:,} parameters, sha256 {self.digest}"
        )

    def confirm(self, state: TrainState) -> str:
        """Return a line that says that the arrays are the same as before; "" without any.

        Raises:
          CheckpointError: an array has changed, which only an error of the machine or of the
            program can do.
        """
        if not self.names:
            return ""
        digest = self._of(state)
        if digest != self.digest:
            raise CheckpointError(
                f"frozen arrays have changed: sha256 {digest}, and {self.digest} before"
            )
        return f"the {len(self.names)} frozen arrays are unchanged: sha256 {digest}"

    def _of(self, state: TrainState) -> str:
        if not self.names:
            return ""
        # Each array whole on every device, one at a time: no process may hold only a part of it.
        whole = jax.jit(lambda x: x, out_shardings=NamedSharding(self._mesh, PartitionSpec()))
        return fingerprint_of({name: np.asarray(whole(state.params[name])) for name in self.names})
