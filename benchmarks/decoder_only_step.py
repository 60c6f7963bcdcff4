"""Compare a step that trains the decoder alone with one that trains everything: time and memory.

    python benchmarks/decoder_only_step.py [--config configs/taesd/taef2.py] [--size 64] [--batch 2]

Both are the generator's step of a recipe without a perceptual term. It prints a JSON row with the
seconds of each, the median of interleaved repeats, the bytes of the state and of XLA's temporaries,
and the ratios of the decoder-only step to the full one.
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

    def __init__(self, recipe: str, trainable: str, size: int, batch: int):
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
        self.batch = sharding.place({"image": images, **about}, where)
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
    steps = {name: Step(given.config, name, *same) for name in ("", "decoder")}
    times = [{name: step.seconds() for name, step in steps.items()} for _ in range(given.repeats)]
    row: dict = {"config": given.config, "size": given.size, "batch": given.batch}
    seconds = {name: float(np.median([each[name] for each in times[1:]])) for name in steps}
    for name, label in (("", "full"), ("decoder", "decoder_only")):
        row[label] = {
            "seconds": round(seconds[name], 3),
            "state_bytes": steps[name].state_bytes,
            "temp_bytes": steps[name].temp_bytes,
        }
    row["ratios"] = {
        key: round(row["decoder_only"][key] / row["full"][key], 3) for key in row["full"]
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
