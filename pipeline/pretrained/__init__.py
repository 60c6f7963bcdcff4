"""The way to a codec from a folder of ours or of diffusers, on a disk, in a bucket or on a hub."""
