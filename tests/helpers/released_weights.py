"""Small weights under the names that their authors gave them, one sample for each importer."""

import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import autoencoders
import numpy as np
import safetensors.numpy
import torch_zip
from flax import nnx
from published_settings import SETTINGS
from tiny_codec import HIERARCHY

from pipeline import importers, models, published
from pipeline.codec import folder as codec_folder
from pipeline.core import parameters
from pipeline.formats import state_dict
from pipeline.importers import iv_vae as iv_vae_importer
from pipeline.published import authors

WEIGHTS = "diffusion_pytorch_model.safetensors"
DIFFUSERS_CONFIG = dict(
    _class_name="AutoencoderKL",
    block_out_channels=[8, 16],
    norm_num_groups=4,
    down_block_types=["DownEncoderBlock2D"] * 2,
    up_block_types=["UpDecoderBlock2D"] * 2,
    sample_size=8,
)

MNIST = dict(
    name="vae.VAE",
    image_size=32,
    image_channels=1,
    latent_dim=10,
    hidden=(256, 256),
    likelihood="bernoulli",
)

FLOW, BASE, LATENT = 4, 8, 2  # of the WF-VAE


def noise(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32) * 0.1


def conv(name, width, out, size):
    return {f"{name}.weight": noise(out, width, size, size), f"{name}.bias": noise(out)}


def block(name, width, out):
    tensors = {
        f"{name}.norm{i}.{leaf}": noise(w)
        for i, w in ((1, width), (2, out))
        for leaf in ("weight", "bias")
    }
    tensors |= conv(f"{name}.conv1", width, out, 3) | conv(f"{name}.conv2", out, out, 3)
    return tensors | (conv(f"{name}.conv_shortcut", width, out, 1) if width != out else {})


def middle(name, width):
    tensors = block(f"{name}.resnets.0", width, width) | block(f"{name}.resnets.1", width, width)
    return tensors | attention(f"{name}.attentions.0", width)


def attention(name, width):
    tensors = {}
    for part in ("to_q", "to_k", "to_v", "to_out.0"):
        tensors |= {
            f"{name}.{part}.weight": noise(width, width),
            f"{name}.{part}.bias": noise(width),
        }
    return tensors | {f"{name}.group_norm.{leaf}": noise(width) for leaf in ("weight", "bias")}


def autoencoder_kl():
    """Return tensors by diffusers' names: two resolutions, of 8 and 16 channels, with one block."""
    tensors = conv("encoder.conv_in", 3, 8, 3) | block("encoder.down_blocks.0.resnets.0", 8, 8)
    tensors |= conv("encoder.down_blocks.0.downsamplers.0.conv", 8, 8, 3)
    tensors |= block("encoder.down_blocks.1.resnets.0", 8, 16) | middle("encoder.mid_block", 16)
    tensors |= (
        conv("encoder.conv_out", 16, 8, 3)
        | conv("decoder.conv_in", 4, 16, 3)
        | middle("decoder.mid_block", 16)
    )
    for index, (width, out) in enumerate([(16, 16), (16, 8)]):
        tensors |= block(f"decoder.up_blocks.{index}.resnets.0", width, out)
        tensors |= block(f"decoder.up_blocks.{index}.resnets.1", out, out)
    tensors |= conv("decoder.up_blocks.0.upsamplers.0.conv", 16, 16, 3) | conv(
        "decoder.conv_out", 8, 3, 3
    )
    tensors |= conv("quant_conv", 8, 8, 1) | conv("post_quant_conv", 4, 4, 1)
    ends = {f"encoder.conv_norm_out.{leaf}": noise(16) for leaf in ("weight", "bias")}
    return (
        tensors | ends | {f"decoder.conv_norm_out.{leaf}": noise(8) for leaf in ("weight", "bias")}
    )


def vq_model():
    """Return tensors of a VQModel of that size with 16 codes, attending at the lower resolution."""
    tensors = autoencoder_kl() | conv("encoder.conv_out", 16, 4, 3) | conv("quant_conv", 4, 4, 1)
    for place in ("encoder.down_blocks.1", "decoder.up_blocks.0"):
        for index in range(1 if "down" in place else 2):
            tensors |= attention(f"{place}.attentions.{index}", 16)
    return tensors | {"quantize.embedding.weight": noise(16, 4)}


def write_diffusers(folder, tensors=None, **changes):
    """Write a folder as diffusers' save_pretrained does; `changes` apply to config.json."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(DIFFUSERS_CONFIG | changes))
    safetensors.numpy.save_file(tensors or autoencoder_kl(), folder / WEIGHTS)
    return folder


def taesd(channels, pool):
    """Return tensors of both files, with "encoder." and "decoder." before their names."""
    tensors = {}
    for side, places in (
        ("encoder", {1: 1, 3: 3, 7: 3, 11: 3}),
        ("decoder", {3: 3, 8: 3, 13: 3, 18: 1}),
    ):
        lowest = 11 if side == "encoder" else 3
        for first, count in places.items():
            for name in (f"{side}.{place}" for place in range(first, first + count)):
                for layer in (0, 2, 4):
                    tensors |= conv(f"{name}.conv.{layer}", 64, 64, 3)
                if pool and first == lowest:
                    tensors |= {
                        f"{name}.pool.0.weight": noise(256, 64, 1, 1),
                        f"{name}.pool.1.weight": noise(256),
                    }
                    tensors |= {
                        f"{name}.pool.1.bias": noise(256),
                        f"{name}.pool.3.weight": noise(64, 256, 1, 1),
                    }
        for place in (2, 6, 10) if side == "encoder" else (7, 12, 17):
            tensors[f"{side}.{place}.weight"] = noise(64, 64, 3, 3)
    tensors |= conv("encoder.0", 3, 64, 3) | conv("encoder.14", 64, channels, 3)
    return tensors | conv("decoder.1", channels, 64, 3) | conv("decoder.19", 64, 3, 3)


def random_tensors(weights):
    tensors = {f"{name}.weight": noise(*shape) for name, shape in weights.items()}
    return tensors | {f"{name}.bias": noise(shape[0]) for name, shape in weights.items()}


def bottleneck(name, inputs, middle, outputs, size):
    kernels = {
        "c1": (middle, inputs, 1),
        "c2": (middle, middle, size),
        "c3": (middle, middle, size),
    }
    kernels["c4"] = (outputs, middle, 1)
    return {f"{name}.{key}": (out, into, k, k) for key, (out, into, k) in kernels.items()}


def vdvae_tensors(encoder=(8, 8, 4, 4, 1), decoder=(1, 4, 8, 8), width=8, zdim=2, mixtures=2):
    """Return tensors by the authors' names, for tiny_codec.HIERARCHY."""
    middle = width // 4
    kernels = {
        "encoder.in_conv": (width, 3, 3, 3),
        "decoder.out_net.out_conv": (10 * mixtures, width, 1, 1),
    }
    for index, res in enumerate(encoder):
        kernels |= bottleneck(
            f"encoder.enc_blocks.{index}", width, middle, width, 3 if res > 2 else 1
        )
    for index, res in enumerate(decoder):
        name, size = f"decoder.dec_blocks.{index}", 3 if res > 2 else 1
        kernels |= bottleneck(f"{name}.enc", 2 * width, middle, 2 * zdim, size)
        kernels |= bottleneck(f"{name}.prior", width, middle, 2 * zdim + width, size)
        kernels |= bottleneck(f"{name}.resnet", width, middle, width, size)
        kernels[f"{name}.z_proj"] = (width, zdim, 1, 1)
    return random_tensors(kernels) | {
        name: noise(*shape)
        for name, shape in {
            "decoder.gain": (1, width, 1, 1),
            "decoder.bias": (1, width, 1, 1),
            **{
                f"decoder.bias_xs.{i}": (1, width, res, res)
                for i, res in enumerate(sorted(set(decoder)))
            },
        }.items()
    }


def burgess_tensors(size=32, channels=1, latents=10):
    """Return tensors by the names of disentangling-vae, for MNIST."""
    convs = {
        "encoder.conv1": (32, channels, 4, 4),
        "encoder.conv2": (32, 32, 4, 4),
        "encoder.conv3": (32, 32, 4, 4),
    }
    convs |= {"decoder.convT1": (32, 32, 4, 4), "decoder.convT2": (32, 32, 4, 4)}
    convs |= {"decoder.convT3": (32, channels, 4, 4)}
    if size == 64:
        convs |= {"encoder.conv_64": (32, 32, 4, 4), "decoder.convT_64": (32, 32, 4, 4)}
    linears = {
        "encoder.lin1": (256, 512),
        "encoder.lin2": (256, 256),
        "encoder.mu_logvar_gen": (2 * latents, 256),
    }
    linears |= {
        "decoder.lin1": (256, latents),
        "decoder.lin2": (256, 256),
        "decoder.lin3": (512, 256),
    }
    tensors = random_tensors(convs | linears)
    return tensors | {"decoder.convT3.bias": noise(channels)}


def wf_vae() -> dict[str, np.ndarray]:
    """Return a state dict of the authors' module with one block per stage."""
    random, made = np.random.default_rng(0), {}

    def conv(name: str, i: int, o: int, *size: int) -> None:
        made[f"{name}.weight"] = random.normal(size=(o, i, *size)).astype(np.float32)
        made[f"{name}.bias"] = random.normal(size=o).astype(np.float32)

    def norm(name: str, width: int) -> None:
        made[f"{name}.norm.weight"], made[f"{name}.norm.bias"] = np.ones(width), np.zeros(width)

    def block(name: str, i: int, o: int, flat: bool = False) -> None:
        end, size = ("", (3, 3)) if flat else (".conv", (3, 3, 3))
        norm(f"{name}.norm1", i), norm(f"{name}.norm2", o)
        conv(f"{name}.conv1{end}", i, o, *size), conv(f"{name}.conv2{end}", o, o, *size)
        if i != o:
            conv(f"{name}.nin_shortcut{end}", i, o, *(1,) * len(size))

    def middle(name: str, i: int, o: int) -> None:
        wide = 4 * BASE
        block(f"{name}.0", i, wide), block(f"{name}.2", wide, o), norm(f"{name}.1.norm", wide)
        for part in ("q", "k", "v", "proj_out"):
            conv(f"{name}.1.{part}.conv", wide, wide, 1, 1, 1)

    conv("encoder.down1.0", 24, BASE, 3, 3), block("encoder.down1.1", BASE, BASE, flat=True)
    conv("encoder.down1.2.conv", BASE, BASE, 3, 3)
    conv("encoder.connect_l1", 12, FLOW, 3, 3), conv("encoder.connect_l2", 24, FLOW, 3, 3)
    (
        conv("encoder.down2.0", BASE + FLOW, 2 * BASE, 3, 3),
        block("encoder.down2.1", 2 * BASE, 2 * BASE),
    )
    conv("encoder.down2.2.conv.conv", 2 * BASE, 2 * BASE, 3, 3, 3)
    middle("encoder.mid", 2 * BASE + FLOW, 4 * BASE)
    norm("encoder.norm_out", 4 * BASE), conv("encoder.conv_out.conv", 4 * BASE, 2 * LATENT, 3, 3, 3)
    (
        conv("decoder.conv_in.conv", LATENT, 4 * BASE, 3, 3, 3),
        middle("decoder.mid", 4 * BASE, 4 * BASE + FLOW),
    )
    (
        block("decoder.up2.0", 4 * BASE, 4 * BASE),
        conv("decoder.up2.1.conv.conv", 4 * BASE, 4 * BASE, 3, 3, 3),
    )
    block("decoder.up2.2", 4 * BASE, 4 * BASE + FLOW)
    block("decoder.up1.0", 4 * BASE, 2 * BASE), conv("decoder.up1.1.conv", 2 * BASE, 2 * BASE, 3, 3)
    block("decoder.up1.2", 2 * BASE, 2 * BASE)
    block("decoder.layer.0", 2 * BASE, BASE), block("decoder.layer.1", BASE, BASE)
    for level, bands in (("1", 12), ("2", 24)):
        (
            block(f"decoder.connect_l{level}.0", FLOW, FLOW),
            conv(f"decoder.connect_l{level}.1", FLOW, bands, 3, 3),
        )
    norm("decoder.norm_out", BASE), conv("decoder.conv_out", BASE, 24, 3, 3)
    made["encoder.wavelet_transform_in.h_conv.conv.weight"] = np.full((1, 1, 2, 2, 2), 0.3536)
    made["decoder.inverse_wavelet_transform_l1.aa"] = np.full((1, 1, 2, 2), 0.5)
    return made


def wan() -> dict[str, np.ndarray]:
    """Return a state dict of Wan 2.1's form with one block a level, two in the decoder."""
    made = {}

    def conv(name: str, i: int, o: int, *size: int) -> None:
        made[f"{name}.weight"], made[f"{name}.bias"] = noise(o, i, *size), noise(o)

    def block(name: str, i: int, o: int) -> None:
        made[f"{name}.residual.0.gamma"] = noise(i, 1, 1, 1)
        conv(f"{name}.residual.2", i, o, 3, 3, 3)
        made[f"{name}.residual.3.gamma"] = noise(o, 1, 1, 1)
        conv(f"{name}.residual.6", o, o, 3, 3, 3)
        if i != o:
            conv(f"{name}.shortcut", i, o, 1, 1, 1)

    def ends(side: str, i: int, first: int, middle: int, last: int, o: int) -> None:
        conv(f"{side}.conv1", i, first, 3, 3, 3)
        block(f"{side}.middle.0", middle, middle), block(f"{side}.middle.2", middle, middle)
        made[f"{side}.middle.1.norm.gamma"] = noise(middle, 1, 1)
        conv(f"{side}.middle.1.to_qkv", middle, 3 * middle, 1, 1)
        conv(f"{side}.middle.1.proj", middle, middle, 1, 1)
        made[f"{side}.head.0.gamma"] = noise(last, 1, 1, 1)
        conv(f"{side}.head.2", last, o, 3, 3, 3)

    ends("encoder", 3, 4, 8, 8, 4), ends("decoder", 2, 8, 8, 4, 3)
    block("encoder.downsamples.0", 4, 4), conv("encoder.downsamples.1.resample.1", 4, 4, 3, 3)
    block("encoder.downsamples.2", 4, 8), conv("encoder.downsamples.3.resample.1", 8, 8, 3, 3)
    conv("encoder.downsamples.3.time_conv", 8, 8, 3, 1, 1), block("encoder.downsamples.4", 8, 8)
    for index, (i, o) in enumerate([(8, 8), (8, 8), (0, 0), (4, 8), (8, 8), (0, 0), (4, 4)]):
        if o:
            block(f"decoder.upsamples.{index}", i, o)
        else:
            conv(f"decoder.upsamples.{index}.resample.1", 8, 4, 3, 3)
    conv("decoder.upsamples.2.time_conv", 8, 16, 3, 1, 1), block("decoder.upsamples.7", 4, 4)
    conv("conv1", 4, 4, 1, 1, 1), conv("conv2", 2, 2, 1, 1, 1)
    return made


def write_wf_vae(where, given=None, **settings):
    """Write a folder as the authors' save_pretrained does; `settings` apply to config.json."""
    where.mkdir()
    given = {name: np.asarray(array, np.float32) for name, array in (given or wf_vae()).items()}
    safetensors.numpy.save_file(given, where / WEIGHTS)
    content = dict(
        _class_name="WFVAEModel", base_channels=BASE, latent_dim=LATENT, t_interpolation="trilinear"
    )
    (where / "config.json").write_text(json.dumps(content | settings))
    return where


class Sample(NamedTuple):
    """Weights of one family.

    Attributes:
      tensors: by the authors' names.
      write: writes tensors into a new folder, and returns the arguments of `strata import`.
      model: config.model, if the files do not describe it.
      ignored: returns whether the importer leaves a name out.
    """

    tensors: Mapping[str, np.ndarray]
    write: Callable[..., list[str]]
    model: dict[str, Any] | None = None
    ignored: Callable[[str], bool] = lambda name: False


def sample_of(importer: str, monkeypatch: Any) -> Sample:
    """Return the sample of an importer. Raises KeyError for one without: add it here."""

    def torch_files(folder: pathlib.Path, *contents: Mapping[str, np.ndarray]) -> list[str]:
        folder.mkdir()
        paths = [folder / f"{number}.pth" for number in range(len(contents))]
        for path, content in zip(paths, contents):
            torch_zip.save(dict(content), path, monkeypatch)
        return list(map(str, paths))

    def taesd_files(folder: pathlib.Path, tensors: Mapping[str, np.ndarray]) -> list[str]:
        sides = ("encoder.", "decoder.")
        return torch_files(
            folder,
            *(
                {name.removeprefix(side): a for name, a in tensors.items() if name.startswith(side)}
                for side in sides
            ),
        )

    samples = {
        "diffusers": lambda: Sample(
            autoencoder_kl(), lambda folder, given: [str(write_diffusers(folder, given))]
        ),
        "disentangling_vae": lambda: Sample(burgess_tensors(), torch_files, MNIST),
        "hunyuan_video": _hunyuan_video,
        "image_codec": _image_codec,
        "ldm": _ldm,
        "ltx": _ltx,
        "openai_vdvae": lambda: Sample(vdvae_tensors(), torch_files, HIERARCHY),
        "taesd": lambda: Sample(taesd(4, pool=False), taesd_files),
        "iv_vae": lambda: Sample(iv_vae(), torch_files),
        "taehv": lambda: Sample(taehv(), torch_files),
        "wan": lambda: Sample(wan(), torch_files),
        "wf_vae": lambda: Sample(
            wf_vae(),
            lambda folder, given: [str(write_wf_vae(folder, given))],
            ignored=lambda name: "wavelet_transform" in name,
        ),
    }
    return samples[importer]()


def iv_vae() -> dict[str, np.ndarray]:
    """Return the tensors of a narrow IV-VAE."""
    model = {
        "name": "autoencoder.Autoencoder",
        "latent_channels": 4,
        "quant_convs": True,
        "encoder": dict(name="video.iv_vae.Encoder", width=2, num_blocks=1),
        "bottleneck": {"name": "gaussian.Gaussian"},
        "decoder": dict(name="video.iv_vae.Decoder", width=2, num_blocks=1),
    }
    arrays = {name: noise(*shape.shape) for name, shape in importers.shapes_of(model).items()}
    tensors = state_dict.restore(arrays, iv_vae_importer.rule())
    for name, parts in (("conv1", 4), ("conv2", 2)):
        for leaf in ("weight", "bias"):
            rows = np.split(tensors.pop(f"{name}.{leaf}"), parts)
            halves = [np.concatenate(rows[half::2]) for half in range(2)]
            deep = halves[1][..., None] if leaf == "weight" else halves[1]
            tensors |= {f"{name}.conv_2d.{leaf}": halves[0], f"{name}.conv_3d.{leaf}": deep}
    return tensors


def taehv(*, is_super: bool = False, **settings: Any) -> dict[str, np.ndarray]:
    """Return the tensors of a narrow TAEHV; `settings` are its encoder's and its decoder's."""
    decoder = dict(name=f"video.taehv{'_super' * is_super}.Decoder", channels=[8, 6, 4, 4])
    model = published.complete(
        {
            "name": "autoencoder.Autoencoder",
            "latent_channels": 5,
            "encoder": dict(name="video.taehv.Encoder", width=4) | settings,
            "bottleneck": {"name": "identity.Identity"},
            "decoder": decoder | settings,
        }
    )
    arrays = {name: noise(*shape.shape) for name, shape in importers.shapes_of(model).items()}
    return state_dict.restore(arrays, authors.of_model(model).rule(model, ()))


def _ltx() -> Sample:
    """Return LTX-Video 0.9.5 in few channels, next to a tensor of its diffusion model."""
    settings = {"_class_name": "AutoencoderKLLTXVideo"} | SETTINGS["AutoencoderKLLTXVideo"][2]
    model = published.complete(published.of_class(settings["_class_name"]).recipe(settings))
    naming = authors.of_model(model)
    arrays = {name: noise(*shape.shape) for name, shape in importers.shapes_of(model).items()}
    tensors = state_dict.restore(arrays, naming.rule(model, ())) | naming.buffers(model, {})

    def write(folder: pathlib.Path, given: Mapping[str, np.ndarray]) -> list[str]:
        folder.mkdir()
        others = {"model.diffusion_model.patchify_proj.weight": noise(2, 2)}
        safetensors.numpy.save_file({**given, **others}, folder / "ltx.safetensors")
        return [str(folder / "ltx.safetensors")]

    return Sample(tensors, write, ignored=lambda name: "per_channel_statistics" in name)


def _hunyuan_video() -> Sample:
    """Return HunyuanVideo's codec in the fewest channels that 32 groups have."""
    settings = {"_class_name": "AutoencoderKLHunyuanVideo", "block_out_channels": [32] * 4}
    settings |= {"latent_channels": 2, "layers_per_block": 1}
    model = published.complete(published.of_class(settings["_class_name"]).recipe(settings))
    arrays = {name: noise(*shape.shape) for name, shape in importers.shapes_of(model).items()}
    tensors = state_dict.restore(arrays, authors.of_model(model).rule(model, ()))

    def write(folder: pathlib.Path, given: Mapping[str, np.ndarray]) -> list[str]:
        folder.mkdir()
        safetensors.numpy.save_file(dict(given), folder / "vae.safetensors")
        return [str(folder / "vae.safetensors")]

    return Sample(tensors, write)


def _ldm() -> Sample:
    """Return Stable Diffusion's autoencoder inside a checkpoint, in the fewest channels."""
    model = autoencoders.ldm(quant_convs=True, channels=(32, 64), num_blocks=1, groups=32)
    arrays = {name: noise(*shape.shape) for name, shape in importers.shapes_of(model).items()}
    tensors = state_dict.restore(arrays, authors.of_model(model).rule(model, ()))
    others = {
        "model.diffusion_model.out.2.bias": noise(4),
        "first_stage_model.loss.logvar": noise(1),
    }

    def write(folder: pathlib.Path, given: Mapping[str, np.ndarray]) -> list[str]:
        folder.mkdir()
        inside = {f"first_stage_model.{name}": array for name, array in given.items()}
        safetensors.numpy.save_file(inside | others, folder / "sd.safetensors")
        return [str(folder / "sd.safetensors")]

    return Sample(tensors, write)


def _image_codec() -> Sample:
    sizes: Any = dict(channels=(4, 8, 8, 8), num_blocks=1, groups=2, image_size=16)
    image = autoencoders.ldm(quant_convs=False, **sizes)
    _, shapes, _ = parameters.abstract(lambda: models.create(image, rngs=nnx.Rngs(0)))
    tensors = {name: noise(*shape.shape) for name, shape in shapes.items()}

    def write(folder: pathlib.Path, given: Mapping[str, np.ndarray]) -> list[str]:
        codec_folder.write(folder, {"model": image, "dtype": "float32"}, given)
        return [str(folder)]

    return Sample(tensors, write, autoencoders.cv_vae(**sizes))
