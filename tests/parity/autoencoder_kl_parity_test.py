"""AutoencoderKL agrees with diffusers' on random weights, read from a folder of diffusers."""

import json

import pytest

torch = pytest.importorskip("torch", reason="parity needs torch: make parity")
diffusers = pytest.importorskip("diffusers", reason="parity with diffusers needs it: make parity")

import numpy as np  # noqa: E402
import safetensors.numpy  # noqa: E402
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint  # noqa: E402

from pipeline import Codec, cli  # noqa: E402
from pipeline.exporters import single_file  # noqa: E402
from pipeline.importers import diffusers as diffusers_importer  # noqa: E402

pytestmark = pytest.mark.parity

TOLERANCE = 1e-4
SMALL = dict(
    block_out_channels=(16, 32, 32),
    norm_num_groups=8,
    layers_per_block=2,
    latent_channels=4,
    sample_size=32,
)
# The forms of Stable Diffusion and of its version 3, whose 16 channels have no convolutions around
# them, and of latent diffusion's f16 and VA-VAE, whose lowest resolution attends.
FORMS = {
    "sd": SMALL,
    "sd3": SMALL
    | dict(latent_channels=16, use_quant_conv=False, use_post_quant_conv=False)
    | dict(scaling_factor=1.5305, shift_factor=0.0609),
    "f16": SMALL
    | dict(block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1)
    | dict(
        down_block_types=("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
        up_block_types=("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
    ),
}


def create(form):
    torch.manual_seed(0)
    blocks = len(FORMS[form]["block_out_channels"])
    plain = dict(
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
    )
    model = diffusers.AutoencoderKL(**(plain | FORMS[form]))
    with torch.no_grad():  # norms too, which start at ones and zeros
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval()


def imported(folder, out):
    assert cli.dispatch(["import", "--from", "diffusers", str(folder), "--out", str(out)]) == 0
    return Codec.from_pretrained(out)


def compare(model, codec, image):
    x = torch.from_numpy(image).permute(0, 3, 1, 2)
    with torch.no_grad():
        theirs = model.encode(x).latent_dist
        recon = model.decode(theirs.mean).sample
    encoding = codec.encode(image)
    np.testing.assert_allclose(encoding.mode(), theirs.mean.permute(0, 2, 3, 1), atol=TOLERANCE)
    np.testing.assert_allclose(encoding.logvar, theirs.logvar.permute(0, 2, 3, 1), atol=TOLERANCE)
    ours = codec.modeldef.merge(codec.weights).decode([encoding.mode()]).mean()
    np.testing.assert_allclose(ours, recon.permute(0, 2, 3, 1), atol=TOLERANCE)


@pytest.mark.parametrize("form", FORMS)
def test_encode_and_decode_as_diffusers(form, tmp_path):
    model = create(form)
    model.save_pretrained(tmp_path / "theirs")
    codec = imported(tmp_path / "theirs", tmp_path / "codec")
    assert codec.config["num_parameters"] == sum(p.numel() for p in model.parameters())
    rng = np.random.default_rng(0)
    compare(model, codec, rng.uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32))
    # Any multiple of the factor, at most 4 here, whatever the size that the file names.
    compare(model, codec, rng.uniform(-1, 1, (1, 20, 44, 3)).astype(np.float32))


def test_the_scaling_becomes_statistics_of_the_latents(tmp_path):
    model = create("sd3")
    model.save_pretrained(tmp_path / "theirs")
    codec = imported(tmp_path / "theirs", tmp_path / "codec")
    z = np.random.default_rng(0).normal(size=(1, 4, 4, 16)).astype(np.float32)
    np.testing.assert_allclose(codec.normalize(z), (z - 0.0609) * 1.5305, rtol=1e-5, atol=1e-6)


def test_attention_by_its_old_names(tmp_path):
    model = create("sd")
    model.save_pretrained(tmp_path / "theirs")
    file = tmp_path / "theirs" / diffusers_importer.WEIGHTS
    tensors, old = safetensors.numpy.load_file(file), {}
    for name, tensor in tensors.items():
        for new, before in (
            ("to_q", "query"),
            ("to_k", "key"),
            ("to_v", "value"),
            ("to_out.0", "proj_attn"),
        ):
            name = name.replace(f".{new}.", f".{before}.")
        is_map = any(part in name for part in (".query.w", ".key.w", ".value.w", ".proj_attn.w"))
        old[name] = tensor[:, :, None, None] if is_map else tensor
    safetensors.numpy.save_file(old, file)
    config = tmp_path / "theirs" / diffusers_importer.CONFIG
    config.write_text(
        json.dumps({k: v for k, v in json.loads(config.read_text()).items() if "quant" not in k})
    )
    codec = imported(tmp_path / "theirs", tmp_path / "codec")
    compare(
        model, codec, np.random.default_rng(0).uniform(-1, 1, (1, 32, 32, 3)).astype(np.float32)
    )


@pytest.mark.parametrize("form", ["sd", "sd3"])  # diffusers cannot convert attention of a level
def test_the_single_file_has_the_names_of_latent_diffusion(form, tmp_path):
    model = create(form)
    model.save_pretrained(tmp_path / "theirs")
    codec = imported(tmp_path / "theirs", tmp_path / "codec")
    (file,) = single_file.write(codec, tmp_path / "single")
    tensors = {
        name: torch.from_numpy(array) for name, array in safetensors.numpy.load_file(file).items()
    }
    back = convert_ldm_vae_checkpoint(tensors, dict(model.config))
    expected = model.state_dict()
    assert back.keys() == expected.keys()
    for name, tensor in back.items():
        assert torch.equal(tensor, expected[name]), name
