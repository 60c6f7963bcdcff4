"""Compile a recipe's training step, or a codec, for machines you do not have; report what it needs.

strata plan --config F[:arg] --topology v5p:4x4x4 [--mesh replica=1,fsdp=64,context=1]
            [--config.a.b=v ...] [--quick] [--utilisation 0.4] [--preemptions_per_day 1]
            [--save_seconds 5] [--json F]
strata plan (--config F[:arg] | --codec D [--dtype bfloat16])
            (--decode | --encode) FRAMESxHEIGHTxWIDTH [--chunk FRAMES]
            --topology v6e:2x2 [--quick] [--utilisation 0.4] [--json F]

Topologies: TPU slices as v4:2x2x2, v5e:4x4, v5p:4x4x4 and v6e:16x16, several slices as
2*v5e:16x16; cpu:8; and h100:8 on a machine that has such a GPU.

Memory, FLOPs and collectives are the compiler's figures for the program of one device. Times are
estimates from the formulas that are printed. For a recipe with stages, the step of each stage is
compiled once per distinct program; memory is the maximum over stages, and days are the sum.
Compilation takes minutes: with --quick the compiler optimises less, and memory is an upper bound.
It runs in a process of its own, whose output is kept in a file if it fails.

With --decode or --encode, the programs are those with which the codec codes one clip, or an image
(HEIGHTxWIDTH), on one chip: a codec runs on one, and every chip of a topology codes clips of its
own. With --chunk, memory is that of the largest chunk with its cache.

Example:
  strata plan --config configs/vdvae/cifar10.py --topology v5e:4x4 --quick
  strata plan --config configs/wan/wan21.py --decode 81x720x1280 --chunk 8 \\
      --topology v6e:2x2
"""

import math
from collections.abc import Mapping
from typing import Any

from absl import flags

from pipeline.cli import flags as cli_flags
from pipeline.cli import plan_codec
from pipeline.cli.plan_text import number, size, verdict
from pipeline.core.errors import ConfigError


def run(argv: list[str]) -> int:
    """Run the command of the module's docstring."""
    values = cli_flags.new()
    cli_flags.define_config(values, argv)
    flags.DEFINE_string("topology", None, "Machines, such as v5p:4x4x4.", flag_values=values)
    flags.DEFINE_string("mesh", None, "Mesh to use instead of the recipe's.", flag_values=values)
    flags.DEFINE_bool("quick", False, "Compile with less optimisation.", flag_values=values)
    flags.DEFINE_float(
        "utilisation", 0.4, "Assumed fraction of the peak FLOP/s.", flag_values=values
    )
    flags.DEFINE_float(
        "preemptions_per_day", 1.0, "Assumed preemptions of the whole job.", flag_values=values
    )
    flags.DEFINE_float(
        "save_seconds", 5.0, "Seconds that a checkpoint blocks the loop.", flag_values=values
    )
    plan_codec.define(values)
    cli_flags.define_json(values)
    rest = cli_flags.parse(values, argv, __doc__)
    if rest is None:
        return 0
    if rest:
        raise ConfigError(f"there is no argument {rest[0]!r}: see strata plan --help")
    description = cli_flags.required(values, "topology")
    if plan_codec.is_asked(values):
        return plan_codec.run(values, description)

    from pipeline import build
    from pipeline.planning.report import plan
    from pipeline.training.state import mesh as meshes

    settings = build.complete(cli_flags.config_of(values))
    settings["mesh"] = meshes.parse("" if values.mesh is None else values.mesh, settings["mesh"])
    rates: Any = {
        name: values[name].value
        for name in ("utilisation", "preemptions_per_day", "save_seconds", "quick")
    }
    result = plan(build.run_outline(settings), description, **rates)
    print("\n".join(lines(result)), file=cli_flags.report_stream(values.json))
    cli_flags.write_json(result, values.json)
    return 0


def lines(result: Mapping[str, Any]) -> list[str]:
    """Return the lines that describe a plan to people."""
    mesh = " x ".join(f"{axis}={size}" for axis, size in result["mesh"].items())
    shown = [
        f"{result['model']}, {result['parameters']:,} parameters, batch {result['batch_size']}, "
        f"{result['dtype']}, on {result['topology']} ({result['devices']} devices), mesh {mesh}",
        f"compiled in {result['compile_s']:.0f} s"
        f"{', with less optimisation (--quick)' if result['quick'] else ''}",
        *_stages(result),
        "",
        f"per device   state        {size(result['state_bytes_per_device'])}",
        *_frozen(result),
        f"             temporary    {size(result['temp_bytes_per_device'])}",
        f"             peak         {size(result['total_bytes_per_device'])}{verdict(result)}",
        *(f"               {change}" for change in result["advice"]),
        f"             FLOPs        {number(result['flops_per_device'])} per step",
        f"             accessed     {size(result['accessed_bytes_per_device'])} per step",
    ]
    for kind, entry in (result["collectives"] or {}).items():
        shown.append(
            f"             {kind:<20} {entry['count']:>6}, {size(entry['bytes'])} in total, "
            f"{size(entry['moved_bytes'])} sent"
        )
    return shown + ([] if result["estimate"] is None else ["", *_estimate(result["estimate"])])


def _frozen(result: Mapping[str, Any]) -> list[str]:
    if not result["frozen_parameters"]:
        return []
    return [
        f"             saved        {size(result['saved_state_bytes_per_device'])} of state: "
        f"{result['frozen_parameters']:,} parameters are frozen and have no moments and no EMA"
    ]


def _stages(result: Mapping[str, Any]) -> list[str]:
    """Return one line per stage and the stage of the figures below; nothing for a single stage."""
    if len(result["stages"]) == 1:
        return []
    shown = [""]
    for stage in result["stages"]:
        batch = "x".join(map(str, stage["batch_shape"][:-1]))
        seconds = "" if stage["step_seconds"] is None else f", {stage['step_seconds']:.4g} s/step"
        same = (
            ""
            if stage["same_program_as"] is None
            else f", same program as stage {stage['same_program_as']}"
        )
        verdict = {None: "", True: ": fits", False: ": DOES NOT FIT"}[stage["fits"]]
        shown.append(
            f"stage {stage['stage']}    {stage['num_steps']:,} steps of {batch}, "
            f"{size(stage['total_bytes_per_device'])} per device{verdict}{seconds}{same}"
        )
    return [
        *shown,
        f"figures below: stage {result['worst_stage']}, which needs the most memory; "
        "days cover all stages",
    ]


def _estimate(given: Mapping[str, Any]) -> list[str]:
    from pipeline.planning.estimates import INTERVAL_FORMULA

    rate = (
        f"{given['preemptions_per_day']:g} preemptions per day, "
        f"{given['save_seconds']:g} s per checkpoint"
    )
    return [
        "estimates from published peaks, not measured:",
        f"  step  {given['formula']}",
        f"        = max({given['compute_seconds']:.4g}, {given['memory_seconds']:.4g}) + "
        f"{given['communication_seconds']:.4g} = {given['step_seconds']:.4g} s, "
        f"at a utilisation of {given['utilisation']:g}",
        *(
            []
            if math.isclose(given["mean_step_seconds"], given["step_seconds"])
            else [f"        {given['mean_step_seconds']:.4g} s on average over all stages"]
        ),
        f"  run   {given['num_steps']:,} steps: {given['days']:.3g} days, "
        f"{given['chip_hours']:,.0f} chip-hours",
        f"  lost  {given['lost_steps']:,} steps with a checkpoint every "
        f"{given['checkpoint_every']:,} steps ({rate})",
        f"        {given['lost_steps_at_best']:,} with one every "
        f"{given['best_checkpoint_every']:,} steps, the minimum: {INTERVAL_FORMULA}",
    ]
