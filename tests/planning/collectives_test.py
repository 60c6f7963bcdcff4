"""Tests that collectives are read from HLO text in the forms that XLA's backends print."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from pipeline.planning.collectives import bytes_of, collectives
from pipeline.planning.trip_counts import run_counts
from pipeline.training.state import mesh as meshes

TPU = """
  %all-gather-start = (bf16[64,512]{1,0:T(8,128)(2,1)S(1)}, bf16[512,512]{1,0:T(8,128)(2,1)}) all-gather-start(%p), channel_id=1, replica_groups=[2,8]<=[16], dimensions={0}
  %all-gather-done = bf16[512,512]{1,0:T(8,128)(2,1)} all-gather-done(%all-gather-start), metadata={op_name="all-gather(x)"}
  %ar = (f32[], f32[8]{0}) all-reduce(%a, %b), replica_groups={{0,1,2,3},{4,5,6,7}}, to_apply=%add
  %fusion = f32[4]{0} fusion(%all-gather-done), kind=kLoop
  ROOT %rs = f32[4,2]{1,0} reduce-scatter(%c), replica_groups=mesh['axis_0'=2,'axis_1'=4,'axis_2'=2] {'axis_0','axis_1'}, dimensions={0}
  %cp = f32[1,8]{1,0} collective-permute(%d), source_target_pairs={{0,1}}
"""  # noqa: E501


def test_kinds_counts_and_bytes():
    assert collectives(TPU, 16, run_counts(TPU)) == {
        "all-gather": {"count": 1, "bytes": 512 * 512 * 2, "moved_bytes": 512 * 512 * 2 * 7 // 8},
        "all-reduce": {"count": 1, "bytes": 36, "moved_bytes": 36 * 2 * 3 // 4},
        "reduce-scatter": {"count": 1, "bytes": 32, "moved_bytes": 32 * 7},
        "collective-permute": {"count": 1, "bytes": 32, "moved_bytes": 32},
    }


@pytest.mark.parametrize(
    "shape, size",
    [("f32[2,3]{1,0}", 24), ("pred[]", 1), ("(bf16[4]{0}, s4[6]{0})", 11), ("f8e4m3fn[5]", 5)],
)
def test_bytes_of_shapes(shape, size):
    assert bytes_of(shape) == size


def test_a_compiled_program():
    mesh = meshes.create(replica=2, fsdp=4)
    x = jax.ShapeDtypeStruct(
        (8, 64), jnp.float32, sharding=NamedSharding(mesh, PartitionSpec("fsdp"))
    )
    whole = NamedSharding(mesh, PartitionSpec())
    program = jax.jit(lambda x: x + 1, out_shardings=whole).lower(x).compile()
    text = program.as_text() or ""
    assert collectives(text, 8, run_counts(text)) == {
        "all-gather": {"count": 1, "bytes": 8 * 64 * 4, "moved_bytes": 8 * 64 * 4 * 3 // 4}
    }


TPU_LOOP = """
%body.1 (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %ar = f32[8]{0} all-reduce(%x), replica_groups={{0,1}}, to_apply=%add
}

%condition.1 (p: (s32[], f32[8])) -> pred[] {
  %constant.19 = s32[]{:T(128)} constant(7)
  ROOT %lt.0 = pred[]{:T(512)} compare(%get-tuple-element.46, %constant.19), direction=LT
}

ENTRY %main.7 (a: f32[8]) -> f32[8] {
  %while = (s32[], f32[8]) while(%tuple), condition=%condition.1, body=%body.1
}
"""


def test_loops_count_every_iteration():
    assert run_counts(TPU_LOOP)["body.1"] == 7
    assert collectives(TPU_LOOP, 2, run_counts(TPU_LOOP)) == {
        "all-reduce": {"count": 7, "bytes": 7 * 32, "moved_bytes": 7 * 32}
    }


def test_run_counts_of_nested_compiled_loops():
    def inner(x, _):
        return jax.lax.scan(lambda x, _: (jnp.sin(x) @ x, None), x, length=5)[0], None

    x = jax.ShapeDtypeStruct((16, 16), jnp.float32)
    program = jax.jit(lambda x: jax.lax.scan(inner, x, length=3)[0]).lower(x).compile()
    assert max(run_counts(program.as_text() or "").values()) == 15
