"""Compile the programs that code a clip or image, for one device that need not exist."""

import math
import time
from typing import Any

import jax

from pipeline import build
from pipeline.backend import target
from pipeline.backend.jit import compiler_options
from pipeline.build.outline import CodecOutline
from pipeline.codec import streaming_contract
from pipeline.core.construct import blaming
from pipeline.planning import programs
from pipeline.planning.codec_pieces import Piece, padded_size, pieces_of, side_of
from pipeline.planning.topology import Topology
from pipeline.planning.trip_counts import run_counts
from pipeline.training.state import mesh as meshes
from pipeline.training.state import sharding


def compile_codec(
    outline: CodecOutline, topology: Topology, devices: list[Any], *, quick: bool = False
) -> dict[str, Any]:
    """Return facts of the codec, and "pieces", the figures of each program that codes the clip.

    Only shapes are created. A codec runs on one device, so the programs are for one device of the
    topology. Bytes are as in pipeline.planning.compiling: arguments are the weights, the cache of
    the chunk before, and the piece itself; the total has the next cache too. `count` is how many
    pieces of the clip the program codes. `has_loops` says that it contains loops, whose body XLA's
    count of FLOPs and bytes has once.

    Raises:
      ConfigError: the model cannot be built, or does not take such a clip or chunk.
    """
    codec = build.abstract_codec(outline.config)
    model = codec.modeldef.skeleton()
    frames, height, width = padded_size(codec, outline.size)
    return {
        "parameters": sum(
            math.prod(codec.weights[name].shape) for name in codec.modeldef.param_names
        ),
        "weight_bytes": sum(map(_bytes, codec.weights.values())),
        "is_video": codec.is_video,
        "frames": frames,
        "height": height,
        "width": width,
        "latent_shape": list(codec.latent_shape(*outline.size)),
        "streaming": streaming_contract.letter(model) if codec.is_video else None,
        "exact_in_chunks": codec.is_video and _is_exact(codec, outline.decodes),
        "pieces": [
            _compiled(side_of(codec, outline).function, piece, topology, devices, quick)
            for piece in pieces_of(codec, outline)
        ],
    }


def _is_exact(codec: Any, decodes: bool) -> bool:
    """Return whether chunks give what the whole clip gives."""
    causal = codec.decoder_causal if decodes else codec.encoder_causal
    return causal or codec.windows is not None


def _compiled(
    program: Any, piece: Piece, topology: Topology, devices: list[Any], quick: bool
) -> dict[str, Any]:
    mesh = meshes.create(replica=1, fsdp=1, context=1, devices=devices[:1])
    arguments = sharding.replicated_shapes(mesh, piece.arguments)
    began = time.perf_counter()
    options = compiler_options(topology.platform)
    with target.compiling_for(topology.platform), blaming(lambda: "this clip cannot be traced"):
        # The weights of the other side are on the device too.
        jitted = jax.jit(program, keep_unused=True, compiler_options=options)
        lowered = jitted.lower(*arguments)
    traced = time.perf_counter()
    compiled, needed = programs.compiled_for(lowered, quick)
    runs = run_counts("" if compiled is None else compiled.as_text())
    *_, cache, x = piece.arguments
    return {
        "count": piece.count,
        "input_shape": list(x.shape),
        "cache_bytes_per_device": sum(map(_bytes, jax.tree.leaves(cache))),
        "has_loops": max(runs.values()) > 1,
        "trace_s": round(traced - began, 1),
        "compile_s": round(time.perf_counter() - traced, 1),
        **programs.figures(compiled),
        **needed,
    }


def _bytes(array: Any) -> int:
    return math.prod(array.shape) * array.dtype.itemsize
