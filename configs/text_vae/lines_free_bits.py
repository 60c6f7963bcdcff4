"""The sentence VAE with free bits (arXiv 1606.04934, eq. 15): 728,304 parameters.

    strata train --config configs/text_vae/lines_free_bits.py --workdir runs/text_free_bits

Data, network and optimizer are those of lines.py. The KL of each of the 16 latents is charged only
above 0.5 nats, on average over a batch, so that using 8 nats of the latents costs nothing. Its
weight is 1 from the start. docs/benchmarks/likelihoods.md has what we measured.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

lines = run_path(str(Path(__file__).parent / "lines.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` is that of lines.py."""
    config = lines["get_config"](arg)
    del config.objective.rate
    config.objective.free_bits = dict(minimum=0.5)
    return config
