"""Normalizing flows: invertible maps that know how they change a density.

    y, log_det = flow(z)                     # log q(y) = log q(z) - log_det
    z = flow.inverse(y)
    z, log_det = flow.inverse_and_log_det(y)

`log_det` has the shape of z and sums to log |det dy/dz| over an example, in nats. Where the
Jacobian is triangular each element has its own term; otherwise the sum is spread evenly over the
elements it couples. Everything is float32, and a flow is initialized to change volume little. A
step whose inverse gives the log-determinant without another pass has `inverse_and_log_det` too.

A recipe names a subclass of `chain.Chain`, made of a number of features and a key: "planar.Planar".
These map vectors [b d]; `conv_autoregressive` maps feature maps [b h w d] and has a context.
"""
