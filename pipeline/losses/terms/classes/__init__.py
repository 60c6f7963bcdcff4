"""Loss terms of models with a class among their latents, where batch["label"] is -1 if unknown."""
