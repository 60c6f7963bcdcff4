"""The log of a run: its progress line, metrics, incidents and goodput."""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from pipeline.training.monitoring.divergence import Skipped
from pipeline.training.monitoring.goodput import Goodput
from pipeline.training.monitoring.progress import Progress
from pipeline.training.monitoring.step_log import first_bad_layer
from pipeline.training.monitoring.writer import MetricWriter
from pipeline.training.run_spec import RunSpec
from pipeline.training.runtime.cluster_status import ClusterStatus
from pipeline.training.runtime.phases import Phases
from pipeline.training.update import by_layer


class RunLog:
    """Reports of a run; only the first process writes.

    `writer` exists from `open` on.
    """

    def __init__(
        self,
        spec: RunSpec,
        folder: pathlib.Path,
        phases: Phases,
        peers: ClusterStatus,
        skipped: Skipped,
    ):
        self._spec, self._folder, self._peers, self._skipped = spec, folder, peers, skipped
        self._first_process = enabled = jax.process_index() == 0
        sizes = dict(num_steps=spec.num_steps, batch_size=spec.stages[0].batch_size)
        self.progress = Progress(**sizes, phases=phases, enabled=enabled)
        self.goodput = Goodput(folder, phases, enabled=enabled)
        self._layers = list(by_layer(spec.shapes.ema))  # of the trained parameters
        self.writer: Any = None

    def open(self, resume_step: int) -> None:
        """Open the metrics files, cut back to the step that the run resumes from."""
        self.goodput.resumed(resume_step)
        enabled = self._first_process
        self.writer = MetricWriter(self._folder, resume_step=resume_step, enabled=enabled)

    def close(self) -> None:
        """Flush and close all files, and leave the progress line as it is."""
        if self.writer is not None:
            self.writer.close()
        self.progress.close()

    def cut_back(self, step: int) -> None:
        """Drop log entries after `step`, to which the run returns."""
        self.writer.cut_back(step)
        self.goodput.resumed(step)

    def say(self, message: str) -> None:
        """Print a line on the console that stays."""
        self.progress.say(message)

    def announce(self, start: int, *, compiling: bool) -> None:
        """Print the model, the devices and the first step of the training that begins."""
        spec, shapes = self._spec, self._spec.shapes
        count = _num_parameters(shapes)
        sizes = " x ".join(f"{axis}={size}" for axis, size in spec.mesh.shape.items())
        processes = f" of {jax.process_count()} processes" if jax.process_count() > 1 else ""
        discriminator = ""
        if shapes.discriminator:
            discriminator = f"a discriminator of {_num_parameters(shapes.discriminator):,}, "
        stage = ""
        if len(spec.stages) > 1:
            stage = f", stage {spec.stage(start + 1).number + 1} of {len(spec.stages)}"
        self.say(
            f"{spec.name}: {count:,} parameters, {discriminator}"
            f"{spec.stages[0].data.num_examples:,} examples, mesh {sizes}{processes}, "
            f"{f'resuming after step {start}' if start else _beginning(spec)}{stage}"
            f"{'; compiling' if compiling else ''}"
        )

    def report(
        self,
        step: int,
        values: Mapping[str, Any],
        waited: float,
        *,
        peak_share: float | None,
        checkpoint_failures: int,
    ) -> None:
        """Show a step's metrics in the progress line and write its timings.

        Args:
          waited: seconds that the host has waited for the devices since the last report.
          peak_share: FLOPs of a step over the peak of a device, see `Programs`.
        """
        stage = self._spec.stage(step)
        shown = stage.step.console_summary(values)
        timing = self.progress.report(step, shown, int(values["skipped"]), stage.batch_size)
        self._peers.publish(step, waited)
        if peak_share is not None:
            timing["mfu"] = peak_share * timing["steps_per_s"]
        timing["checkpoint_failures"] = checkpoint_failures
        self.writer.timings(step, timing | self.goodput.report(step))
        if not self._first_process:
            return
        straggler = self._peers.straggler(1 / timing["steps_per_s"])
        if straggler:
            self.say(f"step {step}: {straggler}")
            self.writer.incident(step, "straggler", what=straggler)

    def incident(
        self, step: int, reason: str, metrics: Mapping[str, Any], examples: np.ndarray
    ) -> None:
        """Report a bad step, with its batch, its examples and the first layer that went wrong.

        All processes must call it together.
        """
        if jax.process_count() > 1:
            examples = multihost_utils.process_allgather(examples, tiled=True)
        batch, losses = self._skipped.batch_of(step), self._spec.stage(step).step.log_names
        layer = first_bad_layer(metrics, self._layers, losses)
        indices = list(dict.fromkeys(examples.tolist()))
        where = f"; first: {layer}" if layer != "none" else ""
        self.say(f"step {step}: {reason}{where}; batch {batch}, examples {few(indices)}")
        self.writer.incident(
            step, "bad step", reason=reason, first_layer=layer, batch=batch, examples=indices
        )


def few(numbers: list[int], most: int = 16) -> str:
    """Return the first `most` numbers as text, and how many more there are."""
    more = f" and {len(numbers) - most} more" if len(numbers) > most else ""
    return ", ".join(map(str, numbers[:most])) + more


def _beginning(spec: RunSpec) -> str:
    """Return what a new run starts from."""
    origin = spec.provenance.origin
    if origin is None:
        return "from scratch"
    some = f"the arrays {', '.join(origin['arrays'])} of " if "arrays" in origin else ""
    return f"from {some}codec {origin['codec']} (sha256 {origin['fingerprint'][:12]})"


def _num_parameters(state: Any) -> int:
    return sum(leaf.size for leaf in state.params.values())
