"""Codecs of clips agree with diffusers' at every legal length, not only the shortest ones.

Each side that is exact in chunks is coded a latent at a time, so that two programs serve all
lengths; the others are compiled for each.
"""

import dataclasses

import pytest

torch = pytest.importorskip("torch", reason="parity needs torch: make parity")
diffusers = pytest.importorskip("diffusers", reason="parity with diffusers needs it: make parity")

import numpy as np  # noqa: E402
from diffusers_models import create, imported  # noqa: E402
from published_settings import SETTINGS  # noqa: E402
from video_parity import (  # noqa: E402
    Pair,
    clip,
    close,
    decoded,
    from_torch,
    latents_like,
    to_torch,
)

from pipeline.nn.cache import with_room  # noqa: E402

pytestmark = [pytest.mark.parity, pytest.mark.slow]


@dataclasses.dataclass
class Case:
    """A class of diffusers: its name, which of its small settings, and the side of its frames."""

    name: str
    number: int = 0
    side: int = 16

    def __str__(self) -> str:
        return f"{self.name.removeprefix('Autoencoder').removeprefix('KL')}-{self.number}"


CASES = [
    Case("AutoencoderKLWan"),
    Case("AutoencoderKLWan", 1, side=32),
    Case("AutoencoderKLQwenImage"),
    Case("AutoencoderKLHunyuanVideo"),
    Case("AutoencoderKLHunyuanVideo15"),
    Case("AutoencoderKLMagvit"),
    Case("AutoencoderKLCosmos"),
    Case("AutoencoderKLCosmos", 2),
    Case("AutoencoderKLCosmos", 3),
    Case("AutoencoderKLMochi"),
    Case("AutoencoderKLLTXVideo", 0, side=64),
    Case("AutoencoderKLLTXVideo", 1, side=64),
    Case("AutoencoderKLLTXVideo", 2, side=64),
    Case("AutoencoderKLLTX2Video", 0, side=64),
    Case("AutoencoderKLLTX2Video", 1, side=64),
    Case("AutoencoderKLCogVideoX"),
    Case("AutoencoderKLAllegro"),
    Case("AutoencoderVidTok"),
]


@pytest.fixture(scope="module", params=CASES, ids=str)
def both(request, tmp_path_factory):
    case = request.param
    settings = dict(SETTINGS[case.name][case.number])
    for ours_alone in ("decode_timestep", "clip_output"):
        settings.pop(ours_alone, None)
    model = create(case.name, **settings)
    for key, parameter in model.named_parameters():
        if "per_channel_scale" in key:  # the noise is drawn by other generators
            parameter.data.zero_()
    for key, buffer in model.named_buffers():
        if key == "latents_std":
            buffer.abs_().add_(1)
    folder = tmp_path_factory.mktemp("lengths")
    codec = imported(model, folder)
    if case.name == "AutoencoderKLHunyuanVideo":  # it would cut in time, and give other latents
        model.use_framewise_encoding = model.use_framewise_decoding = False
    if case.name == "AutoencoderKLAllegro":  # its windows of time are tiles
        model.enable_tiling()
    return case, Pair(model, folder, codec)


def legal_lengths(codec) -> list[int]:
    """Return the first legal lengths: five of a codec without windows."""
    if codec.windows is None:
        return [1 + codec.temporal_factor * k for k in range(5)]
    return sorted({codec.windows.padded(frames) for frames in range(1, 57)})


def posterior_of(model, x):
    """Return their mean, and log-variance if there is one."""
    if type(model).__name__ == "AutoencoderVidTok":  # its caller pads
        x = np.concatenate([*[x[:, :1]] * 3, x], axis=1)
    with torch.no_grad():
        found = model.encode(to_torch(x)).latent_dist
    parts = (found.mean, found.logvar) if hasattr(found, "logvar") else (found.mode(),)
    return [from_torch(part) for part in parts]


def frames_of(model, z):
    timed = getattr(model.config, "timestep_conditioning", False)
    given = (torch.zeros(len(z)),) if timed else ()
    with torch.no_grad():
        found = model.decode(to_torch(z), *given)
    found = getattr(found, "sample", found)
    is_frames_first = type(model).__name__ == "AutoencoderKLAllegro"
    return found.permute(0, 1, 3, 4, 2).numpy() if is_frames_first else from_torch(found)


def ours_of(codec, z):
    """Return float frames, a latent at a time where that is exact."""
    if not codec.decoder_causal:
        return decoded(codec, z)
    parts, cache = [], None
    for t in range(z.shape[1]):
        part, cache = codec.decoder_side.program(*codec.state, cache, z[:, t : t + 1])
        parts.append(np.asarray(part[0]))
        cache = with_room(cache)
    return np.concatenate(parts, axis=1)


def test_every_legal_length_as_diffusers(both):
    case, pair = both
    clamps = "Wan" in case.name or "Qwen" in case.name
    lengths = legal_lengths(pair.ours)
    assert len(lengths) >= 3
    for frames in lengths:
        x = clip(frames, case.side, case.side)
        parts = posterior_of(pair.theirs, x)
        chunk = pair.ours.temporal_factor if pair.ours.encoder_causal else None
        encoding = pair.ours.encode(x, chunk=chunk)
        for ours, theirs in zip((encoding.mean, encoding.logvar), parts):
            close(ours, theirs)
        z = latents_like(parts[0])
        ours, theirs = ours_of(pair.ours, z), frames_of(pair.theirs, z)
        assert theirs.shape[1] == frames
        close(np.clip(ours, -1, 1) if clamps else ours, theirs)
    print(f"{case}: {lengths} frames")
