"""A long short-term memory over a sequence, with a forget gate (arXiv 1411.4555, eq. 3-8)."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

State = tuple[Float[Array, "b h"], Float[Array, "b h"]]  # the cells' memory, and their output


class LSTM(nnx.Module):
    """A layer of `width` cells; the forget gate's bias starts at 1."""

    def __init__(self, inputs: int, width: int, *, rngs: nnx.Rngs, dtype: Any = jnp.float32):
        self.width = width
        start = jnp.zeros(4 * width).at[width : 2 * width].set(1.0)
        self.inputs = nnx.Linear(
            inputs, 4 * width, dtype=dtype, rngs=rngs, bias_init=lambda *_: start
        )
        self.recurrent = nnx.Linear(
            width,
            4 * width,
            use_bias=False,
            kernel_init=nnx.initializers.orthogonal(),
            dtype=dtype,
            rngs=rngs,
        )

    def zeros(self, batch: int) -> State:
        """Return the state before a sequence."""
        return jnp.zeros((batch, self.width)), jnp.zeros((batch, self.width))

    def step(self, state: State, x: Float[Array, "b i"]) -> State:
        """Return the state after one element."""
        return self._after(state, self.inputs(x))

    def __call__(
        self, x: Float[Array, "b n i"], state: State, used: Bool[Array, "b n"] | None = None
    ) -> tuple[Float[Array, "b n h"], State]:
        """Return the outputs of a sequence, and the state after it.

        Elements that are not `used` leave the state as it is.
        """
        gates = jnp.swapaxes(self.inputs(x), 0, 1)
        kept = jnp.ones(x.shape[:2], bool) if used is None else used

        def after(state: State, each: tuple[Array, Array]) -> tuple[State, Array]:
            gates, kept = each
            found = self._after(state, gates)
            chosen = jax.tree.map(lambda new, old: jnp.where(kept[:, None], new, old), found, state)
            return chosen, chosen[1]

        state, outputs = jax.lax.scan(after, state, (gates, jnp.swapaxes(kept, 0, 1)))
        return jnp.swapaxes(outputs, 0, 1), state

    def _after(self, state: State, gates: Float[Array, "b g"]) -> State:
        memory, output = state
        gates = (gates + self.recurrent(output)).astype(jnp.float32)
        enter, forget, write, leave = jnp.split(gates, 4, axis=-1)
        memory = nnx.sigmoid(forget) * memory + nnx.sigmoid(enter) * jnp.tanh(write)
        return memory, nnx.sigmoid(leave) * jnp.tanh(memory)
