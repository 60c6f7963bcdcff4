"""The sentence VAE with cyclical annealing (arXiv 1903.10145): 728,304 parameters.

    strata train --config configs/text_vae/lines_cyclical.py --workdir runs/text_cyclical

Data, network and optimizer are those of lines.py. Four cycles take the whole run: the weight rises
from 0 to 1 in the first half of each, and stays at 1 in the second. Each rise starts from latents
that the last one taught to be used. docs/benchmarks/likelihoods.md has what we measured.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict

lines = run_path(str(Path(__file__).parent / "lines.py"))


def get_config(arg: str = "") -> ConfigDict:
    """Return the recipe; `:tiny` is that of lines.py with one cycle in 4 steps."""
    config = lines["get_config"](arg)
    steps, cycles = (4, 1) if arg == "tiny" else (config.num_steps, 4)
    config.objective.rate = dict(weight=dict(name="cyclical", steps=steps, cycles=cycles))
    return config
