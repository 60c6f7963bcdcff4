"""Measure the Python overhead of the train loop with a step of almost no compute.

    python benchmarks/loop_overhead.py [--steps 3000]

The loop of `strata train` runs a one-layer VAE on 4x4 images with packed arrays as data; the
baseline calls the same compiled step in a bare `for`. Prints one JSON row: milliseconds per step of
each, and the difference.
"""

import argparse
import json
import pathlib
import tempfile
import time

import jax
import numpy as np
from ml_collections import ConfigDict

from pipeline import build
from pipeline.training import loop
from pipeline.training.state import sharding


def recipe(steps: int, images: pathlib.Path) -> ConfigDict:
    config = ConfigDict(dict(num_steps=steps, batch_size=4, seed=0))
    config.data = dict(
        source="arrays", path=str(images), image_size=4, channels=1, eval_fraction=0.0
    )
    config.model = dict(
        name="vae.VAE", image_size=4, image_channels=1, channels=(2,), hidden=(2,), latent_dim=1
    )  # fmt: skip
    config.optimizer = dict(name="adamw", learning_rate=1e-3)
    config.checkpoint = dict(every=steps)
    config.log = dict(every=50)
    config.mesh = dict(replica=1, fsdp=1, context=1)
    return config


def bare(config: ConfigDict) -> float:
    """Return seconds per step of the compiled step alone, waiting one step late like the loop."""
    settings = build.complete(config)
    mesh = build.mesh(settings)
    modeldef, shapes = build.abstract_state(settings, mesh)
    state = build.initial_state(settings, shapes)
    with build.dataset(settings).train(settings["batch_size"], 0) as stream:
        batch = sharding.place(next(stream), sharding.batch_sharding(mesh))
    step = sharding.lower_step(build.step(settings, modeldef, mesh), state, batch).compile()
    previous = None
    began = time.perf_counter()
    for _ in range(settings["num_steps"]):
        state, metrics = step(state, batch)
        if previous is not None:
            jax.device_get(previous["loss"])
        previous = metrics
    jax.block_until_ready(state)
    return (time.perf_counter() - began) / settings["num_steps"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=3000)
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        images = pathlib.Path(folder) / "images.npy"
        np.save(images, np.random.default_rng(0).integers(0, 256, (512, 4, 4), np.uint8))
        config = recipe(flags.steps, images)
        alone = bare(config)
        workdir = pathlib.Path(folder) / "run"
        loop.train(build.run_spec(build.complete(config)), workdir)
        seconds = json.loads((workdir / "goodput.json").read_text())["seconds"]
    inside = (seconds["step"] + seconds["data"]) / flags.steps
    row = {
        "loop_ms": 1000 * inside,
        "bare_ms": 1000 * alone,
        "overhead_ms": 1000 * (inside - alone),
    }
    print(
        json.dumps({name: round(value, 3) for name, value in row.items()} | {"steps": flags.steps})
    )


if __name__ == "__main__":
    main()
