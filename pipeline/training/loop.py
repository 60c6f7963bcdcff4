"""The train loop: it feeds the step, reports, saves, resumes, and rolls back after a divergence."""

import contextlib
import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from pipeline.core.errors import Diverged, Preempted
from pipeline.training import workdir as workdirs
from pipeline.training.checkpoints.store import Checkpoints
from pipeline.training.feed import feed
from pipeline.training.latent_cache import Encoded
from pipeline.training.monitoring.divergence import Judge, RollBack, Skipped
from pipeline.training.monitoring.evaluation import Reports
from pipeline.training.monitoring.frozen_arrays import FrozenArrays
from pipeline.training.monitoring.run_log import RunLog, few
from pipeline.training.monitoring.step_log import TrainLog
from pipeline.training.programs import Programs
from pipeline.training.run_folder import RunFolder
from pipeline.training.run_spec import CheckpointOptions, RunSpec, StageRun
from pipeline.training.runtime import cluster_status, environment, preflight
from pipeline.training.runtime.phases import Phases
from pipeline.training.runtime.preemption import Preemption
from pipeline.training.runtime.watchdog import Watchdog
from pipeline.training.state.train_state import TrainState


def train(spec: RunSpec, workdir: str | os.PathLike[str], *, force_config: bool = False) -> None:
    """Train a run in `workdir` to its last step, from the newest checkpoint if there is one.

    Args:
      force_config: continue although the config, the data or a frozen network has changed.

    Raises:
      ConfigError: the workdir belongs to another run; raised before anything is compiled.
      CheckpointError: a restore failed, or too many saves did. Earlier checkpoints are kept.
      Preempted: SIGTERM arrived, and the state was saved.
      Diverged: rolling back did not help.
    """
    with contextlib.ExitStack() as stack:
        run = Run(spec, workdir, stack, force=force_config)
        start, state = run.resume()
        if start >= spec.num_steps:
            run.mark_done(start)
            run.log.say(f"{workdir} is done: step {start} of {spec.num_steps}")
            return
        run.begin(start)
        while True:
            try:
                run.steps(start, state)
                break
            except RollBack as event:
                start, state = run.roll_back(event)
        run.finish()


class Run:
    """A run in progress; `stack` closes what it opens."""

    def __init__(
        self,
        spec: RunSpec,
        workdir: str | os.PathLike[str],
        stack: contextlib.ExitStack,
        *,
        force: bool,
    ):
        self.spec, self.force = spec, force
        self.first_process = jax.process_index() == 0
        self.phases = Phases(began=spec.began)
        with cluster_status.raise_on_all_processes("setting up"):
            self.folder = RunFolder(workdir, first_process=self.first_process)
            stack.push(lambda kind, *rest: self.folder.close(finished=kind is None))
            self.folder.claim(
                spec.provenance.config, force=force, checkpoints=spec.checkpoint.folder
            )
        self.folder.open()
        files = self.folder.files
        preflight.check_devices(spec.mesh)
        self.preemption = Preemption(grace_s=spec.runtime.grace_seconds, leave=self.folder.abandon)
        stack.callback(self.preemption.close)
        self.checkpoints = _open_checkpoints(self.folder, spec.checkpoint)
        stack.callback(self.checkpoints.close)
        peers = cluster_status.ClusterStatus(self.phases)
        watchdog = Watchdog(
            self.phases,
            files,
            minutes=spec.runtime.watchdog_minutes,
            process=jax.process_index(),
            others=peers.describe,
            leave=self.folder.leave,
        )
        stack.callback(watchdog.close)
        self.skipped = Skipped(files)
        self.log = RunLog(spec, files, self.phases, peers, self.skipped)
        stack.callback(self.log.close)
        self._start = 0  # the step after which the last steps began
        # The oldest checkpoint that rollbacks have passed over since the last save.
        self._blamed: int | None = None
        self._listed: Sequence[int] = ()  # the batches that the checkpoint restored last skips
        self.programs = Programs(spec, self.phases, self.log.say)
        self.reports: dict[int, Reports] = {}

    def resume(self) -> tuple[int, TrainState | None]:
        """Return the newest checkpoint's step and state, or (0, None); change nothing."""
        with self.phases("restore"):
            with cluster_status.raise_on_all_processes("looking for room"):
                preflight.check_disk(self.checkpoints.folder, self.spec.shapes)
            start, state = self._restore()
        provenance = self.spec.provenance
        preflight.check_agreement(provenance.config, provenance.dataset["fingerprint"], start)
        return start, state

    def begin(self, start: int) -> None:
        """Write what the folder says of a run that continues after step `start`; open the log."""
        with cluster_status.raise_on_all_processes("beginning"):
            if self.first_process:
                self.folder.begin(
                    self.spec.provenance.config,
                    environment.describe(),
                    self.spec.stages[0].data.run_files,
                )
        self.skipped.adopt(self._listed, start, write=self.first_process)
        self.log.open(start)

    def steps(self, start: int, restored: TrainState | None) -> None:
        """Train from the state after step `start`, or a new state, to the last step."""
        spec, divergence = self.spec, self.spec.divergence
        state: Any = spec.initial_state() if restored is None else restored
        judge = Judge(divergence.patience, divergence.spike_sigma)
        callbacks: Any = dict(report=self._report, incident=self.log.incident)
        log = TrainLog(self.log.writer, judge, every=spec.runtime.log_every, **callbacks)
        self._start = start
        self.log.announce(start, compiling=self.programs.is_empty)
        frozen = FrozenArrays(state, spec.mesh)
        for line in filter(None, (*spec.notes, frozen.describe())):
            self.log.say(line)
        batches = feed(spec, start, self.skipped.batches, self.phases, self._encoded(state))
        with contextlib.closing(batches):
            batch, examples = next(batches)
            self.programs(start + 1, state, batch)
            self.phases.enter("step")
            self.log.progress.start(start)
            for step in range(start + 1, spec.num_steps + 1):
                state = self._entered(step, state)
                state, metrics = self.programs(step, state, batch)(state, batch)
                taken = examples
                batch, examples = next(batches)  # while the devices work
                log.step(step, metrics, taken)
                self.phases.beat(step)
                self._between_steps(step, state, log, judge)
            log.drain()
        if confirmed := frozen.confirm(state):
            self.log.say(confirmed)

    def _encoded(self, state: TrainState) -> Encoded | None:
        """Return the outputs of a frozen encoder, in a run that keeps them."""
        if self.spec.latent_cache is None:
            return None
        with self.phases("data"):
            return self.spec.latent_cache.open(
                state, self.spec.mesh, say=self.log.say, alive=self._alive
            )

    def _entered(self, step: int, state: TrainState) -> TrainState:
        """Return the state before a step: with a new discriminator if its stage starts with one."""
        stage, stages = self.spec.stage(step), self.spec.stages
        if step != stage.begin + 1 or len(stages) == 1:
            return state
        new = "; a new discriminator" if stage.reset_discriminator else ""
        self.log.say(f"step {step}: stage {stage.number + 1} of {len(stages)} begins{new}")
        if not stage.reset_discriminator:
            return state
        return dataclasses.replace(state, discriminator=self.spec.new_discriminator(stage.begin))

    def _report(self, step: int, values: Mapping[str, Any], waited: float) -> None:
        self.log.report(
            step,
            values,
            waited,
            peak_share=self.programs.peak_share,
            checkpoint_failures=self.checkpoints.failures,
        )

    def _between_steps(self, step: int, state: TrainState, log: TrainLog, judge: Judge) -> None:
        stage, last, results = self.spec.stage(step), step == self.spec.num_steps, None
        try:
            if _due(step, stage.eval.every, last):
                log.drain()
                with self.phases("evaluate"):
                    results = self._reports(stage).evaluate(step, state)
            if _due(step, stage.eval.sample_every, last):
                with self.phases("pictures"):
                    self._reports(stage).pictures(step, state)
            if not last:
                self.preemption.raise_if_due()
        except Preempted:
            log.drain()
            self._save(step, state, judge, must=True)
            self.checkpoints.wait()
            self.log.writer.incident(step, "preempted")
            latest = self.checkpoints.latest()
            kept = (
                f"the same command resumes after step {latest}"
                if latest
                else "there is no checkpoint yet"
            )
            raise Preempted(f"preempted after step {step}; {kept}") from None
        # Last, so that a checkpoint of this step means that all reports up to it are on disk.
        if last or _due(step, self.spec.checkpoint.every):
            log.drain()
            self._save(step, state, judge, results, must=last)

    def _reports(self, stage: StageRun) -> Reports:
        if stage.number not in self.reports:
            self.reports[stage.number] = Reports(
                stage,
                self.spec.seed,
                self.spec.mesh,
                self.log.writer,
                self.log.progress,
                on_batch=self._alive,
            )
        return self.reports[stage.number]

    def _alive(self) -> None:
        self.phases.beat()
        self.preemption.raise_if_due()

    def _save(
        self,
        step: int,
        state: TrainState,
        judge: Judge,
        results: Mapping[str, Any] | None = None,
        *,
        must: bool,
    ) -> None:
        if judge.consecutive_bad and step < self.spec.num_steps:
            # The run may soon roll back to before the bad steps, to what must then be the newest
            # checkpoint.
            self.log.say(
                f"step {step}: no checkpoint while steps are bad ({judge.consecutive_bad} in a row)"
            )
            return
        metrics = {
            name: float(value) for name, value in (results or {}).items() if np.ndim(value) == 0
        }
        metadata = self.spec.provenance.metadata(self.skipped.batches)
        with self.phases("save"):
            if self._blamed is not None:
                self.checkpoints.set_aside_from(self._blamed, "the steps right after it were bad")
            self._blamed = None
            self.checkpoints.save(step, state, metadata, metrics, must=must)

    def roll_back(self, event: RollBack) -> tuple[int, TrainState | None]:
        """Return the step and state to continue from after a divergence; its batches are skipped.

        Raises:
          Diverged: `max_rollbacks` rollbacks to that step have not got past it.
        """
        self.checkpoints.wait()
        is_blamed = self.skipped.blame_state(event, self._start)
        self._blamed = self._start if is_blamed else self._blamed
        before = self._newest_below(self._blamed)
        tried = self.skipped.rollbacks_after(before)
        if tried >= self.spec.divergence.max_rollbacks:
            raise Diverged(
                f"step {event.step}: {event.reason}; {tried} rollbacks to step {before} have not "
                "helped: lower optimizer.learning_rate, or set optimizer.clip_norm"
            )
        with self.phases("restore"):
            # Which may pass over damaged ones.
            start, state = self._restore(below=self._blamed)
        batches = self.skipped.add(
            event, start, write=self.first_process, with_batches=not is_blamed
        )
        how = (
            f"because other batches right after step {self._blamed} were bad too"
            if is_blamed
            else f"without batches {few(batches)}"
        )
        self.log.say(f"step {event.step}: {event.reason}; back to step {start}, {how}")
        self.log.writer.incident(
            event.step, "rollback", reason=event.reason, back_to=start, batches=batches
        )
        self.log.cut_back(start)
        return start, state

    def _newest_below(self, step: int | None) -> int:
        """Return the newest checkpoint, below `step` if it is given, or 0 if there is none."""
        steps = [each for each in self.checkpoints.steps() if step is None or each < step]
        return max(steps, default=0)

    def finish(self) -> None:
        """Wait until everything is on disk, and mark the workdir as done."""
        with self.phases("save"):
            self.checkpoints.wait()
        if self.checkpoints.failure is not None:
            raise self.checkpoints.failure
        # Each process has found the unreadable examples among its own rows.
        unreadable = [name for stage in self.spec.stages for name in stage.data.unreadable]
        for name in dict.fromkeys(unreadable):
            print(f"skipped as unreadable: {name}", file=sys.stderr, flush=True)
        self.log.goodput.report(self.spec.num_steps)
        self.mark_done(self.spec.num_steps)
        self.log.say(f"done: step {self.spec.num_steps}, {self.folder.root}")

    def mark_done(self, step: int) -> None:
        """Write the file DONE, which holds the last step, unless it is there."""
        done, text = self.folder.files / "DONE", f"{step}\n"
        if self.first_process and not (done.exists() and done.read_bytes() == text.encode()):
            done.write_text(text)

    def _restore(self, below: int | None = None) -> tuple[int, TrainState | None]:
        def check(saved: Mapping[str, Any], step: int) -> None:
            self.spec.provenance.check_same(saved, f"checkpoint {step}", force=self.force)
            self._listed = saved.get("skipped_batches", ())

        return self.checkpoints.restore_newest(self.spec.shapes, check, below=below) or (0, None)


def _open_checkpoints(folder: RunFolder, options: CheckpointOptions) -> Checkpoints:
    return Checkpoints(
        workdirs.checkpoint_folder(folder.root, options.folder),
        keep=options.keep,
        keep_every=options.keep_every,
        best=options.best,
        keep_best=options.keep_best,
        max_failures=options.max_failures,
        check=folder.check,
        before_commit=folder.publish,
    )


def _due(step: int, every: int, last: bool = False) -> bool:
    """Return whether a step is a multiple of `every`, or the last one; never for 0."""
    return every > 0 and (last or step % every == 0)
