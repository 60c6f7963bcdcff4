"""Invertible maps that move a sample of a Gaussian posterior on, and know how they change its density.

    y, log_det = flow(z)                     # log q(y) = log q(z) - log_det
    z = flow.inverse(y)

`log_det` has the shape of z. Its sum over an example is log |det dy/dz| in nats; where the Jacobian is triangular, each
element has its own term, else the sum is spread evenly over what it is of. Every flow takes vectors [b d]; those of
`glow` and `conv_autoregressive` take feature maps [b h w d]. All is float32 and begins near the identity.
"""
