"""Recipes of small autoencoders, by the family of their networks; keyword arguments change them."""

from typing import Any


def autoencoder(
    encoder: dict[str, Any],
    decoder: dict[str, Any],
    *,
    bottleneck: str = "gaussian.Gaussian",
    latent_channels: int = 4,
    **settings: Any,
) -> dict[str, Any]:
    return {
        "name": "autoencoder.Autoencoder",
        "latent_channels": latent_channels,
        "encoder": encoder,
        "bottleneck": {"name": bottleneck},
        "decoder": decoder,
        **settings,
    }


def ldm(
    *,
    channels: tuple[int, ...] = (8, 16),
    num_blocks: int = 1,
    groups: int = 4,
    attention: bool = True,
    image_size: int = 8,
    quant_convs: bool = True,
    **settings: Any,
) -> dict[str, Any]:
    same = dict(channels=channels, groups=groups, attention=attention)
    return autoencoder(
        dict(name="ldm.Encoder", num_blocks=num_blocks, **same),
        dict(name="ldm.Decoder", num_blocks=num_blocks + 1, **same),
        image_size=image_size,
        quant_convs=quant_convs,
        **settings,
    )


def residual_stack(*, bottleneck: str = "vq.VQ", image_size: int = 8, **settings: Any):
    same = dict(width=4, hidden=2, depth=0)
    return autoencoder(
        dict(name="residual_stack.Encoder", **same),
        dict(name="residual_stack.Decoder", **same),
        bottleneck=bottleneck,
        latent_channels=2,
        image_size=image_size,
        **settings,
    )


def taesd(*, width: int = 64, num_blocks: int = 3, pool: bool = False, **settings: Any):
    same = dict(width=width, num_blocks=num_blocks, pool=pool)
    return autoencoder(
        dict(name="taesd.Encoder", **same),
        dict(name="taesd.Decoder", **same),
        bottleneck="identity.Identity",
        **settings,
    )


def wf_vae(
    *,
    base_channels: int = 4,
    flow_channels: int = 4,
    num_blocks: int = 0,
    time_interpolation: str = "nearest",
    authors_wavelets: bool = False,
    latent_channels: int = 2,
    image_size: int = 16,
    num_frames: int = 5,
    **settings: Any,
) -> dict[str, Any]:
    """Return a WF-VAE; without `num_blocks` it has residual blocks outside its stages alone."""
    same = dict(base_channels=base_channels, flow_channels=flow_channels, num_blocks=num_blocks)
    same |= dict(authors_wavelets=authors_wavelets)
    return autoencoder(
        dict(name="wf_vae.Encoder", **same),
        dict(name="wf_vae.Decoder", time_interpolation=time_interpolation, **same),
        latent_channels=latent_channels,
        image_size=image_size,
        num_frames=num_frames,
        **settings,
    )


def cv_vae(
    *,
    channels: tuple[int, ...] = (4, 4, 4, 4),
    num_blocks: int = 0,
    groups: int = 2,
    norm_per_frame: bool = True,
    image_size: int = 16,
    num_frames: int = 9,
    **settings: Any,
) -> dict[str, Any]:
    """Return a CV-VAE; without `num_blocks` its encoder has residual blocks in its middle alone."""
    same = dict(channels=channels, groups=groups, norm_per_frame=norm_per_frame)
    return autoencoder(
        dict(name="cv_vae.Encoder", num_blocks=num_blocks, **same),
        dict(name="cv_vae.Decoder", num_blocks=num_blocks + 1, **same),
        image_size=image_size,
        num_frames=num_frames,
        **settings,
    )
