"""Networks with branches: units, pooling and padding by hand.

This also covers inception.py, i3d.py (shapes, files) and resize.py.
"""

import itertools

import jax
import jax.numpy as jnp
import made_up
import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.frozen import branches, i3d, inception, resize
from pipeline.frozen.branches import Pool, Unit


def padded_as_tensorflow(x, kernel, stride):
    """Pad x so that ceil(size / stride) windows fit, an odd zero at the end."""
    totals = [
        max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(x.shape[1:-1], kernel, stride)
    ]
    return np.pad(x, [(0, 0), *((total // 2, total - total // 2) for total in totals), (0, 0)])


@pytest.mark.parametrize(
    "kernel, stride, same, size",
    [
        ((1, 7), (1, 1), True, (5, 9)),
        ((3, 3), (2, 2), False, (9, 8)),
        ((3, 3, 3), (1, 1, 1), True, (3, 4, 5)),
        ((7, 7, 7), (2, 2, 2), True, (9, 8, 11)),
    ],
    ids=str,
)
def test_unit_is_a_convolution_a_batch_norm_and_relu(kernel, stride, same, size):
    rng = np.random.default_rng(0)
    tensors = {
        "u.conv.weight": rng.normal(size=(4, 3, *kernel)),
        "u.bn.weight": rng.normal(size=4),
        "u.bn.bias": rng.normal(size=4),
        "u.bn.running_mean": rng.normal(size=4),
        "u.bn.running_var": rng.uniform(0.5, 2, 4),
    }
    x = rng.normal(size=(1, *size, 3))
    seen = padded_as_tensorflow(x, kernel, stride) if same else x
    counts = [(n - k) // s + 1 for n, k, s in zip(seen.shape[1:-1], kernel, stride)]
    expected = np.zeros((1, *counts, 4))
    for at in itertools.product(*map(range, counts)):
        window = seen[(0, *(slice(i * s, i * s + k) for i, k, s in zip(at, kernel, stride)))]
        expected[(0, *at)] = np.tensordot(
            tensors["u.conv.weight"], np.moveaxis(window, -1, 0), len(size) + 1
        )
    expected = (expected - tensors["u.bn.running_mean"]) / np.sqrt(
        tensors["u.bn.running_var"] + 1e-3
    )
    expected = np.maximum(expected * tensors["u.bn.weight"] + tensors["u.bn.bias"], 0)
    network = (Unit("u", 4, kernel, stride, same),)
    weights = branches.convert(network, tensors, conv_name="conv", wrong=DataError)
    found = jax.jit(lambda weights, x: branches.run(network, weights, x))(
        weights, np.asarray(x, np.float32)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_branches_are_concatenated_and_pools_ignore_padding():
    x = jnp.asarray(np.random.default_rng(0).uniform(-2, -1, (1, 4, 4, 2)), jnp.float32)
    pools = [
        (Pool("mean", (3, 3), (1, 1)),),
        (Pool("max", (3, 3), (1, 1)),),
        (Pool("max", (3, 3), (1, 1), False),) * 0,
    ]
    found = branches.run((pools,), {}, x)
    np.testing.assert_allclose(found[0, 0, 0, :2], x[0, :2, :2].mean((0, 1)), rtol=1e-6)
    np.testing.assert_array_equal(found[0, 3, 1, 2:4], x[0, 2:, :3].max((0, 1)))
    np.testing.assert_array_equal(found[..., 4:], x)


def test_resize_matches_tensorflow_1():
    x = np.random.default_rng(0).uniform(size=(2, 3, 5, 7, 1)).astype(np.float32)
    found = np.asarray(resize.bilinear(jnp.asarray(x), 6))
    assert found.shape == (2, 3, 6, 6, 1)
    for row, column in itertools.product(range(6), repeat=2):
        y, x_at = row * 5 / 6, column * 7 / 6
        top, left = int(y), int(x_at)
        corners = x[:, :, [top, min(top + 1, 4)]][:, :, :, [left, min(left + 1, 6)]]
        shares = np.outer([1 - y + top, y - top], [1 - x_at + left, x_at - left])
        expected = (corners * shares[..., None]).sum((2, 3))
        np.testing.assert_allclose(found[:, :, row, column], expected, atol=1e-6)
    np.testing.assert_array_equal(resize.bilinear(jnp.asarray(found), 6), found)


def trained(weights: dict[str, np.ndarray]) -> int:
    return sum(array.size * (2 if name.endswith("bias") else 1) for name, array in weights.items())


def test_the_shapes_of_both_networks():
    tensors = made_up.inception()
    weights = inception.convert(tensors, "i.pth")
    # torchvision's count for Inception v3 without classifiers; a batch norm has two numbers per
    # channel.
    assert trained(weights) == 21_785_568
    found = jax.eval_shape(
        inception.features, weights, jax.ShapeDtypeStruct((2, 40, 30, 3), jnp.float32)
    )
    assert found.shape == (2, 8, 8, 2048)
    weights = i3d.convert(made_up.i3d(), "i.pt")
    assert trained(weights) - 400 == 12_697_264  # pytorch-i3d's, whose logits have no batch norm
    found = jax.eval_shape(
        i3d.features, weights, jax.ShapeDtypeStruct((2, 17, 40, 30, 3), jnp.float32)
    )
    assert found.shape == (2, 2, 400)
    with pytest.raises(DataError, match="clips of 9 frames or more, and these have 5"):
        jax.eval_shape(i3d.features, weights, jax.ShapeDtypeStruct((1, 5, 30, 30, 3), jnp.float32))


def without(tensors: dict, name: str) -> dict:
    return {key: array for key, array in tensors.items() if key != name}


@pytest.mark.parametrize(
    "convert, tensors, message",
    [
        (
            inception.convert,
            lambda: made_up.inception(1000),
            r"fc.weight is \[1000, 2048\], not \[1008, 2048\]",
        ),
        (
            inception.convert,
            made_up.i3d,
            r"Conv2d_1a_3x3.conv.weight is absent, not \[32, 3, 3, 3\]",
        ),
        (
            inception.convert,
            lambda: without(made_up.inception(), "Mixed_7c.branch_pool.bn.running_var"),
            "Mixed_7c.branch_pool.bn.running_var is absent",
        ),
        (
            i3d.convert,
            made_up.inception,
            r"Conv3d_1a_7x7.conv3d.weight is absent, not \[64, 3, 7, 7, 7\]",
        ),
        (
            i3d.convert,
            lambda: without(made_up.i3d(), "logits.conv3d.bias"),
            r"logits.conv3d.bias is absent",
        ),
    ],
    ids=["torchvision", "i3d", "no statistics", "inception", "no logits"],
)
def test_another_networks_file_is_a_data_error(convert, tensors, message):
    with pytest.raises(DataError, match=message) as error:
        convert(tensors(), "given.pth")
    assert (
        "given.pth is not " in str(error.value)
        and "https://" in str(error.value)
        and "\n" not in str(error.value)
    )
