"""Every denoiser: shapes, a start at 0, and a prediction that depends on all of its inputs."""

import importlib
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from flow_checks import perturbed

from pipeline.core.construct import construct, modules_of
from pipeline.core.errors import ConfigError

PACKAGE = "pipeline.denoisers"
SHARED = {"dropout", "time_embedding"}
UNET = dict(channels=(8, 16), num_blocks=1, head_channels=8, groups=4, dropout=0.5)
# Settings of every denoiser, and the shape of x_t, whose last channel is a condition.
DENOISERS = {
    "mlp.SkipMLP": (dict(depth=2, width=16, dropout=0.5), (2, 5)),
    "transformer.Transformer": (
        dict(width=24, depth=1, heads=2, patch=2, dropout=0.5),
        (2, 3, 4, 4, 4),
    ),
    "unet.UNet": (UNET, (2, 4, 6, 4)),
    "video_unet.VideoUNet": (UNET, (2, 3, 4, 4, 4)),
}


@pytest.fixture(params=DENOISERS, scope="module")
def made(request):
    """A denoiser at its start, the same with other weights, its jitted call, and x_t."""
    settings, shape = DENOISERS[request.param]
    channels = shape[-1]
    recipe = {"name": request.param} | settings
    given = dict(in_channels=channels, out_channels=channels - 1)
    model = construct(PACKAGE, recipe, where="denoiser", **given, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(1), shape)
    other = perturbed(nnx.clone(model), 0.1)
    call = nnx.jit(lambda model, x, t, condition, key: model(x, t, condition=condition, key=key))
    return model, other, call, x


def test_every_file_is_here():
    found = set()
    for name in set(modules_of(PACKAGE)) - SHARED:
        for kind in vars(importlib.import_module(f"{PACKAGE}.{name}")).values():
            if inspect.isclass(kind) and hasattr(kind, "__init__"):
                own = kind.__module__.endswith(f".{name}") and issubclass(kind, nnx.Module)
                if own and "out_channels" in inspect.signature(kind.__init__).parameters:
                    found.add(f"{name}.{kind.__name__}")
    assert found == set(DENOISERS)


def test_it_begins_with_0_in_the_shape_of_its_output(made):
    model, _, call, x = made
    out = call(model, x, jnp.asarray([0.2, 0.8]), None, None)
    assert out.shape == (*x.shape[:-1], x.shape[-1] - 1) and out.dtype == jnp.float32
    assert not out.any()


def test_a_prediction_depends_on_every_input(made):
    _, model, call, x = made
    t = jnp.asarray([0.2, 0.8])
    condition = jax.random.normal(jax.random.key(2), (2, model.embedding))
    out = call(model, x, t, condition, None)
    assert np.array_equal(out, call(model, x, t, condition, None))
    for other in (
        call(model, x.at[..., -1].add(1), t, condition, None),
        call(model, x, t + 0.1, condition, None),
        call(model, x, t, condition + 1, None),
        call(model, x, t, condition, jax.random.key(3)),
    ):
        assert float(abs(other - out).max()) > 1e-4
    # An example does not depend on the other.
    alone = call(model, x.at[1].add(1), t, condition, None)
    np.testing.assert_allclose(alone[0], out[0], atol=1e-5)


def test_frames_know_their_order(made):
    _, model, call, x = made
    if x.ndim != 5:
        pytest.skip("not of clips")
    t = jnp.asarray([0.2, 0.8])
    out, moved = call(model, x, t, None, None), call(model, x[:, ::-1], t, None, None)
    assert float(abs(out - moved[:, ::-1]).max()) > 1e-4


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("unet.UNet", dict(attention_levels=(5,)), "its last level"),
        ("unet.UNet", dict(channels=()), "even number"),
        ("unet.UNet", dict(channels=(8, 28), head_channels=8, groups=4), "must divide"),
        ("mlp.SkipMLP", dict(depth=0), "at least 1"),
        ("transformer.Transformer", dict(width=10, heads=3), "must divide width=10"),
    ],
)
def test_wrong_settings_are_refused(name, settings, words):
    with pytest.raises(ConfigError, match=words):
        construct(
            PACKAGE,
            {"name": name} | settings,
            where="denoiser",
            in_channels=3,
            out_channels=3,
            rngs=nnx.Rngs(0),
        )


def test_a_size_that_cannot_be_halved_is_refused():
    kind = importlib.import_module(f"{PACKAGE}.unet").UNet
    model = kind(in_channels=1, out_channels=1, **UNET, rngs=nnx.Rngs(0))
    with pytest.raises(ConfigError, match="multiples of 2, not 5x4"):
        model(jnp.zeros((1, 5, 4, 1)), jnp.zeros(1))
