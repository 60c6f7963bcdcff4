"""Released weights, in folders of diffusers and in torch's pickles."""

import collections
import functools
import io
import os
import pathlib
import pickle
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import released_weights
from hostile_inputs.attempts import RIGHT, Attempt, Wrong, command, expect_success
from hostile_inputs.corpus import Corpus
from hostile_inputs.damage import BROKEN, DAMAGED, changed_json, damage, refused, with_header

from pipeline import Codec

_OLD = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def attempts(corpus: Corpus) -> Iterator[Attempt]:
    """Yield the import of each of them."""
    yield from _released(corpus)
    yield from _pickles(corpus)


def _renamed(tensors: dict[str, np.ndarray], where: str) -> dict[str, np.ndarray]:
    """Return tensors with the attention's older names in one half."""
    found = {}
    for name, array in tensors.items():
        part = next((part for part in _OLD if f".{part}." in name and name.startswith(where)), "")
        found[name.replace(f".{part}.", f".{_OLD[part]}.") if part else name] = array
    return found


def _released(corpus: Corpus) -> Iterator[Attempt]:
    tensors = released_weights.autoencoder_kl()
    ema = {f"model_ema.{name.replace('.', '')}": array + 1 for name, array in tensors.items()}
    ema["model_ema.num_updates"] = np.int32([7])
    for name, given in {
        "new names": tensors,
        "old names": _renamed(tensors, ""),
        "old names in the encoder": _renamed(tensors, "encoder"),
        "old names in the decoder": _renamed(tensors, "decoder"),
        "a copy of EMA weights": tensors | ema,
        "half precision": {name: array.astype(np.float16) for name, array in tensors.items()},
    }.items():
        folder, out = corpus.new("released"), corpus.new("imported")
        folder.parent.mkdir(parents=True, exist_ok=True)
        released_weights.write_diffusers(folder, given)
        corpus.num_files += 1
        yield Attempt(f"import: {name}", functools.partial(_imported, folder, out))
    changes = {"config.json": BROKEN | {"a list": lambda data: b"[]"}}
    changes["diffusion_pytorch_model.safetensors"] = BROKEN | {
        "a huge header": with_header(1 << 60)
    }
    changes["config.json"] |= {
        f"{key} {value!r}": changed_json(**{key: value})
        for key, value in (
            ("block_out_channels", "wide"),
            ("block_out_channels", []),
            ("layers_per_block", "two"),
            ("layers_per_block", -1),
            ("norm_num_groups", 0),
            ("norm_num_groups", 3),
            ("latent_channels", 0),
            ("latent_channels", "four"),
            ("sample_size", "large"),
            ("scaling_factor", "big"),
            ("latents_mean", ["x"]),
            ("latents_std", [0.0, 1.0, 1.0, 1.0]),
            ("shift_factor", float("nan")),
            ("_class_name", "VQModel"),
            ("act_fn", "gelu"),
        )
    }
    changes["config.json"]["latents_mean alone"] = changed_json(
        latents_mean=[0.0], latents_std=[1.0, 2.0]
    )
    for file, broken in changes.items():
        for name, change in broken.items():
            folder, out = corpus.new("released"), corpus.new("imported")
            released_weights.write_diffusers(folder, tensors)
            damage(folder / file, change)
            corpus.num_files += 1
            arguments = ("import", "--from", "diffusers", folder, "--out", out)
            run = functools.partial(refused, arguments, DAMAGED, str(folder))
            yield Attempt(f"import with {file}: {name}", run)


def _imported(folder: pathlib.Path, out: pathlib.Path) -> str:
    expect_success(command("import", "--from", "diffusers", folder, "--out", out))
    weights = Codec.from_pretrained(out).weights
    tensors = released_weights.autoencoder_kl()
    for side in ("encoder", "decoder"):
        for ours, theirs in (("query", "to_q"), ("out", "to_out.0")):
            given = tensors[f"{side}.mid_block.attentions.0.{theirs}.weight"].T
            found = np.asarray(weights[f"{side}.middle.attention.{ours}.kernel"])
            if not np.allclose(found.reshape(given.shape), given, atol=1e-3):
                raise Wrong(f"{side}'s {ours} is not the file's")
    return RIGHT


# Torch's pickles


class _Runs:
    """A pickle of it runs a command."""

    def __init__(self, path: pathlib.Path):
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def _pickles(corpus: Corpus) -> Iterator[Attempt]:
    with pytest.MonkeyPatch.context() as patch:
        sample = released_weights.sample_of("taesd", patch)
        folder = corpus.new("pickles")
        folder.parent.mkdir(parents=True, exist_ok=True)
        encoder, decoder = sample.write(folder, sample.tensors)
        whole = pathlib.Path(encoder).read_bytes()
    trace = corpus.folder / "a-pickle-ran"
    # A zip file may have anything before it.
    contents = {name: change(whole) for name, change in BROKEN.items() if name != "shifted"}
    contents |= {
        "code": _zipped(pickle.dumps(_Runs(trace))),
        "code without a zip": pickle.dumps(_Runs(trace)),
        "a list": _zipped(pickle.dumps([1, 2])),
        "no tensors": _zipped(pickle.dumps({"a": "b"})),
        "deep": _zipped(b"\x80\x02" + b"]" * 50_000 + b"."),
        "a huge string": _zipped(b"\x80\x02X\xff\xff\xff\x7fabc."),
        "no pickle": _zipped(b""),
        "two pickles": _zipped(pickle.dumps({}), "other/data.pkl"),
        "old format": pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2),
        **{
            f"layout {number}": _tensor(*layout)
            for number, layout in enumerate([*LAYOUTS, (0, ("a",), (1,))])
        },
    }
    for name, data in contents.items():
        path = corpus.put("pickles", "encoder.pth", data)
        arguments = ("import", "--from", "taesd", path, decoder, "--out", corpus.new("imported"))
        run = functools.partial(_unpickled, arguments, trace, str(path))
        yield Attempt(f"pickle: {name}", run)


def _unpickled(arguments: tuple[Any, ...], trace: pathlib.Path, path: str) -> str:
    outcome = refused(arguments, DAMAGED, path)
    if trace.exists():
        raise Wrong("the pickle ran a command")
    return outcome


def _zipped(content: bytes, *more: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("archive/data.pkl", *more):
            archive.writestr(name, content)
        archive.writestr("archive/data/0", bytes(40))
    return file.getvalue()


# Offset, size and stride of a tensor in a storage of ten numbers.
LAYOUTS = (
    (0, (11,), (1,)),
    (-3, (2,), (1,)),
    (9, (2, 2), (-5, 5)),
    (0, (2, 2), (-100, 101)),
    (0, (1 << 62, 4), (0, 1)),
    (0, (-4,), (1,)),
    (0, (2,), ()),
)


def _tensor(offset: int, size: Any, stride: Any) -> bytes:
    """Return a torch file with one tensor of this layout."""

    class Named:
        def __init__(self, module: str, name: str):
            self.module, self.name = module, name

    class Pickler(pickle._Pickler):  # type: ignore[name-defined]
        """Pickles Named as a global, and a storage as a reference."""

        def persistent_id(self, value: Any) -> Any:
            if isinstance(value, collections.UserString):
                return ("storage", Named("torch", "FloatStorage"), "0", "cpu", 10)
            return None

        def save(self, value: Any, save_persistent_id: bool = True) -> None:
            if isinstance(value, Named):
                self.write(b"c" + value.module.encode() + b"\n" + value.name.encode() + b"\n")
            elif isinstance(value, _Call):
                self.save(Named("torch._utils", "_rebuild_tensor_v2"))
                self.save(value.arguments)
                self.write(b"R")
            else:
                super().save(value, save_persistent_id)

    file = io.BytesIO()
    storage = collections.UserString("storage")
    call = _Call((storage, offset, size, stride, False, collections.OrderedDict()))
    Pickler(file, protocol=2).dump({"1.weight": call})
    return _zipped(file.getvalue())


class _Call:
    def __init__(self, arguments: tuple[Any, ...]):
        self.arguments = arguments
