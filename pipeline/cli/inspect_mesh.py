"""Output of `strata inspect --mesh`: how a mesh shards the training state, without its devices."""

import math
from collections.abc import Mapping
from typing import Any

from pipeline.cli import flags as cli_flags


def of_mesh(settings: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Describe every array of the state on the mesh `text`, whose missing axes are the recipe's.

    `spec` has one entry per dimension: the axis of the mesh that shards it, or None.
    `batch_rows_per_device` is None if the mesh cannot split the recipe's batch.

    Raises:
      ConfigError: the mesh is impossible, or an override in config.sharding does not fit.
    """
    import jax

    from pipeline import build
    from pipeline.training.state import mesh as meshes
    from pipeline.training.state import sharding

    mesh = meshes.abstract(**meshes.parse(text, settings["mesh"]))
    _, state = build.abstract_state(dict(settings), mesh)
    arrays = [
        {
            "path": jax.tree_util.keystr(path, simple=True, separator="."),
            "shape": list(leaf.shape),
            "dtype": leaf.dtype.name,
            "spec": list(leaf.sharding.spec),
            "bytes": math.prod(leaf.shape) * leaf.dtype.itemsize,
            "bytes_per_device": sharding.shard_bytes(leaf),
        }
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
    ]
    rows, parts = settings["batch_size"], mesh.shape["replica"] * mesh.shape["fsdp"]
    return {
        "model": settings["model"]["name"],
        "mesh": dict(mesh.shape),
        "devices": math.prod(mesh.shape.values()),
        "parameters": sum(math.prod(leaf.shape) for leaf in state.params.values()),
        "arrays": arrays,
        "state_bytes": sum(array["bytes"] for array in arrays),
        "state_bytes_per_device": sum(array["bytes_per_device"] for array in arrays),
        "batch_rows_per_device": None if rows % parts else rows // parts,
    }


def show(result: Mapping[str, Any], json_path: str | None) -> None:
    """Print the table of arrays and its totals."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("array", "shape", "dtype", "sharding"):
        table.add_column(name, no_wrap=True)
    table.add_column("bytes per device", justify="right")
    for array in result["arrays"]:
        shape = "x".join(map(str, array["shape"])) or "scalar"
        split = f"P({', '.join(map(str, array['spec']))})"
        table.add_row(array["path"], shape, array["dtype"], split, f"{array['bytes_per_device']:,}")
    stream = cli_flags.report_stream(json_path)
    console = Console(file=stream, highlight=False, width=None if stream.isatty() else 160)
    console.print(table)
    mesh = " x ".join(f"{axis}={size}" for axis, size in result["mesh"].items())
    share = result["state_bytes_per_device"] / result["state_bytes"]
    rows = result["batch_rows_per_device"]
    split_batch = (
        "cannot be split over replica x fsdp" if rows is None else f"{rows} examples per device"
    )
    console.print(
        f"{len(result['arrays'])} arrays of {result['model']}, "
        f"{result['parameters']:,} parameters, on mesh {mesh}\n"
        f"state: {result['state_bytes']:,} bytes, {result['state_bytes_per_device']:,} per device: "
        f"a share of {share:.4f}, where 1/fsdp is {1 / result['mesh']['fsdp']:.4f}\n"
        f"batch: {split_batch}"
    )
