"""A vision transformer, from an image to features of its patches (arXiv 2010.11929)."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.struct
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.nn.tokens.block import Block
from pipeline.nn.tokens.patches import to_patches
from pipeline.nn.tokens.rotary import Turns

Map = Float[Array, "b h w c"]


@flax.struct.dataclass
class Features:
    """Features of images; those of clips [b t h w 3] have the axis of frames too.

    Attributes:
      patches: [b h w c], one vector a patch, after the last norm.
      pooled: [b d], a vector of the whole image, from the class token or an attention pool; None of
        networks without.
      layers: the patches [b h w c] after some of the blocks by number, without a norm; 0 is the
        input of the first block.
    """

    patches: Float[Array, "b ..."]
    pooled: Float[Array, "b ..."] | None = None
    layers: dict[int, Float[Array, "b ..."]] = flax.struct.field(default_factory=dict)


class VisionTransformer(nnx.Module):
    """Images [b h w c], normalized as the network expects -> Features.

    Args:
      embed: the linear layer of patches, whose pixels are in the order (row, column, channel).
      blocks: the blocks.
      patch: pixels along each side of a patch.
      norm: the norm of all tokens after the blocks; None without.
      class_token: ExtraTokens of one class token, the first; None without.
      mask_token: ExtraTokens of one token, which takes the place of masked patches; None without.
      registers: ExtraTokens between the class token and the patches, which have no positions.
      positions: learned positions of the class token and the patches; None without.
      turns: returns the rotations of height x width patches (rotary positions); None without.
      norm_in: a norm before the blocks.
      pool: a layer from all tokens to `pooled`, in place of the class token.
      project: layers from the class token to `pooled`, in this order.
    """

    def __init__(
        self,
        embed: nnx.Module,
        blocks: Sequence[Block],
        *,
        patch: int,
        norm: nnx.Module | None,
        class_token: nnx.Module | None = None,
        mask_token: nnx.Module | None = None,
        registers: nnx.Module | None = None,
        positions: nnx.Module | None = None,
        turns: Callable[[int, int], Turns] | None = None,
        norm_in: nnx.Module | None = None,
        pool: nnx.Module | None = None,
        project: Sequence[nnx.Module] = (),
    ):
        self.embed, self.blocks, self.norm = embed, nnx.List(list(blocks)), norm
        self.class_token, self.registers, self.positions = class_token, registers, positions
        self.mask_token, self.norm_in, self.pool, self.project = (
            mask_token,
            norm_in,
            pool,
            nnx.List(list(project)),
        )
        self.patch, self.turns = patch, turns

    def __call__(
        self,
        x: Map,
        layers: Sequence[int] = (),
        *,
        masked: Float[Array, "b rows columns"] | None = None,
        remat: bool = False,
    ) -> Features:
        """Return the features; `layers` are the numbers of blocks whose outputs are wanted too.

        `masked` is 1 at patches that the network must not see, where it has a mask token.
        """
        x = self.embed(to_patches(x, self.patch))
        if masked is not None and self.mask_token is not None:
            token = self.mask_token(len(x))[:, None].astype(x.dtype)
            x = jnp.where(masked[..., None] > 0, token, x)
        height, width = x.shape[1:3]
        tokens = self._with_others(x.reshape(len(x), height * width, -1), height, width)
        by = None if self.turns is None else self.turns(height, width)

        def as_map(tokens: Any) -> Any:
            patches = tokens[:, tokens.shape[1] - height * width :]
            return patches.reshape(len(tokens), height, width, -1)

        run = nnx.remat(Block.__call__) if remat else Block.__call__
        found = {0: as_map(tokens)} if 0 in layers else {}
        for number, block in enumerate(self.blocks, start=1):
            tokens = run(block, tokens, by)
            if number in layers:
                found[number] = as_map(tokens)
        tokens = tokens if self.norm is None else self.norm(tokens)
        return Features(as_map(tokens), self._pooled(tokens), found)

    def _with_others(self, tokens: Any, height: int, width: int) -> Any:
        """Return the input of the blocks: the other tokens, and the patches with positions."""
        if self.class_token is not None:
            first = self.class_token(len(tokens))
            tokens = jnp.concatenate([first, tokens], axis=1)
        if self.positions is not None:
            tokens = tokens + self.positions(height, width)
        if self.registers is not None:
            own = self.registers(len(tokens))
            others = tokens.shape[1] - height * width
            parts = tokens[:, :others], own, tokens[:, others:]
            tokens = jnp.concatenate(parts, axis=1)
        return tokens if self.norm_in is None else self.norm_in(tokens)

    def _pooled(self, tokens: Any) -> Any:
        if self.pool is not None:
            return self.pool(tokens)
        if self.class_token is None:
            return None
        pooled = tokens[:, 0]
        for layer in self.project:
            pooled = layer(pooled)
        return pooled
