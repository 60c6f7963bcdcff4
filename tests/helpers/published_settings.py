"""Small settings (config.json) of diffusers' classes of codecs, by class: several where it has
forms.
"""

from typing import Any

_DOWN, _UP = "DownEncoderBlock2D", "UpDecoderBlock2D"
# LTX-Video 0.9.0's encoder and decoder, and the decoder since 0.9.1.
_LTX_OLD = dict(
    block_out_channels=[8, 16, 32, 32],
    decoder_block_out_channels=[8, 16, 32, 32],
    layers_per_block=[1, 1, 1, 1, 1],
    decoder_layers_per_block=[1, 1, 1, 1, 1],
    latent_channels=8,
)
_LTX_UP = dict(
    decoder_block_out_channels=[16, 32, 64],
    decoder_layers_per_block=[1, 1, 1, 1],
    decoder_spatio_temporal_scaling=[True] * 3,
    upsample_residual=[True] * 3,
    upsample_factor=[2] * 3,
    timestep_conditioning=True,
)

_SIZES: dict[str, Any] = dict(
    attention_head_dim=8,
    encoder_block_types=["ResBlock", "ResBlock", "EfficientViTBlock"],
    decoder_block_types=["ResBlock", "ResBlock", "EfficientViTBlock"],
    encoder_block_out_channels=[8, 16, 32],
    decoder_block_out_channels=[8, 16, 32],
)
# As the authors' models for ImageNet, and as SANA's.
DC_AE_IN = _SIZES | dict(
    latent_channels=8,
    encoder_layers_per_block=[0, 1, 2],
    decoder_layers_per_block=[0, 2, 1],
    encoder_qkv_multiscales=[[], [], []],
    decoder_qkv_multiscales=[[], [], []],
    decoder_norm_types=["batch_norm", "batch_norm", "rms_norm"],
    decoder_act_fns=["relu", "relu", "silu"],
)
DC_AE_SANA = _SIZES | dict(
    latent_channels=4,
    encoder_layers_per_block=[1, 1, 1],
    decoder_layers_per_block=[1, 1, 1],
    encoder_qkv_multiscales=[[], [], [5]],
    decoder_qkv_multiscales=[[], [], [5]],
    downsample_block_type="conv",
    upsample_block_type="interpolate",
    scaling_factor=0.41407,
)
RAE_DINOV2: dict[str, Any] = dict(
    encoder_type="dinov2",
    encoder_hidden_size=64,
    encoder_patch_size=14,
    encoder_num_hidden_layers=1,
    decoder_hidden_size=16,
    decoder_num_hidden_layers=1,
    decoder_num_attention_heads=2,
    decoder_intermediate_size=24,
    patch_size=4,
    encoder_input_size=42,
    num_channels=3,
    image_size=12,
    encoder_norm_mean=[0.4, 0.5, 0.6],
    encoder_norm_std=[0.2, 0.3, 0.25],
    latents_mean=[[[0.1 * (i % 7)]] for i in range(64)],
    latents_std=[[[0.5 + 0.1 * (i % 5)]] for i in range(64)],
    noise_tau=0.0,
    reshape_to_2d=True,
    use_encoder_loss=False,
    scaling_factor=1.0,
)
RAE_MAE: dict[str, Any] = RAE_DINOV2 | dict(
    encoder_type="mae",
    encoder_patch_size=16,
    encoder_input_size=48,
    patch_size=8,
    image_size=24,
    latents_mean=None,
    latents_std=None,
)
TINY: dict[str, Any] = dict(
    encoder_block_out_channels=[8] * 4,
    decoder_block_out_channels=[8] * 4,
    num_encoder_blocks=[1, 2, 2, 2],
    num_decoder_blocks=[2, 1, 1, 0],
    latent_channels=3,
)

_WAN: dict[str, Any] = dict(
    base_dim=8, z_dim=4, num_res_blocks=1, latents_mean=[0.5, 0.0, -1.0, 2.0], latents_std=[2.0] * 4
)
_VIDTOK: dict[str, Any] = dict(ch=4, ch_mult=[1, 2, 2, 2], num_res_blocks=1, is_causal=True)
VIDTOK_KL = _VIDTOK | dict(z_channels=4, regularizer="kl", double_z=True)
VIDTOK_FSQ = _VIDTOK | dict(z_channels=3, regularizer="fsq", double_z=False, codebook_size=512)
ALLEGRO: dict[str, Any] = dict(
    block_out_channels=[4, 4, 8, 8],
    latent_channels=3,
    layers_per_block=1,
    norm_num_groups=2,
    sample_size=16,
)

SETTINGS: dict[str, list[dict[str, Any]]] = {
    "AutoencoderRAE": [RAE_DINOV2, RAE_MAE],
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
    "AutoencoderKLCosmos": [
        dict(
            latent_channels=4,
            encoder_block_out_channels=[8, 8, 16, 16],
            decode_block_out_channels=[8, 16, 16, 16],
            num_layers=1,
            patch_size=2,
            spatial_compression_ratio=4,
            temporal_compression_ratio=4,
            # Of 3 latent frames, channel by channel.
            latents_mean=[number / 8 for number in range(12)],
            latents_std=[1 + number / 8 for number in range(12)],
        ),
        dict(
            latent_channels=2,
            encoder_block_out_channels=[4, 4, 4, 8],
            decode_block_out_channels=[4, 4, 4, 8],
            attention_resolutions=[8],
            resolution=64,
            num_layers=1,
        ),
        # As CV4x8x8 and CV8x16x16.
        *(
            dict(
                latent_channels=2,
                encoder_block_out_channels=[4, 4, 4, 4],
                decode_block_out_channels=[4, 4, 4, 4],
                num_layers=1,
                patch_size=2,
                temporal_compression_ratio=time,
                spatial_compression_ratio=space,
            )
            for time, space in ((2, 4), (4, 8))
        ),
    ],
    "AutoencoderKLMochi": [
        dict(
            encoder_block_out_channels=[32] * 4,
            decoder_block_out_channels=[32, 32, 32, 64],
            layers_per_block=[1, 1, 2, 1, 1],
            add_attention_block=[False, True, False, True, True],
            latent_channels=4,
            latents_mean=[0.5, -0.5, 0.25, 0.0],
            latents_std=[2.0, 3.0, 1.0, 0.5],
        )
    ],
    "AutoencoderKLLTXVideo": [
        _LTX_OLD,
        _LTX_OLD | _LTX_UP | dict(decoder_inject_noise=[True, True, True, False]),
        _LTX_UP
        | dict(
            block_out_channels=[8, 16, 32, 64, 128],
            down_block_types=["LTXVideo095DownBlock3D"] * 4,
            layers_per_block=[1, 1, 1, 1, 1],
            spatio_temporal_scaling=[True] * 4,
            downsample_type=["spatial", "temporal", "spatiotemporal", "spatiotemporal"],
            decoder_inject_noise=[False] * 4,
            latent_channels=8,
            decode_timestep=0.05,
        ),
    ],
    "AutoencoderKLLTX2Video": [
        dict(
            block_out_channels=[8, 16, 32, 64],
            decoder_block_out_channels=[16, 32, 64],
            layers_per_block=[1, 1, 1, 1, 1],
            decoder_layers_per_block=[1, 1, 1, 1],
            latent_channels=8,
            decoder_causal=False,
        ),
        dict(
            block_out_channels=[8, 16, 32, 32],
            decoder_block_out_channels=[8, 16, 16, 32],
            layers_per_block=[1, 1, 1, 1, 1],
            decoder_layers_per_block=[1, 1, 1, 1, 1],
            latent_channels=8,
            decoder_spatio_temporal_scaling=True,
            decoder_inject_noise=False,
            upsample_type=["spatiotemporal", "spatiotemporal", "temporal", "spatial"],
            upsample_residual=[False] * 4,
            upsample_factor=[2, 2, 1, 2],
            decoder_causal=False,
            decoder_spatial_padding_mode="zeros",
        ),
    ],
    "AutoencoderDC": [DC_AE_IN, DC_AE_SANA],
    "AutoencoderTiny": [TINY, TINY | dict(scaling_factor=0.5, shift_factor=0.25)],
    "AutoencoderVidTok": [VIDTOK_KL, VIDTOK_FSQ],
    "AutoencoderKLAllegro": [ALLEGRO],
    "VQModel": [
        dict(
            block_out_channels=[8, 16],
            norm_num_groups=4,
            down_block_types=[_DOWN, f"Attn{_DOWN}"],
            up_block_types=[f"Attn{_UP}", _UP],
            num_vq_embeddings=16,
        )
    ],
    "AutoencoderKLMagvit": [
        dict(
            block_out_channels=[4, 4, 8],
            down_block_types=["SpatialDownBlock3D"] + ["SpatialTemporalDownBlock3D"] * 2,
            up_block_types=["SpatialTemporalUpBlock3D", "SpatialUpBlock3D", "SpatialUpBlock3D"],
            latent_channels=2,
            layers_per_block=1,
            norm_num_groups=2,
        )
    ],
    "AutoencoderKLQwenImage": [_WAN | dict(input_channels=3)],
    "AutoencoderKLWan": [
        _WAN,
        _WAN
        | dict(
            decoder_base_dim=16,
            z_dim=12,
            is_residual=True,
            in_channels=12,
            out_channels=12,
            patch_size=2,
            scale_factor_spatial=16,
            latents_mean=[0.25] * 12,
            latents_std=[0.5] * 12,
            clip_output=False,
        ),
    ],
    "AutoencoderKLHunyuanVideo": [
        dict(
            block_out_channels=[2, 4, 4, 4],
            latent_channels=2,
            layers_per_block=1,
            norm_num_groups=2,
            mid_block_add_attention=attention,
        )
        for attention in (True, False)
    ],
    "AutoencoderKLHunyuanVideo15": [
        dict(
            block_out_channels=[4, 8, 8],
            latent_channels=2,
            layers_per_block=1,
            spatial_compression_ratio=4,
            temporal_compression_ratio=2,
        )
    ],
    "AutoencoderKLCogVideoX": [
        dict(
            block_out_channels=[2, 4, 4, 4],
            latent_channels=2,
            layers_per_block=1,
            norm_num_groups=2,
            scaling_factor=0.7,
            invert_scale_latents=True,
        )
    ],
}
