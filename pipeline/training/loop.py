"""The one train loop. What a step does is the step's matter (steps/); the loop feeds it, reports, saves and resumes."""

import contextlib
import json
import pathlib
import time
from collections.abc import Generator, Mapping
from typing import Any

import jax
from ml_collections import ConfigDict

from pipeline import build
from pipeline.data.image_data import ImageData
from pipeline.errors import ConfigError, DataError
from pipeline.training import environment, sharding, workdir
from pipeline.training import state as states
from pipeline.training.checkpoint import Checkpoints
from pipeline.training.log import TrainLog
from pipeline.training.progress import Progress
from pipeline.training.reports import Reports
from pipeline.training.state import TrainState
from pipeline.training.writer import MetricWriter


def train(config: ConfigDict, folder: str | pathlib.Path, *, force_config: bool = False) -> None:
    """Trains what the recipe says in `folder`, from its newest checkpoint if there is one, to config.num_steps.

    Raises:
      ConfigError, DataError: before anything is compiled. CheckpointError: a save or a restore failed; what
        was saved before stays. Diverged: the loss stayed non-finite.
    """
    settings = build.complete(config)
    environment.use_compilation_cache()
    folder = pathlib.Path(folder)
    mesh, data, update = build.mesh(settings), build.data(settings), build.update(settings)
    create = build.model_maker(settings)
    modeldef, shapes = states.abstract(create, update.optimizer, mesh, settings["sharding"])
    _check_data(settings, data)
    step_function = build.step(settings, modeldef, mesh)
    first_process = jax.process_index() == 0
    if first_process:
        workdir.claim(folder, settings, force=force_config)
        workdir.write_json(folder / "env.json", environment.describe())

    with contextlib.ExitStack() as stack:
        progress = Progress(num_steps=settings["num_steps"], batch_size=settings["batch_size"], enabled=first_process)
        stack.callback(progress.close)
        checkpoints = Checkpoints(folder / "checkpoints", keep=settings["checkpoint"]["keep"])
        stack.callback(checkpoints.close)
        start, state = _resume(checkpoints, shapes, settings, data, force=force_config)
        if start >= settings["num_steps"]:
            if first_process:
                _mark_done(folder, start)
            progress.say(f"{folder} is done: step {start} of {settings['num_steps']}")
            return
        if first_process:
            (folder / "DONE").unlink(missing_ok=True)
        if state is None:
            state = states.initialise(create, update.optimizer, shapes, settings["seed"])
        writer = stack.enter_context(contextlib.closing(MetricWriter(folder, resume_step=start, enabled=first_process)))
        log = TrainLog(writer, progress, every=settings["log"]["every"])
        reports = Reports(settings, data, modeldef, mesh, writer, progress)
        metadata = _metadata(settings, data)
        feed = stack.enter_context(contextlib.closing(_feed(settings, data, mesh, start, progress)))
        progress.say(_headline(settings, data, shapes, start, mesh))

        batch = next(feed)
        began = time.monotonic()
        train_step = sharding.lower_step(step_function, state, batch).compile()
        progress.say(f"compiled in {time.monotonic() - began:.1f} s")
        progress.start(start)
        for step in range(start + 1, settings["num_steps"] + 1):
            state, metrics = train_step(state, batch)
            batch = next(feed)  # while the devices work
            log.step(step, metrics)
            last = step == settings["num_steps"]
            if _due(step, settings["eval"]["every"], last):
                log.drain()
                reports.evaluate(step, state)
            if _due(step, settings["sample"]["every"], last):
                reports.pictures(step, state)
            # Last, so that a checkpoint of this step means that all reports up to it are on disk.
            if last or _due(step, settings["checkpoint"]["every"]):
                log.drain()
                progress.paused(checkpoints.save(step, state, metadata))
        log.drain()
        checkpoints.wait()
        if checkpoints.failure is not None:
            raise checkpoints.failure
        for name in data.unreadable:
            progress.say(f"skipped an unreadable image: {name}")
        if first_process:
            _mark_done(folder, settings["num_steps"])
        progress.say(f"done: step {settings['num_steps']}, {folder}")


def _mark_done(folder: pathlib.Path, step: int) -> None:
    (folder / "DONE").write_text(f"{step}\n")


def _due(step: int, every: int, last: bool = False) -> bool:
    """Every so many steps and at the end; 0 is never."""
    return every > 0 and (last or step % every == 0)


def _feed(
    settings: Mapping[str, Any], data: ImageData, mesh: Any, start: int, progress: Progress
) -> Generator[dict[str, jax.Array], None, None]:
    """Batches on the devices, from the one that step start + 1 takes."""
    placement = sharding.batch_sharding(mesh)
    where = dict(process_index=jax.process_index(), process_count=jax.process_count())
    with data.train(settings["batch_size"], settings["seed"], start_step=start, **where) as batches:
        while True:
            began = time.monotonic()
            batch = next(batches)
            progress.waited(time.monotonic() - began)
            yield sharding.place(batch, placement)


def _resume(
    checkpoints: Checkpoints, shapes: TrainState, settings: dict[str, Any], data: ImageData, *, force: bool
) -> tuple[int, TrainState | None]:
    """The newest checkpoint's step and state; (0, None) without one.

    Raises:
      ConfigError: it is of another config or another dataset, and not `force`.
    """
    step = checkpoints.latest()
    if step is None:
        return 0, None
    saved = checkpoints.metadata(step)
    where = f"checkpoint {step}"
    workdir.refuse_changes(saved["config"], settings, where=where, force=force)
    old, new = saved["dataset"], _metadata(settings, data)["dataset"]
    if old.get("fingerprint") not in (None, new["fingerprint"]) and not force:
        changes = "; ".join(f"{key}: {old[key]} -> {new[key]}" for key in new if old.get(key) != new[key])
        raise ConfigError(
            f"the dataset differs from that of {where}: {changes} (--force_config goes on with the new one)"
        )
    return step, checkpoints.restore(step, shapes)


def _metadata(settings: dict[str, Any], data: ImageData) -> dict[str, Any]:
    """What a checkpoint says of itself beside its arrays."""
    dataset = {
        "source": settings["data"]["source"],
        "path": settings["data"].get("path", ""),
        "num_examples": data.num_examples,
        "fingerprint": data.fingerprint,
    }
    return {"config": json.loads(json.dumps(settings)), "dataset": dataset}


def _check_data(settings: Mapping[str, Any], data: ImageData) -> None:
    height, _, channels = data.transform.shape
    model = settings["model"]
    if model.get("image_size", height) != height:
        raise ConfigError(f"model.image_size={model['image_size']}, but data.image_size={height}: make them equal")
    if model.get("image_channels", 3) != channels:
        raise ConfigError(
            f"model.image_channels={model.get('image_channels', 3)}, but data.channels={channels}: make them equal"
        )
    if settings["batch_size"] > data.num_examples:
        raise DataError(
            f"there are {data.num_examples} training examples, fewer than batch_size={settings['batch_size']}: "
            "lower batch_size or add images"
        )
    if settings["eval"]["every"] and not data.num_eval_examples:
        raise DataError("there is nothing to evaluate on: set data.eval_path or data.eval_fraction, or eval.every=0")


def _headline(settings: Mapping[str, Any], data: ImageData, shapes: TrainState, start: int, mesh: Any) -> str:
    count = sum(leaf.size for leaf in shapes.params.values())
    sizes = " x ".join(f"{axis}={size}" for axis, size in mesh.shape.items())
    origin = f"resuming after step {start}" if start else "from scratch"
    return (
        f"{settings['model']['name']}: {count:,} parameters, {data.num_examples:,} images, mesh {sizes}, {origin}; "
        "compiling"
    )
