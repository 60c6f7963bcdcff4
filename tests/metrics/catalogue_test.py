"""The contract of every metric's entry, and the direction of each in checkpoint retention."""

import pathlib
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.core.construct import modules_of
from pipeline.core.errors import ConfigError
from pipeline.distances import ms_ssim
from pipeline.frozen import lpips
from pipeline.metrics import catalogue
from pipeline.metrics.catalogue import Metric
from pipeline.metrics.functions import embedding
from pipeline.metrics.functions.frechet import FeatureMoments
from pipeline.training.checkpoints.retention import Retention

DOCS = pathlib.Path(__file__).parents[2] / "docs" / "metrics.md"
FILES = [name for name in modules_of("pipeline.metrics") if name not in catalogue._NOT_METRICS]
METRICS = pytest.mark.parametrize("metric", catalogue.entries(), ids=lambda metric: metric.name)


def test_every_file_of_the_folder_is_in_the_catalogue():
    declared = [
        metric
        for name in FILES
        for metric in __import__(f"pipeline.metrics.{name}", fromlist=["METRICS"]).METRICS
    ]
    assert len(FILES) > 5 and set(declared) == set(catalogue.entries())
    assert len({metric.name for metric in declared}) == len(declared), "names are unique"


@METRICS
def test_an_entry_is_complete(metric: Metric):
    assert metric.name and metric.label and metric.format and metric.protocol
    assert "; " not in metric.protocol, "protocols are joined by semicolons"
    assert metric.modality in catalogue.MODALITIES
    assert metric.larger_is_better in (True, False, None)
    assert not metric.restates or metric.restates in catalogue.by_name()
    assert not metric.per_layer or metric.larger_is_better is None, "a list has no direction"
    shown = metric.format_value([3] if metric.per_layer else 3)
    assert "3" in shown and shown.endswith(metric.unit)


def arguments_of(metric: Metric) -> tuple[Any, ...]:
    """Small arguments for a metric's function."""
    side = int(metric.sides[0]) + 8
    images = np.random.default_rng(0).integers(0, 256, (2, 2, side, side, 3)).astype(np.uint8)
    if metric.function.endswith("frechet.distance"):
        moments = FeatureMoments(), FeatureMoments()
        for seed, each in enumerate(moments):
            each.add(np.random.default_rng(seed).normal(size=(8, 3)))
        return moments
    if metric.modality == "likelihood":
        return 100.0, 12
    if metric.modality == "factors":
        factors = np.random.default_rng(0).integers(0, 3, (60, 2))
        return factors.astype(np.float64), factors
    if metric.modality == "codebook":
        return (jnp.array([3.0, 1.0, 0.0]),)
    return (images, images[::-1]) if metric.modality == "video" else (images[0], images[1])


@METRICS
def test_a_function_gives_finite_numbers(metric: Metric):
    if not metric.function:
        return
    function = metric.load_function()
    assert callable(function)
    if "lpips" in metric.function:
        return  # it needs the weights of a network; tests/frozen/lpips_test.py runs it
    arguments = arguments_of(metric)
    pairwise = metric.modality in ("image", "video") and not metric.network
    values = np.asarray((jax.jit(function) if pairwise else function)(*arguments))
    assert np.isfinite(values).all() and values.shape == ((2,) if pairwise else ())


def test_metrics_of_networks_have_the_names_that_evaluators_give_them():
    distances = {name: network.log_name for name, network in lpips.NETWORKS.items()}
    features = {name: network.metric for name, network in embedding.NETWORKS.items()}
    features[embedding.RANDOM] = embedding.Embedding(embedding.RANDOM, of_clips=False).metric
    declared = {metric.name: metric.network for metric in catalogue.entries() if metric.network}
    named = {metric: name for group in (distances, features) for name, metric in group.items()}
    assert declared == named


def test_ms_ssim_is_named_for_the_scales_that_frames_have_room_for():
    for side in (10, 20, 21, 40, 41, 80, 81, 160, 161, 700):
        scales = ms_ssim.num_scales(side, side + 3)
        names = [name for name in catalogue.frame_metrics(side + 3, side) if "ms_ssim" in name]
        assert names == ([ms_ssim.name_of(scales)] if scales > 1 else [])


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="metric='psnrr' is not a metric: did you mean 'psnr'"):
        catalogue.find("psnrr")


def test_values_of_nested_reports_and_their_text():
    result = {
        "psnr": 31.204,
        "mse": 0.1,
        "active_units": {"by_kl": 3, "units": 4},
        "feature_distance": {"rfid": 2.0, "num_examples": 9},
        "codebook_used": [0.5, 0.25],
        "flicker": None,
        "protocol": "",
    }
    found = {
        metric.name: metric.format_value(v) for metric, v in catalogue.reported(result).items()
    }
    assert found == {
        "psnr": "31.20 dB",
        "rfid": "2.0000",
        "active_units.by_kl": "3 units",
        "active_units.units": "4 units",
        "codebook_used": "0.500 0.250",
    }
    protocol = catalogue.protocol(["psnr", "num_examples", "lpips"], {"lpips": "weights abc"})
    assert protocol.startswith("psnr: -10 log10") and protocol.endswith(", weights abc")


@METRICS
def test_the_better_of_two_checkpoints_is_kept(metric: Metric):
    if metric.larger_is_better is None:
        with pytest.raises(ConfigError, match=rf"checkpoint\.best='{metric.name}': neither"):
            Retention(keep=1, best=metric.name)
        return
    if not metric.in_training:
        refusal = rf"best='{metric.name}' is not logged in training; .* psnr, [^\n]*$"
        with pytest.raises(ConfigError, match=refusal):
            Retention(keep=1, best=metric.name)
        return
    low, high = {metric.name: 0.80}, {metric.name: 0.95}
    better = 20 if metric.larger_is_better else 10
    retention = Retention(keep=1, best=metric.name)
    assert retention.best_of({10: low, 20: high})[0] == better
    assert retention.superfluous([10, 20, 30], {10: low, 20: high}) == [30 - better]
    assert metric.is_better(0.95, 0.80) == metric.larger_is_better != metric.is_better(0.80, 0.95)


@pytest.mark.parametrize(
    "name, larger",
    [
        ("psnr", True),
        ("ssim", True),
        ("ms_ssim", True),
        ("ms_ssim_3_scales", True),
        ("lpips", False),
        ("flicker", False),
        ("rfid", False),
        ("fvd", False),
        ("bits_per_dim", False),
        ("iwae_bits_per_dim", False),
    ],
)
def test_directions_of_known_metrics(name, larger):
    assert catalogue.find(name).larger_is_better is larger


def test_retention_refuses_an_unknown_metric():
    with pytest.raises(ConfigError, match=r"checkpoint\.best='bpd' is not a metric"):
        Retention(best="bpd")


def test_the_catalogue_and_its_help_do_not_load_jax():
    code = "import sys; from pipeline.cli import dispatch; dispatch(['eval', '--help']); "
    done = subprocess.run(
        [sys.executable, "-c", code + "sys.exit('jax' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    shown = " ".join(done.stdout.split())
    for lines in catalogue.help_lines().values():
        assert all(
            f" {name} {' '.join(text.split())} " in f"{shown} " for name, text in lines.items()
        )


def test_the_docs_table_has_one_row_per_metric():
    rows = [line for line in DOCS.read_text().splitlines() if line.startswith("| `")]
    assert rows == [
        f"| `{each.name}` | {each.unit} | {each.better} | {each.modality} | {protocol} |"
        for each in catalogue.entries()
        for protocol in [each.protocol.replace("|", r"\|")]
    ]
