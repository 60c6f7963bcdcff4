"""Training logs exactly the metrics by which the best checkpoint may be chosen."""

import contextlib
from unittest.mock import Mock

import jax
import numpy as np
from flax import nnx

from pipeline import models
from pipeline.core import parameters
from pipeline.metrics import catalogue
from pipeline.training.monitoring.evaluation import Reports
from pipeline.training.monitoring.progress import Progress
from pipeline.training.monitoring.writer import MetricWriter
from pipeline.training.run_spec import EvalOptions, StageRun
from pipeline.training.state import mesh as meshes
from pipeline.training.state.train_state import TrainState

SIZE = 24  # has room for two scales of MS-SSIM


def test_the_logged_metrics_are_the_ones_to_choose_by():
    recipe = dict(name="vae.VAE", image_size=SIZE, channels=(8,), hidden=(), latent_dim=4)
    modeldef, params, _ = parameters.split(models.create(recipe, rngs=nnx.Rngs(0)))
    images = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), dtype=np.uint8)
    batch = dict(image=images, mask=np.ones(2, np.float32), index=np.arange(2, dtype=np.int32))
    data = Mock(num_eval_examples=2, evaluate=lambda *_, **__: contextlib.nullcontext([batch]))
    options = EvalOptions(1, 2, 2, sample_every=0, num_samples=0, likelihood=True)
    stage = Mock(spec=StageRun, eval=options, data=data, modeldef=modeldef)
    writer, progress = Mock(spec=MetricWriter), Mock(spec=Progress)
    mesh = meshes.create(devices=jax.devices()[:1])
    reports = Reports(stage, 0, mesh, writer, progress, on_batch=lambda: None)
    scalars = reports.evaluate(7, Mock(spec=TrainState, averaged=params, model_state={}))
    writer.scalars.assert_called_once_with(7, "eval", scalars)
    directed = {
        metric.name: metric for metric in catalogue.entries() if metric.larger_is_better is not None
    }
    expected = {
        name
        for name, metric in directed.items()
        if metric.in_training
        and metric.modality in ("likelihood", "image")
        and metric.sides[0] <= SIZE <= (metric.sides[1] or SIZE)
        and name != "perplexity"  # needs words
    }
    assert {"bits_per_dim", "psnr", "ms_ssim_2_scales"} <= expected
    assert directed.keys() & scalars.keys() == expected
