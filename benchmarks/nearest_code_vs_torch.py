"""Compare the search for the nearest code with torch's cdist and argmin, in the same run.

    python benchmarks/nearest_code_vs_torch.py [--codes 16384] [--dim 256] [--vectors 8192]

Both get all cores that this process may use, take turns, and must find the same codes. Prints one
JSON row with the least seconds of each, their ratio (ours / torch), and the bytes that each holds
besides its inputs. Needs the extra `parity`.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from pipeline.quantization.nearest import CHUNK, nearest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--codes", type=int, default=16_384)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--vectors", type=int, default=8_192)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()

    import torch

    cores = len(os.sched_getaffinity(0))
    torch.set_num_threads(cores)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(options.vectors, options.dim)).astype(np.float32)
    codes = rng.normal(size=(options.codes, options.dim)).astype(np.float32)
    arrays, tensors = jax.device_put((x, codes)), tuple(map(torch.from_numpy, (x, codes)))
    ours = jax.jit(nearest).lower(*arrays).compile()
    functions: dict[str, Callable[[], Any]] = {
        "strata": lambda: np.asarray(ours(*arrays)),
        "torch": lambda: torch.cdist(*tensors).argmin(dim=1).numpy(),
    }
    found = {name: function() for name, function in functions.items()}
    seconds = {name: [] for name in functions}
    for _ in range(options.repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - start)
    least = {name: min(values) for name, values in seconds.items()}
    memory = ours.memory_analysis()
    print(
        json.dumps(
            {
                "codes": options.codes,
                "dim": options.dim,
                "vectors": options.vectors,
                "cores": cores,
                "chunk": CHUNK,
                "seconds": {name: round(value, 4) for name, value in least.items()},
                "ratio": round(least["strata"] / least["torch"], 3),
                "temporary_bytes": memory and memory.temp_size_in_bytes,
                "matrix_bytes": 4 * options.codes * options.vectors,
                "same_codes": float((found["strata"] == found["torch"]).mean()),
            }
        )
    )


if __name__ == "__main__":
    main()
