"""Encoders and decoders, found by name: `dict(name="ldm.Encoder", ...)`.

A network is a flax nnx module. pipeline.models.autoencoder composes two of them with a bottleneck
and knows none by name; tests/networks/contract_test.py checks each one.

    Encoder(*, in_channels, out_channels, ..., rngs, dtype)
        images [b h w c] or clips [b t h w c] in [-1, 1] -> features
    Decoder(*, in_channels, out_channels, ..., rngs, dtype)
        latents -> images or clips around [-1, 1], float32

    network(x, remat=False) -> (y, aux)

`aux` maps names to tuples of arrays; the autoencoder pairs the encoder's with the decoder's, for
losses that compare them. A causal network also takes `cache` (pipeline.nn.cache), so that chunks of
a clip give what the whole clip gives. With `remat` the backward pass recomputes activations instead
of storing them.

Attributes of each:
  is_video: whether it takes clips.
  spatial_factor, temporal_factor: pixels (each way) and frames to a latent; 1 frame for images.
  causal: whether no output frame depends on a later input frame.
  windows: optional; fixed windows of time that belong to the network (pipeline.core.windows). It is
    then called with one window at a time, and consecutive ones come with a `cache`.
  out_channels: channels of y.
Attributes of a decoder:
  last_layer: name of the kernel at its output, for adaptive weights of a discriminator.
  has_running_statistics: optional; true of one that in training normalizes by the batch: it takes
    `momentum` too (pipeline.nn.norm.BatchNorm).
"""
