"""Evaluation and pictures of a run's EMA weights during training."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import UInt8

from pipeline.backend.jit import jit
from pipeline.core import grids, labels, progress
from pipeline.core.modalities import MODALITIES
from pipeline.core.types import Batch, pixels_of
from pipeline.evaluators import classification, likelihood, quality, reconstruction
from pipeline.metrics import catalogue
from pipeline.training.monitoring.progress import Progress
from pipeline.training.monitoring.writer import MetricWriter
from pipeline.training.run_spec import StageRun
from pipeline.training.state import sharding
from pipeline.training.state.train_state import TrainState


class Reports:
    """Evaluations and pictures of one stage, with the same noise each time so that steps compare.

    `on_batch` is called before each batch of an evaluation, and may raise to interrupt it.
    """

    def __init__(
        self,
        stage: StageRun,
        seed: int,
        mesh: Mesh,
        writer: MetricWriter,
        console: Progress,
        on_batch: Callable[[], None],
    ):
        self._options, self._data, self._modeldef = stage.eval, stage.data, stage.modeldef
        self._writer, self._console, self._on_batch = writer, console, on_batch
        self._batch_sharding = sharding.batch_sharding(mesh)
        self._replicated = NamedSharding(mesh, PartitionSpec())
        self._key = jax.random.key(seed)
        self._draw = jit(self._grids, what="the pictures", out_shardings=self._replicated)

    def evaluate(self, step: int, state: TrainState) -> dict[str, Any]:
        """Evaluate the held-out examples, or the first `num_examples`; log and return the metrics.

        Reconstructions are measured, or what the modality has in their place, and the ELBO where
        the model has a likelihood.
        """
        model = self._modeldef.merge(state.averaged, state.model_state)
        where: Any = dict(place=self._place, replicated=self._replicated)
        result: dict[str, Any] = {}
        if self._options.likelihood:
            batches = self._batches("evaluating the ELBO")
            result |= likelihood.evaluate(model, batches, key=self._key, **where)
        batches = self._batches(quality.doing(model))
        result |= quality.evaluate(model, batches, key=self._key, **where)
        if hasattr(model, "classify"):
            result |= classification.evaluate(model, self._batches("evaluating classes"), **where)
        metrics = catalogue.reported(result)
        logged = {metric.name for metric in metrics} | {"num_examples"}
        scalars = {name: value for name, value in result.items() if name in logged}
        self._writer.scalars(step, "eval", scalars)
        summary = ", ".join(
            metric.describe(value) for metric, value in metrics.items() if metric.in_summary
        )
        self._console.say(
            f"step {step}: eval {summary} ({result['num_examples']} held-out examples, EMA weights)"
        )
        return scalars

    def pictures(self, step: int, state: TrainState) -> None:
        """Write a grid of samples and a grid of originals above reconstructions.

        Samples are left out where the prior is not one to sample from; a model that takes labels
        shows one class after another. The first, middle and last frame of each clip are shown.
        Examples without pixels have no pictures.
        """
        if not MODALITIES[self._data.modality].has_pixels:
            return
        num = self._options.num_samples
        batch = self._first_examples(num) if self._data.num_eval_examples else None
        images = None if batch is None else pixels_of(batch)
        samples, recon = self._draw(state.averaged, state.model_state, batch)
        if samples is not None:
            self._writer.image(step, "samples", grids.grid(np.asarray(samples)))
        if images is not None:
            images, recon = _stills(images), _stills(np.asarray(recon))
            columns = min(len(images), 8)  # images in a wider strip are too small to see
            images, recon = images[:columns], recon[:columns]
            pair = grids.grid(
                np.concatenate([images, recon]), columns=columns, labels=("original", "recon")
            )
            self._writer.image(step, "reconstructions", pair)
        self._writer.flush()

    def _grids(self, ema: Any, model_state: Any, batch: Batch | None) -> tuple[Any, Any]:
        model = self._modeldef.merge(ema, model_state)
        latents_key, pixels_key = jax.random.split(self._key)
        samples = None
        # The KL of a codec only keeps its latents bounded: draws from N(0, 1) decode to noise.
        if self._options.likelihood:
            num, classes = self._options.num_samples, labels.num_classes_of(model)
            condition = {"label": np.arange(num, dtype=np.int32) % classes} if classes else {}
            prior = model.decode((), num=num, key=latents_key, **condition)
            samples = prior.sample(pixels_key)
        return samples, None if batch is None else reconstruction.reconstruct(model, batch)

    def _batches(self, what: str) -> Iterator[dict[str, np.ndarray]]:
        options = self._options
        held_out = self._data.num_eval_examples
        number = -(-min(held_out, options.num_examples or held_out) // options.batch_size)
        rows = sharding.local_rows(self._batch_sharding, options.batch_size)
        with self._data.evaluate(options.batch_size, options.num_examples, rows=rows) as batches:
            for batch in progress.track(batches, what, number, "batches"):
                self._on_batch()
                yield batch

    def _first_examples(self, num: int) -> Batch:
        # Every process reads all of them: replicated arrays must be the same on every device.
        with self._data.evaluate(self._options.batch_size, num) as batches:
            batch = next(batches)
        pixels = "video" if "video" in batch else "image"
        return {key: np.asarray(batch[key])[:num] for key in (pixels, "label")}

    def _place(self, batch: Any) -> Any:
        return sharding.place(batch, self._batch_sharding)


def _stills(images: UInt8[np.ndarray, "n *t h w c"]) -> UInt8[np.ndarray, "m h w c"]:
    """Return images as they are, and three frames of each clip."""
    if images.ndim == 4:
        return images
    frames = sorted({0, images.shape[1] // 2, images.shape[1] - 1})
    return images[:, frames].reshape(-1, *images.shape[2:])
