"""A perceptual distance of each frame (LPIPS, arXiv 1801.03924, and distances like it)."""

from pipeline.frozen import lpips
from pipeline.losses.term import Term, Weight, recon_and_target

PATHS = ("weights", "heads")  # Arguments that say where files are on this machine.


def perceptual(
    *,
    network: str = "vgg16",
    weights: str = "",
    heads: str = "",
    weight: Weight = 1.0,
    where: str = "objective.perceptual",
) -> Term:
    """Return the perceptual distance of images, which counts once for each value of a frame.

    network: "vgg16" and "squeezenet" are LPIPS; "squeezenet_caffe" has no learned heads and is not
    LPIPS. weights: file of the network's weights. heads: file of LPIPS's learned heads.
    """
    distance, arrays = lpips.create(network, weights=weights, heads=heads, where=where)

    def value(outputs, batch, step, frozen):
        recon, x = recon_and_target(outputs, batch)
        return distance(frozen, x, recon).reshape(x.shape[0], -1).sum(axis=1)

    return Term(
        value, weight, log_name=distance.log_name, likelihood=True, per_value=True, frozen=arrays
    )
