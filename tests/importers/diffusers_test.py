"""Imports of AutoencoderKL without torch; tests/parity compares the network."""

import json
import pickle

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
import torch_zip
from released_weights import WEIGHTS, autoencoder_kl, vq_model
from released_weights import write_diffusers as write

from pipeline import Codec, cli
from pipeline.core.errors import CheckpointError, DataError
from pipeline.importers import diffusers as diffusers_importer


def run(folder, out, *more):
    return cli.dispatch(["import", "--from", "diffusers", str(folder), "--out", str(out), *more])


def test_a_folder_of_diffusers_becomes_a_codec(tmp_path):
    half = {name: array.astype(np.float16) for name, array in autoencoder_kl().items()}
    assert run(write(tmp_path / "in", half), tmp_path / "out", "--license", "mit") == 0
    codec = Codec.from_pretrained(tmp_path / "out")
    assert codec.config["license"] == "mit" and codec.config["imported_from"] == "diffusers: in"
    assert all(array.dtype == np.float32 for array in codec.weights.values())
    ours = sorted(np.concatenate([np.asarray(array).ravel() for array in codec.weights.values()]))
    theirs = sorted(np.concatenate([array.astype(np.float32).ravel() for array in half.values()]))
    np.testing.assert_array_equal(ours, theirs)
    images = np.random.default_rng(0).integers(0, 256, (1, 6, 10, 3), dtype=np.uint8)
    z = codec.encode(images).mode()
    assert z.shape == (1, 3, 5, 4) and codec.decode(z).shape == images.shape
    np.testing.assert_allclose(codec.normalize(z), z * 0.18215, rtol=1e-5)
    # As `strata export --stats` writes them.
    assert (
        codec.config["latents"]["scale"] == pytest.approx(0.18215)
        and codec.config["latents"]["shift"] == 0
    )


OLD = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def with_old_names(tensors, where):
    """Return tensors with the attention's old names at the places that start with `where`."""
    renamed = {}
    for name, array in tensors.items():
        part = next((part for part in OLD if f".{part}." in name), None)
        if part and name.startswith(where):
            name = name.replace(f".{part}.", f".{OLD[part]}.")
            array = array[:, :, None, None] if name.endswith("weight") else array
        renamed[name] = array
    return renamed


@pytest.mark.parametrize(
    "old",
    [
        ("encoder", "decoder"),
        "encoder",
        "decoder",
        ("encoder.mid_block.attentions.0.to_q", "decoder.mid_block.attentions.0.to_out"),
    ],
)
def test_attention_is_recognized_by_old_new_and_mixed_names(old, tmp_path):
    tensors = autoencoder_kl()
    before = diffusers_importer.read([str(write(tmp_path / "new", tensors))])
    after = diffusers_importer.read([str(write(tmp_path / "old", with_old_names(tensors, old)))])
    assert before.arrays.keys() == after.arrays.keys()
    for name, array in before.arrays.items():
        np.testing.assert_array_equal(array, after.arrays[name])


def test_a_copy_of_ema_weights_is_passed_over_with_a_line(tmp_path, capsys):
    tensors = autoencoder_kl()
    copy = {f"model_ema.{name.replace('.', '')}": array + 1 for name, array in tensors.items()}
    copy |= {"model_ema.decay": np.float32([0.99]), "model_ema.num_updates": np.int32([7])}
    plain = diffusers_importer.read([str(write(tmp_path / "plain", tensors))])
    assert capsys.readouterr().err == ""
    both = diffusers_importer.read([str(write(tmp_path / "both", tensors | copy))])
    assert f"passed over {len(copy)} tensors of model_ema.*" in capsys.readouterr().err
    for name, array in plain.arrays.items():
        np.testing.assert_array_equal(array, both.arrays[name])


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            dict(_class_name="UNet2DModel"),
            "'UNet2DModel' is not a codec that we know: ",
        ),
        (
            dict(down_block_types=["CrossAttnDownBlock2D"] * 2),
            "blocks other than 'DownEncoderBlock2D' and 'AttnDownEncoderBlock2D'",
        ),
        (dict(act_fn="gelu"), "act_fn='gelu', and our network has 'silu'"),
        (dict(use_quant_conv=False), "use_quant_conv=False and use_post_quant_conv=True differ"),
        (dict(layers_per_block=2), "missing: decoder.up_blocks.0.resnets.2.conv1.bias"),
        (dict(block_out_channels=[8, 32]), "of another shape: "),
        (
            dict(use_quant_conv=False, use_post_quant_conv=False),
            "4 unknown to the recipe: post_quant_conv.bias",
        ),
    ],
)
def test_other_networks_are_refused(changes, message, tmp_path, capsys):
    assert run(write(tmp_path / "in", **changes), tmp_path / "out") == 65
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error and not (tmp_path / "out").exists()


def test_a_recipe_with_other_groups_is_refused(tmp_path, capsys):
    sizes = {"image_size": 8}
    for part, num_blocks in (("encoder", 1), ("decoder", 2)):
        sizes |= {f"{part}.channels": (8, 16), f"{part}.groups": 2}
        sizes[f"{part}.num_blocks"] = num_blocks
    overrides = [f"--config.model.{key}={value}" for key, value in sizes.items()]
    assert (
        run(
            write(tmp_path / "in"),
            tmp_path / "run",
            "--config",
            "configs/kl_f8/sd.py:tiny",
            *overrides,
        )
        == 2
    )
    assert (
        "was trained with model.encoder.groups=4, not 2 and model.decoder.groups=4, not 2: "
        "give --config.model.encoder.groups=4 --config.model.decoder.groups=4;"
        in capsys.readouterr().err
    )


def test_folders_that_cannot_be_read(tmp_path):
    folder = write(tmp_path / "vae")
    for path, message in (
        (tmp_path, "is a whole pipeline: give its autoencoder"),
        (tmp_path / "absent", "no such file"),
    ):
        with pytest.raises(DataError, match=message):
            diffusers_importer.read([str(path)])
    file = folder / WEIGHTS
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match="truncated or damaged"):
        diffusers_importer.read([str(folder)])
    file.unlink()
    with pytest.raises(DataError, match="no such file"):
        diffusers_importer.read([str(folder)])


def test_a_vq_model_becomes_a_codec_of_its_codes(tmp_path):
    folder = write(tmp_path / "in", vq_model(), **VQ)
    assert run(folder, tmp_path / "out") == 0
    codec = Codec.from_pretrained(tmp_path / "out")
    assert codec.num_codes == 16 and "latents" not in codec.config
    images = np.random.default_rng(0).integers(0, 256, (1, 6, 10, 3), dtype=np.uint8)
    assert codec.encode(images).indices().shape == (1, 3, 5)


VQ = dict(
    _class_name="VQModel",
    latent_channels=4,
    num_vq_embeddings=16,
    down_block_types=["DownEncoderBlock2D", "AttnDownEncoderBlock2D"],
    up_block_types=["AttnUpDecoderBlock2D", "UpDecoderBlock2D"],
)


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(vq_embed_dim=8), "vq_embed_dim=8 differs from latent_channels=4"),
        (dict(lookup_from_codebook=True), "lookup_from_codebook is true, which we lack"),
        (dict(num_vq_embeddings=0), "num_vq_embeddings=0 must be a whole number above 0"),
        (dict(up_block_types=["UpDecoderBlock2D"] * 2), r"encoder attends at resolutions \[1\]"),
    ],
)
def test_a_vq_model_that_we_lack_is_refused(changes, message, tmp_path):
    folder = write(tmp_path / "in", vq_model(), **(VQ | changes))
    with pytest.raises(CheckpointError, match=message):
        diffusers_importer.read([str(folder)])


def arrays_of(folder):
    return dict(diffusers_importer.read([str(folder)]).arrays)


def test_shards_half_precision_and_pickles_are_read(tmp_path, monkeypatch):
    tensors = autoencoder_kl()
    expected = arrays_of(write(tmp_path / "whole", tensors))
    names = sorted(tensors)
    folder = write(tmp_path / "shards", tensors)
    (folder / WEIGHTS).unlink()
    places = {}
    for number, part in enumerate((names[::2], names[1::2])):
        file = f"diffusion_pytorch_model-0000{number + 1}-of-00002.safetensors"
        safetensors.numpy.save_file({name: tensors[name] for name in part}, folder / file)
        places |= dict.fromkeys(part, file)
    index = folder / f"{WEIGHTS}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    np.testing.assert_equal(arrays_of(folder), expected)
    for wrong in ({"weight_map": {"a": "../a.safetensors"}}, {"weight_map": {"a": "a"}}, []):
        index.write_text(json.dumps(wrong))
        with pytest.raises(DataError, match=r"index.json (names|is damaged)|no such file"):
            diffusers_importer.read([str(folder)])
    index.write_text(json.dumps({"weight_map": places | {"extra": places[names[0]]}}))
    with pytest.raises(DataError, match="names 1 tensors that its files do not hold: extra"):
        diffusers_importer.read([str(folder)])

    folder = write(tmp_path / "half", {k: a.astype(ml_dtypes.bfloat16) for k, a in tensors.items()})
    for name, array in arrays_of(folder).items():
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, expected[name], rtol=1e-2)

    folder = write(tmp_path / "pickle", tensors)
    (folder / WEIGHTS).unlink()
    torch_zip.save(tensors, folder / "diffusion_pytorch_model.bin", monkeypatch)
    np.testing.assert_equal(arrays_of(folder), expected)
    (folder / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps(print))
    with pytest.raises(DataError, match=r"model\.bin is not a torch state dict"):
        diffusers_importer.read([str(folder)])


def test_an_export_of_a_codec_gives_the_folder_back(tmp_path, capsys):
    folder = write(tmp_path / "in", force_upcast=True, scaling_factor=0.13025)
    assert run(folder, tmp_path / "codec") == 0
    export = ["export", "--codec", str(tmp_path / "codec"), "--out", str(tmp_path / "out")]
    assert cli.dispatch([*export, "--to", "diffusers"]) == 0
    folders = (folder, tmp_path / "out")
    one, other = (json.loads((each / "config.json").read_text()) for each in folders)
    assert one == other
    one, other = (safetensors.numpy.load_file(each / WEIGHTS) for each in folders)
    np.testing.assert_equal(one, other)
    assert cli.dispatch([*export, "--to", "diffusers"]) == 2  # it is there
    assert "give --overwrite" in capsys.readouterr().err
    assert cli.dispatch([*export, "--overwrite", "--step", "3"]) == 2
    assert "--codec is a codec folder, and --step is about a run" in capsys.readouterr().err
