"""Distances between images, and between clips: one value per example, for losses and metrics alike.

Images are uint8, or float in [-1, 1]. Both are mapped to [0, 1], the range that all figures refer
to.
"""
