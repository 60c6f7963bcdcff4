"""Types that models, losses, metrics and evaluators exchange.

Letters in shapes: b batch, t frames, h height, w width, c image channels, d latent channels, n
tokens, k codebook size or mixtures, l levels of a hierarchy. Channels come last. Likelihoods, KL
and all other information are in nats; evaluators convert to bits.
"""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import flax.struct
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from pipeline.core import modalities

# A batch from pipeline.data: examples under the name of their modality (pipeline.core.modalities),
# "image" uint8 [b h w c], "video" uint8 [b t h w c], "vector" float32 [b d] or "text" int32 [b n]
# of tokens; "label" int32 [b] (-1 where unknown), "index" int32 [b], the position in
# the dataset, and "mask" float32 [b] (0 marks padding of the last evaluation batch). Training on
# fixed crops has "crop" int32 [b], the number of an example's crop, and with a latent cache
# "encoded" [b ...], the encoder's output. In a training step a model also gets "step" int32 [], for
# what changes over a run.
Batch = dict[str, Any]

# Factor of the prior's standard deviations in generation: one for all stochastic layers, or one for
# each, top first.
Temperature = float | int | Float[Array, ""] | Sequence[float | int | Float[Array, ""]]


def examples_of(batch: Batch) -> Any:
    """Return the examples [b ...] of a batch of any modality, as NumPy or JAX arrays."""
    return batch[modalities.of_batch(batch).name]


def pixels_of(batch: Batch) -> Any:
    """Return the images [b h w c] or the clips [b t h w c] of a batch, as NumPy or JAX arrays."""
    return batch["video"] if "video" in batch else batch["image"]


@flax.struct.dataclass
class Latent:
    """A stochastic layer: the sample, its posterior and prior, and the KL between them.

    `kl` is never reduced over an example, so that free bits, active units and bits per dimension
    all reduce the same array.

    A discrete bottleneck has `indices` and no mean: `num_codes` is the number of possible indices,
    `log_q` and `log_p` are the log-probabilities of the indices under posterior and prior, and `kl`
    has one value per position. `indices` has one index for each position, or in a last axis
    several.

    If a flow maps a Gaussian's sample to z, `mean` and `logvar` are the Gaussian's, `log_q` is the
    log-density of each element of `z`, and `kl` is log_q - log p(z) of this one sample, which may
    be negative.

    If the prior is not a product of Gaussians (pipeline.priors), `log_p` is its log-density of each
    element of `z`, `prior_mean` and `prior_logvar` are None, and `kl` is the prior's closed form,
    or log q(z | x) - log_p of this sample.
    """

    z: Float[Array, "b ..."]
    kl: Float[Array, "b ..."]
    mean: Float[Array, "b ..."] | None = None
    logvar: Float[Array, "b ..."] | None = None
    prior_mean: Float[Array, "b ..."] | None = None
    prior_logvar: Float[Array, "b ..."] | None = None
    indices: Shaped[Array, "b ..."] | None = None  # integers, or JAX's float0 for their gradient
    log_q: Float[Array, "b ..."] | None = None
    log_p: Float[Array, "b ..."] | None = None
    num_codes: int = flax.struct.field(pytree_node=False, default=0)


@runtime_checkable
class Likelihood(Protocol):
    """The distribution p(x | z) over examples; a pytree, so that jit can return it.

    What is said of images holds for clips; examples without pixels have their own values in place
    of [-1, 1].
    """

    def log_prob(self, image: Shaped[Array, "b ..."], /) -> Float[Array, " b"]:
        """Return the log-probability of each uint8 image in nats, summed over its elements."""
        ...

    def sample(self, key: PRNGKeyArray) -> Float[Array, "b ..."]:
        """Draw images in [-1, 1]."""
        ...

    def mean(self) -> Float[Array, "b ..."]:
        """Return the expected images in [-1, 1]: the reconstruction."""
        ...

    def target(self, image: Shaped[Array, "b ..."], /) -> Float[Array, "b ..."]:
        """Return uint8 images as a perfect mean() would show them, also for low bit depths."""
        ...


@flax.struct.dataclass
class Outputs:
    """The outputs of a model for a batch; `aux` holds named values for a paper's own losses.

    aux["penalty"] [b], in nats, is minimized in addition to the ELBO and is not part of it
    (pipeline.losses.elbo).
    """

    recon: Any  # a Likelihood
    latents: tuple[Latent, ...]
    aux: dict[str, Any] = flax.struct.field(default_factory=dict)
