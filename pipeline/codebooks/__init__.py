"""Codebooks of vector quantizers, found by name: `dict(name="moving_average.MovingAverage")`.

    Codebook(*, num_codes, dim, ..., key)
    codebook() -> codes [k d]           float32; the gradient reaches what is trained by it
    codebook.follow(x, indices, key)    take in the vectors [*n d] of a training step, and the
                                        indices of their codes

`follow` changes variables that are no parameters, which the training state and checkpoints hold.
Nothing in it names a device: under jit, sums are over all devices that share a batch.
tests/codebooks/contract_test.py checks each one.
"""
