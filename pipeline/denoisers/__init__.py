"""Networks that predict noise, data or velocity of x_t, found by name: `dict(name="unet.UNet")`.

    Denoiser(*, in_channels, out_channels, ..., rngs, dtype)
    denoiser(x_t, t, *, condition=None, key=None) -> a prediction in the shape of x_t

x_t is [b h w c], a clip [b t h w c] or a vector [b c], and t [b] is between 0 and 1. `condition`
[b e] is added to the embedding of t, of size `denoiser.embedding`: what embeds a label or a code is
the caller's. Inputs that are images, such as a decoder's latents, are channels of x_t beyond
`out_channels`. `key` draws dropout, in training. The output is float32.

A denoiser begins with a prediction of 0. tests/denoisers/contract_test.py checks each one.
"""
