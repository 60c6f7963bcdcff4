"""MAETok (arXiv 2502.03444): tokens of an image of which the encoder sees a part in training.

The decoder reconstructs the whole image. Auxiliary decoders predict features of every patch, which
loss terms compare with targets where the patch was hidden; exported codecs do not use them.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.core import pixels
from pipeline.core.errors import ConfigError
from pipeline.core.types import Batch, Outputs
from pipeline.distributions.continuous import Reconstruction
from pipeline.models.titok.scaled import IDENTITY, ScaledEncoder, ScaledTokens
from pipeline.models.titok.transformer import learned


class MaskedEncoder(ScaledEncoder):
    """An encoder in which a learned vector takes the place of hidden patches."""

    def __init__(self, *, width: int, rngs: nnx.Rngs, **settings: Any):
        super().__init__(width=width, rngs=rngs, **settings)
        self.mask_token = learned(rngs, (1, width))

    def read_masked(
        self, x: Float[Array, "b h w c"], tokens: Float[Array, "n width"], mask: Float[Array, "b m"]
    ) -> Float[Array, "b n d"]:
        """Return the features of images whose patches are hidden where `mask` is 1."""
        patches = self.embed_patches(x)
        hidden = self.mask_token[...].astype(patches.dtype)
        return self.read(jnp.where(mask[..., None] > 0, hidden, patches), tokens)


class MAETok(ScaledTokens):
    """An autoencoder of tokens, whose encoder sees a part of the patches in training.

    Args:
      image_size, image_channels: shape of an image.
      patch: pixels along each side of a patch.
      num_tokens, latent_channels: number of tokens, and of the channels of each one's latent.
      encoder_size, decoder_size: width, depth and heads of the two transformers.
      bottleneck: recipe of the bottleneck, a dict with the key `name`.
      auxiliary: auxiliary decoders by name: width, depth and heads of each one, and the `channels`
        that it predicts for a patch.
      mask_lowest, mask_highest, mask_deviation: the share of hidden patches of an example is drawn
        from a normal distribution whose mean is the highest share, cut off above it and below the
        lowest one.
    """

    encoder_class = MaskedEncoder

    def __init__(
        self,
        *,
        image_size: int,
        image_channels: int = 3,
        patch: int = 16,
        num_tokens: int = 128,
        latent_channels: int = 32,
        encoder_size: Mapping[str, Any],
        decoder_size: Mapping[str, Any],
        bottleneck: Mapping[str, Any] = IDENTITY,
        auxiliary: Mapping[str, Mapping[str, Any]] | None = None,
        mask_lowest: float | int = 0.4,
        mask_highest: float | int = 0.6,
        mask_deviation: float | int = 0.25,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        if not 0 <= mask_lowest < mask_highest < 1 or mask_deviation <= 0:
            raise ConfigError(
                f"model.mask_lowest={mask_lowest} and model.mask_highest={mask_highest} must be in "
                f"this order from 0 to below 1, and model.mask_deviation={mask_deviation} above 0"
            )
        super().__init__(
            image_size=image_size,
            image_channels=image_channels,
            patch=patch,
            num_tokens=num_tokens,
            latent_channels=latent_channels,
            encoder_size=encoder_size,
            decoder_size=decoder_size,
            bottleneck=bottleneck,
            rngs=rngs,
            dtype=dtype,
        )
        made = {}
        for name, settings in (auxiliary or {}).items():
            where = f"model.auxiliary.{name}"
            if "channels" not in settings:
                raise ConfigError(f"{where}.channels is missing: what it predicts for a patch")
            sizes = {key: value for key, value in settings.items() if key != "channels"}
            made[name] = self.patch_decoder(sizes, settings["channels"], where, rngs, dtype)
        self.auxiliary = nnx.Dict(made)
        self.mask_lowest, self.mask_highest = mask_lowest, mask_highest
        self.mask_deviation = mask_deviation

    def __call__(self, batch: Batch, *, key: PRNGKeyArray | None, train: bool) -> Outputs:
        """Return the posterior and the reconstruction.

        In training `aux` has the "patch_mask" [b m], which is 1 where a patch was hidden, and the
        "predictions" [b m channels] of each auxiliary decoder by its name.
        """
        image = pixels.to_float(jnp.asarray(batch["image"]))
        if not train or key is None:
            h, mask = self.encoder(image, self.tokens[...]), None
        else:
            mask = self.draw_mask(jax.random.fold_in(key, 1), len(image))
            h = self.encoder.read_masked(image, self.tokens[...], mask)
        latent, aux = self.latent_of(h, key, train, batch)
        if train:
            aux = aux | self._predicted(latent.z, mask)
        return Outputs(Reconstruction(self.pixels_of(latent.z)), (latent,), aux)

    def draw_mask(self, key: PRNGKeyArray, batch: int) -> Float[Array, "b m"]:
        """Return for each example which patches are hidden, as ones."""
        of_share, of_order = jax.random.split(key)
        lowest = (self.mask_lowest - self.mask_highest) / self.mask_deviation
        drawn = jax.random.truncated_normal(of_share, lowest, 0.0, (batch, 1))
        share = self.mask_highest + self.mask_deviation * drawn
        order = jax.random.uniform(of_order, (batch, self.side**2))
        rank = jnp.argsort(jnp.argsort(order, axis=-1), axis=-1)
        return (rank < share * self.side**2).astype(jnp.float32)

    def _predicted(
        self, z: Float[Array, "b n d"], mask: Float[Array, "b m"] | None
    ) -> dict[str, Any]:
        found: dict[str, Any] = {} if mask is None else {"patch_mask": mask}
        if self.auxiliary:
            found["predictions"] = {name: head(z) for name, head in self.auxiliary.items()}
        return found
