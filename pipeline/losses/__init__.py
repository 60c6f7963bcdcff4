"""Loss terms, and the objective that sums the terms of a recipe."""
