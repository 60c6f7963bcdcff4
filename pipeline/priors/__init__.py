"""Priors over latents: what generation draws, and how a hierarchy of them is walked."""
