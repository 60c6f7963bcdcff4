"""`strata plan`: names of machines, and figures of a small step on host devices and absent TPUs."""

import dataclasses
import importlib.util
import itertools
import json
import pathlib
import runpy
import subprocess

import jax
import pytest

from pipeline import build
from pipeline.build.outline import StageOutline
from pipeline.cli import dispatch
from pipeline.cli import plan as plan_command
from pipeline.core.errors import ConfigError
from pipeline.planning import child, compiling, programs, report, topology
from pipeline.training.state import mesh as meshes
from pipeline.training.state import sharding

RECIPE = str(pathlib.Path(__file__).parents[2] / "configs" / "vae" / "mnist.py") + ":tiny"
needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="needs the plan extra"
)


@pytest.fixture(autouse=True)
def in_this_process(request, monkeypatch):
    """Compile here, which saves seconds a test, unless a test asks for `own_process`."""
    if "own_process" not in request.fixturenames:
        jax.devices()
        monkeypatch.setattr(
            report,
            "compile_stages",
            lambda run, machine, quick: compiling.compile_stages(
                run, machine, topology.devices(machine), quick=quick
            ),
        )


@pytest.fixture
def own_process() -> None:
    """Let the test compile in a process of its own, as users do."""


def plan(capsys, *arguments: str) -> dict:
    assert (
        dispatch(["plan", "--config", RECIPE, "--config.batch_size=16", *arguments, "--json", "-"])
        == 0
    )
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    "text, platform, shape, devices",
    [
        ("v5e:4x4", "tpu", (4, 4), 16),
        ("v5p:4x4x4", "tpu", (4, 4, 4), 64),
        ("2*v6e:16x16", "tpu", (16, 16), 512),
        ("cpu:8", "cpu", (8,), 8),
        ("H100:8", "gpu", (8,), 8),
    ],
)
def test_topologies_are_parsed(text, platform, shape, devices):
    machine = topology.parse(text)
    assert (machine.platform, machine.shape, machine.num_devices) == (platform, shape, devices)


UNKNOWN = ["v5e", "v5p:4x4", "v5e:4x4x4", "v5e:0x4", "v5e:4,4", "tpu:8", "", "cpu:2x2", "2*cpu:4"]


@pytest.mark.parametrize("text", [*UNKNOWN, "cpu:4097"])
def test_unknown_topologies_are_refused_with_an_example(text):
    with pytest.raises(ConfigError, match="such as"):
        topology.parse(text)


def test_plan_of_a_step_on_host_devices(capsys):
    result = plan(capsys, "--topology", "cpu:8", "--mesh", "fsdp=4,context=2")
    assert result["mesh"] == {"replica": 1, "fsdp": 4, "context": 2} and result["devices"] == 8
    assert result["parameters"] > 0 and result["flops_per_device"] > 0 and result["compile_s"] > 0
    assert result["state_bytes_per_device"] >= 16 * result["parameters"] / 4
    assert result["collectives"]["collective-permute"]["count"] > 0
    assert result["fits"] is None and result["estimate"] is None  # a CPU has no published peak


IN_STAGES = f"""
import sys
sys.path.insert(0, {str(pathlib.Path(__file__).parents[1] / "helpers")!r})
import tiny_gan
def get_config(arg=""):
    config = tiny_gan.recipe()
    config.num_steps, config.discriminator = 60, {{}}
    config.objective = dict(l1={{}}, rate=dict(weight=1e-6))
    config.stages = [
        dict(num_steps=10),
        {{"num_steps": 20, "data.image_size": 16, "model.image_size": 16}},
        {{"num_steps": 30, "data.image_size": 16, "model.image_size": 16,
          "objective.rate.weight": 1e-3}},
    ]
    return config
"""


def test_stages_with_the_same_program_are_compiled_once(capsys, tmp_path, monkeypatch):
    file, compiled = tmp_path / "staged.py", []
    file.write_text(IN_STAGES)
    compile_one = programs.compiled_for
    monkeypatch.setattr(
        programs, "compiled_for", lambda *given: compiled.append(1) or compile_one(*given)
    )
    arguments = ["plan", "--config", str(file), "--topology", "cpu:2"]
    assert dispatch([*arguments, "--json", "-"]) == 0
    output = capsys.readouterr()
    result = json.loads(output.out)
    assert len(compiled) == 2
    assert [stage["same_program_as"] for stage in result["stages"]] == [None, None, 1]
    assert [stage["num_steps"] for stage in result["stages"]] == [10, 20, 30]
    assert [stage["batch_shape"] for stage in result["stages"]] == [
        [8, size, size, 3] for size in (8, 16, 16)
    ]
    small, large, same = (stage["total_bytes_per_device"] for stage in result["stages"])
    assert small < large == same
    assert result["worst_stage"] == 1 and result["batch_size"] == 8
    for key in (
        "total_bytes_per_device",
        "temp_bytes_per_device",
        "flops_per_device",
        "parameters",
    ):
        assert result[key] == result["stages"][1][key]
    assert result["compile_s"] == pytest.approx(
        sum(stage["compile_s"] for stage in result["stages"])
    )
    assert "20 steps of 8x16x16" in output.err and "same program as stage 1" in output.err


def test_memory_is_the_largest_stage_and_days_are_the_sum(monkeypatch):
    def stage(number, steps, total, flops):
        figures = dict.fromkeys(report._FIGURES) | dict(
            compiled=True, accessed_bytes_per_device=1.0, collectives={}
        )
        figures |= dict(
            flops_per_device=flops, total_bytes_per_device=total, trace_s=0.5, compile_s=2.0
        )
        figures |= dict(parameters=1, state_bytes_per_device=1)
        return figures | dict(
            stage=number, num_steps=steps, batch_shape=[8, 4, 4, 1], same_program_as=None
        )

    settings = build.complete(runpy.run_path(RECIPE.removesuffix(":tiny"))["get_config"]("tiny"))
    settings |= dict(
        num_steps=100, stages=[dict(num_steps=70), dict(num_steps=30)], dtype="bfloat16"
    )
    peak = topology.parse("v5e:2x4").chip.bfloat16

    def planned(*totals):
        found = [stage(0, 70, totals[0], 0.4 * peak), stage(1, 30, totals[1], 1.2 * peak)]
        monkeypatch.setattr(report, "compile_stages", lambda *_, **__: found)
        monkeypatch.setattr(topology, "devices", lambda _: jax.devices())
        return report.plan(build.run_outline(settings), "v5e:2x4")

    result = planned(2**30, 20 * 2**30)  # a v5e has 16 GiB
    assert [each["fits"] for each in result["stages"]] == [True, False]
    assert result["fits"] is False and result["worst_stage"] == 1 and result["advice"]
    assert result["estimate"]["step_seconds"] == pytest.approx(3.0)
    assert result["estimate"]["days"] * 86_400 == pytest.approx(70 * 1.0 + 30 * 3.0)
    assert result["estimate"]["mean_step_seconds"] == pytest.approx(1.6)
    assert result["compile_s"] == 4.0
    assert "1.6 s on average" in "\n".join(plan_command.lines(result))
    first = planned(3 * 2**30, 2**30)
    assert (
        first["fits"]
        and first["worst_stage"] == 0
        and first["estimate"]["step_seconds"] == pytest.approx(1.0)
    )


@needs_libtpu
def test_plan_of_a_step_on_absent_tpus(capsys):
    result = plan(
        capsys, "--topology", "v5e:2x2", "--mesh", "fsdp=2,context=2", "--config.dtype=bfloat16"
    )
    assert result["fits"] and result["memory_bytes"] == 16 * 2**30
    assert result["temp_bytes_per_device"] is not None and result["flops_per_device"] > 0
    # A collective-permute is a halo exchange of a convolution.
    assert {"all-reduce", "collective-permute"} <= result["collectives"].keys()
    step = result["estimate"]
    assert (
        step["step_seconds"]
        == max(step["compute_seconds"], step["memory_seconds"]) + step["communication_seconds"]
    )
    assert step["days"] * 86_400 == pytest.approx(step["num_steps"] * step["step_seconds"])
    assert step["chip_hours"] == pytest.approx(4 * 24 * step["days"])
    assert step["lost_steps_at_best"] <= step["lost_steps"]


@needs_libtpu
def test_gradient_accumulation_does_not_change_the_flops(capsys):
    whole, accumulated = (
        plan(capsys, "--topology", "v5e:1x1", f"--config.grad_accum_steps={n}") for n in (1, 4)
    )
    assert accumulated["flops_per_device"] == pytest.approx(whole["flops_per_device"], rel=0.35)


@needs_libtpu
def test_tpu_slices_are_laid_out_along_replica():
    machines = topology.devices(topology.parse("2*v5e:4x4"))
    assert len(machines) == 32 and {device.slice_index for device in machines} == {0, 1}
    assert len(topology.devices(topology.parse("v4:2x2x1"))) == 4  # one device per chip
    mesh = meshes.create(replica=-1, fsdp=8, devices=machines)
    assert [{device.slice_index for device in row.flat} for row in mesh.devices] == [
        {0},
        {0},
        {1},
        {1},
    ]
    with pytest.raises(ConfigError, match="make replica a multiple of 2"):
        meshes.create(replica=1, fsdp=32, devices=machines)


@needs_libtpu
@pytest.mark.parametrize(
    "sizes", [dict(fsdp=16), dict(replica=4, fsdp=4), dict(fsdp=8, context=2)], ids=str
)
def test_the_hosts_of_a_torus_load_every_row_of_a_batch(sizes):
    where = sharding.batch_sharding(
        meshes.create(**sizes, devices=topology.devices(topology.parse("v5e:4x4")))
    )
    hosts = [sharding.local_rows(where, 32, process).tolist() for process in range(4)]
    assert sorted(set(itertools.chain(*hosts))) == list(range(32))
    if sizes == dict(fsdp=16):
        assert len(set(itertools.chain(*hosts))) == sum(map(len, hosts))
        assert any(
            rows != list(range(rows[0], rows[0] + len(rows))) for rows in hosts
        )  # the rows of a host are not contiguous


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "--topology is missing"),
        (["--topology", "v5q:4x4"], "did you mean 'v5"),
        (
            ["--topology", "cpu:512", "--config.batch_size=512"],
            "xla_force_host_platform_device_count=512",
        ),
        (["--topology", "cpu:8", "--mesh", "fsdp=3"], "does not divide the 8 devices"),
        (
            ["--topology", "v5e:4x4", "--mesh", "fsdp=4"],
            "--mesh replica=1 x fsdp=4 x context=1 uses 4 of the 16 devices of v5e:4x4",
        ),
        (["--topology", "cpu:8", "--save_seconds", "nan"], "--save_seconds above 0"),
        (["--topology", "cpu:8", "--mesh", "rows=3"], "'rows=3' is not AXIS=SIZE"),
        (["--topology", "cpu:8", "--mesh", "fsdp=8", "--config.batch_size=12"], "such as 8 or 16"),
        (["--topology", "cpu:8", "--utilisation", "2"], "--utilisation"),
        (["--topology", "h100:8"], "pip install strata[cuda]"),
    ],
)
def test_errors_are_one_line(capsys, arguments, message):
    assert dispatch(["plan", "--config", RECIPE, *arguments]) == 2
    shown = capsys.readouterr().err.strip()
    assert message in shown and "\n" not in shown and shown.startswith("strata plan: ")


ABORTING = """
import os, sys
os.write(2, b"W0101 a remark\\nF0101 12:00:00 1 tpu.cc:7] Check failed: chips == 16 (4 vs. 16)\\n")
sys.stdout.flush()
os.abort()
"""


def test_a_compiler_that_aborts_is_one_line(own_process, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(child.tempfile, "tempdir", str(tmp_path))
    run = subprocess.run
    monkeypatch.setattr(
        child.subprocess,
        "run",
        lambda command, **given: run([command[0], "-c", ABORTING], **given),
    )
    arguments = ["plan", "--config", RECIPE, "--config.batch_size=16", "--topology", "cpu:8"]
    assert dispatch(arguments) == 2
    shown = capsys.readouterr().err.strip()
    (log,) = tmp_path.glob("strata-plan-*.log")
    assert "was ended by SIGABRT: F0101 12:00:00 1 tpu.cc:7] Check failed: chips == 16" in shown
    assert "\n" not in shown and shown.endswith(f"its output is in {log}")
    assert "a remark" in log.read_text()


def test_the_process_that_compiles_reports_errors_and_leaves_no_file(
    own_process, tmp_path, monkeypatch
):
    monkeypatch.setattr(child.tempfile, "tempdir", str(tmp_path))
    machine = dataclasses.replace(topology.parse("cpu:2"), platform="gpu")
    settings = build.complete(runpy.run_path(RECIPE.removesuffix(":tiny"))["get_config"]("tiny"))
    with pytest.raises(ConfigError, match=r"pip install strata\[cuda\]"):
        child.compile_stages(build.run_outline(settings), machine, quick=True)
    assert list(tmp_path.iterdir()) == []


def test_missing_libtpu_is_reported_with_the_command_to_install_it(capsys, monkeypatch):
    monkeypatch.setattr(topology.importlib.util, "find_spec", lambda name: None)
    assert dispatch(["plan", "--config", RECIPE, "--topology", "v5e:4x4"]) == 2
    assert "pip install strata[plan]" in capsys.readouterr().err


@pytest.mark.parametrize(
    "message, needed",
    [
        (
            "RESOURCE_EXHAUSTED: ... Used 24.5G of 15.75G hbm. Exceeded",
            {"total_bytes_per_device": 49 * 2**29},
        ),
        (
            "the total memory required for HLO temporaries (158.79G) exceeds",
            {"temp_bytes_per_device": 170499464233},
        ),
        ("RESOURCE_EXHAUSTED: in another way", {}),
    ],
)
def test_the_memory_that_a_program_needs_is_read_from_the_compilers_error(message, needed):
    assert programs.needed_bytes(message) == pytest.approx(needed)


@needs_libtpu
def test_a_step_that_does_not_fit_gets_advice(capsys):
    result = plan(capsys, "--topology", "v5e:2x2", "--config.batch_size=33554432")
    assert result["fits"] is False and result["estimate"] is None and result["advice"]


def test_advice_names_the_settings_that_save_memory():
    stage = StageOutline(0, 10, 10, 32, 1, height=16, batch={}, remat=False, config={})
    result = dict(
        mesh=dict(replica=1, fsdp=16, context=1), memory_bytes=100, state_bytes_per_device=60
    )
    text = "\n".join(report.advice(stage, "float32", result))
    for change in (
        "mesh.fsdp above 16",
        "remat=True",
        "dtype=bfloat16",
        "grad_accum_steps=2",
        "smaller batch_size",
    ):
        assert change in text
    small = dataclasses.replace(stage, batch_size=16)
    one_row = "\n".join(report.advice(small, "float32", result))
    assert "mesh.context=2" in one_row and "grad_accum_steps" not in one_row
