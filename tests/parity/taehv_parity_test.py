"""TAEHV agrees with the same layers in torch, and its decoder's chunks are exact."""

import pytest

torch = pytest.importorskip("torch", reason="parity needs torch: make parity")

import numpy as np  # noqa: E402
from released_weights import taehv  # noqa: E402
from torch.nn import functional  # noqa: E402
from video_parity import clip, close, decoded  # noqa: E402

from pipeline import Codec, cli  # noqa: E402

pytestmark = pytest.mark.parity
BLOCKS = range(3)


class Torch:
    """Both networks on the frames [t c h w] of one clip, by the numbers of their layers."""

    def __init__(self, tensors, is_super, patch):
        self.tensors = {name: torch.from_numpy(array) for name, array in tensors.items()}
        self.is_super, self.patch = is_super, patch

    def conv(self, name, x, **settings):
        weight, bias = (self.tensors.get(f"{name}.{leaf}") for leaf in ("weight", "bias"))
        return functional.conv2d(x, weight, bias, padding=weight.shape[-1] // 2, **settings)

    def regroup(self, name, x, pool):
        """Return frames in groups, or one frame as several, as the kernel's shape has it."""
        inputs = self.tensors[f"{name}.weight"].shape[1]
        if pool:
            return self.conv(name, x.reshape(-1, inputs, *x.shape[2:]))
        return self.conv(name, x).reshape(-1, inputs, *x.shape[2:])

    def block(self, name, x):
        both = torch.cat([x, torch.cat([torch.zeros_like(x[:1]), x[:-1]])], dim=1)
        if f"{name}.conv.4.weight" in self.tensors:
            h = self.conv(f"{name}.conv.2", self.conv(f"{name}.conv.0", both).relu()).relu()
            return (self.conv(f"{name}.conv.4", h) + x).relu()
        h = self.conv(f"{name}.conv.0", both, groups=both.shape[1])
        return x + self.conv(f"{name}.conv.3", self.conv(f"{name}.conv.1", h).relu())

    def encode(self, x):
        x = self.conv("encoder.0", functional.pixel_unshuffle(x, self.patch)).relu()
        for first in (2, 7, 12):
            x = self.regroup(f"encoder.{first}.conv", x, pool=True)
            x = self.conv(f"encoder.{first + 1}", x, stride=2)
            for block in BLOCKS:
                x = self.block(f"encoder.{first + 2 + block}", x)
        return self.conv("encoder.17", x)

    def decode(self, z):
        x = self.small(z) if not self.is_super else self.large(z)
        return functional.pixel_shuffle(x, self.patch)

    def small(self, z):
        x = self.conv("decoder.1", 3 * torch.tanh(z / 3)).relu()
        for first in (3, 9, 15):
            for block in BLOCKS:
                x = self.block(f"decoder.{first + block}", x)
            x = functional.interpolate(x, scale_factor=2)
            x = self.regroup(f"decoder.{first + 4}.conv", x, pool=False)
            x = self.conv(f"decoder.{first + 5}", x)
        return self.conv("decoder.22", x.relu())

    def large(self, z):
        x = self.conv("decoder.0", z)
        for first in (1, 8, 15):
            for block in BLOCKS:
                x = self.block(f"decoder.{first + block}", x)
            x = functional.pixel_shuffle(self.conv(f"decoder.{first + 3}", x).relu(), 2)
            x = self.regroup(f"decoder.{first + 6}.conv", x, pool=False)
        return self.conv("decoder.22", x)


@pytest.mark.parametrize(
    "is_super, patch, in_time",
    [
        (False, 1, None),
        pytest.param(True, 2, None, marks=pytest.mark.slow),
        pytest.param(False, 4, [True] * 3, marks=pytest.mark.slow),
    ],
)
def test_latents_and_frames_as_torch(is_super, patch, in_time, tmp_path):
    tensors = taehv(
        is_super=is_super, patch=patch, **({} if in_time is None else {"in_time": in_time})
    )
    torch.save({n: torch.from_numpy(a.copy()) for n, a in tensors.items()}, tmp_path / "taehv.pth")
    command = ["import", "--from", "taehv", str(tmp_path / "taehv.pth")]
    assert cli.dispatch([*command, "--out", str(tmp_path / "codec")]) == 0
    codec, theirs = Codec.from_pretrained(tmp_path / "codec"), Torch(tensors, is_super, patch)
    time, side = codec.temporal_factor, 2 * codec.spatial_factor
    assert (codec.encoder_causal, codec.decoder_causal) == (False, True)
    x = clip(1 + time, side, side)
    padded = np.concatenate([x, *[x[:, -1:]] * (time - 1)], axis=1)[0]
    with torch.no_grad():
        z = theirs.encode((torch.from_numpy(padded).permute(0, 3, 1, 2) + 1) / 2)
        frames = 2 * theirs.decode(z)[time - 1 :] - 1
    latents = z.permute(0, 2, 3, 1).numpy()[None]
    close(codec.encode(x).mean, latents)
    close(decoded(codec, latents), frames.permute(0, 2, 3, 1).numpy()[None])
    whole, by_one = (np.asarray(codec.decode(latents, chunk=each)) for each in (None, 1))
    assert whole.shape == x.shape
    assert np.abs(whole.astype(int) - by_one).max() <= 1  # a rounding of uint8
