"""Loss terms of discrete bottlenecks, from what their `learn` returns (pipeline.bottlenecks)."""
