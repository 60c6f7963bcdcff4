"""Small settings (config.json) of diffusers' classes of codecs, by class: several where it has
forms.
"""

from typing import Any

_DOWN, _UP = "DownEncoderBlock2D", "UpDecoderBlock2D"

SETTINGS: dict[str, list[dict[str, Any]]] = {
    "AutoencoderKL": [
        dict(
            block_out_channels=[8, 16],
            norm_num_groups=4,
            down_block_types=[_DOWN] * 2,
            up_block_types=[_UP] * 2,
            sample_size=8,
        ),
        dict(
            block_out_channels=[8, 16],
            layers_per_block=2,
            latent_channels=2,
            norm_num_groups=2,
            down_block_types=[_DOWN] * 2,
            up_block_types=[_UP] * 2,
            use_quant_conv=False,
            use_post_quant_conv=False,
            mid_block_add_attention=False,
            latents_mean=[0.5, -0.5],
            latents_std=[2.0, 3.0],
            scaling_factor=0.5,
            sample_size=[16, 16],
        ),
    ],
    "VQModel": [
        dict(
            block_out_channels=[8, 16],
            norm_num_groups=4,
            down_block_types=[_DOWN, f"Attn{_DOWN}"],
            up_block_types=[f"Attn{_UP}", _UP],
            num_vq_embeddings=16,
        )
    ],
}
