"""A video codec on generated clips: train, evaluate and export with statistics.

The quickstart's is trained by default. A WF-VAE, which takes a minute to compile, is slow:
tests/networks/wf_vae_context_test.py has its gradients, and tests/recipes/recipes_test.py traces
its training step.
"""

import json
import pathlib

import numpy as np
import pytest
import safetensors.numpy
from squeezenet_weights import caffe

from pipeline import Codec
from pipeline.cli import dispatch
from pipeline.codec.any_size import AnySizeCodec
from pipeline.codec.media.video_io import VideoReader

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"


@pytest.fixture(
    scope="module",
    params=[
        "quickstart/video.py",
        pytest.param("wf_vae/moving_crops.py", marks=pytest.mark.slow),
    ],
)
def workdir(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "w"
    train = ["train", "--config", f"{CONFIGS / request.param}:tiny", "--workdir", str(folder)]
    assert dispatch(train) == 0
    return folder


def test_the_run_has_metrics_samples_and_a_done_file(workdir):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert any("train" in line and np.isfinite(line["train"]["loss"]) for line in lines)
    assert any("eval" in line and line["eval"]["psnr"] > 0 for line in lines)
    assert list((workdir / "samples").glob("*.png")) and (workdir / "DONE").exists()


def test_clips_are_interpolated_side_by_side(workdir, tmp_path):
    out = tmp_path / "walk.mp4"
    command = ["sample", "--workdir", str(workdir), "--out", str(out), "--num=2"]
    assert dispatch([*command, "--interpolate", "0", "1"]) == 0
    with VideoReader(out) as reader:
        frames = list(reader)
    assert len(frames) > 1 and frames[0].shape == (72, 140, 3)
    still = tmp_path / "still.png"
    command = ["sample", "--workdir", str(workdir), "--out", str(still), "--num=2"]
    assert dispatch([*command, "--traverse", "--dimensions=1"]) == 0
    assert still.exists()


@pytest.mark.slow
@pytest.mark.parametrize("workdir", ["wf_vae/moving_crops.py"], indirect=True)
def test_evaluation_and_export_with_statistics(workdir, tmp_path):
    report, network = tmp_path / "eval.json", tmp_path / "squeezenet.safetensors"
    safetensors.numpy.save_file(caffe(), network)
    flags = [
        f"--{what}.{key}"
        for what in ("perceptual", "features")
        for key in ("network=squeezenet_caffe", f"weights={network}")
    ]
    assert (
        dispatch(
            ["eval", "--workdir", str(workdir), "--json", str(report), "--num_examples=4", *flags]
        )
        == 0
    )
    measured = json.loads(report.read_text())
    distance = measured["feature_distance"]
    assert measured["psnr"] > 0 and measured["squeezenet_caffe"] > 0 and measured["flicker"] > 0
    assert distance["squeezenet_caffe_feature_distance"] > 0 and "lpips" not in measured
    assert (distance["num_examples"], distance["dimensions"]) == (5 * measured["num_examples"], 512)
    assert (
        "squeezenet_caffe:" in measured["protocol"]
        and "neither FID nor FVD" in distance["protocol"]
    )
    # The card keeps every figure, also MS-SSIM, which these small frames have no 3 scales for.
    step = workdir / "eval" / f"{measured['step']}.json"
    step.write_text(json.dumps(measured | {"ms_ssim_3_scales": 0.987}))
    out = tmp_path / "codec"
    assert dispatch(["export", "--workdir", str(workdir), "--out", str(out), "--stats", "4"]) == 0
    assert {path.name for path in out.iterdir()} == {
        "config.json",
        "model.safetensors",
        "README.md",
        "preview.png",
    }
    config = json.loads((out / "config.json").read_text())
    assert config["codec"]["causal"] and config["latents"]["num_examples"] == 4
    assert "weights" not in config["training"]["objective"]["perceptual"]
    expected = {
        key: measured[key] for key in ("psnr", "squeezenet_caffe", "flicker", "feature_distance")
    }
    assert expected.items() <= config["metrics"].items()
    card = (out / "README.md").read_text()
    assert "3-scale MS-SSIM of reconstructions | 0.9870 | higher |" in card and "not LPIPS" in card
    assert (
        f"vectors | {distance['squeezenet_caffe_feature_distance']:.4f} |" in card
        and str(network) not in card
    )
    codec = Codec.from_pretrained(out)
    assert isinstance(codec, AnySizeCodec)
    z = codec.encode(np.zeros((1, 5, 16, 16, 3), np.uint8)).mode()
    np.testing.assert_allclose(codec.denormalize(codec.normalize(z)), z, atol=1e-5)
