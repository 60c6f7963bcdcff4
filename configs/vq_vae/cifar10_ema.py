"""VQ-VAE (arXiv 1711.00937, appendix A.1) with codes that are moving averages: 662,723 parameters.

    strata train --config configs/vq_vae/cifar10_ema.py --workdir runs/vq_vae_cifar10_ema \\
        --config.data.path=data/cifar10

configs/vq_vae/cifar10.py, whose 512 codes are here no parameters: each is the average of the
vectors that chose it, with the decay of 0.99 of the authors' Sonnet code. The commitment is the
only term of the codes. We know of no figure to expect.

Deviations: those of pipeline/codebooks/moving_average.py, and that codes which less than one vector
in ten steps chooses restart at a vector of the batch; restart_below=0 of the codebook turns it off.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

vq = run_path(str(Path(__file__).with_name("cifar10.py")))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` is as in configs/vq_vae/cifar10.py."""
    config = vq["get_config"]()
    config.model.bottleneck.codebook = dict(
        name="moving_average.MovingAverage",
        decay=0.99,
        smoothing=1e-5,
        restart_below=0.1,
        deviation=0.125,
    )
    del config.objective.quantization
    config.objective.commitment = dict(weight=0.25)
    return vq["tiny"](config) if arg == "tiny" else config
