"""The compiled training steps of a run, made when a step first needs them."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax

from pipeline.backend.jit import compiling
from pipeline.training.run_spec import RunSpec, StageRun
from pipeline.training.runtime import malloc, preflight
from pipeline.training.runtime.phases import Phases
from pipeline.training.state import sharding
from pipeline.training.state.train_state import TrainState


class Programs:
    """One program for each stage, variant of its step and shape of batches.

    Attributes:
      peak_share: FLOPs of the last program over a device's published peak per second: multiplied
        by steps per second, the model FLOPs utilization. None if either is unknown.
    """

    def __init__(self, spec: RunSpec, phases: Phases, say: Callable[[str], None]):
        self._spec, self._phases, self._say = spec, phases, say
        self._programs: dict[Any, tuple[Any, float | None]] = {}
        self._frozen: dict[int, Any] = {}
        self.peak_share: float | None = None

    @property
    def is_empty(self) -> bool:
        """Return whether nothing has been compiled yet."""
        return not self._programs

    def __call__(self, step: int, state: TrainState, batch: Mapping[str, jax.Array]) -> Any:
        """Return the program of `step`, (state, batch) -> (state, metrics); compile it if new."""
        stage = self._spec.stage(step)
        variant = stage.step.variant(step)
        key = (stage.number, variant, *(array.shape for array in batch.values()))
        if key not in self._programs:
            self._programs[key] = self._compile(stage, variant, state, batch)
        program, self.peak_share = self._programs[key]
        return program

    def _compile(
        self, stage: StageRun, variant: str, state: TrainState, batch: Mapping[str, jax.Array]
    ) -> tuple[Any, float | None]:
        frozen = self._placed(stage)
        before = self._phases.seconds["compile"]
        # The line that follows has the time.
        with self._phases("compile"), compiling("the training step", says_end=False):
            lowered = sharding.lower_step(stage.step.program(variant), state, batch, frozen)
            preflight.check_program(lowered)
            program = lowered.compile()
            malloc.trim()
        self._say(f"compiled in {self._phases.seconds['compile'] - before:.1f} s")
        return functools.partial(_run, program, frozen), self._peak_share(program)

    def _placed(self, stage: StageRun) -> Any:
        """Return the arrays that the step only reads, replicated over the mesh.

        Stages with the same arrays share a copy.
        """
        frozen = stage.step.frozen
        # The spec keeps the arrays alive, so that their ids stay theirs.
        if id(frozen) not in self._frozen:
            self._frozen[id(frozen)] = sharding.replicate(self._spec.mesh, frozen)
        return self._frozen[id(frozen)]

    def _peak_share(self, program: Any) -> float | None:
        if self._spec.peak_flops is None:
            return None
        flops = (program.cost_analysis() or {}).get("flops")
        return flops / self._spec.peak_flops if flops else None


def _run(program: Any, frozen: Any, state: TrainState, batch: Mapping[str, jax.Array]) -> Any:
    return program(state, batch, frozen)
