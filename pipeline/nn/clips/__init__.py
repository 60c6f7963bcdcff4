"""Layers and loops of clips alone."""
