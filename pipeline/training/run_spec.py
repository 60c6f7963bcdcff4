"""A run as the train loop receives it: every object and number it needs, with no recipe to read."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from jax.sharding import Mesh

from pipeline.core.parameters import ModelDef
from pipeline.training.latent_cache import LatentCache
from pipeline.training.provenance import Provenance
from pipeline.training.state.train_state import TrainState
from pipeline.training.steps.adversarial import AdversarialStep
from pipeline.training.steps.elbo import ElboStep

if TYPE_CHECKING:  # `strata bench train` runs without Grain
    from pipeline.data.loading.dataset import Dataset


@dataclasses.dataclass(frozen=True)
class EvalOptions:
    """Intervals and sizes of a stage's evaluations and pictures; an interval of 0 means never.

    Attributes:
      every: steps between evaluations on `num_examples` held-out examples, at most all.
      sample_every: steps between pictures of `num_samples` samples and reconstructions.
      likelihood: whether the model has a likelihood to evaluate and a prior to sample from.
    """

    every: int
    num_examples: int
    batch_size: int
    sample_every: int
    num_samples: int
    likelihood: bool


@dataclasses.dataclass(frozen=True)
class StageRun:
    """Data, model and step for the steps begin + 1 to end of a run.

    `reset_discriminator` starts the stage with a newly initialized discriminator.
    """

    number: int
    begin: int
    end: int
    batch_size: int
    data: "Dataset"
    modeldef: ModelDef
    step: ElboStep | AdversarialStep
    eval: EvalOptions
    reset_discriminator: bool = False


@dataclasses.dataclass(frozen=True)
class CheckpointOptions:
    """Folder and frequency of checkpoints, and the rule by which they are kept.

    An empty `folder` is the default one in the workdir. The other fields have the meaning that they
    have in `pipeline.training.checkpoints.store.Checkpoints`.
    """

    folder: str
    every: int
    keep: int
    keep_every: int
    best: str
    keep_best: int
    max_failures: int


@dataclasses.dataclass(frozen=True)
class DivergenceOptions:
    """Criteria of divergence, and the number of rollbacks before a run gives up."""

    patience: int
    spike_sigma: float | int
    max_rollbacks: int


@dataclasses.dataclass(frozen=True)
class RuntimeOptions:
    """Logging, watchdog and shutdown of a run's processes; a value of 0 turns each off.

    Attributes:
      log_every: steps between two lines of metrics.
      watchdog_minutes: minutes without progress after which a process is terminated.
      grace_seconds: seconds from SIGTERM until a process exits without saving.
    """

    log_every: int
    watchdog_minutes: float | int
    grace_seconds: float | int


@dataclasses.dataclass(frozen=True)
class RunSpec:
    """Complete input of `pipeline.training.loop.train`.

    Attributes:
      name: the model's name, for messages.
      provenance: properties saved in checkpoints and compared when the run resumes.
      seed: seed of all random numbers, including the order of the data.
      mesh: the devices.
      peak_flops: published peak FLOP/s of one device at the run's dtype; None if unknown.
      shapes: the state as shapes with shardings over the mesh.
      initial_state: creates the state before the first step.
      new_discriminator: creates the discriminator's state for a stage that begins after a step.
      stages: in order, without gaps from step 0 on.
      began: time.monotonic() when set-up began; goodput counts from here.
      notes: lines to show when the run begins.
      latent_cache: where the outputs of a frozen encoder are kept; None to compute them.
    """

    name: str
    provenance: Provenance
    seed: int
    mesh: Mesh
    peak_flops: float | None
    shapes: TrainState
    initial_state: Callable[[], TrainState]
    new_discriminator: Callable[[int], TrainState]
    stages: Sequence[StageRun]
    checkpoint: CheckpointOptions
    divergence: DivergenceOptions
    runtime: RuntimeOptions
    began: float
    notes: Sequence[str] = ()
    latent_cache: LatentCache | None = None

    @property
    def num_steps(self) -> int:
        """The number of the last step."""
        return self.stages[-1].end

    def stage(self, step: int) -> StageRun:
        """Return the stage of a step, counted from 1; the last stage for steps beyond the end."""
        return next((stage for stage in self.stages if step <= stage.end), self.stages[-1])
