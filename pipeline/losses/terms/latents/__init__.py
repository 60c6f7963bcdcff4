"""Terms of latents alone."""
