"""The plan of a codec: its pieces are those of a codec that runs, and its figures add up."""

import dataclasses
import json
import pathlib
import runpy

import jax
import numpy as np
import pytest

from pipeline import build
from pipeline.backend.jit import jit
from pipeline.cli import dispatch
from pipeline.codec.any_size import AnySizeCodec
from pipeline.core.errors import ConfigError
from pipeline.planning import child, codec_compiling, codec_report, programs, topology
from pipeline.planning.codec_pieces import pieces_of

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
WAN = str(CONFIGS / "wan" / "wan21.py") + ":tiny"


def recipe(name: str) -> dict:
    return build.complete(runpy.run_path(str(CONFIGS / f"{name}.py"))["get_config"]("tiny"))


def outline(name: str, *, decodes: bool, frames: int, chunk: int | None):
    size = (frames, 16, 24)
    return build.codec_outline(recipe(name), decodes=decodes, size=size, chunk=chunk)


def shapes_of(arguments):
    return jax.tree.map(lambda leaf: (tuple(leaf.shape), np.dtype(leaf.dtype).name), arguments)


def of_running(given, monkeypatch) -> list:
    """Return the shapes of cache and input of each piece that a codec with weights codes."""
    abstract = build.abstract_codec(given.config)
    weights = {name: np.zeros(leaf.shape, leaf.dtype) for name, leaf in abstract.weights.items()}
    codec, seen = AnySizeCodec(abstract.modeldef, weights, {}), []
    name = "decoder_side" if given.decodes else "encoder_side"
    side = getattr(codec, name)

    class Watched(jit):
        def __call__(self, *arguments):
            seen.append(shapes_of(arguments[2:]))
            return super().__call__(*arguments)

    monkeypatch.setattr(codec, name, dataclasses.replace(side, program=Watched(side.function)))
    if given.decodes:
        latents = np.zeros((1, *codec.latent_shape(*given.size)), np.float32)
        chunk = given.chunk and given.chunk // codec.temporal_factor
        codec.decode(latents, chunk=chunk)
    else:
        clip = np.zeros((1, *given.size, 3), np.uint8)
        codec.encode(clip, chunk=given.chunk)
    return seen


# Caches of frames, one that grows, overlapping chunks, and windows.
@pytest.mark.parametrize(
    "name, decodes, frames, chunk",
    [
        ("wan/wan21", True, 21, 8),
        ("hunyuan_video/v15", True, 33, 8),
        ("hunyuan_video/v10", False, 17, 8),
        ("cogvideox/vae", True, 17, 8),
    ],
)
def test_pieces_are_those_of_a_codec_that_runs(name, decodes, frames, chunk, monkeypatch):
    given = outline(name, decodes=decodes, frames=frames, chunk=chunk)
    planned = pieces_of(build.abstract_codec(given.config), given)
    running = of_running(given, monkeypatch)
    assert sum(piece.count for piece in planned) == len(running)
    for piece in planned:
        shapes = shapes_of(piece.arguments[2:])
        assert sum(each == shapes for each in running) == piece.count


@pytest.fixture
def in_this_process(monkeypatch):
    jax.devices()
    monkeypatch.setattr(
        codec_report,
        "compile_codec",
        lambda given, machine, quick: codec_compiling.compile_codec(
            given, machine, topology.devices(machine), quick=quick
        ),
    )


def test_the_plan_of_a_decoder_in_chunks(in_this_process, capsys):
    arguments = ["plan", "--config", WAN, "--decode", "17x32x32", "--topology", "cpu:2"]
    assert dispatch([*arguments, "--chunk", "8", "--config.dtype=bfloat16", "--json", "-"]) == 0
    output = capsys.readouterr()
    result = json.loads(output.out)
    assert result["fits"] is None and result["estimate"] is None  # a CPU has no published peak
    first, chunk = result["pieces"]
    assert (first["count"], chunk["count"]) == (1, 2) and result["worst_piece"] == 1
    assert first["cache_bytes_per_device"] == 0 < chunk["cache_bytes_per_device"]
    # Arguments are the weights of both sides, the cache, and two float32 latents of 4x4x2.
    latents = 2 * 4 * 4 * 2 * 4
    assert result["argument_bytes_per_device"] == pytest.approx(
        result["weight_bytes"] + chunk["cache_bytes_per_device"] + latents, rel=0.01
    )
    assert result["total_bytes_per_device"] > (
        result["argument_bytes_per_device"] + result["temp_bytes_per_device"]
    )
    assert result["flops_per_device"] == first["flops_per_device"] + 2 * chunk["flops_per_device"]
    assert result["dtype"] == "bfloat16" and result["streaming"] == "A"
    assert "2 devices of this host: no accelerator's memory" in output.err


def test_seconds_are_the_sum_over_the_pieces_of_a_clip(monkeypatch):
    chip = topology.parse("v6e:2x2").chip
    assert chip is not None

    def piece(count, flops, accessed, total):
        return dict(
            count=count,
            flops_per_device=flops,
            accessed_bytes_per_device=accessed,
            total_bytes_per_device=total,
            compiled=True,
            compile_s=1.0,
            has_loops=False,
            **dict.fromkeys(f"{each}_bytes_per_device" for each in ("cache", "argument", "temp")),
        )

    pieces = [
        piece(1, 0.1 * chip.bfloat16, 1.0, 2**30),  # 0.25 s of compute at 40%
        piece(3, 1.0, 2 * chip.memory_bandwidth, 40 * 2**30),  # 2 s of memory each
    ]
    facts = dict(is_video=True, frames=25, pieces=pieces)
    monkeypatch.setattr(codec_report, "compile_codec", lambda *_, **__: facts)
    given = outline("wan/wan21", decodes=True, frames=25, chunk=8)
    result = codec_report.plan_codec(given, "v6e:2x2")
    assert result["estimate"]["seconds"] == pytest.approx(0.25 + 3 * 2)
    assert result["estimate"]["frames_per_second"] == pytest.approx(25 * 4 / 6.25)
    assert [each["fits"] for each in pieces] == [True, False]
    assert result["fits"] is False and result["worst_piece"] == 1
    assert "shorter chunks than 8 frames" in result["advice"][0]


def test_errors_of_the_codec_come_back_from_the_process_that_compiles():
    given = outline("wan/wan21", decodes=True, frames=17, chunk=6)
    with pytest.raises(ConfigError, match=r"--chunk 6 .* multiple of 4"):
        child.compile_codec(given, topology.parse("cpu:1"), quick=True)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--decode", "ax32x32"], "'ax32x32' is not FRAMESxHEIGHTxWIDTH"),
        (["--decode", "5x32x32", "--encode", "5x32x32"], "give one of --decode and --encode"),
        (["--decode", "5x32x32", "--mesh", "fsdp=2"], "--mesh is of training"),
        (["--decode", "5x32x32", "--codec", "x"], "needs one of --config F and --codec D"),
        (["--decode", "5x32x32", "--dtype", "bfloat16"], "--config.dtype=bfloat16"),
        (["--chunk", "8"], "--chunk needs --decode or --encode"),
        (["--encode", "5x32x32", "--utilisation", "0"], "--utilisation"),
    ],
)
def test_errors_are_one_line(arguments, message, in_this_process, capsys, monkeypatch):
    monkeypatch.setattr(programs, "compiled_for", lambda *_: pytest.fail("it compiled"))
    assert dispatch(["plan", "--config", WAN, "--topology", "cpu:2", *arguments]) == 2
    shown = capsys.readouterr().err.strip()
    assert message in shown and "\n" not in shown and shown.startswith("strata plan: ")


def test_a_model_of_a_fixed_size_is_refused(in_this_process, capsys):
    arguments = ["--config", f"{CONFIGS}/vae/mnist.py:tiny", "--topology", "cpu:2"]
    assert dispatch(["plan", *arguments, "--decode", "28x28"]) == 2
    assert "plan codecs of any size" in capsys.readouterr().err


def test_a_folder_of_a_codec_is_planned(in_this_process, capsys, tmp_path):
    config = recipe("wan/wan21")
    abstract = build.abstract_codec(config)
    weights = {name: np.zeros(leaf.shape, leaf.dtype) for name, leaf in abstract.weights.items()}
    about = dict(model=config["model"], dtype="float32", latent_shapes=[[2, 2, 2, 2]])
    about |= dict(input={"image_shape": [16, 16, 3]}, num_parameters=1)
    AnySizeCodec(abstract.modeldef, weights, about).save_pretrained(tmp_path / "codec")
    arguments = ["--codec", str(tmp_path / "codec"), "--encode", "1x16x16", "--topology", "cpu:1"]
    assert dispatch(["plan", *arguments, "--dtype", "bfloat16", "--json", "-"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["dtype"] == "bfloat16" and result["operation"] == "encode"
    assert result["pieces"][0]["input_shape"] == [1, 1, 16, 16, 3]
