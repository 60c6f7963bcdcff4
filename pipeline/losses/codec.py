"""What a codec minimises beside its discriminator: pixels, perceptual distance, KL and wavelet bands.

    objective, frozen = codec.create(config.objective)             # once; ConfigError where it cannot work
    terms = objective(outputs, batch, step, logvar, frozen)        # in the step, under jit

The sum of latent diffusion's autoencoder (arXiv 2112.10752) and WF-VAE (2411.17459): with e the error of a pixel's
channel, p the perceptual distance of its image and m its MS-SSIM, (e + weight * p + ms_ssim * (1 - m)) / exp(logvar) +
logvar summed over an example, plus `kl` times the summed KL, plus `wavelet` times the summed error of the bands. So p
and 1 - m count once for every value that the image has. With per_frame the first part is divided by a clip's frames,
and the others are not, as in WF-VAE's code.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.struct
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pipeline.core import pixels, schedules
from pipeline.core.construct import check_arguments, nearest
from pipeline.core.errors import ConfigError
from pipeline.core.parameters import ModelDef
from pipeline.core.reduce import layer_rates
from pipeline.core.schedules import Number, Schedule
from pipeline.core.types import Batch, Outputs, pixels_of
from pipeline.frozen import lpips
from pipeline.frozen.lpips import PerceptualDistance
from pipeline.losses import reconstruction as distortions
from pipeline.losses.latent_compatibility import PREFIX, Compatibility

LOGVAR = "objective.logvar"  # the learned one's name among the parameters


@flax.struct.dataclass
class Terms:
    """Of each example, in nats as far as they are any: `nll` of pixels and images, and what is added to it.

    `shown` are values to log by name, per example [b] or [b l], each a dimension or an image.
    """

    nll: Float[Array, " b"]
    rest: Float[Array, " b"]
    shown: dict[str, Array]


@dataclasses.dataclass(frozen=True)
class CodecObjective:
    """See `create`."""

    error: str
    logvar: Number | None  # None is learned
    per_frame: bool
    perceptual: PerceptualDistance | None
    perceptual_weight: Number
    kl: Schedule
    wavelet: Number
    ms_ssim: Number = 0.0
    compatibility: Compatibility | None = None

    @property
    def params(self) -> dict[str, float | int]:
        """Parameters to train beside the model's, and their first values."""
        return {LOGVAR: 0.0} if self.logvar is None else {}

    def unit(self, shape: tuple[int, ...]) -> int:
        """What the loss of clips or images of this shape is divided by, for a figure that does not grow with them."""
        values = int(np.prod(shape[1:]))
        return values // shape[1] if self.per_frame and len(shape) == 5 else values

    def __call__(
        self,
        outputs: Outputs,
        batch: Batch,
        step: Int[Array, ""] | int,
        params: Mapping[str, Array],
        frozen: Mapping[str, Array],
    ) -> Terms:
        """The terms of each example; `params` hold the learned logvar, `frozen` the perceptual network."""
        x = pixels.to_float(pixels_of(batch))
        recon = outputs.recon.mean().astype(jnp.float32)
        values = distortions.num_values(x)
        frames = x.shape[1] if x.ndim == 5 else 1
        error = distortions.ERRORS[self.error](recon, x)
        shown = {"reconstruction": error / values}
        if self.perceptual is not None:
            distance = self.perceptual(frozen, x, recon).reshape(x.shape[0], -1)
            shown[self.perceptual.log_name] = distance.mean(axis=1)
            error = error + self.perceptual_weight * (values // frames) * distance.sum(axis=1)
        if self.ms_ssim:
            name, similarity = distortions.ms_ssim(recon, x)
            shown[name] = similarity.mean(axis=1)
            error = error + self.ms_ssim * (values // frames) * (1 - similarity).sum(axis=1)
        logvar = params[LOGVAR] if self.logvar is None else jnp.float32(self.logvar)
        nll = distortions.nll(error, logvar, values) / (frames if self.per_frame else 1)
        rates = layer_rates(outputs.latents)
        shown["kl"] = rates / values
        rest = self.kl(step) * rates.sum(axis=-1)
        if self.wavelet:
            bands = distortions.wavelet(outputs)
            shown["wavelet"] = bands / values
            rest = rest + self.wavelet * bands
        if self.compatibility is not None:
            cost = self.compatibility(frozen, outputs, batch, step)
            shown["compatibility"] = cost / (values // frames)
            rest = rest + self.compatibility.weight * cost
        if self.logvar is None:
            shown["logvar"] = jnp.broadcast_to(logvar, error.shape)
        return Terms(nll, rest, shown)


def create(
    recipe: Mapping[str, Any],
    *,
    images: tuple[ModelDef, Mapping[str, Any]] | None = None,
    where: str = "objective",
) -> tuple[CodecObjective, dict[str, Any]]:
    """The objective that a recipe asks for, and the arrays of its frozen networks.

    `images` is the codec, and its weights, that the recipe's `compatibility` names.

    Raises:
      ConfigError: an unknown key, a value that cannot work, or a perceptual weight without weights. DataError: a file
        of weights that is not what it should be.
    """
    recipe = {key: value for key, value in recipe.items() if key != "adversarial"}
    check_arguments(codec, recipe, where=where, given=("where",))
    objective, frozen = codec(**recipe, where=where)
    settings = recipe.get("compatibility") or {}
    check_arguments(compatibility, settings, where=f"{where}.compatibility", given=("images",))
    if images is None:
        return objective, frozen
    arrays = {PREFIX + name: array for name, array in images[1].items()}
    constraint = compatibility(**settings, images=images[0])
    return dataclasses.replace(objective, compatibility=constraint), frozen | arrays


def compatibility(*, weight: float | int = 0.0, codec: str = "", images: ModelDef) -> Compatibility:
    """The keys of objective.compatibility: `codec` is the folder of the image codec that latents are to suit."""
    del codec  # which build reads
    return Compatibility(images, weight)


def codec(
    *,
    reconstruction: str = "l1",
    logvar: float | int | str = 0.0,
    per_frame: bool = False,
    perceptual: Mapping[str, Any] | None = None,
    kl: float | int | Mapping[str, Any] = 1e-6,
    wavelet: float | int = 0.0,
    ms_ssim: float | int = 0.0,
    compatibility: Mapping[str, Any] | None = None,
    where: str = "objective",
) -> tuple[CodecObjective, dict[str, np.ndarray]]:
    """`create` with the recipe's keys as arguments.

    reconstruction: "l1" or "l2". logvar: a number for good, or "learned", from 0. perceptual: dict(weight=, network=,
    weights=, heads=), see `perceptual_distance`. kl: a weight, or a schedule of one. wavelet: weight of the bands'
    error. ms_ssim: weight of 1 - MS-SSIM of each frame. compatibility: dict(weight=, codec=), of a video codec whose
    latents are to suit an image codec, see pipeline.losses.latent_compatibility.
    """
    del compatibility  # `create` adds it
    if reconstruction not in distortions.ERRORS:
        raise ConfigError(
            f"{where}.reconstruction={reconstruction!r}: {nearest(reconstruction, distortions.ERRORS)}"
        )
    if isinstance(logvar, str) and logvar != "learned":
        raise ConfigError(f"{where}.logvar={logvar!r} must be a number or 'learned'")
    for name, weight in dict(wavelet=wavelet, ms_ssim=ms_ssim).items():
        if weight < 0:
            raise ConfigError(f"{where}.{name}={weight} must be 0 or more")
    settings = dict(perceptual or {"weight": 0.0})
    check_arguments(perceptual_distance, settings, where=f"{where}.perceptual", given=("where",))
    distance, weight, arrays = perceptual_distance(**settings, where=f"{where}.perceptual")
    return (
        CodecObjective(
            error=reconstruction,
            logvar=None if isinstance(logvar, str) else logvar,
            per_frame=per_frame,
            perceptual=distance,
            perceptual_weight=weight,
            kl=schedules.create(kl, where=f"{where}.kl"),
            wavelet=wavelet,
            ms_ssim=ms_ssim,
        ),
        arrays,
    )


def perceptual_distance(
    *,
    weight: float | int = 1.0,
    network: str = "vgg16",
    weights: str = "",
    heads: str = "",
    where: str = "objective.perceptual",
) -> tuple[PerceptualDistance | None, Number, dict[str, np.ndarray]]:
    """The keys of objective.perceptual: the files of the network `weights` and of its learned `heads`.

    network: "vgg16" and "squeezenet" are LPIPS, "squeezenet_caffe" is not (pipeline.frozen.lpips).
    """
    if weight < 0:
        raise ConfigError(f"{where}.weight={weight} must be 0 or more")
    if weight == 0:
        return None, 0.0, {}
    distance, arrays = lpips.create(network, weights=weights, heads=heads, where=where)
    return distance, weight, arrays
