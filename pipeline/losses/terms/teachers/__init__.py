"""Terms by which a frozen encoder of images teaches a codec (pipeline.losses.alignment)."""
