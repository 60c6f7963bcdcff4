"""Compare steps that train the decoder alone with one that trains everything: time and memory.

    python benchmarks/decoder_only_step.py [--config configs/taesd/taef2.py] [--size 64] [--batch 2]

One computes the output of the frozen encoder, and one gets it from config.latent_cache. All are the
generator's step of a recipe without a perceptual term. It prints a JSON row with the seconds of
each, the median of interleaved repeats, the bytes of the state and of XLA's temporaries, and the
ratios to the full step, and of the step with the cache to the one without.
"""

import argparse
import json
import time
from runpy import run_path

import jax
import numpy as np

from pipeline import build
from pipeline.planning.compiling import device_bytes
from pipeline.training.state import mesh as meshes
from pipeline.training.state import sharding


class Step:
    """A compiled step and its state."""

    def __init__(self, recipe: str, trainable: str, size: int, batch: int, *, cached: bool):
        config = run_path(recipe)["get_config"]()
        config.trainable = trainable
        config.objective.perceptual.weight = 0.0
        config.data.image_size = config.model.image_size = size
        config.batch_size = config.eval.batch_size = batch
        settings = build.complete(config)
        mesh = meshes.create(devices=jax.devices()[:1])
        modeldef, shapes = build.abstract_state(settings, mesh)
        self.state = build.initial_state(settings, shapes)
        images = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
        numbers = np.arange(batch, dtype=np.int32)
        about = dict(label=numbers, index=numbers, mask=np.ones(batch, np.float32))
        where = sharding.batch_sharding(mesh)
        rows = {"image": images, **about}
        if cached:
            params, others = self.state.params, self.state.model_state
            encode = jax.jit(lambda params, x: modeldef.merge(params, others).encoded(x))
            rows["encoded"] = np.asarray(encode(params, images))
        self.batch = sharding.place(rows, where)
        step = build.step(settings, modeldef, mesh)
        program = step.program(step.variant(1))
        self.program = sharding.lower_step(program, shapes, self.batch, step.frozen).compile()
        self.frozen, self.state_bytes = step.frozen, device_bytes(shapes)
        self.temp_bytes = self.program.memory_analysis().temp_size_in_bytes

    def seconds(self) -> float:
        """Return the time of one step."""
        began = time.perf_counter()
        self.state, metrics = self.program(self.state, self.batch, self.frozen)
        jax.block_until_ready(metrics)
        return time.perf_counter() - began


def main() -> None:
    """Print the row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="configs/taesd/taef2.py")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    given = parser.parse_args()
    same = (given.size, given.batch)
    kinds = {"full": "", "decoder_only": "decoder", "cached": "decoder"}
    steps = {
        name: Step(given.config, trained, *same, cached=name == "cached")
        for name, trained in kinds.items()
    }
    times = [{name: step.seconds() for name, step in steps.items()} for _ in range(given.repeats)]
    row: dict = {"config": given.config, "size": given.size, "batch": given.batch}
    seconds = {name: float(np.median([each[name] for each in times[1:]])) for name in steps}
    for name in steps:
        row[name] = {
            "seconds": round(seconds[name], 3),
            "state_bytes": steps[name].state_bytes,
            "temp_bytes": steps[name].temp_bytes,
        }
    for one, other in (("decoder_only", "full"), ("cached", "full"), ("cached", "decoder_only")):
        row[f"{one} / {other}"] = {
            key: round(row[one][key] / row[other][key], 3) for key in row["full"]
        }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
