"""The stream of batches of a run, placed on the devices."""

import itertools
from collections.abc import Generator, Sequence

import jax
import numpy as np

from pipeline.training.latent_cache import Encoded
from pipeline.training.monitoring.divergence import batch_number
from pipeline.training.run_spec import RunSpec
from pipeline.training.runtime.phases import Phases
from pipeline.training.state import sharding


def feed(
    spec: RunSpec,
    start: int,
    skipped: Sequence[int],
    phases: Phases,
    encoded: Encoded | None = None,
) -> Generator[tuple[dict[str, jax.Array], np.ndarray], None, None]:
    """Yield (batch on the devices, indices of this process's examples) from step start + 1 on.

    Each stage reads its own dataset; the numbering of batches continues across stages. Batches in
    `skipped` (sorted) are left out. With `encoded`, a batch has the encoder's outputs too.
    """
    placement = sharding.batch_sharding(spec.mesh)
    step = start
    while True:
        stage = spec.stage(step + 1)
        first = batch_number(step, skipped)
        rows = sharding.local_rows(placement, stage.batch_size)
        with stage.data.train(stage.batch_size, spec.seed, start_step=first, rows=rows) as batches:
            for number in itertools.count(first):
                with phases("data"):
                    batch = next(batches)
                    if encoded is not None:
                        batch = batch | {"encoded": encoded.of(batch)}
                if number not in skipped:
                    yield sharding.place(batch, placement), batch["index"]
                    step += 1
                if spec.stage(step + 1) is not stage:
                    break
