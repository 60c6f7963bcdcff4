"""RQ-VAE (arXiv 2203.01941): 100,207,491 parameters, 32x32 pixels to four of 16,384 codes.

    strata train --config configs/rq_vae/f32.py --workdir runs/rq_vae_f32 \\
        --config.data.path=data/imagenet \\
        --config.objective.perceptual.weights=vgg16-397923af.pth \\
        --config.objective.perceptual.heads=vgg.pth

An image of 256x256 becomes 8x8 positions with four codes each, 3,584 bits; all levels share one
codebook of moving averages, which are no parameters. The network is VQGAN's with one halving more;
the loss is the mean squared error, LPIPS, the commitment (the mean over the sums after each level,
eq. 7) and a discriminator. Adam with 4e-5, batches of 32 a GPU, and 10 epochs of ImageNet are the
authors'. Unused codes restart at vectors of the batch.

Deviations: those of configs/vqgan/f16_1024.py and of pipeline/codebooks/moving_average.py; a
restarted code gets no noise. Of 4 GPUs, the steps are those of 10 epochs. We know of no figure to
expect.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

vqgan = run_path(str(Path(__file__).parents[1] / "vqgan" / "f16_1024.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` is as in configs/vqgan/f16_1024.py, with two levels."""
    config = vqgan["get_config"]()
    config.num_steps = 100_000
    config.batch_size = 128
    for network in (config.model.encoder, config.model.decoder):
        network.channels = (128, 128, 256, 256, 512, 512)
        network.attention_levels = (5,)
    config.model.bottleneck = ConfigDict()
    config.model.bottleneck.name = "residual_vq.ResidualVQ"
    config.model.bottleneck.levels = 4
    config.model.bottleneck.num_codes = 16_384
    config.model.bottleneck.shared = True
    config.model.bottleneck.codebook = dict(
        name="moving_average.MovingAverage", decay=0.99, smoothing=1e-5, restart_below=1.0
    )
    config.objective.l2 = dict(weight=1.0)
    config.objective.commitment = dict(weight=0.25)
    del config.objective.l1
    del config.objective.quantization_swapped
    config.objective.adversarial.weight = 0.75
    config.objective.adversarial.start = 0
    config.discriminator.num_layers = 2
    config.optimizer.learning_rate = 4e-5
    if arg == "tiny":
        vqgan["tiny"](config)
        config.model.bottleneck.levels = 2
    return config
