"""Recipes of published codecs: the papers' stages and the authors' eps."""

import pathlib
from runpy import run_path

import pytest

from pipeline import build
from pipeline.build import stages

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"


def complete(recipe: str) -> dict:
    return build.complete(run_path(str(CONFIGS / f"{recipe}.py"))["get_config"]())


@pytest.mark.parametrize("size", ["s_4ch", "s_8ch", "m_4ch", "l_4ch", "l_16ch"])
def test_wf_vae_follows_the_papers_stages(size):
    settings = complete(f"wf_vae/{size}")
    found = stages.split(settings)
    assert [(stage.begin, stage.end) for stage in found] == [
        (0, 800_000),
        (800_000, 1_000_000),
        (1_000_000, 1_200_000),
    ]
    assert [stage.reset_discriminator for stage in found] == [False, True, True]
    data, models, objectives = (
        [stage.config[key] for stage in found] for key in ("data", "model", "objective")
    )
    assert (
        [part["num_frames"] for part in data]
        == [part["num_frames"] for part in models]
        == [25, 49, 49]
    )
    assert [part["stride"] for part in data] == [1, 2, 2], "half the frame rate"
    assert [part["perceptual"]["weight"] for part in objectives] == [1.0, 1.0, 0.1]
    assert {part["wavelet"]["weight"] for part in objectives} == {0.1} and {
        part["rate"]["weight"] for part in objectives
    } == {1e-6}
    assert all(
        part["adversarial"].items() >= dict(weight=0.5, start=0, max_weight=1e6).items()
        for part in objectives
    )
    for stage in found:
        rates = stage.config["optimizer"]
        assert (rates["learning_rate"], rates["b1"], rates["b2"], stage.config["ema"]) == (
            1e-5,
            0.9,
            0.999,
            0.999,
        )
    assert (settings["batch_size"], data[0]["image_size"]) == (8, 256)


@pytest.mark.parametrize(
    "recipe, eps, summed",
    [
        ("wf_vae/s_4ch", 1e-8, True),
        ("kl_f8/sd", 1e-8, True),
        ("cv_vae/sd21", 1e-4, True),
        ("taesd/taesd", 1e-8, False),
    ],
)
def test_eps_has_the_authors_ratio_to_the_loss(recipe, eps, summed):
    """The authors' loss is a sum over a frame or a mean; ours is divided by a frame's values."""
    settings = complete(recipe)
    side = settings["data"]["image_size"]
    divided = 3 * side * side if summed else 1
    assert settings["optimizer"]["eps"] * divided == pytest.approx(eps)
    assert settings["discriminator"]["optimizer"]["eps"] == eps, (
        "the discriminator's loss is not divided"
    )


@pytest.mark.parametrize("size", ["l32", "b64", "s128"])
def test_titok_learns_codes_and_then_pixels(size):
    first, second = stages.split(complete(f"titok/{size}"))
    assert (first.end, second.end) == (1_000_000, 1_500_000)
    weights = [
        {name: term["weight"] for name, term in stage.config["objective"].items()}
        for stage in (first, second)
    ]
    assert [each["proxy_codes"] for each in weights] == [1.0, 0.0]
    assert [each["quantization"] for each in weights] == [1.0, 0.0]
    assert [each["l2"] for each in weights] == [0.0, 1.0]
    assert [each["perceptual"] for each in weights] == [0.0, 0.1]
    frozen = [set(stage.config["optimizer"]["frozen"]) for stage in (first, second)]
    assert frozen == [{"pixel_decoder", "proxies"}, {"encoder", "tokens", "bottleneck"}]
    assert second.config["objective"]["adversarial"]["start"] == first.end + 20_000
