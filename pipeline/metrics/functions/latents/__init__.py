"""Measures of latents as arrays on the host: maps z [n h w d], a clip's frames as examples."""
