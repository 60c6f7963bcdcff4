"""Metrics of the training steps, read one step late so that no step waits for them."""

from collections.abc import Mapping
from typing import Any

import jax

from pipeline.errors import Diverged
from pipeline.training.progress import Progress
from pipeline.training.writer import MetricWriter

# So many steps in a row without a finite loss and gradient, and no later one will have them.
MAX_NONFINITE = 50


class TrainLog:
    """Writes the metrics of every `every`-th step.

    Those of step n are touched when n + 1 has been dispatched. Waiting for n then also keeps the host from
    running more than a step ahead of the devices.
    """

    def __init__(self, writer: MetricWriter, progress: Progress, *, every: int):
        self._writer, self._progress, self._every = writer, progress, every
        self._pending: tuple[int, Mapping[str, Any]] | None = None

    def step(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Takes the metrics of a step just dispatched, and writes those of the one before if they are due."""
        self.drain()
        self._pending = step, metrics

    def drain(self) -> None:
        """Waits for the step taken last, and writes its metrics if they are due.

        Raises:
          Diverged: too many steps in a row were not finite.
        """
        if self._pending is None:
            return
        step, metrics = self._pending
        self._pending = None
        stuck = int(metrics["nonfinite_in_a_row"])  # this waits for the step
        if (self._every > 0 and step % self._every == 0) or stuck >= MAX_NONFINITE:
            self._write(step, metrics)
        if stuck >= MAX_NONFINITE:
            raise Diverged(
                f"step {step}: the loss or its gradient was not finite for {stuck} steps in a row, and none of them "
                "was applied; lower optimizer.learning_rate or optimizer.skip_norm, and start from an older checkpoint"
            )

    def _write(self, step: int, metrics: Mapping[str, Any]) -> None:
        values = jax.device_get({name: value for name, value in metrics.items() if name != "nonfinite_in_a_row"})
        loss, elbo = float(values["loss"]), float(values["elbo"])
        timing = self._progress.report(step, loss, elbo, int(values["skipped"]))
        self._writer.scalars(step, "train", values)
        self._writer.timings(step, timing)
