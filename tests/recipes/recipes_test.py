"""Every recipe's `:tiny` mode trains and keeps the model's contract.

Recipes whose step takes long to compile are only traced, unless -m slow asks for more.

`:tiny` has a budget of about 10 CPU seconds, enforced by its size and not by a clock, so that it
holds on every machine (docs/extending.md).
"""

import json
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_step
from noise_batch import noise_batch

from pipeline import build
from pipeline.core import labels, pixels
from pipeline.core.modalities import of_batch
from pipeline.core.types import examples_of
from pipeline.training.state import mesh as meshes
from pipeline.training.state import sharding
from pipeline.training.state import train_state as states

# The budget of `:tiny`. INSTRUCTIONS counts the compiled training step.
NUM_STEPS, PARAMETERS, INSTRUCTIONS = 8, 150_000, 19_000
VQGAN = [
    f"vqgan/{name}.py"
    for name in ("f16_1024", "f16_16384", "vq_f4", "vq_f4_noattn", "vq_f8", "vq_f8_n256", "vq_f16")
]
KL = ["kl/f4.py", "kl/f16_d16.py", "kl/f32_d64.py", "va_vae/f16d32.py"]
# Folders of recipes of other people's published codecs: their networks are compared with the
# authors' in tests/parity, their parameters counted in published_test.py, and they are trained by
# -m slow. `:tiny` keeps every mechanism, which takes many small operations.
PUBLISHED = (
    *("wan", "qwen_image", "hunyuan_video", "ltx_video", "cogvideox", "magvit", "cosmos", "mochi"),
    *("allegro", "vidtok", "dc_ae", "taehv", "iv_vae"),
)
PUBLISHED_INSTRUCTIONS = 120_000
# Allowances of recipes that are older than the budget, and of others with the same networks, which
# have no smaller form. A new recipe gets none.
MORE_INSTRUCTIONS = {
    "cv_vae/sd21.py": 55_000,
    "wf_vae/l_16ch.py": 90_000,
    "wf_vae/l_4ch.py": 90_000,
    "wf_vae/m_4ch.py": 90_000,
    "wf_vae/moving_crops.py": 88_000,
    "ssvae/wf_vae.py": 100_000,
    "wf_vae/s_4ch.py": 90_000,
    "wf_vae/s_8ch.py": 90_000,
    "wf_vae/fsq.py": 90_000,
    "wf_vae/small.py": 90_000,
    "nvae/celeba64.py": 56_000,
    "nvae/celebahq256.py": 56_000,
    "nvae/cifar10.py": 56_000,
    "nvae/ffhq256.py": 56_000,
    "nvae/imagenet32.py": 56_000,
    "nvae/mnist.py": 42_000,
    "nvae/small.py": 56_000,
    "eq_vae/kl_f8.py": 54_000,
    "kl_f8/sd.py": 54_000,
    "kl_f8/sd3.py": 54_000,
    "rq_vae/f32.py": 27_000,
    **dict.fromkeys([*VQGAN, *KL], 25_000),
    "quickstart/digits.py": 37_000,
    "vdvae/cifar10.py": 37_000,
    "vdvae/ffhq1024.py": 37_000,
    "vdvae/ffhq256.py": 37_000,
    "vdvae/imagenet32.py": 37_000,
    "vdvae/imagenet64.py": 37_000,
    "vdvae/photos.py": 37_000,
    "taesd/taef2.py": 24_000,
    "taesd/taesd.py": 24_000,
}

ROOT = pathlib.Path(__file__).parents[2]


def name_of(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT / "configs"))


RECIPES = sorted(
    path for path in (ROOT / "configs").rglob("*.py") if "get_config" in path.read_text()
)
# Recipes whose `:tiny` differs little from another's, and those that other tests train.
SLOW = {
    "kl_f8/sd3.py": "sd.py with more channels of latents and without their convolutions",
    "taesd/taesd.py": "taef2.py without pooling",
    "va_vae/f16d32.py": "kl/f16_d16.py with another rate",
    **{
        name_of(path): "one is traced below, and tests/networks has its gradients"
        for path in RECIPES
        if name_of(path).startswith("wf_vae/")
    },
    **{
        name_of(path): "tests/training/steps/nvae_test.py trains this `:tiny`"
        for path in RECIPES
        if name_of(path).startswith("nvae/")
    },
    "ph_vae/lognormal_gaussian.py": "lognormal.py with a likelihood of tests/models",
    "text_vae/lines_cyclical.py": "lines.py with another schedule",
    "text_vae/lines_free_bits.py": "lines.py with a term of tests/losses",
    "dip_vae/dsprites.py": "beta_tcvae/dsprites.py with another term",
    "factor_vae/dsprites.py": "trained in tests/training/steps/latent_adversarial_test.py",
    "cv_vae/sd21.py": "traced below, and its network is in tests/networks",
    "hq_vae/cifar10_residual.py": "cifar10.py with other levels",
    "rq_vae/f32.py": "vqgan/f16_1024.py with residual_vq/cifar10.py's bottleneck",
    "vq_vae/cifar10.py": "cifar10_ema.py without its averages, and vqgan's bottleneck",
    "vq_vae/cifar10_ema.py": "trained in tests/training/steps/codebooks_test.py",
    "ladder_vae/mnist_bottom_up.py": "mnist.py with another direction",
    **{
        name_of(path): "in tests/cli/codec_commands_test.py a VDVAE is trained"
        for path in RECIPES
        if name_of(path).startswith("vdvae/")
    },
    "hq_vae/cifar10.py": "trained in tests/training/steps/hierarchies_test.py",
    "cvae/digits.py": "trained in tests/training/steps/labels_test.py",
    "m2/mnist.py": "trained in tests/training/steps/labels_test.py",
    "eq_vae/kl_f8.py": "kl_f8/sd.py with a regularizer of tests/training/steps",
    "ssvae/wf_vae.py": "wf_vae/s_4ch.py with what tests/training/steps regularizes",
    "kl_f8/sd.py": "traced below, and its network's gradient is in tests/networks",
    "distill/taef2.py": "taesd.py with other sizes and first weights",
    "distill/taehv.py": "trained with a teacher in tests/training/distill_video_test.py",
    "distill/turbo_video.py": "taehv.py with a frozen encoder",
    "taesd/taef2.py": "traced below, and its network is in tests/networks",
    "vae/realnvp.py": "traced below, and glow.py has its couplings",
    **{name_of(path): "a published codec" for path in RECIPES if path.parent.name in PUBLISHED},
}
TRACED = [
    ROOT / "configs" / name
    for name in (
        "cv_vae/sd21.py",
        "kl_f8/sd.py",
        "taesd/taef2.py",
        "vae/realnvp.py",
        "wf_vae/l_16ch.py",
    )
]


def with_marks(path: pathlib.Path):
    marks = [pytest.mark.slow] if name_of(path) in SLOW else []
    return pytest.param(path, marks=marks, id=name_of(path))


def check_budget(name: str, what: str, size: int, limit: int) -> None:
    assert size <= limit, (
        f"configs/{name}: `:tiny` has {size:,} {what} and may have {limit:,}: "
        "make it smaller (docs/extending.md, 'The budget of a recipe')"
    )


PASSED: set[str] = set()  # settings that passed: the `:tiny` of some recipes is the same


@pytest.mark.parametrize("path", [with_marks(path) for path in RECIPES])
def test_tiny_mode_trains_and_keeps_the_contract(path: pathlib.Path):
    name = name_of(path)
    settings = tiny_step.settings(name_of(path))
    same = json.dumps(settings, sort_keys=True, default=str)
    if same in PASSED:
        return
    mesh = meshes.create(devices=jax.devices()[:1])
    create, update, extras = (
        build.model_factory(settings),
        build.update(settings),
        build.extras(settings),
    )
    modeldef, shapes = states.abstract(create, update.optimizer, mesh, None, extras)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(shapes.params))
    check_budget(name, "parameters", parameters, PARAMETERS)
    state = states.initialize(create, update.optimizer, shapes, settings["seed"], extras)
    function = build.step(settings, modeldef, mesh)
    batch = sharding.place(noise_batch(settings), sharding.batch_sharding(mesh))
    step = tiny_step.program_of(function, shapes, batch, settings["num_steps"])
    instructions = len(re.findall(r"^ +(?:ROOT )?%\S+ = ", step.as_text() or "", re.MULTILINE))
    usual = PUBLISHED_INSTRUCTIONS if path.parent.name in PUBLISHED else INSTRUCTIONS
    limit = MORE_INSTRUCTIONS.get(name, usual)
    check_budget(name, "instructions", instructions, limit)
    for _ in range(2):
        state, metrics = step(state, batch, function.frozen)
    assert (
        np.isfinite(metrics["loss"])
        and np.isfinite(metrics["gradient_norm"])
        and int(state.skipped) == 0
    )

    @jax.jit
    def round_trip(params, image, key):
        model = modeldef.merge(params, state.model_state)
        condition = labels.of_batch(model, batch)
        latents = model.encode(image, key=key, **condition)
        again = model(batch, key=key, train=False)
        few = model.decode(tuple(latent.z for latent in latents[:1]), key=key, **condition)
        recon = model.decode(tuple(latent.z for latent in latents), **condition)
        # A codec's reconstruction is not a likelihood and may leave [-1, 1].
        log_prob = recon.log_prob(image) if hasattr(recon, "log_prob") else None
        return latents, again.latents, few.mean(), recon.mean(), log_prob

    model = modeldef.merge(state.params, state.model_state)
    latents, again, few, recon, log_prob = round_trip(
        state.params, examples_of(batch), jax.random.key(1)
    )
    assert len(latents) == model.num_layers == len(model.latent_shapes)
    for latent, twin, shape in zip(latents, again, model.latent_shapes):
        discrete = latent.indices is not None  # then there is one KL per position
        assert latent.z.shape[1:] == shape
        assert latent.kl.shape == ((*latent.z.shape[:-1], 1) if discrete else latent.z.shape)
        exact = latent.log_q is None and latent.log_p is None
        if discrete or exact:  # otherwise the KL is estimated from one sample
            assert float(latent.kl.min()) >= -1e-4, "the KL of an element is negative"
        np.testing.assert_allclose(latent.z, twin.z, atol=1e-5)
    assert few.shape == recon.shape == examples_of(batch).shape
    if log_prob is not None:
        assert log_prob.shape == (settings["batch_size"],)
    if of_batch(batch).has_pixels:
        assert pixels.to_uint8(recon).dtype == jnp.uint8
        assert log_prob is None or float(jnp.abs(recon).max()) <= 1 + 1e-6
    PASSED.add(same)


@pytest.mark.parametrize("path", TRACED, ids=name_of)
def test_the_step_of_tiny_mode_is_traced(path: pathlib.Path):
    settings = tiny_step.settings(name_of(path))
    mesh = meshes.create(devices=jax.devices()[:1])
    create, update = build.model_factory(settings), build.update(settings)
    modeldef, shapes = states.abstract(create, update.optimizer, mesh, None, build.extras(settings))
    parameters = sum(leaf.size for leaf in jax.tree.leaves(shapes.params))
    check_budget(name_of(path), "parameters", parameters, PARAMETERS)
    step = build.step(settings, modeldef, mesh)
    program = step.program(step.variant(settings["num_steps"]))
    after, metrics = jax.eval_shape(program, shapes, noise_batch(settings), step.frozen)
    assert jax.tree.map(lambda a: (a.shape, a.dtype), after) == jax.tree.map(
        lambda a: (a.shape, a.dtype), shapes
    )
    assert metrics["loss"].shape == ()
    assert ("discriminator" in metrics) == bool(settings.get("discriminator"))


@pytest.mark.parametrize("path", RECIPES, ids=name_of)
def test_tiny_mode_has_few_steps(path: pathlib.Path):
    steps = tiny_step.settings(name_of(path))["num_steps"]
    check_budget(name_of(path), "steps", steps, NUM_STEPS)
