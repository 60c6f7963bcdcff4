"""Measure how memory falls when the height of clips is sharded over the chips of a TPU slice.

    python benchmarks/context_memory.py [--topology v5e:2x4] [--contexts 1 4 8] \\
        [--shape 32 128 128] [--channels 128]

Compiles the loss and gradients of six 3x3x3 causal convolutions in a row, without
rematerialization, on one clip in float32. Needs no TPU, only its compiler (the plan extra). Prints
one JSON row per context size: bytes per chip, and collectives.
"""

import argparse
import json
import os
import pathlib
import sys
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--topology", default="v5e:2x4")
    parser.add_argument("--contexts", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument(
        "--shape", type=int, nargs=3, default=[32, 128, 128], help="frames, height, width"
    )
    parser.add_argument("--channels", type=int, default=128)
    parser.add_argument("--layers", type=int, default=6)
    flags = parser.parse_args()
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    for context in flags.contexts:
        print(json.dumps(measure(flags, context)), flush=True)


def measure(flags: argparse.Namespace, context: int) -> dict[str, Any]:
    """Return what one chip needs if `context` chips of the slice share a clip."""
    import jax
    import jax.numpy as jnp
    from flax import nnx
    from jax.sharding import NamedSharding, PartitionSpec

    from pipeline.backend import target
    from pipeline.nn.conv3d import CausalConv3d
    from pipeline.planning import topology
    from pipeline.planning.collectives import collectives
    from pipeline.planning.trip_counts import run_counts
    from pipeline.training.state import mesh as meshes
    from pipeline.training.state import sharding

    jax.config.update("jax_enable_compilation_cache", False)
    machine = topology.parse(flags.topology)
    mesh = meshes.create(fsdp=1, context=context, devices=topology.devices(machine)[:context])
    channels = flags.channels

    def layers() -> list[CausalConv3d]:
        keys = jax.random.split(jax.random.key(0), flags.layers)
        return [CausalConv3d(channels, channels, 3, key=key, dtype=jnp.float32) for key in keys]

    graphdef, params = nnx.split(nnx.eval_shape(lambda: nnx.List(layers())))

    def loss(params: Any, clip: jax.Array) -> jax.Array:
        for layer in nnx.merge(graphdef, params):
            clip = layer(clip)
        return jnp.square(clip).mean()

    def placed(spec: PartitionSpec, leaf: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(leaf.shape, jnp.float32, sharding=NamedSharding(mesh, spec))

    clip = placed(sharding.CLIPS, jax.ShapeDtypeStruct((1, *flags.shape, channels), jnp.float32))
    with target.compiling_for(machine.platform, mesh=mesh):
        params = jax.tree.map(lambda leaf: placed(PartitionSpec(), leaf), params)
        compiled = jax.jit(jax.value_and_grad(loss)).lower(params, clip).compile()
    text = compiled.as_text() or ""
    memory: Any = compiled.memory_analysis()
    return {
        "topology": flags.topology,
        "context": context,
        "temp_bytes": memory.temp_size_in_bytes,
        "total_bytes": memory.temp_size_in_bytes
        + memory.argument_size_in_bytes
        + memory.output_size_in_bytes,
        "collectives": collectives(text, context, run_counts(text)),
    }


if __name__ == "__main__":
    main()
