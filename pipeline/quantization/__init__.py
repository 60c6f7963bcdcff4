"""Functions that discrete bottlenecks share: the search for codes, and gradients through it."""
