"""The Gram loss: reconstructions have the texture of their images (arXiv 1508.06576, eq. 4 and 5).

AToken (2509.14476) trains a codec with it in place of a discriminator.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from pipeline.core.errors import ConfigError
from pipeline.formats import weight_files
from pipeline.frozen import lpips
from pipeline.losses.term import Term, Weight, recon_and_target

PATHS = ("weights",)  # Arguments that say where files are on this machine.


def gram(*, weights: str = "", weight: Weight = 1.0, where: str = "objective.gram") -> Term:
    """Return the squared distance of Gram matrices of LPIPS's five layers of VGG16.

    A mean over the elements of each matrix, summed over layers, which counts once for each value of
    a frame.

    weights: file of VGG16 in torchvision's names.
    """
    network = lpips.NETWORKS["vgg16"]
    if not weights:
        raise ConfigError(
            f"{where}.weights is empty: the loss needs the weights of VGG16 ({network.source}); "
            f"give the file, or set {where}.weight=0"
        )
    arrays = network.convert(weight_files.load(weights), weights)

    def maps_of(frozen, x):
        x = x.reshape(-1, *x.shape[-3:])
        x = x if x.shape[-1] == 3 else jnp.repeat(x, 3, axis=-1)
        return network.trunk.features(frozen, network.scale(x))

    def value(outputs, batch, step, frozen):
        recon, x = recon_and_target(outputs, batch)
        pairs = zip(maps_of(frozen, recon), maps_of(frozen, x))
        errors = [distance(a, b) for a, b in pairs]
        return sum(errors[1:], errors[0]).reshape(len(x), -1).sum(axis=1)

    return Term(value, weight, log_name="gram", likelihood=True, per_value=True, frozen=arrays)


def distance(a: Float[Array, "n h w c"], b: Float[Array, "n h w c"]) -> Float[Array, " n"]:
    """Return the mean squared difference of two Gram matrices, which know no positions."""
    return jnp.square(matrix(a) - matrix(b)).mean(axis=(1, 2))


def matrix(x: Float[Array, "n h w c"]) -> Float[Array, "n c c"]:
    """Return the mean over positions of products of two channels."""
    x = x.reshape(len(x), -1, x.shape[-1])
    return jnp.einsum("npc,npd->ncd", x, x) / x.shape[1]
