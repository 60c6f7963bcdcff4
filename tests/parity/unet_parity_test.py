"""The U-Net against diffusers' UNet2DModel on the same weights, as an identity of architectures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline.denoisers.unet import UNet

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")


@pytest.fixture(scope="module")
def theirs():
    torch.manual_seed(0)
    model = diffusers.UNet2DModel(
        sample_size=8,
        in_channels=3,
        out_channels=2,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=8,
        norm_num_groups=4,
    )
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.05 * torch.randn_like(value))
    return model.eval()


def restored(model, theirs):
    """Give our U-Net the weights of theirs, in the order in which both make their layers."""
    state = {name: value.numpy() for name, value in theirs.state_dict().items()}

    def linear(layer, *names):
        kernels = [state[f"{name}.weight"].T for name in names]
        layer.kernel[...] = jnp.asarray(np.concatenate(kernels, axis=1))
        layer.bias[...] = jnp.asarray(np.concatenate([state[f"{name}.bias"] for name in names]))

    def conv(layer, name):
        layer.kernel[...] = jnp.asarray(state[f"{name}.weight"].transpose(2, 3, 1, 0))
        layer.bias[...] = jnp.asarray(state[f"{name}.bias"])

    def norm(layer, name):
        layer.scale[...], layer.bias[...] = (
            jnp.asarray(state[f"{name}.{part}"]) for part in ("weight", "bias")
        )

    def stage(ours, block, attention):
        norm(ours.block.norm1, f"{block}.norm1")
        conv(ours.block.conv1, f"{block}.conv1")
        linear(ours.block.time, f"{block}.time_emb_proj")
        norm(ours.block.norm2, f"{block}.norm2")
        conv(ours.block.conv2, f"{block}.conv2")
        if ours.block.shortcut is not None:
            conv(ours.block.shortcut, f"{block}.conv_shortcut")
        if ours.attention is not None:
            norm(ours.attention.norm, f"{attention}.group_norm")
            linear(ours.attention.qkv, *(f"{attention}.to_{part}" for part in "qkv"))
            linear(ours.attention.out, f"{attention}.to_out.0")

    conv(model.conv_in, "conv_in")
    linear(model.time.first, "time_embedding.linear_1")
    linear(model.time.second, "time_embedding.linear_2")
    for ways, prefix in ((model.down, "down_blocks"), (model.up, "up_blocks")):
        for level, stages in enumerate(ways):
            for number, each in enumerate(stages):
                name = f"{prefix}.{level}"
                stage(each, f"{name}.resnets.{number}", f"{name}.attentions.{number}")
    for number, each in enumerate(model.middle):
        stage(each, f"mid_block.resnets.{number}", "mid_block.attentions.0")
    conv(model.downsamples[0], "down_blocks.0.downsamplers.0.conv")
    conv(model.upsamples[0], "up_blocks.0.upsamplers.0.conv")
    norm(model.norm_out, "conv_norm_out")
    conv(model.conv_out, "conv_out")
    return model


def test_predictions_are_equal(theirs):
    ours = UNet(
        in_channels=3,
        out_channels=2,
        channels=(8, 16),
        num_blocks=1,
        attention_levels=(1,),
        head_channels=8,
        groups=4,
        rngs=nnx.Rngs(0),
    )
    counts = sum(value.size for value in jax.tree.leaves(nnx.state(ours, nnx.Param)))
    assert counts == sum(value.numel() for value in theirs.parameters())
    restored(ours, theirs)
    x = np.random.default_rng(0).standard_normal((2, 8, 8, 3), np.float32)
    t = np.asarray([0.25, 0.75], np.float32)
    with torch.no_grad():
        wanted = theirs(torch.from_numpy(x.transpose(0, 3, 1, 2)), torch.from_numpy(1000 * t))
    wanted = wanted.sample.numpy().transpose(0, 2, 3, 1)
    got = nnx.jit(lambda model, x, t: model(x, t))(ours, jnp.asarray(x), jnp.asarray(t))
    np.testing.assert_allclose(got, wanted, atol=1e-4 * wanted.std())
