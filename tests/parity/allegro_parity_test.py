"""AutoencoderKLAllegro agrees with diffusers' on random weights, and goes back to its folder."""

import pytest

torch = pytest.importorskip("torch", reason="parity needs torch: make parity")
diffusers = pytest.importorskip("diffusers", reason="parity with diffusers needs it: make parity")

from published_settings import ALLEGRO  # noqa: E402
from video_parity import (  # noqa: E402
    check_export,
    clip,
    close,
    decoded,
    frames_of,
    pair,
    posterior_of,
)

pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    found = pair(diffusers.AutoencoderKLAllegro, ALLEGRO, tmp_path_factory.mktemp("allegro"))
    found.theirs.enable_tiling()  # windows of time; sample_size makes a frame one tile
    return found


@pytest.mark.parametrize("frames", [24, pytest.param(40, marks=pytest.mark.slow)])
def test_latents_and_frames_as_diffusers(both, frames):
    codec = both.ours.config["codec"]
    assert codec["streaming"] == "D" and codec["windows"] == {"frames": 24, "stride": 16}
    x = clip(frames, 16, 16)
    mean, logvar = posterior_of(both.theirs, x)
    encoding = both.ours.encode(x)
    close(encoding.mean, mean)
    close(encoding.logvar, logvar)
    frames_first = frames_of(both.theirs, mean)
    if frames_first.shape != x.shape:  # diffusers returns [b t c h w]
        frames_first = frames_first.transpose(0, 4, 2, 3, 1)
    close(decoded(both.ours, mean), frames_first)


def test_the_export_is_the_folder_again(both):
    check_export(both)
