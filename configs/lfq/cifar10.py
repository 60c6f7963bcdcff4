"""Look-up free quantization (LFQ, arXiv 2310.05737) in the network of VQ-VAE on CIFAR-10.

    strata train --config configs/lfq/cifar10.py --workdir runs/lfq_cifar10 \\
        --config.data.path=data/cifar10

configs/vq_vae/cifar10.py with the signs of nine elements, 512 codes, in place of a codebook:
592,268 parameters. The weights of entropy and commitment, 0.1 and 0.25, are those of
Open-MAGVIT2 (2409.04410), and so is the temperature. We know of no figure to expect: check that
codebook_perplexity stays near 512.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

vq = run_path(str(Path(__file__).parents[1] / "vq_vae" / "cifar10.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` is as in configs/vq_vae/cifar10.py."""
    config = vq["get_config"]()
    config.model.latent_channels = 9
    config.model.bottleneck = dict(name="lfq.LFQ", temperature=0.01)
    del config.objective.quantization
    config.objective.bit_entropy = dict(weight=0.1, diversity=1.0, group=9)
    config.objective.commitment = dict(weight=0.25)
    return vq["tiny"](config) if arg == "tiny" else config
