"""The one train loop. What a step does is the step's matter (steps/); the loop feeds it, reports, saves and resumes."""

import contextlib
import dataclasses
import functools
import hashlib
import itertools
import json
import pathlib
import sys
from collections.abc import Generator, Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from pipeline.build import run as build
from pipeline.build import run_stages, stages
from pipeline.core import chips
from pipeline.core.errors import ConfigError, Diverged, Preempted
from pipeline.training import workdir
from pipeline.training.checkpoints.store import Checkpoints
from pipeline.training.monitoring.divergence import Judge, RollBack, Skipped, batch_number
from pipeline.training.monitoring.evaluation import Reports
from pipeline.training.monitoring.goodput import Goodput
from pipeline.training.monitoring.progress import Progress
from pipeline.training.monitoring.step_log import TrainLog, first_bad_layer
from pipeline.training.monitoring.writer import MetricWriter
from pipeline.training.runtime import cluster_status, environment, malloc, preflight
from pipeline.training.runtime.phases import Phases
from pipeline.training.runtime.preemption import Preemption
from pipeline.training.runtime.watchdog import Watchdog
from pipeline.training.state import sharding
from pipeline.training.state import train_state as states
from pipeline.training.state.train_state import TrainState
from pipeline.training.update import by_layer


def train(config: ConfigDict, folder: str | pathlib.Path, *, force_config: bool = False) -> None:
    """Trains what the recipe says in `folder`, from its newest checkpoint if there is one, to config.num_steps.

    Raises:
      ConfigError, DataError: before anything is compiled. CheckpointError: a restore failed, or too many saves; what
        was saved before stays. Preempted: after SIGTERM, with the step saved. Diverged: rolling back did not help.
    """
    settings = build.complete(config)
    environment.use_compilation_cache()
    with contextlib.ExitStack() as stack:
        run = Run(settings, pathlib.Path(folder), stack, force=force_config)
        start, state = run.resume()
        if start >= settings["num_steps"]:
            run.mark_done(start)
            run.progress.say(f"{folder} is done: step {start} of {settings['num_steps']}")
            return
        while True:
            try:
                run.steps(start, state)
                break
            except RollBack as event:
                start, state = run.roll_back(event)
        run.finish()


class Run:
    """What a run is made of, from its config, and what happens in it; all that it opens is closed with `stack`."""

    def __init__(
        self,
        settings: dict[str, Any],
        folder: pathlib.Path,
        stack: contextlib.ExitStack,
        *,
        force: bool,
    ):
        self.settings, self.folder, self.force = settings, folder, force
        self.phases = Phases()
        self.first_process = jax.process_index() == 0
        self.peers = cluster_status.ClusterStatus(self.phases)
        with cluster_status.raise_on_all_processes("setting up"):
            self.mesh, self.extras = build.mesh(settings), build.extras(settings)
            self._create, self._optimizer = (
                build.model_maker(settings),
                build.update(settings).optimizer,
            )
            self.shapes = build.abstract(settings, self.mesh)[1]
            self.parts = run_stages.set_up(settings, self.mesh, self.shapes)
            self.data, self._frozen_fingerprint = (
                self.parts[0].data,
                run_stages.fingerprint(self.parts),
            )
            self._layers = list(by_layer(self.shapes.params))
            if self.first_process:
                workdir.claim(folder, settings, force=force)
                workdir.write_json(folder / "env.json", environment.describe())
        preflight.check_devices(self.mesh)
        self._open(stack)

    def _open(self, stack: contextlib.ExitStack) -> None:
        settings, phases = self.settings, self.phases
        sizes = dict(num_steps=settings["num_steps"], batch_size=settings["batch_size"])
        self.preemption = Preemption(grace_s=settings["preemption"]["grace_seconds"])
        stack.callback(self.preemption.close)
        self.progress = Progress(**sizes, phases=phases, enabled=self.first_process)
        stack.callback(self.progress.close)
        kept = {
            name: settings["checkpoint"][name]
            for name in ("keep", "keep_every", "best", "keep_best", "max_failures")
        }
        self.checkpoints = Checkpoints(workdir.checkpoint_folder(self.folder, settings), **kept)
        stack.callback(self.checkpoints.close)
        watched = dict(minutes=settings["watchdog"]["minutes"], process=jax.process_index())
        watchdog = Watchdog(phases, self.folder, others=self.peers.describe, **watched)
        stack.callback(watchdog.close)
        self.goodput = Goodput(self.folder, phases, enabled=self.first_process)
        self.skipped = Skipped(self.folder)
        self._stack = stack
        self._compiled: Any = None
        self._programs: dict[Any, tuple[Any, float | None]] = {}

    def _part(self, step: int) -> run_stages.Part:
        """That of the step's stage."""
        return self.parts[stages.stage_of([part.stage for part in self.parts], step).number]

    def resume(self) -> tuple[int, TrainState | None]:
        """The newest checkpoint's step and state; (0, None) without one. Then opens what is cut back to that step."""
        with self.phases("restore"):
            with cluster_status.raise_on_all_processes("looking for room"):
                preflight.check_disk(self.checkpoints.folder, self.shapes)
            start, state = self._restore()
        preflight.check_agreement(self.settings, self._fingerprint, start)
        self.goodput.resumed(start)
        if start < self.settings["num_steps"] and self.first_process:
            (self.folder / "DONE").unlink(missing_ok=True)
        self.writer = self._stack.enter_context(
            contextlib.closing(
                MetricWriter(self.folder, resume_step=start, enabled=self.first_process)
            )
        )
        return start, state

    def _reports(self, part: run_stages.Part) -> Reports:
        if part.reports is None:
            part.reports = Reports(
                part.settings,
                part.data,
                part.modeldef,
                self.mesh,
                self.writer,
                self.progress,
                on_batch=self._alive,
            )
        return part.reports

    def steps(self, start: int, restored: TrainState | None) -> None:
        """From the state after step `start`, the first one if there is none, to the last step or to an exception."""
        settings = self.settings
        state: Any = restored
        if state is None:
            state = states.initialise(
                self._create, self._optimizer, self.shapes, settings["seed"], self.extras
            )
        judge = Judge(settings["divergence"]["patience"], settings["divergence"]["spike_sigma"])
        callbacks: Any = dict(report=self._report, incident=self._incident)
        log = TrainLog(self.writer, judge, every=settings["log"]["every"], **callbacks)
        self.progress.say(self._headline(start))
        with contextlib.closing(self._feed(start)) as feed:
            batch, examples = next(feed)
            self._compile(start + 1, state, batch)
            self.phases.enter("step")
            self.progress.start(start)
            for step in range(start + 1, settings["num_steps"] + 1):
                state = self._entered(step, state)
                state, metrics = self._compile(step, state, batch)(state, batch)
                taken = examples
                batch, examples = next(feed)  # while the devices work
                log.step(step, metrics, taken)
                self.phases.beat(step)
                self._between_steps(step, state, log, judge)
            log.drain()

    def _entered(self, step: int, state: TrainState) -> TrainState:
        """The state before a step: where a stage begins that wants a new discriminator, with that."""
        stage = self._part(step).stage
        if step != stage.begin + 1 or len(self.parts) == 1:
            return state
        new = "; a new discriminator" if stage.reset_discriminator else ""
        self.progress.say(f"step {step}: stage {stage.number + 1} of {len(self.parts)} begins{new}")
        if not stage.reset_discriminator:
            return state
        discriminator = states.new_discriminator(
            self.extras, self.shapes, self.settings["seed"], stage.begin
        )
        return dataclasses.replace(state, discriminator=discriminator)

    def _between_steps(self, step: int, state: TrainState, log: TrainLog, judge: Judge) -> None:
        last, results, part = step == self.settings["num_steps"], None, self._part(step)
        try:
            if _due(step, part.settings["eval"]["every"], last):
                log.drain()
                with self.phases("evaluate"):
                    results = self._reports(part).evaluate(step, state)
            if _due(step, part.settings["sample"]["every"], last):
                with self.phases("pictures"):
                    self._reports(part).pictures(step, state)
            if not last:
                self.preemption.raise_if_due()
        except Preempted:
            log.drain()
            self._save(step, state, judge)
            self.checkpoints.wait()
            self.writer.incident(step, "preempted")
            latest = self.checkpoints.latest()
            kept = (
                f"the same command resumes after step {latest}"
                if latest
                else "there is no checkpoint yet"
            )
            raise Preempted(f"preempted after step {step}; {kept}") from None
        # Last, so that a checkpoint of this step means that all reports up to it are on disk.
        if last or _due(step, self.settings["checkpoint"]["every"]):
            log.drain()
            self._save(step, state, judge, results)

    def _save(
        self, step: int, state: TrainState, judge: Judge, results: Mapping[str, Any] | None = None
    ) -> None:
        if judge.consecutive_bad and step < self.settings["num_steps"]:
            # The run may be about to go back to before this row, which must then be the newest checkpoint.
            self.progress.say(
                f"step {step}: no checkpoint while steps are bad ({judge.consecutive_bad} in a row)"
            )
            return
        metrics = {
            name: float(value) for name, value in (results or {}).items() if np.ndim(value) == 0
        }
        with self.phases("save"):
            self.checkpoints.save(step, state, self._metadata(), metrics)

    def roll_back(self, event: RollBack) -> tuple[int, TrainState | None]:
        """The state to go on from after a divergence, whose batches are left out from now on.

        Raises:
          Diverged: it has been done config.divergence.max_rollbacks times without getting past it.
        """
        self.checkpoints.wait()
        before = self.checkpoints.latest() or 0
        tried = self.skipped.rollbacks_after(before)
        if tried >= self.settings["divergence"]["max_rollbacks"]:
            raise Diverged(
                f"step {event.step}: {event.reason}; {tried} rollbacks to step {before} have not helped: lower "
                "optimizer.learning_rate, or set optimizer.clip_norm"
            )
        batches = self.skipped.add(event, before, write=self.first_process)
        self.progress.say(
            f"step {event.step}: {event.reason}; back to step {before}, without batches {_few(batches)}"
        )
        self.writer.incident(
            event.step, "rollback", reason=event.reason, back_to=before, batches=batches
        )
        with self.phases("restore"):
            start, state = self._restore()
        self.writer.cut_back(start)
        self.goodput.resumed(start)
        return start, state

    def finish(self) -> None:
        """All is on disk, and the folder says so."""
        with self.phases("save"):
            self.checkpoints.wait()
        if self.checkpoints.failure is not None:
            raise self.checkpoints.failure
        # Each process has met those among its own rows.
        for name in dict.fromkeys(name for part in self.parts for name in part.data.unreadable):
            print(f"skipped as unreadable: {name}", file=sys.stderr, flush=True)
        self.goodput.report(self.settings["num_steps"])
        self.mark_done(self.settings["num_steps"])
        self.progress.say(f"done: step {self.settings['num_steps']}, {self.folder}")

    def mark_done(self, step: int) -> None:
        """Leaves DONE in the folder."""
        if self.first_process:
            (self.folder / "DONE").write_text(f"{step}\n")

    def _restore(self) -> tuple[int, TrainState | None]:
        return self.checkpoints.restore_newest(self.shapes, self._check_same_run) or (0, None)

    def _check_same_run(self, saved: Mapping[str, Any], step: int) -> None:
        """Raises ConfigError where a checkpoint is of another config or dataset, and that was not forced."""
        where = f"checkpoint {step}"
        workdir.refuse_changes(saved["config"], self.settings, where=where, force=self.force)
        old, new = saved["dataset"], self._metadata()["dataset"]
        if old.get("fingerprint") not in (None, new["fingerprint"]) and not self.force:
            changes = "; ".join(
                f"{key}: {old[key]} -> {new[key]}" for key in new if old.get(key) != new[key]
            )
            raise ConfigError(
                f"the dataset differs from that of {where}: {changes} (--force_config goes on with the new one)"
            )
        if saved.get("frozen") not in (None, self._frozen_fingerprint) and not self.force:
            raise ConfigError(
                f"objective.perceptual.weights or heads are other ones than those of {where} "
                "(--force_config goes on with the new ones)"
            )

    def _metadata(self) -> dict[str, Any]:
        """What a checkpoint says of itself beside its arrays."""
        dataset = {
            "source": self.settings["data"]["source"],
            "path": self.settings["data"].get("path", ""),
            "num_examples": self.data.num_examples,
            "fingerprint": self._fingerprint,
        }
        return {
            "config": json.loads(json.dumps(self.settings)),
            "dataset": dataset,
            "skipped_batches": self.skipped.batches,
            "frozen": self._frozen_fingerprint,
        }

    @functools.cached_property
    def _fingerprint(self) -> str:
        """Of the data of all stages; of a single one, its own."""
        every = list(dict.fromkeys(part.data.fingerprint for part in self.parts))
        return every[0] if len(every) == 1 else hashlib.sha256(" ".join(every).encode()).hexdigest()

    def _compile(self, step: int, state: TrainState, batch: Mapping[str, jax.Array]) -> Any:
        """The program of a step: one for each stage, variant and shape of batches."""
        part = self._part(step)
        variant = part.step.variant(step)
        key = (part.stage.number, variant, *(array.shape for array in batch.values()))
        if key not in self._programs:
            frozen = self._frozen(part)
            before = self.phases.seconds["compile"]
            with self.phases("compile"):
                lowered = sharding.lower_step(part.step.program(variant), state, batch, *frozen)
                preflight.check_program(lowered)
                program = lowered.compile()
                malloc.trim()
            self.progress.say(f"compiled in {self.phases.seconds['compile'] - before:.1f} s")
            self._programs[key] = (
                functools.partial(_run, program, frozen),
                self._peak_share(program),
            )
        self._compiled, self._peak_share_of_a_step = self._programs[key]
        return self._compiled

    def _frozen(self, part: run_stages.Part) -> tuple[Any, ...]:
        """What the step reads and never changes, whole on every device; the same arrays for all stages that can."""
        if part.step.frozen is None:
            return ()
        if part.frozen is None:
            twins = (
                each
                for each in self.parts
                if each.frozen is not None and each.step.frozen is part.step.frozen
            )
            twin = next(twins, None)
            part.frozen = (
                sharding.replicate(self.mesh, part.step.frozen) if twin is None else twin.frozen
            )
        return (part.frozen,)

    def _peak_share(self, program: Any) -> float | None:
        """FLOPs of a step over the device's published peak: times steps a second, the model FLOPs utilisation."""
        peak = chips.peak_flops(self.mesh.devices.flat[0].device_kind, self.settings["dtype"])
        if peak is None:
            return None
        flops = (program.cost_analysis() or {}).get("flops")
        return flops / peak if flops else None

    def _feed(self, start: int) -> Generator[tuple[dict[str, jax.Array], np.ndarray], None, None]:
        """Batches on the devices, from that of step start + 1 on, and the indices of this process's examples.

        A stage's are of its own data, and numbered on from those before it.
        """
        placement = sharding.batch_sharding(self.mesh)
        skipped = self.skipped.batches
        step = start
        while True:
            part = self._part(step + 1)
            size = part.settings["batch_size"]
            first = batch_number(step, skipped)
            rows = sharding.local_rows(placement, size)
            with part.data.train(
                size, self.settings["seed"], start_step=first, rows=rows
            ) as batches:
                for number in itertools.count(first):
                    with self.phases("data"):
                        batch = next(batches)
                    if number not in skipped:
                        yield sharding.place(batch, placement), batch["index"]
                        step += 1
                    if self._part(step + 1) is not part:
                        break

    def _alive(self) -> None:
        self.phases.beat()
        self.preemption.raise_if_due()

    def _report(self, step: int, values: Mapping[str, Any], waited: float) -> None:
        part = self._part(step)
        shown = part.step.headline(values)
        timing = self.progress.report(
            step, shown, int(values["skipped"]), part.settings["batch_size"]
        )
        self.peers.publish(step, waited)
        if self._peak_share_of_a_step is not None:
            timing["mfu"] = self._peak_share_of_a_step * timing["steps_per_s"]
        timing["checkpoint_failures"] = self.checkpoints.failures
        self.writer.timings(step, timing | self.goodput.report(step))
        straggler = self.peers.straggler(1 / timing["steps_per_s"]) if self.first_process else None
        if straggler:
            self.progress.say(f"step {step}: {straggler}")
            self.writer.incident(step, "straggler", what=straggler)

    def _incident(
        self, step: int, reason: str, metrics: Mapping[str, Any], examples: np.ndarray
    ) -> None:
        if jax.process_count() > 1:
            examples = multihost_utils.process_allgather(examples, tiled=True)
        batch, layer = self.skipped.batch_of(step), first_bad_layer(metrics, self._layers)
        indices = list(dict.fromkeys(examples.tolist()))
        where = f"; first: {layer}" if layer != "none" else ""
        self.progress.say(f"step {step}: {reason}{where}; batch {batch}, examples {_few(indices)}")
        self.writer.incident(
            step, "bad step", reason=reason, first_layer=layer, batch=batch, examples=indices
        )

    def _headline(self, start: int) -> str:
        count = sum(leaf.size for leaf in self.shapes.params.values())
        sizes = " x ".join(f"{axis}={size}" for axis, size in self.mesh.shape.items())
        origin = f"resuming after step {start}" if start else "from scratch"
        processes = f" of {jax.process_count()} processes" if jax.process_count() > 1 else ""
        compiling = "" if self._compiled else "; compiling"
        stage = (
            f", stage {self._part(start + 1).stage.number + 1} of {len(self.parts)}"
            if len(self.parts) > 1
            else ""
        )
        discriminator = (
            sum(leaf.size for leaf in self.shapes.discriminator.params.values())
            if self.shapes.discriminator
            else 0
        )
        return (
            f"{self.settings['model']['name']}: {count:,} parameters, "
            + (f"a discriminator of {discriminator:,}, " if discriminator else "")
            + f"{self.data.num_examples:,} examples, mesh {sizes}{processes}, {origin}{stage}{compiling}"
        )


def _run(
    program: Any, frozen: tuple[Any, ...], state: TrainState, batch: Mapping[str, jax.Array]
) -> Any:
    return program(state, batch, *frozen)


def _due(step: int, every: int, last: bool = False) -> bool:
    """Every so many steps and at the end; 0 is never."""
    return every > 0 and (last or step % every == 0)


def _few(numbers: list[int], most: int = 16) -> str:
    more = f" and {len(numbers) - most} more" if len(numbers) > most else ""
    return ", ".join(map(str, numbers[:most])) + more
