"""Loss terms of the high frequencies of images."""
