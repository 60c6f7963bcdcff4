"""Terms by which a student learns from a frozen teacher (pipeline.losses.teacher)."""
