"""Bottlenecks between an encoder and a decoder, found by name: `dict(name="gaussian.Gaussian")`.

A bottleneck turns the encoder's features into a Latent and knows the prior of its latents;
tests/bottlenecks/contract_test.py checks each one.

    Bottleneck(*, latent_channels, ..., key, dtype)
    Bottleneck.num_inputs(latent_channels) -> int       channels that it takes from the encoder
    bottleneck(h, key) -> Latent                        a sample, or without a key the mode
    bottleneck.prior(shape, key, temperature) -> z      [*shape latent_channels], or the mean

A discrete bottleneck also has

    bottleneck.decode_indices(indices) -> z             what a Latent of these indices has
    bottleneck.learn(h, key, step) -> Latent, aux       in training, if it differs

`learn` may change variables that are no parameters, such as running averages, and its aux holds
what loss terms need: "vectors" and "codes", tuples of arrays to be compared, "bit_logits",
"code_logits" or "soft_codes".

`key` is the key of the stochastic layer (pipeline.priors.hierarchy.layer_key) and is used as is.
"""
