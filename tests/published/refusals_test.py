"""Settings of published video codecs that describe networks which we lack are refused by name."""

import pytest

from pipeline import published
from pipeline.core.errors import CheckpointError

HUNYUAN, HUNYUAN15 = "AutoencoderKLHunyuanVideo", "AutoencoderKLHunyuanVideo15"
COGVIDEOX, MAGVIT = "AutoencoderKLCogVideoX", "AutoencoderKLMagvit"
COSMOS = "AutoencoderKLCosmos"


@pytest.mark.parametrize(
    "name, settings, said",
    [
        (MAGVIT, dict(spatial_group_norm=False), "spatial_group_norm=False"),
        (MAGVIT, dict(down_block_types=["SpatialDownBlock3D"] * 3), "must be 4 of"),
        (HUNYUAN, dict(temporal_compression_ratio=8), "temporal_compression_ratio=8"),
        (HUNYUAN, dict(block_out_channels=[32, 32]), "block_out_channels"),
        (HUNYUAN15, dict(downsample_match_channel=False), "downsample_match_channel=False"),
        (HUNYUAN15, dict(spatial_compression_ratio=8), "5 widths"),
        (COGVIDEOX, dict(use_quant_conv=True), "use_quant_conv=True"),
        (COGVIDEOX, dict(layers_per_block=0), "layers_per_block=0"),
        (COGVIDEOX, dict(out_channels=4), "out_channels=4"),
        (COSMOS, dict(temporal_compression_ratio=16), "temporal_compression_ratio=16"),
        (COSMOS, dict(spatial_compression_ratio=12), "spatial_compression_ratio=12"),
        (COSMOS, dict(spatial_compression_ratio=32), "spatial_compression_ratio=32"),
        (
            COSMOS,
            dict(temporal_compression_ratio=16, spatial_compression_ratio=16),
            "temporal_compression_ratio=16",
        ),
    ],
)
def test_another_network_is_refused(name, settings, said):
    with pytest.raises(CheckpointError, match=said) as error:
        published.of_class(name).recipe({"_class_name": name} | settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", [MAGVIT, HUNYUAN, HUNYUAN15, COGVIDEOX])
def test_a_scaling_by_zero_is_refused(name):
    family = published.of_class(name)
    with pytest.raises(CheckpointError, match="scaling_factor is 0"):
        family.read_statistics({"_class_name": name, "scaling_factor": 0}, {})
    assert family.read_statistics({"_class_name": name, "scaling_factor": None}, {}) == {}
    lists = {"latents_mean": [0.5] * 16, "latents_std": [2.0] * 16, "scaling_factor": 1.0}
    found = family.read_statistics({"latent_channels": 16} | lists, {})
    again, _ = family.write_statistics(found | {"std": [2.0] * 15 + [3.0]}, {})
    assert again["latents_std"][-1] == 3.0 and again["latents_mean"] == [0.5] * 16
