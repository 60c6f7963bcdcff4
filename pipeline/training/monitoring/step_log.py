"""Logging of step metrics, read one step late so that no step waits for them."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from pipeline.training.monitoring.divergence import Judge
from pipeline.training.monitoring.writer import MetricWriter

# Only for incidents: one number per layer and step is too much for a log.
_HIDDEN = ("consecutive_nonfinite", "layer_gradient_norms")


class TrainLog:
    """Log of every `every`-th step's metrics, with a judge of every step.

    The metrics of step n are read after step n + 1 has been dispatched. Waiting for them also keeps
    the host from running more than one step ahead of the devices.

    `report(step, values, waited)` is called for the steps that are written, with the seconds that
    the host has waited for the devices since the last one. `incident(step, reason, metrics,
    examples)` is called for the first of a row of bad steps.
    """

    def __init__(
        self,
        writer: MetricWriter,
        judge: Judge,
        *,
        every: int,
        report: Callable[[int, Mapping[str, Any], float], None],
        incident: Callable[[int, str, Mapping[str, Any], np.ndarray], None],
    ):
        self._writer, self._judge, self._every = writer, judge, every
        self._report, self._incident = report, incident
        self._pending: tuple[int, Mapping[str, Any], np.ndarray] | None = None
        self._waited = 0.0

    def step(self, step: int, metrics: Mapping[str, Any], examples: np.ndarray) -> None:
        """Take a dispatched step's metrics and example indices; write the previous step's."""
        self.drain()
        self._pending = step, metrics, examples

    def drain(self) -> None:
        """Wait for the step taken last, and write its metrics if they are due.

        Raises:
          RollBack: too many steps in a row were bad.
        """
        if self._pending is None:
            return
        step, metrics, examples = self._pending
        self._pending = None
        began = time.monotonic()
        loss, nonfinite = jax.device_get((metrics["loss"], metrics["consecutive_nonfinite"]))
        self._waited += time.monotonic() - began
        if self._every > 0 and step % self._every == 0:
            values = jax.device_get(
                {name: value for name, value in metrics.items() if name not in _HIDDEN}
            )
            self._writer.scalars(step, "train", values)
            self._report(step, values, self._waited)
            self._waited = 0.0
        reason = self._judge.step(step, float(loss), not nonfinite)
        if reason is not None and self._judge.consecutive_bad == 1:
            self._incident(step, reason, jax.device_get(dict(metrics)), examples)


def first_bad_layer(
    metrics: Mapping[str, Any], layers: Sequence[str], losses: Sequence[str]
) -> str:
    """Return where a value stopped being finite, or "none".

    In the forward pass, that is the first stochastic layer whose KL is not finite, or else the
    first loss. If they are all finite, it happened in the backward pass, which runs from the
    output: the last layer in forward order whose gradient is not finite. If these are finite too,
    it is in what the step would have written. `layers` are the names of the metrics'
    layer_gradient_norms, and `losses` the metrics of the losses.
    """
    kl = np.asarray(metrics.get("kl", ()))
    if not np.isfinite(kl).all():
        return f"the KL of stochastic layer {int(np.argmin(np.isfinite(kl)))} of {len(kl)}"
    for name in losses:
        if not np.isfinite(metrics.get(name, 0.0)):
            return f"the {name} loss (every KL is finite)"
    bad = np.flatnonzero(~np.isfinite(metrics["layer_gradient_norms"]))
    if len(bad):
        share = f"{len(bad)} of {len(layers)} layers"
        return f"the gradient of {layers[bad[-1]]} ({share}; the forward pass is finite)"
    if metrics.get("consecutive_nonfinite", 0):
        return "the update (the loss and every gradient are finite)"
    return "none"
