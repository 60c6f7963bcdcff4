"""The mathematics of diffusion and flow matching, which priors, decoders and generators share.

    paths/          from data to noise: x_t = alpha(t) x + sigma(t) e
    predictions     what a network predicts of x_t, and how each prediction gives the others
    weightings      what each time weighs in a loss
    times           how the times of a batch are drawn
    loss            the weighted squared error of a prediction
    samplers/       from noise to data, and back
    likelihood      log-densities by the probability-flow equation
    gaussian        closed forms of Gaussian data

Nothing here knows networks, images or codecs: x is an array [b ...] and a network is a function
(x_t [b ...], t [b]) -> a prediction in the shape of x_t. Arithmetic is in float32.
"""
