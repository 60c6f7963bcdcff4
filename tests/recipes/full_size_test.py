"""Every recipe at its full size, as shapes alone: it builds, has the number of parameters that its
docstring states, and, where the authors' model has a published size, exactly that.

A model is built once for all tests of this file: large ones take seconds to trace.
"""

import functools
import json
import math
import pathlib
import runpy
from typing import Any, NamedTuple

import pytest
from flax import nnx

from pipeline import build
from pipeline.cli.list import stated_parameters
from pipeline.core import parameters
from pipeline.core.errors import ConfigError

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
# These take their model from the codec that they start from.
OF_A_CODEC = (
    "distill/turbo.py",
    "distill/turbo_video.py",
    "eq_vae/kl_f8.py",
    "finetune/decoder_image.py",
    "finetune/decoder_video.py",
)
RECIPES = sorted(
    str(path.relative_to(CONFIGS))
    for path in CONFIGS.rglob("*.py")
    if "get_config" in path.read_text() and str(path.relative_to(CONFIGS)) not in OF_A_CODEC
)


class Built(NamedTuple):
    """A model without arrays, and the size of each parameter and of each other variable."""

    model: Any
    sizes: dict[str, int]
    others: dict[str, int]


BUILT: dict[str, Built] = {}  # by settings: some recipes differ in their data alone


@functools.cache
def full_size(recipe: str) -> tuple[str, dict[str, Any], Built]:
    """Return the docstring, the complete settings, and the model."""
    found = runpy.run_path(str(CONFIGS / recipe))
    settings = build.complete(found["get_config"]())
    same = json.dumps([settings["model"], settings["dtype"]], sort_keys=True, default=str)
    if same not in BUILT:
        create = build.model_factory(settings)
        modeldef, *arrays = parameters.abstract(lambda: create(nnx.Rngs(0)))
        BUILT[same] = Built(modeldef.skeleton(), *map(sizes_of, arrays))
    return found["__doc__"] or "", settings, BUILT[same]


def sizes_of(arrays: parameters.Arrays) -> dict[str, int]:
    return {name: math.prod(array.shape) for name, array in arrays.items()}


@pytest.mark.parametrize("recipe", OF_A_CODEC)
def test_a_recipe_of_a_codec_asks_for_it(recipe):
    found = runpy.run_path(str(CONFIGS / recipe))
    assert f"configs/{recipe}" in found["__doc__"], "the docstring has no command"
    with pytest.raises(ConfigError, match=r"--config\.init\.codec=CODEC"):
        build.complete(found["get_config"]())


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_builds_and_documents_its_command_and_its_size(recipe):
    text, settings, built = full_size(recipe)
    build.update(settings)
    assert f"configs/{recipe}" in text, "the docstring has no command"
    stated, count = stated_parameters(text), sum(built.sizes.values())
    assert stated, f"the docstring does not state the number of parameters: {count:,}"
    scale = {"K": 1e3, "M": 1e6}.get(stated[-1], 1)
    number = stated.rstrip("KM").replace(",", "")
    digits = len(number.partition(".")[2])
    assert round(count / scale, digits) == float(number), f"{stated} parameters are {count:,}"


@pytest.mark.parametrize(
    "recipe, encoder, total",
    [
        ("wf_vae/s_4ch", None, 146_496_708),
        ("wf_vae/s_8ch", None, 146_662_604),
        ("wf_vae/m_4ch", None, 223_252_388),
        ("wf_vae/l_4ch", None, 316_334_724),
        ("wf_vae/l_16ch", 84_586_912, 317_081_244),
        ("kl_f8/sd", 34_163_592, 83_653_863),
        ("kl_f8/sd3", None, 83_819_683),
        ("cv_vae/sd21", None, 182_446_475),
        ("lite_vae/s", 977_084, 977_084 + 53_332_642),
        ("lite_vae/b", 6_623_036, 6_623_036 + 53_332_642),
        ("lite_vae/m", 34_125_596, 34_125_596 + 53_332_642),
        ("lite_vae/l", 41_154_172, 41_154_172 + 53_332_642),
        # Without the embedding of patches that the authors' decoder has and does not use.
        ("maetok/b128", 86_059_776 + 768 - 98_304 + 24_608, 172_663_328 - 590_592),
        ("soft_vq/b64", 85_961_472 - 49_152 + 24_608, 172_515_104 - 590_592 + 4 * 8_192 * 32),
        ("titok/ll32_kl", 303_430_688, 606_879_604),
        ("titok/bl64_kl", None, 389_418_100),
        ("titok/bl128_kl", None, 389_581_940),
        ("titok/l32", 303_410_188, 641_054_735),
        ("taesd/taesd", 1_222_532, 1_222_532 + 1_222_531),
        ("taesd/taef2", 1_338_528, 1_338_528 + 1_338_499),
        ("distill/taef2", None, 2_012_323),
    ],
)
def test_codecs_have_the_published_sizes(recipe, encoder, total):
    _, _, built = full_size(f"{recipe}.py")
    assert sum(built.sizes.values()) == total and not built.others
    assert encoder in (
        None,
        sum(size for name, size in built.sizes.items() if name.startswith("encoder")),
    )


@pytest.mark.parametrize(
    "recipe, total, layers, latents",
    [
        ("vdvae/cifar10", 39_145_700, 43, 412_432),
        ("vdvae/imagenet32", 119_280_868, 78, 765_216),
        ("vdvae/imagenet64", 125_005_860, 75, 1_451_040),
        ("vdvae/ffhq256", 114_874_852, 66, 4_470_816),
        ("vdvae/ffhq1024", 109_366_904, 70, 27_588_640),
        ("nvae/mnist", 33_363_134, 15, 14_400),
        ("nvae/cifar10", 130_852_480, 30, 153_600),
        ("nvae/celeba64", 153_281_364, 35, 467_200),
        ("nvae/imagenet32", 268_509_444, 28, 143_360),
        ("nvae/celebahq256", 330_798_664, 36, 6_005_760),
        ("nvae/ffhq256", 330_798_664, 36, 6_005_760),
    ],
)
def test_hierarchies_have_the_published_sizes(recipe, total, layers, latents):
    _, settings, built = full_size(f"{recipe}.py")
    assert sum(built.sizes.values()) == total
    assert built.model.num_layers == layers
    assert sum(math.prod(shape) for shape in built.model.latent_shapes) == latents
    assert built.model.image_size == settings["data"]["image_size"]
