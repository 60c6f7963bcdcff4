"""Frechet distances: sensitivity of the random networks, masked rows, names and messages."""

import jax
import jax.numpy as jnp
import made_up as made_up_networks
import numpy as np
import pytest
import safetensors.numpy
from squeezenet_weights import made_up

from pipeline.core.errors import ConfigError, DataError
from pipeline.evaluators.feature_distance import FeatureDistance
from pipeline.frozen import squeezenet
from pipeline.frozen.lpips import NETWORKS
from pipeline.metrics.functions import embedding


def clips(seed: int, count: int = 80) -> np.ndarray:
    return np.random.default_rng(seed).integers(60, 190, (count, 3, 8, 8, 3)).astype(np.uint8)


def measured(originals: np.ndarray, others: np.ndarray) -> float:
    network, weights = embedding.create("random", weights="", is_video=True, where="--features")
    embed = jax.jit(network)
    found = FeatureDistance(network)
    found.add(
        embed(weights, originals), embed(weights, others), np.ones(len(originals), np.float32)
    )
    report = found.report()
    assert (
        report["dimensions"] == 64
        and not report["rank_deficient"]
        and "neither FID nor FVD" in report["protocol"]
    )
    return report["random_feature_distance"]


def test_a_random_network_detects_noise_and_flicker():
    x = clips(0)
    assert measured(x, x) < 1e-6
    noise = np.random.default_rng(1).normal(size=x.shape)
    little, much = (
        measured(x, np.clip(x + level * noise, 0, 255).astype(np.uint8)) for level in (4, 30)
    )
    assert much > 4 * little > 0
    still = np.broadcast_to(x[:, :1], x.shape)
    shaken = still + np.array([0, 25, 0], np.uint8)[:, None, None, None]
    brighter = still + np.uint8(8)
    assert measured(still, shaken) > 1.5 * measured(still, brighter), (
        "the same change of brightness, once in one frame and once in all"
    )


def test_masked_rows_and_their_frames_are_not_counted():
    network, _ = embedding.create("random", weights="", is_video=False, where="--features")
    rows = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
    one, other = FeatureDistance(network), FeatureDistance(network)
    one.add(rows, rows + 1, np.array([1, 1, 1, 0], np.float32))
    other.add(rows[:6], rows[:6] + 1, np.ones(3, np.float32))
    assert one.report() == other.report() and one.report()["num_examples"] == 6
    np.testing.assert_allclose(one.report()["random_feature_distance"], 5, rtol=1e-5)
    assert other.report()["rank_deficient"] is False
    few = FeatureDistance(network)
    few.add(rows[:4], rows[:4], np.ones(4, np.float32))
    assert few.report()["rank_deficient"] and "singular covariances" in few.report()["protocol"]


def test_a_file_of_weights_gives_its_networks_features_and_name(tmp_path):
    file = tmp_path / "trunk.safetensors"
    safetensors.numpy.save_file(made_up(), file)
    network, weights = embedding.create(
        "squeezenet", weights=str(file), is_video=True, where="--features"
    )
    assert network.metric == "squeezenet_feature_distance" and "neither FID" in network.protocol
    x = jnp.asarray(clips(0, 2)).repeat(4, 2).repeat(4, 3)
    frames = jax.jit(network)(weights, x)
    assert frames.shape == (6, 512), "a vector a frame"
    scaled = NETWORKS["squeezenet"].scale(x[1, 2][None] / 127.5 - 1)
    expected = jax.jit(squeezenet.features)(weights, scaled)[-1].mean((1, 2))
    np.testing.assert_allclose(frames[5], expected[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "network, shown, rows, dimensions", [("inception", "rfid", 18, 2048), ("i3d", "fvd", 2, 400)]
)
def test_the_networks_of_fid_and_fvd(monkeypatch, network, shown, rows, dimensions):
    monkeypatch.setattr(
        embedding.weight_files, "load", lambda path: getattr(made_up_networks, network)()
    )
    found, weights = embedding.create(
        network, weights="some.pth", is_video=True, where="--features"
    )
    vectors = jax.eval_shape(found, weights, jax.ShapeDtypeStruct((2, 9, 24, 32, 3), jnp.uint8))
    assert vectors.shape == (rows, dimensions), "frames are images for FID"
    sums = FeatureDistance(found)
    # Vectors of the real size would take minutes.
    one, other = (np.random.default_rng(seed).normal(size=(rows, 30)) for seed in (0, 1))
    sums.add(one, other, np.ones(2, np.float32))
    report = sums.report()
    assert report[shown] > 0 and report["rank_deficient"] and report["num_examples"] == rows
    assert (
        report["protocol"].startswith(f"{shown}: squared Frechet")
        and "neither" not in report["protocol"]
    )
    assert (
        f"sha256 of its weights {found.fingerprint[:12]}" in report["protocol"]
        and len(found.fingerprint) == 64
    )


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        (dict(network="random", weights="v.pth"), ConfigError, "--features.network is missing"),
        (
            dict(network="vgg16", weights=""),
            ConfigError,
            "vgg16 needs its file .*download.pytorch.org",
        ),
        (
            dict(network="inception", weights=""),
            ConfigError,
            "inception needs its file .*pt_inception-2015-12-05",
        ),
        (
            dict(network="i3d", weights="v.pt", is_video=False),
            ConfigError,
            "i3d needs clips, but the model is of images",
        ),
        (dict(network="vg16", weights="v.pth"), ConfigError, "did you mean 'vgg16'"),
        (
            dict(network="vgg16", weights="nowhere.pth"),
            DataError,
            "nowhere.pth: there is no such file",
        ),
    ],
)
def test_invalid_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        embedding.create(**(dict(is_video=True) | arguments), where="--features")
