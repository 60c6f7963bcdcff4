"""Entropy coding: the latents of a codec as bytes that are as short as its prior says."""
